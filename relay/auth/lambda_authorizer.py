"""Lambda authorizers: a function of the user's decides, and the relay remembers for a while.

::

    token ──expression──> cache ──miss──> invoke(payload) ──> answer ──> Identity or refusal
                            ^                                    │ ttlOverride, else the API's TTL
                            └────────────────────────────────────┘

Payload, answer, cache key and budget are those of the AWS AppSync Events developer guide,
configure-event-api-auth, section on Lambda authorization. A GraphQL request is told and answered as
the AWS AppSync developer guide has it, security-authz, section on AWS_LAMBDA authorization.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Identity, Operation
from relay.auth.fetch import Fetcher
from relay.auth.sigv4 import ACCOUNT

logger = logging.getLogger(__name__)

Invoke = Callable[[dict[str, Any]], Awaitable[object]]

AUTHORIZER_BUDGET = 10.0  # seconds; developer guide: an authorizer may take ten
MAX_TTL = 3600.0  # seconds; botocore, authorizerResultTtlInSeconds
MAX_CONTEXT_BYTES = 5 * 1024 * 1024  # developer guide, handlerContext
MAX_REMEMBERED = 4096

CacheKey = tuple[str, str, bytes, str | None]

_FIELD_ARN = re.compile(r"arn:[\w-]+:appsync:[^:]*:[^:]*:apis/([^/]+)/types/(\w+)/fields/(\w+)")


class AnswerInvalid(Exception):
    """The function answered something that is no decision."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a function answered.

    Attributes:
        is_authorized: whether the operation is allowed.
        handler_context: what a handler sees as ``ctx.identity.handlerContext``.
        ttl: seconds the answer may be used again, None for the API's default.
        denied_fields: names or ARNs of GraphQL fields that the caller does not get.
    """

    is_authorized: bool
    handler_context: Mapping[str, str]
    ttl: float | None
    denied_fields: tuple[str, ...] = ()


def read_answer(answer: object) -> Decision:
    """Reads a function's answer.

    Raises:
        AnswerInvalid: it is not an object with a boolean ``isAuthorized``, its context is not flat
            or too large, its TTL is not a number of seconds, or its denied fields no texts.
    """
    if not isinstance(answer, Mapping):
        raise AnswerInvalid("the answer is not an object")
    is_authorized = answer.get("isAuthorized")
    if not isinstance(is_authorized, bool):
        raise AnswerInvalid("isAuthorized is not a boolean")
    ttl = answer.get("ttlOverride")
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, (int, float))):
        raise AnswerInvalid("ttlOverride is not a number")
    denied = answer.get("deniedFields") or []
    if not isinstance(denied, list) or not all(isinstance(one, str) for one in denied):
        raise AnswerInvalid("deniedFields is not a list of texts")
    context = answer.get("handlerContext", answer.get("resolverContext"))
    return Decision(
        is_authorized=is_authorized,
        handler_context=_read_context(context),
        ttl=None if ttl is None else max(0.0, min(ttl, MAX_TTL)),
        denied_fields=tuple(denied),
    )


class LambdaAuthorizer:
    """The mode ``AWS_LAMBDA`` (see :class:`relay.auth.base.Authorizer`).

    Args:
        invoke: calls the function with the payload and returns its decoded answer; it may raise
            anything, which is a refusal.
        ttl: how long an answer is used again unless it says otherwise, seconds, 0 for never.
        expression: what a token must match in full before the function is asked.
        clock: monotonic seconds.
        budget: how long the function may take, seconds.
        account: the account number in the payload.
        new_request_id: makes the payload's request id.
    """

    mode = AuthMode.LAMBDA

    def __init__(
        self,
        invoke: Invoke,
        *,
        ttl: float = 0.0,
        expression: re.Pattern[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        budget: float = AUTHORIZER_BUDGET,
        account: str = ACCOUNT,
        new_request_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._invoke = invoke
        self._ttl = ttl
        self._expression = expression
        self._clock = clock
        self._budget = budget
        self._account = account
        self._new_request_id = new_request_id
        self._remembered: OrderedDict[CacheKey, tuple[float, Decision]] = OrderedDict()

    def recognizes(self, credentials: Mapping[str, str]) -> bool:
        """Whether there is an Authorization value; what it is, is the function's business."""
        return bool(credentials.get("authorization"))

    async def authorize(self, request: AccessRequest) -> Identity:
        """Asks the function, or remembers what it answered.

        Raises:
            AccessDenied: the token does not match, or the function said no, failed, took too long
                or answered nonsense; the client cannot tell which.
        """
        token = request.credentials.get("authorization", "")
        if self._expression is not None and not self._expression.fullmatch(token):
            raise AccessDenied
        key = _cache_key(request, token)
        decision = self._recall(key)
        if decision is None:
            decision = await self._ask(request, token)
            self._remember(key, decision)
        if not decision.is_authorized:
            raise AccessDenied
        name = "handlerContext" if request.graphql is None else "resolverContext"
        return Identity(
            mode=self.mode,
            claims={name: decision.handler_context},
            denied_fields=frozenset(_fields_of(decision.denied_fields, api_id=request.api_id)),
        )

    async def _ask(self, request: AccessRequest, token: str) -> Decision:
        payload = {
            "authorizationToken": token,
            "requestContext": {
                "apiId": request.api_id,
                "accountId": self._account,
                "requestId": self._new_request_id(),
                **_describe(request),
            },
            "requestHeaders": dict(request.headers),
        }
        try:
            async with asyncio.timeout(self._budget):
                return read_answer(await self._invoke(payload))
        except TimeoutError:
            logger.warning("the Lambda authorizer did not answer within %g s", self._budget)
        except Exception as error:  # the function is the user's and may fail in any way
            logger.warning("the Lambda authorizer failed: %s: %s", type(error).__name__, error)
        raise AccessDenied

    def _recall(self, key: CacheKey) -> Decision | None:
        found = self._remembered.get(key)
        if found is None:
            return None
        if self._clock() >= found[0]:
            del self._remembered[key]
            return None
        self._remembered.move_to_end(key)
        return found[1]

    def _remember(self, key: CacheKey, decision: Decision) -> None:
        ttl = self._ttl if decision.ttl is None else decision.ttl
        if ttl <= 0:
            return
        self._remembered[key] = (self._clock() + ttl, decision)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


