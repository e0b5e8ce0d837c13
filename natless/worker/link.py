"""The channel as the worker uses it: one connection, opened again whenever it is lost.

::

    opening ── ack, subscribe_success ──▶ live ── closed, silent, refused ──▶ pause ──▶ opening
                                           │
                                           └── publish: waits for its acknowledgement; sent again
                                               on the next connection if this one is lost first

Events that arrive while there is no connection are lost: the channel keeps nothing for anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from event_protocol.connection import EventConnection
from event_protocol.errors import RemoteProtocolError
from event_protocol.frames import (
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Errors,
    Frame,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
)
from event_protocol.handshake import offer
from event_protocol.limits import DEFAULT_LIMITS
from event_protocol.states import ConnectionState, Side
from natless.journal import Journal
from natless.worker.config import WorkerConfig
from natless.worker.errors import LinkLost, LinkRefused, PublishFailed

SOURCE = "worker"
SUBSCRIPTION = "worker"
MAX_WAITING = 200  # publishes that wait for an acknowledgement, or for a connection
_RETRIED = "LimitExceededError"  # AppSync delays and then refuses above its rates

EventListener = Callable[[str], None]


class Link:
    """Keeps one subscription alive and publishes. Made inside a running loop.

    Attributes:
        first_word: done when it was live for the first time, or was refused.
        last_failure: why the latest attempt failed; None while live.

    Args:
        config: where to connect and as whom.
        channel: what to subscribe to.
        journal: takes the facts of the connection.
        on_event: is called with the text of every event, in the loop; it must not block.
        on_live: is called each time the subscription is live, again after a loss.

    Raises:
        OSError: the certificate authority's file cannot be read.
    """

    def __init__(
        self,
        config: WorkerConfig,
        *,
        channel: str,
        journal: Journal,
        on_event: EventListener,
        on_live: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._channel = channel
        self._journal = journal
        self._on_event = on_event
        self._on_live = on_live
        self._key = {"x-api-key": config.api_key}
        self._trust = _trust(config)
        self._attachment: _Attachment | None = None
        self._is_live = asyncio.Event()
        self.first_word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = asyncio.Semaphore(MAX_WAITING)
        self.last_failure: Exception | None = None

    @property
    def is_live(self) -> bool:
        """Whether the subscription is acknowledged on an open connection."""
        return self._is_live.is_set()

    async def run(self) -> None:
        """Connects, serves, and connects again until cancelled."""
        budgets = self._config.budgets
        pause = budgets.reconnect_first
        async with self._open_http() as http:
            while True:
                try:
                    await self._serve_once(http)
                    pause = budgets.reconnect_first
                except (LinkLost, LinkRefused) as error:
                    self.last_failure = error
                    if isinstance(error, LinkRefused):
                        self._say_first_word()
                    self._fact("worker.connect.failed", reason=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, budgets.reconnect_max)

    async def publish(self, channel: str, event: str, *, give_up: float) -> None:
        """Publishes one event; returns when the channel has accepted it.

        A publish whose connection is lost, or whose rate is limited, is repeated.

        Args:
            channel: where to.
            event: its text.
            give_up: monotonic seconds after which no further attempt is made.

        Raises:
            PublishFailed: the channel refused it, or time is over.
        """
        pause = self._config.budgets.reconnect_first
        reason = "there is no connection"
        async with self._waiting:
            while (left := give_up - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(left):
                        await self._is_live.wait()
                        if self._attachment is not None:
                            await self._attachment.publish(channel, event)
                            return
                except (LinkLost, TimeoutError) as error:
                    reason = str(error) or reason
                except PublishFailed as error:
                    if error.error_type != _RETRIED:
                        raise
                    reason = str(error)
                    await asyncio.sleep(min(pause, max(0.0, left)))
                    pause *= 2
        raise PublishFailed(f"gave up: {reason}")

    def _say_first_word(self) -> None:
        if not self.first_word.done():
            self.first_word.set_result(None)

    # -- one connection ----------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _open_http(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=1)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield http

    async def _serve_once(self, http: aiohttp.ClientSession) -> None:
        """One connection, from its opening to its end.

        Raises:
            LinkLost: it could not be opened.
            LinkRefused: the other side does not want us.
        """
        started = time.monotonic()
        self._fact("worker.connect.started", url=self._config.url)
        socket = await self._open_socket(http)
        attachment = _Attachment(socket, key=self._key, budget=self._config.budgets.publish)
        try:
            await self._subscribe(attachment)
            seconds = round(time.monotonic() - started, 6)
            self._fact("worker.connect.complete", seconds=seconds, channel=self._channel)
            self._attachment = attachment
            self._is_live.set()
            self._say_first_word()
            self.last_failure = None
            self._on_live()
            reason = await attachment.serve(self._on_event)
            self._fact("worker.connect.closed", reason=reason)
        finally:
            self._is_live.clear()
            self._attachment = None
            attachment.abandon()
            await socket.close()

    async def _open_socket(self, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        config = self._config
        authorization = {"host": config.host, **self._key}
        url, authority = _where(config)
        try:
            async with asyncio.timeout(config.budgets.open):
                return await http.ws_connect(
                    url,
                    protocols=offer(authorization),
                    headers={"Host": authority},
                    server_hostname=_host_name(authority),
                    compress=0,
                    autoping=True,
                    max_msg_size=DEFAULT_LIMITS.frame_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise LinkRefused(f"the upgrade was answered with HTTP {error.status}") from error
        except TimeoutError as error:
            raise LinkLost(f"no answer in {config.budgets.open:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise LinkLost(str(error)) from error

    async def _subscribe(self, attachment: _Attachment) -> None:
        budgets = self._config.budgets
        await attachment.ask(ConnectionInit(), ConnectionAck, seconds=budgets.ack)
        subscribe = Subscribe(SUBSCRIPTION, self._channel, self._key)
        await attachment.ask(subscribe, SubscribeSuccess, seconds=budgets.subscribe)

    def _fact(self, kind: str, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        self._journal.record(kind, source=SOURCE, **data)


class _Attachment:
    """One open connection and what waits for an answer on it."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        *,
        key: dict[str, str],
        budget: float,
    ) -> None:
        self._socket = socket
        self._key = key
        self._budget = budget
        self._connection = EventConnection(Side.CLIENT, now=time.monotonic())
        self._publishing: dict[str, asyncio.Future[None]] = {}
        self._watchdog: asyncio.TimerHandle | None = None

    async def ask(self, frame: Frame, answer: type[Frame], *, seconds: float) -> None:
        """Sends a frame of the opening and reads until its answer."""
        try:
            async with asyncio.timeout(seconds):
                await self._send(frame)
                while True:
                    received = self._decode(await self._socket.receive())
                    if received is None:
                        continue
                    if isinstance(received, answer):
                        return
                    if isinstance(received, ConnectionRefused | SubscribeError | OperationError):
                        raise LinkRefused(_describe(received.errors))
        except TimeoutError as error:
            raise LinkLost(f"no {answer.TYPE} in {seconds:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise LinkLost(str(error)) from error

    async def serve(self, on_event: EventListener) -> str:
        """Reads until the connection ends; returns why it did."""
        self._watch()
        try:
            while True:
                frame = self._decode(await self._socket.receive())
                if isinstance(frame, Data):
                    on_event(frame.event)
                elif isinstance(frame, PublishSuccess):
                    self._take_success(frame)
                elif isinstance(frame, PublishError | OperationError) and frame.id is not None:
                    self._settle(frame.id, _refused(frame.errors))
        except LinkLost as error:
            return str(error)

    async def publish(self, channel: str, event: str) -> None:
        """Sends one event and waits for its acknowledgement.

        Raises:
            LinkLost: the connection ended, or nothing was heard in time.
            PublishFailed: it was refused.
        """
        operation = secrets.token_hex(8)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._publishing[operation] = done
        try:
            async with asyncio.timeout(self._budget):
                await self._send(Publish(operation, channel, (event,), self._key))
                await done
        except TimeoutError as error:
            raise LinkLost(f"no publish_success in {self._budget:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise LinkLost(str(error)) from error
        finally:
            self._publishing.pop(operation, None)

    def abandon(self) -> None:
        """The connection has ended: whoever waits on it learns so."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._connection.close()
        for operation in list(self._publishing):
            self._settle(operation, LinkLost("the connection was lost"))

    def _decode(self, message: aiohttp.WSMessage) -> Frame | None:
        if message.type is not aiohttp.WSMsgType.TEXT:
            if message.type is aiohttp.WSMsgType.BINARY:
                return None
            raise LinkLost(_ending(self._connection, message))
        try:
            frames = self._connection.receive_text(message.data, now=time.monotonic())
        except RemoteProtocolError:
            return None  # what cannot be read answers nothing, and the waits go on
        return frames[0] if frames else None

    async def _send(self, frame: Frame) -> None:
        self._connection.send(frame)
        for text in self._connection.texts_to_send():
            await self._socket.send_str(text)

    def _take_success(self, frame: PublishSuccess) -> None:
        failed = frame.failed[0] if frame.failed else None
        self._settle(
            frame.id,
            PublishFailed(f"{failed.code}: {failed.message}", error_type=failed.code)
            if failed
            else None,
        )

    def _settle(self, operation: str, error: Exception | None) -> None:
        done = self._publishing.get(operation)
        if done is None or done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def _watch(self) -> None:
        """Calls the connection's clock when it wants to be called; ends a silent connection."""
        self._connection.tick(now=time.monotonic())
        if self._connection.state is ConnectionState.CLOSED:
            self._socket._response.close()  # its close() would wait for a peer that is silent
            return
        deadline = self._connection.deadline
        if deadline is not None:
            self._watchdog = asyncio.get_running_loop().call_at(deadline, self._watch)


def _trust(config: WorkerConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca and str(config.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _where(config: WorkerConfig) -> tuple[str, str]:
    """The URL to connect to, and the authority that was meant: they differ by ``connect``."""
    scheme, _, rest = config.url.partition("://")
    authority, slash, path = rest.partition("/")
    if config.connect is None:
        return config.url, authority
    address, port = config.connect
    shown = f"[{address}]" if ":" in address else address
    return f"{scheme}://{shown}:{port}{slash}{path}", authority


def _host_name(authority: str) -> str | None:
    """The name that the certificate is checked for."""
    return urlsplit(f"//{authority}").hostname


def _describe(errors: Errors) -> str:
    first = errors[0]
    return f"{first.error_type}: {first.message}" if first.message else first.error_type


def _refused(errors: Errors) -> PublishFailed:
    return PublishFailed(_describe(errors), error_type=errors[0].error_type)


def _ending(connection: EventConnection, message: aiohttp.WSMessage) -> str:
    if connection.close_reason is not None:
        return str(connection.close_reason)
    if message.type is aiohttp.WSMsgType.CLOSE:
        return f"closed by the other side with code {message.data}"
    return f"the connection ended ({message.type.name.lower()})"
