"""The Extensions API of one execution environment, version 2020-01-01, over HTTP.

========================================  ========================================================
``POST /2020-01-01/extension/register``   introduces an extension
``GET  …/extension/event/next``           waits for ``INVOKE`` or ``SHUTDOWN``
``POST …/extension/init/error``           it cannot start; its end is the environment's
``POST …/extension/exit/error``           it cannot go on; likewise
``PUT  /2022-07-01/telemetry``            refused as in every local environment: 202, and why
``PUT  /2020-08-15/logs``                 likewise
========================================  ========================================================

AWS Lambda developer guide, "Using the Lambda Extensions API to create extensions" and "Lambda
Telemetry API reference", where 202 is the answer of a local testing environment.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from natless.lambda_host.extension_session import (
    Extension,
    ExtensionEvent,
    ExtensionRegistry,
    ExtensionState,
)
from natless.lambda_host.http_wire import BodyBroken, Reply, Request
from natless.lambda_host.runtime_session import Event, Refusal
from natless.lambda_host.spec import ACCOUNT, VERSION, FunctionSpec

_ROOT = "/2020-01-01/extension/"
_SUBSCRIPTIONS = {
    "/2022-07-01/telemetry": "Telemetry",
    "/2020-08-15/logs": "Logs",
}
_IDENTIFIER = "lambda-extension-identifier"
_ERROR_TYPE = "lambda-extension-function-error-type"
_MAX_BODY_BYTES = 256 * 1024
_HEADERS = {"Content-Type": "application/json", "Server": "natless"}
_ERRORS = {"init/error": ExtensionState.INIT_ERROR, "exit/error": ExtensionState.EXIT_ERROR}


class ExtensionApi:
    """Serves the extensions of one environment; :class:`RuntimeApi` hands it their requests.

    Attributes:
        registry: who is there, and how far.
    """

    def __init__(
        self, spec: FunctionSpec, *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    ) -> None:
        self.registry = ExtensionRegistry(new_id=new_id)
        self._spec = spec
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._busy: set[str] = set()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def is_idle(self) -> bool:
        """Whether all who were told of the invocation have asked for another event."""
        return not self._busy

    def when(self, holds: Callable[[], bool]) -> asyncio.Future[None]:
        """A future that is done once ``holds`` does, looked at whenever an extension calls."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append((holds, future))
        self._look()
        return future

    def tell_invoke(self, event: Event, *, deadline_ms: int) -> None:
        """Hands the invocation to those who asked to hear of it."""
        told = {
            "eventType": "INVOKE",
            "deadlineMs": deadline_ms,
            "requestId": event.request_id,
            "invokedFunctionArn": event.headers["Lambda-Runtime-Invoked-Function-Arn"],
            "tracing": {
                "type": "X-Amzn-Trace-Id",
                "value": event.headers.get("Lambda-Runtime-Trace-Id", ""),
            },
        }
        for each in self.registry.subscribers(ExtensionEvent.INVOKE):
            self._busy.add(each.identifier)
            self._queue(each).put_nowait(told)

    def tell_shutdown(self, reason: str, *, deadline_ms: int) -> None:
        """Hands the end to those who asked to hear of it.

        Args:
            reason: ``spindown``, ``timeout`` or ``failure``.
            deadline_ms: when they are killed, milliseconds since 1970.
        """
        told = {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
        for each in self.registry.subscribers(ExtensionEvent.SHUTDOWN):
            self._queue(each).put_nowait(told)

    # -- HTTP ------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Reply | None:
        """The answer to a request; None if it is none of this API."""
        try:
            if request.path in _SUBSCRIPTIONS and request.method == "PUT":
                return self._decline(request)
            if not request.path.startswith(_ROOT):
                return None
            match request.method, request.path.removeprefix(_ROOT):
                case "POST", "register":
                    return await self._register(request)
                case "GET", "event/next":
                    return await self._next(request)
                case "POST", ("init/error" | "exit/error") as door:
                    return self._fail(request, _ERRORS[door])
                case _, ("register" | "event/next" | "init/error" | "exit/error"):
                    return Reply(405, headers={"Server": "natless"})
                case _:
                    return None
        finally:
            self._look()

    async def _register(self, request: Request) -> Reply:
        name = request.headers.get("lambda-extension-name", "")
        try:
            events = _read_events(await _read(request))
        except (ValueError, BodyBroken) as error:
            return _refuse(Refusal(403, "InvalidRequestFormat", str(error)))
        found = self.registry.register(name, events)
        if isinstance(found, Refusal):
            return _refuse(found)
        answer = {
            "functionName": self._spec.name,
            "functionVersion": VERSION,
            "handler": self._spec.handler,
        }
        features = request.headers.get("lambda-extension-accept-feature", "").split(",")
        if "accountId" in [feature.strip() for feature in features]:
            answer["accountId"] = ACCOUNT
        headers = {**_HEADERS, "Lambda-Extension-Identifier": found.identifier}
        return Reply(200, _encode(answer), headers)

    async def _next(self, request: Request) -> Reply:
        extension = self._find(request)
        if isinstance(extension, Refusal):
            return _refuse(extension)
        refusal = self.registry.ask(extension)
        if refusal is not None:
            return _refuse(refusal)
        queue = self._queue(extension)
        if queue.empty():
            self._busy.discard(extension.identifier)
        self._look()
        event = await queue.get()
        self.registry.serve(extension)
        headers = {**_HEADERS, "Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
        return Reply(200, _encode(event), headers)

    def _fail(self, request: Request, target: ExtensionState) -> Reply:
        extension = self._find(request)
        if isinstance(extension, Refusal):
            return _refuse(extension)
        error_type = request.headers.get(_ERROR_TYPE, "")
        if not error_type:
            message = "Lambda-Extension-Function-Error-Type not found"
            return _refuse(Refusal(403, "Extension.MissingHeader", message))
        refusal = self.registry.fail(extension, target, error_type=error_type)
        return _refuse(refusal) if refusal else Reply(202, b'{"status":"OK"}\n', _HEADERS)

    def _decline(self, request: Request) -> Reply:
        extension = self._find(request)
        if isinstance(extension, Refusal):
            return _refuse(extension)
        api = _SUBSCRIPTIONS[request.path]
        members = {
            "errorMessage": f"{api} API is not supported",
            "errorType": f"{api}.NotSupported",
        }
        return Reply(202, _encode(members), _HEADERS)

    def _find(self, request: Request) -> Extension | Refusal:
        identifier = request.headers.get(_IDENTIFIER, "")
        if not identifier:
            return Refusal(
                403,
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            )
        try:
            return self.registry.find(str(uuid.UUID(identifier)))
        except ValueError:
            return Refusal(
                403,
                "Extension.InvalidExtensionIdentifier",
                "Invalid Lambda-Extension-Identifier",
            )

    def _queue(self, extension: Extension) -> asyncio.Queue[dict[str, Any]]:
        # an invocation and the end are the most that can wait
        return self._events.setdefault(extension.identifier, asyncio.Queue(maxsize=2))

    def _look(self) -> None:
        for watcher in list(self._watchers):
            holds, future = watcher
            if future.done() or holds():
                self._watchers.remove(watcher)
                if not future.done():
                    future.set_result(None)


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.body:
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise ValueError("the request is too large")
    return bytes(body)


def _read_events(body: bytes) -> list[str]:
    """The events of a registration.

    Raises:
        ValueError: the body is no registration.
    """
    said = json.loads(body)
    if not isinstance(said, dict):
        raise ValueError("the body is not a JSON object")
    if said.get("configurationKeys"):
        raise ValueError("configurationKeys are deprecated; use environment variables instead")
    events = said.get("events") or []
    if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
        raise ValueError("events is not a list of texts")
    return events


def _encode(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _refuse(refusal: Refusal) -> Reply:
    return Reply(refusal.status, refusal.body, _HEADERS)