class HttpFunction:
    """A function at an address: it gets the payload as a POST and answers with JSON.

    That is how a function URL, the Invoke API and any test server can be asked.

    Args:
        url: where the payload is sent.
        fetcher: sends it, within its own budget.
    """

    def __init__(self, url: str, *, fetcher: Fetcher) -> None:
        self._url = url
        self._fetcher = fetcher

    async def __call__(self, payload: dict[str, Any]) -> object:
        """Asks the function.

        Raises:
            FetchFailed: no useful answer came.
            ValueError: the answer is not JSON.
        """
        return json.loads(await self._fetcher.post(self._url, payload))


def _describe(request: AccessRequest) -> dict[str, Any]:
    """What is asked, in the words of the API that is asked."""
    question = request.graphql
    if question is None:
        return {
            "operation": request.operation.value,
            "channelNamespaceName": request.namespace,
            "channel": request.channel,
        }
    return {
        "queryString": question.query,
        "operationName": question.operation_name,
        "variables": dict(question.variables),
    }


def _fields_of(denied: Sequence[str], *, api_id: str) -> Iterator[str]:
    """``Type.field`` for each name, and for each ARN of this API."""
    for one in denied:
        arn = _FIELD_ARN.fullmatch(one)
        if arn is None:
            yield one
        elif arn[1] == api_id:
            yield f"{arn[2]}.{arn[3]}"


def _cache_key(request: AccessRequest, token: str) -> CacheKey:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    if request.graphql is not None:
        # By the whole question: a yes to one is never taken for a yes to another.
        question = json.dumps(_describe(request), sort_keys=True).encode()
        return (request.api_id, "GRAPHQL", digest, hashlib.sha256(question).hexdigest())
    channel = None if request.operation is Operation.CONNECT else request.channel
    return (request.api_id, request.operation.value, digest, channel)


def _read_context(context: object) -> Mapping[str, str]:
    if context is None:
        return {}
    if not isinstance(context, Mapping):
        raise AnswerInvalid("handlerContext is not an object")
    flat: dict[str, str] = {}
    size = 0
    for name, value in context.items():
        if isinstance(value, (Mapping, list)):
            raise AnswerInvalid("handlerContext is not flat")
        flat[str(name)] = value if isinstance(value, str) else json.dumps(value)
        size += len(str(name)) + len(flat[str(name)])
    if size > MAX_CONTEXT_BYTES:
        raise AnswerInvalid("handlerContext is too large")
    return flat
