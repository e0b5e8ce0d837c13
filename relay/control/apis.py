"""Event APIs, and the tags on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.control.desk import Asked, Desk, merge_tags, page
from relay.control.errors import BadRequest, NotFound, QuotaExceeded
from relay.control.state import Document

ID_LENGTH = 26  # botocore refuses tag calls on an ARN whose API id is not that long
CUSTOM_ID_TAG = "_custom_id_"  # LocalStack's way to fix both API id and label

CHILDREN = ("namespace", "key", "data-source")
MODE_LISTS = ("connectionAuthModes", "defaultPublishAuthModes", "defaultSubscribeAuthModes")

_LABEL = re.compile(r"[A-Za-z0-9_]{26}")
_CONFIGS = {
    "AMAZON_COGNITO_USER_POOLS": "cognitoConfig",
    "OPENID_CONNECT": "openIDConnectConfig",
    "AWS_LAMBDA": "lambdaAuthorizerConfig",
}
_EXPRESSIONS = {
    "cognitoConfig": "appIdClientRegex",
    "openIDConnectConfig": "clientId",
    "lambdaAuthorizerConfig": "identityValidationExpression",
}


def dns_of(label: str, region: str) -> dict[str, str]:
    """The two host names of an API, as ``GetApi`` shows them."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return {
        "HTTP": f"{label}.appsync-api.{region}.{suffix}",
        "REALTIME": f"{label}.appsync-realtime-api.{region}.{suffix}",
    }


def create_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """CreateApi. Names need not be unique, as on AWS."""
    if len(_in_region(desk)) >= desk.quotas.apis:
        raise QuotaExceeded(f"There may be {desk.quotas.apis} APIs in {desk.region}.")
    check_event_config(asked["eventConfig"], desk.quotas.auth_providers)
    api_id, label = _new_names(desk, asked.get("tags", {}))
    document = {
        "apiId": api_id,
        "name": asked["name"],
        **_optional(asked, "ownerContact"),
        "tags": dict(asked.get("tags", {})),
        "dns": dns_of(label, desk.region),
        "apiArn": desk.arn(f"apis/{api_id}"),
        "created": int(desk.now),
        "xrayEnabled": False,
        "eventConfig": asked["eventConfig"],
    }
    desk.draft.put("api", api_id, document)
    return {"api": _shown(desk, document)}


