"""The worker on Stelvio's channels: it answers the stubs that `stlv dev` has deployed.

::

    stub ── request ──▶ a free environment of the function ──▶ handler ──▶ answer ──▶ every stub

Stelvio's stubs send no environment and do not say which execution environment they are in. So the
worker has environments of its own, as many as there are requests at once, and the handler gets
this machine's AWS settings, as Stelvio's own listener gives it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from event_protocol.errors import RemoteProtocolError
from event_protocol.live import MessageCode
from event_protocol.stelvio import (
    Answer,
    Chunks,
    Request,
    answer_channel,
    decode_request,
    encode_answer,
    request_channel,
    split,
)
from natless.lambda_host.runtime_session import Event
from natless.worker.work import Work
from natless.worker.worker import Worker

_is_request_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch
_ANSWERS = (MessageCode.RESPONSE, MessageCode.ERROR, MessageCode.INIT_ERROR)


class StelvioWorker(Worker):
    """A worker for Stelvio's stubs; its configuration means the same but for three things.

    ``app`` and ``stage`` are written as Stelvio writes them in channels, ``namespace`` is not
    looked at, and a function's id is Stelvio's endpoint id or its function name. A request for a
    function that is not run here is left to other listeners, since all stubs share the channel.
    """

    _chunks: Chunks
    _requests: dict[str, str]  # the request that each environment has, by its name

    def _own_channel(self) -> str:
        self._chunks, self._requests = Chunks(), {}
        return request_channel(self.config.app, self.config.stage)

    def _on_live(self) -> None:
        """Stelvio's own side would read an announcement as a request."""

    def _take_event(self, text: str) -> None:
        try:
            whole = self._chunks.receive(text)
            if whole is not None:
                self._take_request(decode_request(whole))
        except RemoteProtocolError as error:
            self._fact("worker.event.refused", reason=str(error))

    def _take_request(self, request: Request) -> None:
        if not _is_request_id(request.request_id):
            raise RemoteProtocolError("the invocation has no request id")
        known = [name for name in (request.endpoint_id, request.function_name) if self._runs(name)]
        if not known:
            return
        worker_id = self._free_environment(known[0])
        self._names[worker_id] = known[0]
        self._requests[worker_id] = request.request_id
        now = self._clock.now()
        deadline = now + self.config.budgets.handler
        if request.deadline is not None:
            deadline = min(deadline, now + max(0.0, request.deadline - self._clock.wall()))
        withdrawn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        counterpart = self._counterpart(worker_id)
        counterpart.introduce(known[0], _environment(request))
        counterpart.take(Work(_read_event(request), now, deadline, withdrawn))

    def _runs(self, name: str) -> bool:
        return self.config.find(name) is not None

    def _free_environment(self, function: str) -> str:
        """One that has nothing to do, or the name of a new one."""
        for worker_id, counterpart in self._counterparts.items():
            if self._names.get(worker_id) == function and not counterpart.is_busy:
                return worker_id
        return secrets.token_hex(16)

    async def _send(
        self,
        worker_id: str,
        code: MessageCode,
        body: bytes,
        *,
        name: str = "",
        give_up: float,
    ) -> None:
        """Publishes an answer; Stelvio has no word for anything else."""
        if code not in _ANSWERS or self._link is None:
            return
        request_id = name or self._requests[worker_id]
        text = encode_answer(_answer(request_id, body, is_error=code is not MessageCode.RESPONSE))
        channel = answer_channel(self.config.app, self.config.stage)
        for event in split(text, request_id=request_id, chunk_id=secrets.token_hex(16)):
            await self._link.publish(channel, event, give_up=give_up)


def _environment(request: Request) -> Mapping[str, str]:
    """The function's variables as far as anybody tells them, and this machine's AWS settings."""
    own = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("AWS_") and not name.startswith("AWS_LAMBDA_")
    }
    return own | {"AWS_LAMBDA_FUNCTION_NAME": request.function_name}


def _read_event(request: Request) -> Event:
    """The request as the handler's Runtime API hands it out."""
    headers = {
        "lambda-runtime-aws-request-id": request.request_id,
        "lambda-runtime-invoked-function-arn": request.arn,
    }
    if request.deadline is not None:
        headers["lambda-runtime-deadline-ms"] = str(round(request.deadline * 1000))
    if request.client_context is not None:
        headers["lambda-runtime-client-context"] = json.dumps(request.client_context)
    if request.identity is not None:
        headers["lambda-runtime-cognito-identity"] = json.dumps(request.identity)
    if request.tenant_id is not None:
        headers["lambda-runtime-aws-tenant-id"] = request.tenant_id
    return Event(request.request_id, headers, json.dumps(request.event).encode())


def _answer(request_id: str, body: bytes, *, is_error: bool) -> Answer:
    try:
        value: Any = json.loads(body or b"null")
    except ValueError:
        value = body.decode(errors="replace")
    if not is_error:
        return Answer(request_id, value)
    said = value if isinstance(value, dict) else {}
    trace = said.get("stackTrace") or said.get("trace") or ()
    return Answer(
        request_id,
        error=str(said.get("errorMessage", value)),
        error_type=str(said.get("errorType", "Error")),
        trace=[str(line) for line in trace],
    )
