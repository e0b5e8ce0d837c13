"""The Runtime API of a handler's process, with what only our own runtime clients ask for.

::

    process starts ──GET /natless/held──▶ waits: interpreter and client are there, no code of the
                                          developer's is loaded yet
    release()      ──200──▶ loads the handler ──▶ GET …/invocation/next

So a process can be started before the file is saved whose code it will run.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass

from natless.lambda_host.http_wire import Reply, Request
from natless.lambda_host.runtime_api import RuntimeApi

_HELD = "/natless/held"
_DEBUG_PORT = "natless-debug-port"


@dataclass(frozen=True, slots=True)
class Held:
    """A process that waits for its release.

    Attributes:
        debug_port: the loopback port on which its debugger listens; 0 for none.
    """

    debug_port: int = 0


class PrivateApi(RuntimeApi):
    """A Runtime API that holds its client until :meth:`release`.

    Attributes:
        held: done when the process has asked for its release.
    """

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening)
        loop = asyncio.get_running_loop()
        self.held: asyncio.Future[Held] = loop.create_future()
        self._released: asyncio.Future[bytes] = loop.create_future()

    @property
    def is_holding(self) -> bool:
        """Whether the process waits for its release."""
        return self.held.done() and not self.held.cancelled() and not self._released.done()

    def release(self, *, wait_for_debugger: bool = False) -> None:
        """Lets the process go on, now or as soon as it asks.

        Args:
            wait_for_debugger: whether it shall wait until a debugger has set its breakpoints.
        """
        if not self._released.done():
            self._released.set_result(json.dumps({"waitForDebugger": wait_for_debugger}).encode())

    async def close(self) -> None:
        """Stops listening and cuts what is connected. A second call does nothing."""
        self.held.cancel()
        self._released.cancel()
        await super().close()

    async def _handle(self, request: Request) -> Reply:
        if request.path != _HELD:
            return await super()._handle(request)
        if not self.held.done():
            port = request.headers.get(_DEBUG_PORT, "0")
            self.held.set_result(Held(int(port) if port.isdecimal() else 0))
        body = await asyncio.shield(self._released)
        return Reply(200, body, {"Content-Type": "application/json"})