def list_apis(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListApis. Items carry no ``dns``, as on AWS (observed by sst and Stelvio)."""
    return page(
        _in_region(desk),
        asked,
        name="apis",
        show=lambda document: {k: v for k, v in document.items() if k != "dns"},
    )


def get_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """GetApi."""
    return {"api": _shown(desk, desk.api(asked["apiId"]))}


def update_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UpdateApi: name and event configuration are replaced, an owner contact if one is given."""
    document = desk.api(asked["apiId"])
    check_event_config(asked["eventConfig"], desk.quotas.auth_providers)
    changed = {
        **document,
        "name": asked["name"],
        **_optional(asked, "ownerContact"),
        "eventConfig": asked["eventConfig"],
    }
    desk.draft.put("api", asked["apiId"], changed)
    return {"api": _shown(desk, changed)}


def delete_api(desk: Desk, asked: Asked) -> dict[str, Any]:
    """DeleteApi, with all that belongs to it; its domains stay and lead nowhere."""
    api_id = asked["apiId"]
    desk.api(api_id)
    for kind in CHILDREN:
        for record in desk.draft.all(kind, under=f"{api_id}/"):
            desk.draft.delete(kind, record.key)
    for record in desk.draft.all("domain"):
        if record.document.get("apiId") == api_id:
            rest = {k: v for k, v in record.document.items() if k != "apiId"}
            desk.draft.put("domain", record.key, rest)
    desk.draft.delete("api", api_id)
    return {}


def list_tags(desk: Desk, asked: Asked) -> dict[str, Any]:
    """ListTagsForResource."""
    return {"tags": _by_arn(desk, asked["resourceArn"])["tags"]}


def tag_resource(desk: Desk, asked: Asked) -> dict[str, Any]:
    """TagResource."""
    document = _by_arn(desk, asked["resourceArn"])
    tags = merge_tags(document["tags"], asked["tags"], desk.quotas.tags)
    desk.draft.put("api", document["apiId"], {**document, "tags": tags})
    return {}


def untag_resource(desk: Desk, asked: Asked) -> dict[str, Any]:
    """UntagResource; a tag that is not there does no harm."""
    document = _by_arn(desk, asked["resourceArn"])
    tags = {k: v for k, v in document["tags"].items() if k not in asked["tagKeys"]}
    desk.draft.put("api", document["apiId"], {**document, "tags": tags})
    return {}


def check_event_config(config: Mapping[str, Any], quota: int) -> None:
    """Checks what the shapes cannot say.

    Raises:
        BadRequest: a provider lacks its configuration or is there twice, an expression is none, or
            a list names a mode that has no provider.
    """
    providers: Sequence[Mapping[str, Any]] = config["authProviders"]
    if not 0 < len(providers) <= quota:
        raise BadRequest(f"An API has 1 to {quota} authProviders.")
    for provider in providers:
        _check_provider(provider)
    types = [provider["authType"] for provider in providers]
    for single in ("API_KEY", "AWS_IAM", "AWS_LAMBDA"):
        if types.count(single) > 1:
            raise BadRequest(f"There may be one authorization provider {single}.")
    for name in MODE_LISTS:
        check_modes(config[name], types, where=f"eventConfig.{name}")


def check_modes(modes: Sequence[Mapping[str, str]], types: Sequence[str], *, where: str) -> None:
    """Checks that every mode has a provider.

    Raises:
        BadRequest: one has none.
    """
    for mode in modes:
        if mode["authType"] not in types:
            raise BadRequest(f"{where} names {mode['authType']}, which is not in authProviders.")


def auth_types(api: Document) -> list[str]:
    """The modes that an API has providers for."""
    return [provider["authType"] for provider in api["eventConfig"]["authProviders"]]


def _check_provider(provider: Mapping[str, Any]) -> None:
    member = _CONFIGS.get(provider["authType"])
    if member is None:
        return
    if member not in provider:
        raise BadRequest(f"The authorization provider {provider['authType']} needs {member}.")
    config = provider[member]
    expression = config.get(_EXPRESSIONS[member])
    if expression is not None:
        try:
            re.compile(expression)
        except re.error as error:
            name = f"{member}.{_EXPRESSIONS[member]}"
            raise BadRequest(f"{name} is not a regular expression: {error}") from error


def _shown(desk: Desk, document: Document) -> Document:
    """An API's document as it is handed out: with hosts that whoever asks can reach."""
    host = desk.public_host
    if host is None:
        return document
    if document["apiId"] != desk.first_api:
        host = f"{_label_of(document)}.{host}"
    return {**document, "dns": {"HTTP": host, "REALTIME": host}}


def _label_of(document: Document) -> str:
    label: str = document["dns"]["HTTP"].partition(".")[0]
    return label


def _in_region(desk: Desk) -> list[Any]:
    return [r for r in desk.draft.all("api") if r.document["apiArn"].split(":")[3] == desk.region]


def _new_names(desk: Desk, tags: Mapping[str, str]) -> tuple[str, str]:
    custom = tags.get(CUSTOM_ID_TAG)
    if custom is None:
        return desk.new_id(ID_LENGTH), desk.new_id(ID_LENGTH)
    if not _LABEL.fullmatch(custom):
        raise BadRequest(f"The tag {CUSTOM_ID_TAG} must be {ID_LENGTH} letters or digits.")
    if desk.draft.get("api", custom) is not None or custom in _labels(desk):
        raise BadRequest(f"The tag {CUSTOM_ID_TAG} names an id that is in use.")
    return custom, custom


def _labels(desk: Desk) -> Iterator[str]:
    return (_label_of(record.document) for record in desk.draft.all("api"))


def _by_arn(desk: Desk, arn: str) -> Document:
    document = desk.draft.get("api", arn.rpartition("/")[2])
    if document is None or document["apiArn"] != arn:
        raise NotFound(f"The resource {arn} was not found.")
    return document


def _optional(asked: Asked, *names: str) -> dict[str, Any]:
    return {name: asked[name] for name in names if name in asked}
