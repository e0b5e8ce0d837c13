"""One WebSocket from its upgrade to its end, whatever language it speaks.

::

    101 ─ connect allowed? ─ no ──> the refusal, once the client listens, then close 1000
             │ yes
             v
    text frames, one after the other ──> the language's own ``_take``

:mod:`relay.realtime` speaks Events, :mod:`relay.graphql_realtime` speaks GraphQL. Outbound text
goes through the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, ClassVar

from aiohttp import WSCloseCode, WSMsgType, web

from event_protocol.errors import RemoteProtocolError
from event_protocol.limits import Limits
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.clock import Clock
from relay.config import Budgets
from relay.front import Front, Visit
from relay.hub import Hub, Outlet
from relay.journal import Journal
from relay.keepalive import KeepAliveWheel
from relay.namespaces import Api
from relay.publishing import NewIdentifier, explain
from relay.usher import Upgrade
from relay.websocket import Over, ServerSocket

SHARED_LENGTH = 20  # of a header's value that others are likely to send as well: it is kept once
_DATA = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all WebSockets of a relay share.

    Attributes:
        subscription_lag: seconds from a subscription's acknowledgement until it delivers.
        start: runs something beside the connections, until it ends or the relay does.
        connections: those that are open.
    """

    hub: Hub
    clock: Clock
    wheel: KeepAliveWheel
    journal: Journal
    front: Front
    limits: Limits
    budgets: Budgets
    subscription_lag: float
    new_identifier: NewIdentifier
    start: Callable[[Coroutine[Any, Any, object]], None]
    connections: dict[Link, None]


