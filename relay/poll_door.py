"""``POST /_natless/poll``: a subscription for who reaches HTTPS and no WebSocket. Ours, not AWS's.

::

    {"channel": "/sst/app/dev/…/in"}                                opens a session
    {"channel": …, "session": "…", "after": 7, "wait": 20}          what came behind event 7
    {"channel": …, "session": "…", "after": 9, "wait": 0, "end": true}

    ◀ {"session": "…", "first": 8, "events": ["…", "…"]}

An answer comes with the first event, or empty when ``wait`` seconds are over. What was given is
kept until ``after`` confirms it, so an answer that is lost on the way is given again. Credentials
are those of a subscription, in the headers of each question.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from event_protocol.channels import ChannelPattern
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.clock import Clock
from relay.errors import Refusal
from relay.front import Visit
from relay.http_replies import Reply, answer_preflight, answer_unknown, refuse
from relay.namespaces import Api
from relay.poll_sessions import PollSessions, Session
from relay.publishing import NewIdentifier, parse_pattern

PATH = "/_natless/poll"
LONGEST_WAIT = 25.0  # seconds; proxies and load balancers give up at 30


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    channel: str
    session: str
    after: int
    wait: float
    is_last: bool

    @classmethod
    def parse(cls, body: bytes) -> Question:
        """Raises :class:`Refusal` for what is none."""
        try:
            raw: Any = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal("BadRequestException", "The body is not valid JSON.") from None
        if not isinstance(raw, dict):
            raise Refusal("BadRequestException", "The body must be an object.")
        channel, session = raw.get("channel"), raw.get("session", "")
        after, wait = raw.get("after", 0), raw.get("wait", 0)
        if not isinstance(channel, str) or not isinstance(session, str):
            raise Refusal("BadRequestException", "channel and session must be strings.")
        if type(after) is not int or type(wait) not in (int, float) or not wait >= 0:
            raise Refusal("BadRequestException", "after and wait must be numbers from 0.")
        return cls(channel, session, after, min(wait, LONGEST_WAIT), raw.get("end") is True)


@dataclass(frozen=True, slots=True, eq=False)
class PollDoor:
    """Answers polls.

    Attributes:
        sessions: the subscriptions.
        clock: ends waits.
        budget: how long the body of a request may take to arrive, seconds.
        new_identifier: makes request ids.
    """

    sessions: PollSessions
    clock: Clock
    budget: float
    new_identifier: NewIdentifier

    async def __call__(
        self, request: web.BaseRequest, *, api: Api | None, visit: Visit
    ) -> web.StreamResponse:
        """Answers one request (see :class:`relay.service.Door`)."""
        request_id = self.new_identifier()
        if request.method == "OPTIONS":
            return answer_preflight(request, request_id=request_id)
        if request.method != "POST" or api is None:
            return answer_unknown(request_id=request_id)
        try:
            question = Question.parse(await self._read(request))
            pattern = await self._authorize(request, question, api=api, visit=visit)
            session = self._open_or_find(question, pattern, api=api, visit=visit)
            return Reply(await self._answer(session, question), request_id=request_id)
        except Refusal as refusal:
            return refuse(
                refusal.error_type, refusal.message, request_id=request_id, status=refusal.status
            )
        except AccessDenied as denied:
            return refuse(
                denied.error_type, denied.message, request_id=request_id, status=denied.error_code
            )

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self.budget):
                return await request.read()
        except TimeoutError:
            raise Refusal("BadRequestException", "Request body is late.", status=408) from None
        except web.HTTPRequestEntityTooLarge:
            message = "Request body is too large."
            raise Refusal("BadRequestException", message, status=413) from None

    async def _authorize(
        self, request: web.BaseRequest, question: Question, *, api: Api, visit: Visit
    ) -> ChannelPattern:
        """Asks for the right to subscribe there, as the realtime door does."""
        pattern = parse_pattern(question.channel)
        namespace = api.namespace(pattern.namespace)
        if namespace is None:
            raise Refusal("UnauthorizedException", status=401)
        headers = {name.lower(): value for name, value in request.headers.items()}
        await api.access.decide(
            AccessRequest(
                Operation.SUBSCRIBE,
                headers,
                api.config.api_id,
                api.config.http_host,
                channel=pattern.path,
                namespace=namespace.name,
                raw_channel=question.channel,
                headers=headers,
                source_ip=visit.peer,
            ),
            namespace.subscribe_modes,
        )
        return pattern

    def _open_or_find(
        self, question: Question, pattern: ChannelPattern, *, api: Api, visit: Visit
    ) -> Session:
        if question.session:
            return self.sessions.find(question.session, api=api, path=pattern.base.path)
        return self.sessions.open(api, pattern, connection=visit.connection)

    async def _answer(self, session: Session, question: Question) -> bytes:
        session.confirm(question.after)
        if question.is_last:
            self.sessions.end(session, "asked")
        elif question.session:
            self.sessions.touch(session)
            await session.arrival(self.clock, question.wait)
        events = session.render()
        return b'{"session":"%s","first":%d,"events":%s}' % (
            session.id.encode(),
            session.first,
            events,
        )
