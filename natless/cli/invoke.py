"""``natless invoke``: one call of a function that ``natless dev`` runs."""

from __future__ import annotations

import base64
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

REQUEST_BUDGET = 930.0
"""Seconds until an answer must be there: the longest timeout a function may have, and its start."""


def invoke(
    name: Annotated[
        str | None,
        typer.Argument(help="The function, or its ARN.  [default: the only one there is]"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="The event, as JSON.  [default: {}]")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with the event; - for standard input.")
    ] = None,
    is_event: Annotated[
        bool, typer.Option("--event", help="Asynchronously: nobody waits, failures are retried.")
    ] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Also the end of the function's log, on standard error.")
    ] = False,
    is_stream: Annotated[
        bool,
        typer.Option("--stream", help="Print the answer as it comes, if the function streams it."),
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="AWS_ENDPOINT_URL_LAMBDA",
            help="The Invoke API.  [default: http://127.0.0.1 with the port of natless.toml, 9400]",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.  [default: natless.toml, if there is one]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Answer, status, request id and log as one document.")
    ] = False,
) -> None:
    """Call a function once and print what it answers.

    Talks to the Invoke API of a `natless dev` that runs. Exits 1 when the function failed.
    """
    from natless.errors import NatlessError, UsageError

    if is_stream and (is_event or as_json):
        raise UsageError("--stream goes with neither --event nor --json", hint="leave one out")
    api = _Api(_find_endpoint(endpoint, config))
    payload = _read_payload(data, file)
    name = name or api.only_function()
    if is_stream:
        _print_stream(api, name, payload, wants_log=log)
        return
    started = time.monotonic()
    answer = api.invoke(name, payload, is_event=is_event, wants_log=log or as_json)
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps(_describe(answer, seconds=seconds), indent=2, ensure_ascii=False))
    else:
        if log:
            sys.stderr.write(answer.log)
        if answer.body:
            sys.stdout.write(answer.body.decode(errors="replace").rstrip("\n") + "\n")
    if answer.headers.get("X-Amz-Function-Error"):
        raise NatlessError(
            f"{name} failed: {_read_error(answer.body)}",
            hint="the window of natless dev shows what it printed",
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def log(self) -> str:
        return base64.b64decode(self.headers.get("X-Amz-Log-Result", "")).decode(errors="replace")


_MEMBERS = {"ErrorCode": "error_code", "ErrorDetails": "error_details", "LogResult": "log_result"}


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ended; the members are those of ``InvokeComplete``."""

    error_code: str = ""
    error_details: str = ""
    log_result: str = ""


def _print_stream(api: _Api, name: str, payload: bytes, *, wants_log: bool) -> None:
    from natless.errors import NatlessError

    end = _End()
    for piece in api.stream(name, payload, wants_log=wants_log):
        if isinstance(piece, _End):
            end = piece
        else:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    sys.stderr.write(base64.b64decode(end.log_result).decode(errors="replace"))
    if end.error_code:
        said = _read_error(end.error_details.encode()) or end.error_code
        raise NatlessError(
            f"{name} failed: {said}", hint="the window of natless dev shows what it printed"
        )


class _Api:
    """The Invoke API at an address."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        # never through a proxy: it is on this machine
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def invoke(self, name: str, payload: bytes, *, is_event: bool, wants_log: bool) -> _Answer:
        """Calls a function.

        Raises:
            NatlessError: there is none, or it was not run.
        """
        headers = {"X-Amz-Invocation-Type": "Event" if is_event else "RequestResponse"}
        if wants_log and not is_event:
            headers["X-Amz-Log-Type"] = "Tail"
        quoted = urllib.parse.quote(name, safe="")
        return self._ask(f"/2015-03-31/functions/{quoted}/invocations", payload, headers)

    def stream(self, name: str, payload: bytes, *, wants_log: bool) -> Iterator[bytes | _End]:
        """Calls a function; the pieces of its answer as they come, and how they ended.

        Raises:
            NatlessError: there is none, or it was not run, or the answer broke off.
        """
        from natless.errors import NatlessError
        from natless.lambda_host.event_stream import read_messages

        path = f"/2021-11-15/functions/{urllib.parse.quote(name, safe='')}"
        headers = {"X-Amz-Log-Type": "Tail"} if wants_log else {}
        with self._open(f"{path}/response-streaming-invocations", payload, headers) as reply:
            try:
                for said, piece in read_messages(reply.read):
                    if said.get(":event-type") == "PayloadChunk":
                        yield piece
                    else:
                        yield _End(
                            **{_MEMBERS[key]: value for key, value in json.loads(piece).items()}
                        )
            except (ValueError, OSError) as error:
                raise NatlessError(f"the answer broke off: {error}") from error

    def names(self) -> list[str]:
        """The functions there are."""
        listed = json.loads(self._ask("/2015-03-31/functions/").body)
        return [each["FunctionName"] for each in listed["Functions"]]

    def only_function(self) -> str:
        """The name that need not be said.

        Raises:
            UsageError: there are several.
        """
        from natless.errors import UsageError

        names = self.names()
        if len(names) != 1:
            raise UsageError(
                f"there are {len(names)} functions here", hint=f"name one of {', '.join(names)}"
            )
        return names[0]

    def _ask(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> _Answer:
        with self._open(path, body, headers or {}) as reply:
            return _Answer(reply.status, reply.headers, reply.read())

    @contextmanager
    def _open(
        self, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        from natless.errors import EnvironmentLacks, UsageError

        try:
            request = urllib.request.Request(self._endpoint + path, body, headers)
            reply = self._opener.open(request, timeout=REQUEST_BUDGET)
        except urllib.error.HTTPError as error:
            with error:
                self._explain(error)
        except ValueError as error:
            raise UsageError(
                f"{self._endpoint} is no address: {error}", hint="such as http://127.0.0.1:9400"
            ) from error
        except OSError as error:
            raise EnvironmentLacks(
                f"no Invoke API answers at {self._endpoint}",
                hint="start natless dev in another terminal; --endpoint names another address",
            ) from error
        with reply:
            yield reply

    def _explain(self, error: urllib.error.HTTPError) -> NoReturn:
        from natless.errors import NatlessError, UsageError

        body = error.read()
        try:
            said = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            said = body.decode(errors="replace").strip() or f"status {error.code}"
        kind = error.headers.get("X-Amzn-ErrorType", "")
        if kind == "ResourceNotFoundException":
            raise UsageError(said, hint=f"here is {', '.join(self.names())}") from error
        if error.code in (400, 413):
            raise UsageError(said, hint="correct the event after --data or --file") from error
        hint = "every execution environment is busy; try again" if error.code == 429 else ""
        raise NatlessError(f"not run: {kind} {said}", hint=hint) from error


def _find_endpoint(said: str | None, config: Path | None) -> str:
    from natless.settings import load_settings

    return said or f"http://127.0.0.1:{load_settings(file=config).dev.port or 9400}"


def _read_payload(data: str | None, file: Path | None) -> bytes:
    from natless.errors import UsageError

    if data is not None and file is not None:
        raise UsageError("--data and --file both say the event", hint="leave one out")
    if file is None:
        return (data or "{}").encode()
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="check the path after --file") from error


def _describe(answer: _Answer, *, seconds: float) -> dict[str, Any]:
    try:
        payload: Any = json.loads(answer.body) if answer.body else None
    except ValueError:
        payload = answer.body.decode(errors="replace")
    return {
        "status": answer.status,
        "function_error": answer.headers.get("X-Amz-Function-Error"),
        "request_id": answer.headers.get("X-Amzn-RequestId"),
        "version": answer.headers.get("X-Amz-Executed-Version"),
        "seconds": round(seconds, 6),
        "payload": payload,
        "log": answer.log.splitlines(),
    }


def _read_error(body: bytes) -> str:
    try:
        said = json.loads(body)
        return ": ".join(str(said[key]) for key in ("errorType", "errorMessage") if said.get(key))
    except (ValueError, TypeError, AttributeError):
        return body[:500].decode(errors="replace")
