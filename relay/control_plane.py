"""The control plane's door: one HTTP request in, one operation carried out, one answer.

::

    request ─> which operation? ─> who signed? may they? ─> shape ─> operation on a draft
                                                                          │ changes
                       answer <── registry <── book <── committed by the store

REST-JSON, API version 2017-07-25, as boto3 and the SDKs of other languages speak it. Operations run
one after the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import string
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from relay.config import ApiConfig
from relay.control.book import Book, Draft
from relay.control.desk import Desk, Quotas
from relay.control.errors import BadRequest, ControlError, RequestTooLarge
from relay.control.operations import Operation, find_operation, read_input
from relay.control.projection import ADOPTED, abandon, adopt, config_of, touched_apis
from relay.control.signing import ControlRequest, Signatures
from relay.control.state import Store

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024  # more than any valid request; handler code is 32 KB at most
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """What goes back: a status, headers, and a JSON body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def random_id(length: int) -> str:
    """That many random lower-case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class ControlPlane:
    """Carries out operations, and keeps the data plane in step.

    Args:
        store: keeps the records; its blocking calls run in a thread.
        signatures: proves callers.
        put: takes an API that is new or has changed.
        remove: takes the id of an API that is gone; must close its connections.
        template: what every API has that no record tells; its names and lists are not used.
        clock: wall clock, seconds since the epoch.
        new_id: makes random ids.
        new_request_id: makes request ids.
        quotas: how much there may be.
        public_host: tells where the relay is reached when not by AWS's names; None hands out those.
    """

    def __init__(
        self,
        *,
        store: Store,
        signatures: Signatures,
        put: Callable[[ApiConfig], object],
        remove: Callable[[str], object],
        template: ApiConfig,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[int], str] = random_id,
        new_request_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        quotas: Quotas | None = None,
        public_host: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._first_api = template.api_id
        self._public_host = public_host
        self._book = Book(store.load())
        self._signatures = signatures
        self._put = put
        self._remove = remove
        self._template = replace(
            template, domains=(), namespaces=(), api_keys=(), name="", api_id="x" * 26
        )
        self._bases: dict[str, ApiConfig] = {}
        self._clock = clock
        self._new_id = new_id
        self._new_request_id = new_request_id
        self._quotas = quotas or Quotas()
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[dict[str, Any]]] = set()

    async def adopt(self, configs: Iterable[ApiConfig], *, signatures: Signatures) -> None:
        """Takes the configuration, at the start and whenever it was read again.

        Afterwards the data plane has every API there is, configured or created.

        Args:
            configs: the configured APIs.
            signatures: proves callers from now on.

        Raises:
            StateUnusable: the records could not be kept; nothing has changed.
        """
        configs = tuple(configs)
        async with self._lock:
            draft = Draft(self._book)
            for config in configs:
                adopt(draft, config, now=self._clock())
            named = {config.api_id for config in configs}
            for record in draft.all(ADOPTED):
                if record.key not in named:
                    abandon(draft, record.key)
            self._signatures = signatures
            self._bases = {config.api_id: config for config in configs}
            known = {record.key for record in self._book.all("api")}
            await self._keep(draft, also=known | named)

    async def answer(self, request: ControlRequest) -> ControlAnswer:
        """Answers a request; never raises for anything a client can do."""
        request_id = self._new_request_id()
        try:
            document = await self._perform(request)
        except ControlError as error:
            return self.refuse(error, request_id)
        except Exception:
            logger.exception("the control plane failed")
            return self.refuse(ControlError("The relay failed; its log says why."), request_id)
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": request_id}
        return ControlAnswer(200, headers, json.dumps(document).encode())

    def refuse(self, error: ControlError, request_id: str | None = None) -> ControlAnswer:
        """The answer that says why something was not done."""
        headers = {
            "Content-Type": "application/json",
            "x-amzn-RequestId": request_id or self._new_request_id(),
            "x-amzn-ErrorType": error.name,
        }
        return ControlAnswer(error.status, headers, json.dumps({"message": error.message}).encode())

    async def close(self) -> None:
        """Waits for what is being carried out, and lets the store go."""
        if self._running:
            await asyncio.wait(self._running)
        self._store.close()

    async def _perform(self, request: ControlRequest) -> dict[str, Any]:
        if len(request.body) > MAX_BODY_BYTES:
            raise RequestTooLarge(f"A request may have {MAX_BODY_BYTES} bytes.")
        operation, parameters = find_operation(request.method, request.raw_path)
        caller = self._signatures.identify(request)
        self._signatures.permit(
            caller,
            action=f"appsync:{operation.name}",
            resource=_resource(parameters, region=caller.region, account=self._template.account),
        )
        asked = read_input(
            operation,
            parameters=parameters,
            raw_query=request.raw_query,
            body=_decode(request.body) if operation.method == "POST" else {},
        )
        # A client that goes away must not leave an operation half done.
        task = asyncio.create_task(self._carry_out(operation, asked, region=caller.region))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _carry_out(
        self, operation: Operation, asked: Mapping[str, Any], *, region: str
    ) -> dict[str, Any]:
        async with self._lock:
            draft = Draft(self._book)
            desk = Desk(
                draft=draft,
                region=region,
                account=self._template.account,
                now=self._clock(),
                new_id=self._new_id,
                quotas=self._quotas,
                public_host=self._public_host(),
                first_api=self._first_api,
            )
            answer = operation.carry(desk, asked)
            await self._keep(draft)
        return answer

    async def _keep(self, draft: Draft, *, also: Iterable[str] = ()) -> None:
        """Commits a draft, then shows it to the data plane."""
        changes = draft.changes
        if changes:
            await asyncio.to_thread(self._store.write, changes)
            self._book.apply(changes)
        changed = [(change.kind, change.key) for change in changes]
        for api_id in sorted(touched_apis(self._book.all("api"), changed=changed) | set(also)):
            base = self._bases.get(api_id, self._template)
            config = config_of(self._book, api_id, base=base, now=self._clock())
            if config is None:
                self._remove(api_id)
            else:
                self._put(config)


def _decode(body: bytes) -> object:
    if not body:
        return {}
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _resource(parameters: Mapping[str, str], *, region: str, account: str) -> str:
    """What an operation is about, as policies name it (Service Authorization Reference)."""
    if "resourceArn" in parameters:
        return parameters["resourceArn"]
    arn = f"arn:aws:appsync:{region}:{account}:"
    if "domainName" in parameters:
        return f"{arn}domainnames/{parameters['domainName']}"
    if "apiId" in parameters:
        return f"{arn}apis/{parameters['apiId']}"
    return f"{arn}*"
