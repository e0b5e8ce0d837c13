"""The guest's side of the Runtime API: takes events, gives answers, one connection for both.

Paths, headers and states: AWS Lambda developer guide, "Using the Lambda runtime API". A request
for an event has no time limit, as that page asks: an idle environment waits in it for hours.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime_shim.errors import RuntimeApiLost
from runtime_shim.http_messages import (
    HEAD_BYTES,
    HttpMessage,
    MalformedMessage,
    encode_message,
    read_body,
    read_head,
)

ROOT = "/2018-06-01/runtime"
NEXT_TRIES = 5
NEXT_PAUSE = 0.1  # seconds; Lambda has answered 403 to a request that came too early
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "trailer"}
)


@dataclass(frozen=True, slots=True)
class Invocation:
    """An event and what came with it.

    Attributes:
        request_id: Lambda's id of the invocation.
        headers: as the Runtime API sent them, without those of the connection.
        body: the event.
        received: monotonic seconds at which it was complete.
        deadline: monotonic seconds at which Lambda ends the invocation; infinite if not told.
    """

    request_id: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received: float
    deadline: float

    def header(self, name: str) -> str:
        """A header's value or the empty string; names compare without case."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller of the invocation gets.

    Attributes:
        body: for the Runtime API, as it is.
        is_error: whether it is posted as an error of the function.
        content_type: of the body.
        error_type: Lambda's name of the error, for its own header; empty if not known.
    """

    body: bytes = field(repr=False)
    is_error: bool = False
    content_type: str = "application/json"
    error_type: str = ""

    @classmethod
    def error(cls, error_type: str, message: str) -> Answer:
        """An error of the function as Lambda's callers know it."""
        body = {"errorType": error_type, "errorMessage": message, "stackTrace": []}
        return cls(json.dumps(body).encode(), is_error=True, error_type=error_type)


class RuntimeApiClient:
    """One kept connection to the Runtime API.

    Args:
        address: ``host:port``, with a path behind it where one server serves many environments.
    """

    def __init__(self, address: str) -> None:
        self._authority, _, prefix = address.partition("/")
        self._root = (f"/{prefix}" if prefix else "") + ROOT
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def next(self) -> Invocation:
        """Waits for an event, for hours if need be.

        Raises:
            RuntimeApiLost: nobody answers, or not with an event.
        """
        for _ in range(NEXT_TRIES):
            reply = await self._call("GET", "/invocation/next", {}, b"")
            if reply.status == 200:
                return _read_invocation(reply)
            if reply.status >= 500:  # the API's own word for "exit promptly"
                break
            await asyncio.sleep(NEXT_PAUSE)
        raise RuntimeApiLost(f"the Runtime API answers {reply.status} to a request for an event")

    async def answer(self, invocation: Invocation, answer: Answer) -> int:
        """Posts the one answer of an invocation; the status of the reply.

        400 and 403 mean that the Runtime API has an answer already or has given the invocation up,
        413 that the answer is too large: Lambda has told the caller itself.

        Raises:
            RuntimeApiLost: nobody takes it.
        """
        headers = {"Content-Type": answer.content_type}
        if answer.error_type:
            headers["Lambda-Runtime-Function-Error-Type"] = answer.error_type
        # Newer Runtime APIs compare this nonce, so that a late answer of a timed-out call cannot
        # be taken for the answer of its repetition.
        if nonce := invocation.header("lambda-runtime-invocation-id"):
            headers["Lambda-Runtime-Invocation-Id"] = nonce
        kind = "error" if answer.is_error else "response"
        path = f"/invocation/{invocation.request_id}/{kind}"
        return (await self._call("POST", path, headers, answer.body)).status

    async def fail_init(self, answer: Answer) -> None:
        """Posts why this environment cannot start.

        Raises:
            RuntimeApiLost: nobody takes it.
        """
        headers = {"Content-Type": answer.content_type}
        headers["Lambda-Runtime-Function-Error-Type"] = answer.error_type
        await self._call("POST", "/init/error", headers, answer.body)

    def close(self) -> None:
        """Drops the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> HttpMessage:
        start = f"{method} {self._root}{path} HTTP/1.1"
        message = encode_message(start, {"Host": self._authority, **headers}, body)
        was_kept = self._streams is not None
        try:
            return await self._exchange(message)
        except (OSError, EOFError, MalformedMessage) as error:
            self.close()
            if not was_kept:
                raise RuntimeApiLost(
                    f"the Runtime API at {self._authority} is lost: {error}"
                ) from error
        # A kept connection may have ended while nobody looked. Asking twice is safe: the same
        # event comes again, and a second answer is refused.
        try:
            return await self._exchange(message)
        except (OSError, EOFError, MalformedMessage) as error:
            self.close()
            raise RuntimeApiLost(
                f"the Runtime API at {self._authority} is lost: {error}"
            ) from error

    async def _exchange(self, message: bytes) -> HttpMessage:
        if self._streams is None:
            host, _, port = self._authority.rpartition(":")
            self._streams = await asyncio.open_connection(
                host.strip("[]"), int(port), limit=HEAD_BYTES
            )
        reader, writer = self._streams
        writer.write(message)
        await writer.drain()
        reply = await read_body(reader, await read_head(reader))
        _ = reply.status  # what is no reply at all is found here and not later
        if reply.wants_close:
            self.close()
        return reply


def _read_invocation(reply: HttpMessage) -> Invocation:
    headers = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP_BY_HOP}
    request_id = reply.header("lambda-runtime-aws-request-id")
    if not request_id:
        raise RuntimeApiLost("the Runtime API sent an event without a request id")
    received = time.monotonic()
    return Invocation(
        request_id=request_id,
        headers=headers,
        body=reply.body,
        received=received,
        deadline=received + _seconds_left(reply.header("lambda-runtime-deadline-ms")),
    )


def _seconds_left(deadline_ms: str) -> float:
    """Lambda tells wall-clock time: a frozen environment's own timers would not have run."""
    try:
        return int(deadline_ms) / 1000 - time.time()
    except ValueError:
        return math.inf
