"""What every operation of the control plane has at hand: the draft, the time, ids and quotas."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.control.book import Draft
from relay.control.errors import BadRequest, NotFound
from relay.control.state import Document, Record

PAGE = 25  # items of a listing that names no size; botocore, MaxResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much there may be (AWS General Reference, AppSync endpoints and quotas).

    Attributes:
        apis: in a region.
        namespaces: in an API.
        api_keys: in an API.
        auth_providers: in an API.
        domains: custom domains, in a region.
        data_sources: in an API; ours, AWS names no number.
        tags: on one thing.
    """

    apis: int = 50
    namespaces: int = 50
    api_keys: int = 50
    auth_providers: int = 50
    domains: int = 50
    data_sources: int = 200
    tags: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One operation's surroundings.

    Attributes:
        draft: what it may change.
        region: whose APIs are listed and where new ones are.
        account: twelve digits.
        now: wall clock, seconds since the epoch.
        new_id: random lower-case letters and digits, as many as asked for.
        quotas: how much there may be.
        public_host: where the relay is reached when not by AWS's names, with its port; None hands
            out AWS's names.
        first_api: the API id of the one that a host which names no API leads to.
    """

    draft: Draft
    region: str
    account: str
    now: float
    new_id: Callable[[int], str]
    quotas: Quotas = field(default_factory=Quotas)
    public_host: str | None = None
    first_api: str = ""

    def arn(self, resource: str, *, region: str | None = None) -> str:
        """The Amazon Resource Name of something of AppSync's."""
        return f"arn:aws:appsync:{region or self.region}:{self.account}:{resource}"

    def api(self, api_id: str) -> Document:
        """An API's document.

        Raises:
            NotFound: there is no such API.
        """
        document = self.draft.get("api", api_id)
        if document is None:
            raise NotFound(f"The API {api_id} was not found.")
        return document


Asked = Mapping[str, Any]


def page(
    records: Sequence[Record], asked: Asked, *, name: str, show: Callable[[Document], Document]
) -> dict[str, Any]:
    """One page of a listing, with a token for the next one if there is one.

    A token names the last record that was shown; records that come or go meanwhile do no harm.

    Args:
        records: all, oldest first.
        asked: the request, with ``nextToken`` and ``maxResults``.
        name: the member of the answer.
        show: what is shown of a document.

    Raises:
        BadRequest: the token is not from this listing.
    """
    after = _read_token(asked["nextToken"], name) if "nextToken" in asked else 0
    size = asked.get("maxResults") or PAGE
    rest = [record for record in records if record.number > after]
    answer: dict[str, Any] = {name: [show(record.document) for record in rest[:size]]}
    if len(rest) > size:
        answer["nextToken"] = _write_token(rest[size - 1].number, name)
    return answer


def merge_tags(tags: Mapping[str, str], more: Mapping[str, str], quota: int) -> dict[str, str]:
    """Tags with others put over them.

    Raises:
        BadRequest: that would be too many.
    """
    merged = dict(tags) | dict(more)
    if len(merged) > quota:
        raise BadRequest(f"A resource may have {quota} tags.")
    return merged


def _write_token(number: int, name: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, number]).encode()).decode()


def _read_token(token: str, name: str) -> int:
    try:
        listing, number = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError):
        raise BadRequest("The next token is invalid.") from None
    if listing != name or isinstance(number, bool) or not isinstance(number, int):
        raise BadRequest("The next token is invalid.")
    return number
