"""Channel namespaces of an API."""

from __future__ import annotations

from typing import Any

from relay.control.apis import auth_types, check_modes
from relay.control.desk import Asked, Desk, page
from relay.control.errors import BadRequest, Conflict, NotFound, QuotaExceeded
from relay.control.state import Document

_MODES = ("subscribeAuthModes", "publishAuthModes")


def create_channel_namespace(desk: Desk, asked: Asked) -> dict[str, Any]:
    """CreateChannelNamespace."""
    api_id, name = asked["apiId"], asked["name"]
    api = desk.api(api_id)
    if desk.draft.get("namespace", f"{api_id}/{name}") is not None:
        raise Conflict(f"The channel namespace {name} exists already.")
    if len(desk.draft.all("namespace", under=f"{api_id}/")) >= desk.quotas.namespaces:
        raise QuotaExceeded(f"An API may have {desk.quotas.namespaces} channel namespaces.")
    _check(desk, api, asked)
    region = api["apiArn"].split(":")[3]
    document = {
        "apiId": api_id,
        "name": name,
        **_body(asked),
        "tags": dict(asked.get("tags", {})),
        "channelNamespaceArn": desk.arn(f"apis/{api_id}/channelNamespace/{name}", region=region),
        "created": int(desk.now),
        "lastModified": int(desk.now),
        "handlerConfigs": asked.get("handlerConfigs", {}),
    }
    desk.draft.put("namespace", f"{api_id}/{name}", document)
    return {"channelNamespace": document}


def list_channel_namespaces(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListChannelNamespaces."""
    desk.api(asked["apiId"])
    records = desk.draft.all("namespace", under=f"{asked['apiId']}/")
    return page(records, asked, name="channelNamespaces", show=lambda document: document)


def get_channel_namespace(desk: Desk, asked: Asked) -> dict[str, Any]:
    """GetChannelNamespace."""
    return {"channelNamespace": _find(desk, asked)}


def update_channel_namespace(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UpdateChannelNamespace: modes and handlers are replaced; what is not given is gone.

    AWS does not say what becomes of members that are left out; its other updates replace.
    """
    before = _find(desk, asked)
    _check(desk, desk.api(asked["apiId"]), asked)
    kept = {k: v for k, v in before.items() if k not in (*_MODES, "codeHandlers")}
    document = {
        **kept,
        **_body(asked),
        "lastModified": int(desk.now),
        "handlerConfigs": asked.get("handlerConfigs", {}),
    }
    desk.draft.put("namespace", f"{asked['apiId']}/{asked['name']}", document)
    return {"channelNamespace": document}


def delete_channel_namespace(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DeleteChannelNamespace."""
    _find(desk, asked)
    desk.draft.delete("namespace", f"{asked['apiId']}/{asked['name']}")
    return {}


def _find(desk: Desk, asked: Asked) -> Document:
    desk.api(asked["apiId"])
    document = desk.draft.get("namespace", f"{asked['apiId']}/{asked['name']}")
    if document is None:
        raise NotFound(f"The channel namespace {asked['name']} was not found.")
    return document


def _check(desk: Desk, api: Document, asked: Asked) -> None:
    for member in _MODES:
        check_modes(asked.get(member, ()), auth_types(api), where=member)
    for event, config in asked.get("handlerConfigs", {}).items():
        name = config["integration"]["dataSourceName"]
        if desk.draft.get("data-source", f"{api['apiId']}/{name}") is None:
            raise BadRequest(f"handlerConfigs.{event} names the data source {name}: not found.")
        if config["behavior"] == "CODE" and "codeHandlers" not in asked:
            raise BadRequest(f"handlerConfigs.{event} is CODE, and there are no codeHandlers.")


def _body(asked: Asked) -> dict[str, Any]:
    return {name: asked[name] for name in (*_MODES, "codeHandlers") if name in asked}