class Link:
    """One WebSocket.

    Attributes:
        api: which API it belongs to.
        visit: who it is.
        opened: monotonic seconds.
        outlet: its outbound half.
    """

    __slots__ = (
        "_code",
        "_end",
        "_headers",
        "_is_over",
        "_offered",
        "_shared",
        "_socket",
        "_transport",
        "api",
        "opened",
        "outlet",
        "visit",
    )

    protocol: ClassVar[str]
    keep_alive_frame: ClassVar[bytes]

    def __init__(
        self, request: web.BaseRequest | Upgrade, visit: Visit, *, api: Api, shared: Shared
    ) -> None:
        self._shared = shared
        self._headers = {
            intern(name.lower()): intern(value) if len(value) <= SHARED_LENGTH else value
            for name, value in request.headers.items()
        }
        self._offered: Sequence[str] = request.headers.getall("Sec-WebSocket-Protocol", ())
        self._code: int | None = None
        self._end: asyncio.Future[None] | None = None
        self._is_over = False
        self._socket = ServerSocket(
            request,
            protocol=self.protocol,
            frame_bytes=shared.limits.frame_bytes,
            close_budget=shared.budgets.close,
        )
        self._transport = transport = self._socket.transport
        self.api = api
        self.visit = visit
        self.opened = visit.opened
        self.outlet = Outlet(
            write=transport.write, unsent=transport.get_write_buffer_size, cut=self._cut
        )

    async def serve(self) -> web.StreamResponse:
        """Upgrades, and stays until the connection is over."""
        self._socket.accept()
        shared = self._shared
        shared.front.open(self.visit, "realtime", api=self.api.config.api_id)
        shared.connections[self] = None
        shared.wheel.open(self)
        try:
            if await self._is_allowed():
                await self._receive()
        finally:
            self._leave()
            self._finish()
        return Over()

    def keep_alive(self) -> None:
        """Sends ``ka``."""
        self._shared.hub.send(self.outlet, self.keep_alive_frame)

    def expire(self) -> None:
        """Ends the connection because of its age: a normal close, as Android's authors observed."""
        self._shared.start(self.close(WSCloseCode.OK, reason="age"))

    async def close(self, code: int, *, reason: str) -> bool:
        """Sends what is queued, then a close frame, and lets the client answer it.

        Nothing is read as an operation any more, but it is read: a socket that is closed with
        unread bytes makes the kernel throw away what the client has not read yet.

        Returns:
            Whether the client answered within the budget; if not, the connection was cut.
        """
        self._end = asyncio.get_running_loop().create_future()
        if not self._say_goodbye(code, reason=reason):
            return False
        try:
            async with asyncio.timeout(self._shared.budgets.close):
                await self._end
        except TimeoutError:
            self._transport.abort()
            return False
        return True

    def abort(self, reason: str) -> None:
        """Ends the TCP connection without a word."""
        self.visit.reason = reason
        self._code = WSCloseCode.ABNORMAL_CLOSURE
        self._leave()
        self._transport.abort()

    def describe_subscriptions(self) -> list[dict[str, str]]:
        """What it listens to, for the operator: ``id`` and ``channel`` of each."""
        raise NotImplementedError

    # What a language says and does.

    async def _connect(self, offered: Sequence[str]) -> None:
        """Decides whether the connection may be.

        Args:
            offered: the values of the ``Sec-WebSocket-Protocol`` headers.

        Raises:
            AccessDenied: it may not.
            RemoteProtocolError: its credentials cannot be read.
        """
        raise NotImplementedError

    def _encode_refusal(self, error_type: str, message: str | None, code: int) -> bytes:
        """The frame that says why the connection may not be."""
        raise NotImplementedError

    def _encode_not_text(self) -> bytes:
        """The frame that answers a binary one."""
        raise NotImplementedError

    def _take_at_once(self, text: str) -> bool:
        """Handles one text frame if nothing has to be waited for; else :meth:`_take` does.

        A text that comes while another waits in :meth:`_take` waits too.
        """
        return False

    async def _take(self, text: str) -> None:
        """Handles one text frame."""
        raise NotImplementedError

    def _unsubscribe_all(self) -> None:
        """Forgets every subscription; the hub was flushed."""
        raise NotImplementedError

    # Connecting.

    async def _is_allowed(self) -> bool:
        offered, self._offered = self._offered, ()
        try:
            await self._connect(offered)
        except AccessDenied as denied:
            await self._refuse(denied.error_type, denied.message, code=denied.error_code)
        except RemoteProtocolError as error:
            await self._refuse(error.error_type, explain(error), code=400)
        else:
            return True
        return False

    async def _refuse(self, error_type: str, message: str | None, *, code: int) -> None:
        """Says why, lets the client read it, and closes normally.

        An HTTP status instead would send Amplify into endless retry. So would a frame that comes
        with the 101: on the npm package ws, Amplify begins to listen some turns of its loop after
        the socket has opened (observed with aws-amplify 6.22), and Node's own WebSocket loses a
        frame that the close follows at once. So each step waits for the client to do its own.
        """
        shared = self._shared
        shared.journal.record(
            "relay.connection.denied",
            connection=self.visit.connection,
            peer=self.visit.peer,
            error_type=error_type,
            code=code,
        )
        await self._within(shared.budgets.refusal, self._hear(closing=False))
        shared.hub.send(self.outlet, self._encode_refusal(error_type, message, code))
        await self._within(shared.budgets.refusal, self._hear(closing=True))
        if self._say_goodbye(WSCloseCode.OK, reason="denied"):
            await self._within(shared.budgets.close, self._hear(closing=True))
        self._transport.close()

    async def _hear(self, *, closing: bool) -> None:
        """Returns when the client says anything, or only when it closes; drops what it says."""
        while (await self._socket.receive()).type in _DATA and closing:
            pass

    async def _within(self, budget: float, hearing: Coroutine[Any, Any, None]) -> None:
        tasks = [
            asyncio.ensure_future(each) for each in (hearing, self._shared.clock.sleep(budget))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _access_request(
        self,
        operation: Operation,
        presented: Mapping[str, str],
        **more: Any,  # noqa: ANN401  the request's own attributes
    ) -> AccessRequest:
        """What is asked of the authorizers.

        Raises:
            AccessDenied: the credentials are written for another API; AWS compares the host of
                connects and subscribes (LocalStack's maintainers saw that, discussion 91).
        """
        config = self.api.config
        credentials = {name.lower(): value for name, value in presented.items()}
        if self.api.is_of_another(credentials.get("host", "")):
            raise AccessDenied
        return AccessRequest(
            operation,
            credentials,
            config.api_id,
            config.http_host,
            headers=self._headers,
            source_ip=self.visit.peer,
            **more,
        )

    # Receiving and ending.

    async def _receive(self) -> None:
        receive = self._socket.receive
        while True:
            message = await receive(None if self._is_over else self._take_at_once)
            if self._is_over and message.type in _DATA:
                continue
            if message.type is WSMsgType.TEXT:
                if not self._take_at_once(message.data):
                    await self._take(message.data)
            elif message.type is WSMsgType.BINARY:
                self._shared.hub.send(self.outlet, self._encode_not_text())
            else:
                self._leave()
                if self._code is None and message.type is WSMsgType.CLOSE:
                    self._socket.send_close(WSCloseCode.OK)
                self._transport.close()
                return

    def _leave(self) -> None:
        """Takes part no more; harmless the second time."""
        if self._is_over:
            return
        self._is_over = True
        self._socket.stop_taking()
        shared = self._shared
        shared.hub.flush()
        self._unsubscribe_all()
        shared.wheel.close(self)
        del shared.connections[self]

    def _say_goodbye(self, code: int, *, reason: str) -> bool:
        """Sends what is queued and a close frame; False when nobody is there any more."""
        self._leave()
        if self._code is not None:
            return False
        self.visit.reason = reason
        self._code = code
        return self._socket.send_close(code)

    def _finish(self) -> None:
        """Writes the connection's line, tells who waits for its end, and lets it go."""
        self._transport.close()
        outlet, shared = self.outlet, self._shared
        shared.front.close(
            self.visit,
            code=self._code or self._socket.close_code or WSCloseCode.ABNORMAL_CLOSURE,
            delivered=outlet.delivered,
            lost=outlet.count_lost(),
        )
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        if outlet.look():  # a client that never reads must not keep it for ever
            loop = asyncio.get_running_loop()
            loop.call_later(shared.budgets.close, self._transport.abort)

    def _cut(self) -> None:
        self.abort("slow")
