"""What can be reached from here, phase by phase: a process that runs in the function's place.

It resolves, connects, shakes hands and asks for ``/`` as a function's first call would, stops at
the first phase that fails, prints one line of JSON, and then holds its connection open until it is
ended, so that the far side can be looked at::

    {"spans": [{"phase": "resolve", "outcome": "ok", …}, …], "names": {"host": ["198.51.100.10"]},
     "beside": {"10.0.9.10": "ok"}, "idle": {"kept": "ok", "forgotten": "reset"}}
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from event_protocol.phases import Outcome, Phase, Span
from natless.vpc.tcp_table import TcpState

HOLD_SECONDS = 30
"""The connection is held no longer than this, should nobody end us."""

_HEAD_BYTES = 64 * 1024


class _Stop(Exception):
    """A phase failed; the rest cannot be tried."""


def classify(error: Exception) -> Outcome:
    """How a phase ended that raised ``error``."""
    match error:
        case socket.gaierror():
            is_timeout = error.errno == socket.EAI_AGAIN
            return Outcome.NAME_TIMEOUT if is_timeout else Outcome.NAME_NOT_FOUND
        case TimeoutError():  # ours, without an errno, or the kernel's, with ETIMEDOUT
            return Outcome.TIMEOUT
        case ConnectionRefusedError():
            return Outcome.REFUSED
        case ConnectionResetError() | BrokenPipeError():
            return Outcome.RESET
        case ssl.SSLEOFError() | EOFError():
            return Outcome.CLOSED
        case ssl.SSLError():
            return Outcome.TLS_ERROR
        case _:
            return Outcome.UNREACHABLE


@dataclass(slots=True)
class Attempt:
    """One call, cut into phases.

    Attributes:
        budgets: seconds by phase.
        spans: what was measured so far.
    """

    budgets: Mapping[Phase, float]
    spans: list[Span] = field(default_factory=list)

    @contextlib.contextmanager
    def phase(self, phase: Phase) -> Iterator[dict[str, Any]]:
        """Measures a phase; its details go into the dictionary.

        Raises:
            _Stop: the phase failed, which was noted.
        """
        detail: dict[str, Any] = {}
        outcome, started = Outcome.OK, time.monotonic()
        try:
            yield detail
        except (OSError, EOFError) as error:
            outcome = classify(error)
            number = getattr(error, "errno", None)
            detail |= {
                "errno": number,
                "error": errno.errorcode.get(number or 0, ""),
                "message": str(error),
            }
            raise _Stop from error
        finally:
            self.spans.append(
                Span(
                    phase=phase,
                    started=started,
                    finished=time.monotonic(),
                    outcome=outcome,
                    budget=f"probe.{phase}",
                    budget_seconds=self.budgets[phase],
                    detail=detail,
                )
            )


def resolve(host: str, *, budget: float) -> list[str]:
    """The addresses of a name, as every C program would get them.

    Raises:
        socket.gaierror: also when the budget runs out, then as EAI_AGAIN: glibc itself would
            take 10 s to say so.
    """
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(str(address[0]) for *_, address in answers)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(budget)
    if thread.is_alive():
        raise socket.gaierror(socket.EAI_AGAIN, f"no answer in {budget} s")
    if failed:
        raise failed[0]
    return found


def try_call(
    attempt: Attempt, host: str, *, port: int, ca: str, via: str = ""
) -> socket.socket | None:
    """Calls ``https://host/``; the phases are in ``attempt`` afterwards.

    Args:
        attempt: takes what is measured.
        host: the name that is called.
        port: its port.
        ca: whom to trust.
        via: ``host:port`` of a proxy that is asked for the way; it resolves the name.

    Returns:
        The connection, if there is one, still open.
    """
    held = None
    hop, _, hop_port = via.rpartition(":") if via else (host, "", str(port))
    with contextlib.suppress(_Stop):
        with attempt.phase(Phase.RESOLVE) as detail:
            detail["host"] = hop
            addresses = resolve(hop, budget=attempt.budgets[Phase.RESOLVE])
            detail["addresses"] = addresses
        with attempt.phase(Phase.CONNECT) as detail:
            detail |= {"address": addresses[0], "port": int(hop_port)}
            held = socket.create_connection(
                (addresses[0], int(hop_port)), timeout=attempt.budgets[Phase.CONNECT]
            )
            if via:
                _open_tunnel(held, f"{host}:{port}")
        with attempt.phase(Phase.TLS):
            held.settimeout(attempt.budgets[Phase.TLS])
            context = ssl.create_default_context(cafile=ca)
            held = context.wrap_socket(held, server_hostname=host)
        with attempt.phase(Phase.UPGRADE) as detail:
            held.settimeout(attempt.budgets[Phase.UPGRADE])
            detail |= {"address": addresses[0], "status": _ask_for_root(held, host)}
    return held


def _open_tunnel(connection: socket.socket, target: str) -> None:
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(1)  # what follows the head is not ours to read
        if not part:
            raise EOFError("the proxy closed without an answer")
        head += part
    if head.split(maxsplit=2)[1] != b"200":
        raise EOFError(f"the proxy said {head.splitlines()[0].decode('latin-1')}")


def touch(address: str, *, port: int, budget: float) -> Outcome:
    """How a TCP connection to an address ends; one that is made is closed at once."""
    try:
        socket.create_connection((address, port), timeout=budget).close()
    except OSError as error:
        return classify(error)
    return Outcome.OK


def rest(connection: socket.socket, host: str, *, seconds: float) -> dict[str, Outcome]:
    """How requests end after a pause shorter than a limit, and after one that is longer."""
    seen = {}
    for name, pause in (("kept", 0.5 * seconds), ("forgotten", 1.5 * seconds)):
        time.sleep(pause)
        try:
            _ask_for_root(connection, host)
            seen[name] = Outcome.OK
        except (OSError, EOFError) as error:
            seen[name] = Outcome.RESET if _was_reset(connection) else classify(error)
    return seen


def _was_reset(connection: socket.socket) -> bool:
    """Of a reset, OpenSSL may tell as little as of a plain end. The kernel knows: state CLOSE."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == TcpState.CLOSE


