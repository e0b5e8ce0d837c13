"""The channel over HTTPS alone, for networks that let no WebSocket through.

::

    publish ──▶ POST /event                  a kept connection
    answers ◀── POST /_natless/poll          another one, always with a question on its way

The door for polls is our relay's own: AppSync has none. What it gave is confirmed by the next
question, so an answer that is lost with its connection is given again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Awaitable
from random import Random
from typing import Any

from event_protocol.handshake import redact
from event_protocol.phases import Outcome, Phase
from runtime_shim.budgets import Allowance
from runtime_shim.config import ShimConfig
from runtime_shim.dialect import make_dialect
from runtime_shim.errors import Obstacle, PhaseFailed
from runtime_shim.http_messages import HttpMessage, MalformedMessage
from runtime_shim.http_publish import BODY_EXCERPT, HttpPublisher
from runtime_shim.https import HttpsConnection
from runtime_shim.mailbox import Agreement, Mailbox
from runtime_shim.routes import Endpoint, Route
from runtime_shim.timing import SpanLog, explain_exception

POLL_PATH = "/_natless/poll"
QUESTION_TRIES = 3  # in a row, each over a new connection, before the channel counts as lost
UNSENT_COUNT = 100  # publishes that nobody waits for
STALE = 45.0  # seconds without an answer; the relay forgets a session after 60 without a question


class PollLink(Mailbox):
    """A subscription that is asked for, and a way to publish.

    Use :meth:`open`. One that ended stays ended: open another.

    Attributes:
        target: the API's HTTP host.
        publisher: publishes what has to be awaited.
    """

    def __init__(
        self, config: ShimConfig, *, context: ssl.SSLContext, agreement: Agreement | None = None
    ) -> None:
        dialect = make_dialect(config)
        super().__init__(config.worker_id, agreement, dialect=dialect)
        self.target = Endpoint.parse(config.http_host)
        self.publisher = HttpPublisher(config, context=context, keeps=True)
        self._config = config
        self._connection = HttpsConnection(
            self.target, context=context, api_key=config.api_key, proxy=config.proxy
        )
        self._channel = dialect.own
        self._session = ""
        self._after = 0
        self._answered_wall = 0.0  # the wall's clock: it goes on while the environment is frozen
        self._opened_wall = time.time()
        self._opened = time.monotonic()
        self._asking: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        config: ShimConfig,
        *,
        context: ssl.SSLContext,
        allowance: Allowance,
        spans: SpanLog,
        route: Route | None = None,
        agreement: Agreement | None = None,
        rng: Random | None = None,
    ) -> PollLink:
        """Opens the connection and a session at the relay; takes what every link takes.

        Raises:
            PhaseFailed: at the first phase that does not end well; nothing is left open.
        """
        link = cls(config, context=context, agreement=agreement)
        try:
            await link._open(allowance, spans)
        except BaseException:
            await link.close()
            raise
        link._asking = asyncio.create_task(link._ask_on(), name="poll")
        return link

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as anybody has said, and not too long ago."""
        return self.end is None and time.time() - self._answered_wall < STALE

    @property
    def age(self) -> float:
        """Seconds since it was opened, those included in which the environment was frozen."""
        return max(time.monotonic() - self._opened, time.time() - self._opened_wall)

    def publish(self, event: str) -> str:
        """Sends an event that nobody waits for; its result does not happen."""
        if len(self._telling) < UNSENT_COUNT:
            task = asyncio.create_task(self._publish_unawaited(event), name="tell")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        return ""

    async def prove(self, seconds: float) -> None:
        """A question that is answered proves that the next answer will come, too.

        Raises:
            Obstacle: the channel has ended.
        """
        if self.end is not None:
            raise self.end

    async def close(self) -> None:
        """Drops both connections; the relay forgets a session that is not asked for any more."""
        tasks = [task for task in (self._asking, *self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.finish(Obstacle(Outcome.CLOSED, message="closed here"))
        self._connection.close()
        self.publisher.close()

    # --- opening ----------------------------------------------------------------------------------

    async def _open(self, allowance: Allowance, spans: SpanLog) -> None:
        facts: dict[str, Any] = {"host": self.target.host, "port": self.target.port, "via": "poll"}

        def observe(phase: Phase, budget: str) -> contextlib.AbstractAsyncContextManager[None]:
            return spans.observe(phase, allowance.wait(budget, now=spans.now()), facts)

        async with observe(Phase.RESOLVE, "connect.dns"):
            addresses = await self._connection.resolve()
            facts["address"] = addresses[0]
        async with observe(Phase.CONNECT, "connect.tcp"):
            await self._connection.connect(addresses[0])
        async with observe(Phase.TLS, "connect.tls"):
            await self._connection.start_tls()
        async with observe(Phase.SUBSCRIBE, "subscribe.ack"):
            self._take_reply(await _converted(self._question(wait=0.0)))

    # --- questions --------------------------------------------------------------------------------

    async def _ask_on(self) -> None:
        """Asks again and again, until the channel is lost or the task is cancelled."""
        failures = 0
        while self.end is None:
            try:
                if not self._connection.is_open:
                    await self._reconnect()
                wait = self._config.budgets.poll_wait
                async with asyncio.timeout(wait + self._config.budgets.publish_answer):
                    self._take_reply(await _converted(self._question(wait=wait)))
                failures = 0
            except (Obstacle, OSError) as error:
                self._connection.close()
                obstacle = explain_exception(error, Phase.SUBSCRIBE)
                failures += 1
                is_final = obstacle.outcome in (Outcome.HTTP_ERROR, Outcome.DENIED)
                if is_final or failures >= QUESTION_TRIES:
                    self.finish(Obstacle(Outcome.CLOSED, message=f"the poll ended: {obstacle}"))

    async def _reconnect(self) -> None:
        budgets = self._config.budgets
        async with asyncio.timeout(budgets.connect_dns + budgets.connect_tcp + budgets.connect_tls):
            await self._connection.connect((await self._connection.resolve())[0])
            await self._connection.start_tls()

    async def _question(self, *, wait: float) -> HttpMessage:
        body = {"channel": self._channel, "session": self._session}
        return await self._connection.post(POLL_PATH, body | {"after": self._after, "wait": wait})

    def _take_reply(self, reply: HttpMessage) -> None:
        """Takes what came.

        Raises:
            Obstacle: it is a refusal, or no answer of a relay of ours.
        """
        text = redact(reply.body.decode("utf-8", "replace").strip()[:BODY_EXCERPT])
        if reply.status != 200:
            outcome = Outcome.DENIED if reply.status in (401, 403) else Outcome.HTTP_ERROR
            raise Obstacle(outcome, status=reply.status, body=text)
        try:
            answer = json.loads(reply.body)
            session, first, events = answer["session"], int(answer["first"]), answer["events"]
            texts = [each for each in events if isinstance(each, str)]
        except (ValueError, KeyError, TypeError) as error:
            raise Obstacle(Outcome.HTTP_ERROR, status=200, body=text) from error
        self._session, self._answered_wall = str(session), time.time()
        for number, event in enumerate(texts, start=first):
            if number > self._after:
                self._after = number
                self.take_event(event)

    async def _publish_unawaited(self, event: str) -> None:
        allowance, spans = Allowance(self._config.budgets), SpanLog()
        with contextlib.suppress(PhaseFailed):
            await self.publisher.publish(event, allowance=allowance, spans=spans, detail={})


async def _converted(question: Awaitable[HttpMessage]) -> HttpMessage:
    try:
        return await question
    except (EOFError, MalformedMessage) as error:
        message = "the host ended the connection unasked"
        raise Obstacle(Outcome.CLOSED, message=message) from error
