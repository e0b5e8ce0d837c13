"""API keys: their id is the secret itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.control.desk import Asked, Desk, page
from relay.control.errors import BadRequest, KeyLimitExceeded, KeyValidityOutOfBounds, NotFound
from relay.control.state import Document, Record

HOUR = 3600
DAY = 24 * HOUR
SHORTEST = DAY
LONGEST = 365 * DAY
DEFAULT_LIFE = 7 * DAY  # botocore, CreateApiKeyRequest.expires
KEPT_AFTER_EXPIRY = 60 * DAY  # botocore, ApiKey: kept so long, and may be extended until then
PREFIX = "da2-"
LARGEST_TIME = 2**53  # beyond which JSON readers lose seconds


def create_api_key(desk: Desk, asked: Asked) -> dict[str, Any]:
    """CreateApiKey; the expiry is rounded down to the hour."""
    api_id = asked["apiId"]
    desk.api(api_id)
    if len(live_keys(desk, api_id)) >= desk.quotas.api_keys:
        raise KeyLimitExceeded(f"An API may have {desk.quotas.api_keys} API keys.")
    key_id = PREFIX + desk.new_id(26)
    document = {
        "id": key_id,
        **({"description": asked["description"]} if "description" in asked else {}),
        **_times(desk, asked.get("expires", int(desk.now) + DEFAULT_LIFE)),
    }
    desk.draft.put("key", f"{api_id}/{key_id}", document)
    return {"apiKey": document}


def list_api_keys(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListApiKeys; expired keys are listed until they are deleted, 60 days later."""
    desk.api(asked["apiId"])
    return page(
        live_keys(desk, asked["apiId"]), asked, name="apiKeys", show=lambda document: document
    )


def update_api_key(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UpdateApiKey: description and expiry, where given; an expired key can be revived."""
    document = dict(_find(desk, asked))
    if "description" in asked:
        document["description"] = asked["description"]
    if "expires" in asked:
        document |= _times(desk, asked["expires"])
    desk.draft.put("key", f"{asked['apiId']}/{asked['id']}", document)
    return {"apiKey": document}


def delete_api_key(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DeleteApiKey."""
    _find(desk, asked)
    desk.draft.delete("key", f"{asked['apiId']}/{asked['id']}")
    return {}


def live_keys(desk: Desk, api_id: str) -> Sequence[Record]:
    """The keys of an API that are not deleted, by hand or by time."""
    return [
        record
        for record in desk.draft.all("key", under=f"{api_id}/")
        if _is_kept(record.document, desk.now)
    ]


def _find(desk: Desk, asked: Asked) -> Document:
    desk.api(asked["apiId"])
    document = desk.draft.get("key", f"{asked['apiId']}/{asked['id']}")
    if document is None or not _is_kept(document, desk.now):
        raise NotFound("The API key was not found.")
    return document


def _is_kept(document: Document, now: float) -> bool:
    return document.get("deletes") is None or now < document["deletes"]


def _times(desk: Desk, expires: int) -> dict[str, int]:
    """The expiry as it is kept.

    The bounds leave an hour, which rounding takes anyway: Stelvio asks for exactly 365 days by its
    own clock.
    """
    if abs(expires) > LARGEST_TIME:
        raise BadRequest("expires is not a time in seconds.")
    rounded = expires // HOUR * HOUR
    life = rounded - desk.now
    if not SHORTEST - HOUR <= life <= LONGEST:
        raise KeyValidityOutOfBounds("An API key must expire between 1 and 365 days from now.")
    return {"expires": rounded, "deletes": rounded + KEPT_AFTER_EXPIRY}