def _ask_for_root(connection: socket.socket, host: str) -> int:
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: natless-probe\r\n\r\n"
    connection.sendall(request.encode())
    head = b""
    while b"\r\n" not in head:
        part = connection.recv(_HEAD_BYTES)
        if not part:
            raise EOFError("closed without an answer")
        head += part
    return int(head.split(maxsplit=2)[1])


def _addresses_of(host: str, *, budget: float) -> list[str]:
    try:
        return resolve(host, budget=budget)
    except OSError:
        return []


def _span_to_json(span: Span) -> dict[str, Any]:
    return {
        "phase": span.phase,
        "started": span.started,
        "finished": span.finished,
        "outcome": span.outcome,
        "budget": span.budget,
        "budget_seconds": span.budget_seconds,
        "detail": dict(span.detail),
    }


def span_from_json(raw: Mapping[str, Any]) -> Span:
    """One of the printed spans as a value again."""
    return Span(
        phase=Phase(raw["phase"]),
        started=raw["started"],
        finished=raw["finished"],
        outcome=Outcome(raw["outcome"]),
        budget=raw["budget"],
        budget_seconds=raw["budget_seconds"],
        detail=raw["detail"],
    )


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="natless.vpc.reach")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--name", action="append", default=[], help="is resolved only")
    parser.add_argument("--via", default="", help="host:port of a proxy")
    parser.add_argument("--beside", action="append", default=[], help="address=budget, tried too")
    parser.add_argument("--idle", type=float, default=0.0, help="a limit, in seconds")
    for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.UPGRADE):
        parser.add_argument(f"--{phase}", type=float, default=5.0, help="the budget in seconds")
    options = parser.parse_args()
    attempt = Attempt({phase: getattr(options, phase, 0.0) for phase in Phase})
    connection = try_call(attempt, options.host, port=options.port, ca=options.ca, via=options.via)
    seen: dict[str, Any] = {"spans": [_span_to_json(each) for each in attempt.spans]}
    seen["names"] = {name: _addresses_of(name, budget=options.resolve) for name in options.name}
    seen["beside"] = {
        address: touch(address, port=options.port, budget=float(budget))
        for address, _, budget in (each.partition("=") for each in options.beside)
    }
    if options.idle and connection is not None:
        seen["idle"] = rest(connection, options.host, seconds=options.idle)
    print(json.dumps(seen))
    sys.stdout.flush()
    signal.alarm(HOLD_SECONDS)
    signal.pause()
    del connection  # held until here
    os._exit(0)


if __name__ == "__main__":
    main()
