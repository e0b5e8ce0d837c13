"""``python -m relay``: the relay as a process.

Exit codes: 0 after SIGTERM, Ctrl-C or the end of its terminal, 2 for a wrong flag, configuration or
certificate, 3 when an address cannot be used.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from asyncio import sslproto
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from relay.announcement import describe_ready, render_json, render_text
from relay.clock import SystemClock
from relay.command import Command
from relay.control.state import MemoryStore, SqliteStore, Store
from relay.errands import Errands
from relay.errors import CannotListen, RelayError
from relay.journal import Journal, LineJournal, NoJournal
from relay.service import Relay

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
TLS_BUFFER_BYTES = 32 << 10  # two records; smaller ones cost time
KEPT_BYTES = 4 << 20  # more than a frame; what is larger, such as a backlog, goes back at once
GC_THRESHOLDS = 20_000, 50, 10  # objects, young and middle collections: rarer than Python's


def main() -> int:
    """Runs until a signal ends it; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="relay: %(levelname)s: %(message)s")
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # it warns about any offer
    command = Command.parse(sys.argv[1:])
    try:
        _raise_open_files()
        _keep_freed_memory()
        _collect_rarely()
        _shrink_tls_buffers()
        with _open_journal(command.flags.journal) as journal:
            asyncio.run(_serve(command, journal))
    except RelayError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:  # before the handlers were in place
        return 0
    return 0


async def _serve(command: Command, journal: Journal) -> None:
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()
    command, store = _open_state(command)
    async with Relay(command.make_config(), journal=journal, store=store) as relay:
        reloads = Errands()

        def reload() -> None:
            reloads.start(_reload(command, relay, journal))

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, is_over.set)
        _watch_hangup(loop, reload=reload, end=is_over.set)
        if command.flags.until_eof:
            _watch_input(loop, is_over)
        ready = describe_ready(relay, ca=command.flags.ca)
        verify = relay.config.apis[0].verify
        text = render_json(ready) if command.flags.json else render_text(ready, verify=verify)
        with suppress(BrokenPipeError):  # whoever started us need not listen
            print(text, flush=True)
        journal.record(
            "relay.ready", label=ready["label"], namespaces=ready["namespaces"], pid=ready["pid"]
        )
        await is_over.wait()
        await reloads.close()


def _open_state(command: Command) -> tuple[Command, Store]:
    """Opens what keeps the control plane's records; what was made up before is made up again."""
    path = command.make_config().state
    if path is None:
        return command, MemoryStore()
    store = SqliteStore(path)
    try:
        return command.recall(store), store
    except BaseException:
        store.close()
        raise


def _watch_hangup(
    loop: asyncio.AbstractEventLoop, *, reload: Callable[[], None], end: Callable[[], None]
) -> None:
    """SIGHUP reloads, as it does in daemons, unless it says that our terminal is gone.

    Then nobody could end us any more, and the port would stay taken. ``nohup`` keeps us.
    """
    terminal = next((number for number in range(3) if os.isatty(number)), None)
    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def hang_up() -> None:
        is_gone = terminal is not None and not os.isatty(terminal)
        (end if is_gone and not is_kept else reload)()

    loop.add_signal_handler(signal.SIGHUP, hang_up)


def _watch_input(loop: asyncio.AbstractEventLoop, is_over: asyncio.Event) -> None:
    """Ends the relay when whoever holds the other end of its standard input is gone.

    A parent that is killed cannot say so, and the kernel's signal for that comes too late for one
    that dies while its child starts. What is written there is thrown away.
    """

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            is_over.set()

    loop.add_reader(sys.stdin.fileno(), look)


async def _reload(command: Command, relay: Relay, journal: Journal) -> None:
    try:
        await relay.reload(command.make_config())
    except RelayError as error:  # what is running goes on as it was
        _complain(error)
        journal.record("relay.reload.failed", message=str(error))
    else:
        journal.record("relay.reload.complete")


def _complain(error: RelayError) -> None:
    print(f"relay: {error}", file=sys.stderr)
    if error.hint:
        print(f"       {error.hint}", file=sys.stderr)


@contextmanager
def _open_journal(place: str | None) -> Iterator[Journal]:
    if place is None:
        yield NoJournal()
        return
    if place == "-":
        stream = sys.stdout
    else:
        try:
            stream = open(place, "a", encoding="utf-8")  # noqa: SIM115, PTH123  closed below
        except OSError as error:
            raise CannotListen(
                f"the journal {place} cannot be written: {error.strerror}",
                hint="choose a file in a directory that is writable",
            ) from error
    journal = LineJournal(stream, now=SystemClock.now)
    try:
        yield journal
    finally:
        journal.close()
        if stream is not sys.stdout:
            stream.close()


def _raise_open_files() -> None:
    """Takes as many file descriptors as the system lets us: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _shrink_tls_buffers() -> None:
    """Makes asyncio read TLS in smaller pieces: it keeps a whole buffer for each connection.

    Of 256 KiB, by default; ten thousand idle clients would hold 2.6 GB.
    """
    with suppress(AttributeError):
        sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


def _collect_rarely() -> None:
    """Makes Python look for cycles less often, and not among what was imported.

    A connection is some fifty objects that live on together, so by default the collector runs for
    every fifteen connections and finds nothing: a tenth of the time that a new connection takes.
    What aiohttp leaves in cycles when connections end is still found, some hundred of them later.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _keep_freed_memory() -> None:
    """Lets glibc reuse what large events leave behind, instead of asking the kernel each time.

    A quarter of the time for an event of 200 KB goes there otherwise. Other C libraries have no
    such switch and need none.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, 4 * KEPT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
