"""A lab with one function in it, for tests: change its network, call it, look at the verdict."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from natless.errors import NatlessError
from natless.function_place import find_handler, read_place
from natless.progress import Progress, SilentProgress
from natless.report.files import write_report
from natless.run_directory import open_run_directory
from natless.settings import load_settings
from natless.testing.call import Call
from natless.testing.loop_thread import LoopThread
from natless.testing.stage import Stage, open_stage
from natless.vpc.backend import Network
from natless.vpc.topologies import TOPOLOGIES

T = TypeVar("T")
Listener = Callable[[Call], None]


class FunctionLab:
    """A function in a network that can be changed. Made by :func:`open_lab`.

    Its methods block, and may be called from any thread; ``invoke_async`` is for tests that have a
    loop of their own.
    """

    topologies: tuple[str, ...] = tuple(TOPOLOGIES)
    """The names that :meth:`use` takes."""

    def __init__(self, stage: Stage, thread: LoopThread[Stage]) -> None:
        self._stage = stage
        self._thread = thread
        self._listener: Listener | None = None

    @property
    def topology(self) -> str:
        """The name of the network that holds now."""
        return self._stage.topology.name

    @property
    def network(self) -> Network:
        """What it is made of: ``netns`` or ``docker``."""
        return self._stage.lab.network

    def __repr__(self) -> str:
        return f"<FunctionLab on {self.topology}, {self.network}>"

    def use(self, topology: str) -> None:
        """Changes the network; the next call starts a new execution environment in it.

        The first time, probes prove that the network fails, or works, as it promises. Nothing
        happens when it is in use already.

        Raises:
            UsageError: there is no such topology; the message lists them.
            PromiseBroken: it does not do what it promises.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        self._do(self._stage.use_named(topology))

    def restart(self) -> None:
        """Ends the execution environments: the next call is a cold start."""
        __tracebackhide__ = True
        self._do(self._stage.restart())

    def invoke(self, event: object = None) -> Call:
        """Calls the function once, and waits for the answer, whoever gives it.

        Args:
            event: anything that is JSON, or its bytes; ``{}`` when not given.
        """
        __tracebackhide__ = True
        return self._tell(self._do(self._stage.invoke(_encode(event))))

    async def invoke_async(self, event: object = None) -> Call:
        """The same for a test that has a loop, which goes on meanwhile."""
        work = self._thread.start(self._stage.invoke(_encode(event)))
        return self._tell(await asyncio.wrap_future(work))

    def write_report(self, folder: str | Path) -> Path:
        """Writes ``report.html`` and ``report.json`` of every call so far; returns the page.

        Raises:
            UsageError: the folder cannot be written to.
        """
        __tracebackhide__ = True
        return write_report(self._do(self._stage.describe()), Path(folder))

    def listen(self, listener: Listener | None) -> None:
        """Calls ``listener`` with every later call, instead of whom it called before."""
        self._listener = listener

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Errors of ours say enough: what they have come through is of no use to a test."""
        __tracebackhide__ = True
        try:
            return self._thread.call(work)
        except NatlessError as error:
            if error.hint:
                error.add_note(f"next: {error.hint}")
            raise error.with_traceback(None) from None

    def _tell(self, call: Call) -> Call:
        if self._listener is not None:
            self._listener(call)
        return call

    def output_of(self, call: Call) -> tuple[str, ...]:
        """What the handler printed during a call, as far as it was read by now; the last lines."""
        request_id = call.record.request_id if call.record is not None else ""
        return tuple(self._stage.output.get(request_id, ()))


@contextmanager
def open_lab(
    folder: str | Path | None = None,
    *,
    handler: str | None = None,
    network: Literal["auto", "netns", "docker"] | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[FunctionLab]:
    """Brings a network, the channel, a worker and the function up, and down with the block.

    It begins on the network ``nat``. What is not said comes from the environment
    (``NATLESS_…``), from ``natless.toml``, and from the defaults, in this order.

    Args:
        folder: with the handler's code, or the handler's file.
        handler: ``module.function``; when nobody names it, the one that the folder has.
        network: what to build it of; ``auto`` takes namespaces where they can be used, and
            containers otherwise.
        settings: further settings, nested as in ``natless.toml``.
        config: the settings file; by default ``natless.toml`` in the current folder, if there is
            one.
        progress: is told what is being done.

    Raises:
        UsageError: a setting is wrong, or the handler is not there.
        EnvironmentLacks: this machine can hold no lab; the hint says what to do.
        ComponentFailed: a part did not come up.
    """
    said: dict[str, Any] = {**(settings or {})}
    named = read_place({"folder": Path(folder) if folder else None, "handler": handler})
    said["function"] = {**said.get("function", {}), **{k: v for k, v in named.items() if v}}
    said["demo"] = {**said.get("demo", {}), **({"network": network} if network else {})}
    accepted = load_settings(said, file=config)
    accepted = accepted.model_copy(update={"function": find_handler(accepted.function)})
    with open_run_directory() as directory:
        held = open_stage(accepted, directory=directory, progress=progress or SilentProgress())
        thread = LoopThread(held)
        stage = thread.open()
        try:
            yield FunctionLab(stage, thread)
        finally:
            thread.close()


def _encode(event: object) -> bytes:
    __tracebackhide__ = True
    if isinstance(event, bytes):
        return event
    try:
        return json.dumps({} if event is None else event).encode()
    except (TypeError, ValueError) as error:
        raise type(error)(f"the event is not JSON: {error}") from None
