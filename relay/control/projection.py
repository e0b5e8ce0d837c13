"""Between the control plane's records and the configuration that the data plane runs on.

::

    relay.toml, flags ──records_of──> records <──operations── boto3, SST, Stelvio …
                                         │ config_of
                                         v
                                     ApiConfig ──> registry

What the configuration says is adopted as records. Who spoke last wins: a record that was changed
through the control plane stays changed over a restart, until the configuration itself says
something else than it said before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.config import ApiConfig, NamespaceConfig
from relay.control.api_keys import KEPT_AFTER_EXPIRY
from relay.control.apis import CHILDREN, dns_of
from relay.control.book import Book, Draft
from relay.control.provider_records import provider_records, providers_of
from relay.control.state import Document, Record

ADOPTED = "adopted"  # the kind of the records that remember what the configuration said


def adopt(draft: Draft, config: ApiConfig, *, now: float) -> None:
    """Makes records of what a configured API says anew since it was last adopted.

    Args:
        draft: takes the changes.
        config: what the configuration says.
        now: wall clock, seconds since the epoch.
    """
    said = records_of(config)
    remembered = draft.get(ADOPTED, config.api_id)
    before: Mapping[str, Any] = {} if remembered is None else remembered["records"]
    for name, document in said.items():
        if before.get(name) == document:
            continue
        kind, _, key = name.partition(" ")
        times = {"created": int(now), "lastModified": int(now)} if kind == "namespace" else {}
        times = {"created": int(now)} if kind == "api" else times
        draft.put(kind, key, {**times, **(draft.get(kind, key) or {}), **document})
    for name in before.keys() - said.keys():
        kind, _, key = name.partition(" ")
        draft.delete(kind, key)
    if before != said:
        draft.put(ADOPTED, config.api_id, {"records": said})


def abandon(draft: Draft, api_id: str) -> None:
    """Deletes the records of an API that the configuration does not name any more."""
    for kind in CHILDREN:
        for record in draft.all(kind, under=f"{api_id}/"):
            draft.delete(kind, record.key)
    draft.delete("api", api_id)
    draft.delete(ADOPTED, api_id)


def records_of(config: ApiConfig) -> dict[str, Any]:
    """The documents of a configured API, by kind and key, without times."""
    modes = config.modes
    api_id = config.api_id
    arn = f"arn:aws:appsync:{config.region}:{config.account}:apis/{api_id}"
    every = config.configured_modes | modes.connect | modes.publish | modes.subscribe
    said: dict[str, Any] = {
        f"api {api_id}": {
            "apiId": api_id,
            "name": config.name,
            "tags": {},
            "dns": dns_of(config.label, config.region),
            "apiArn": arn,
            "xrayEnabled": False,
            "eventConfig": {
                "authProviders": provider_records(every, config.providers),
                "connectionAuthModes": _mode_list(modes.connect),
                "defaultPublishAuthModes": _mode_list(modes.publish),
                "defaultSubscribeAuthModes": _mode_list(modes.subscribe),
            },
        }
    }
    for namespace in config.namespaces:
        document: dict[str, Any] = {
            "apiId": api_id,
            "name": namespace.name,
            "tags": {},
            "channelNamespaceArn": f"{arn}/channelNamespace/{namespace.name}",
            "handlerConfigs": {},
        }
        if namespace.publish_modes is not None:
            document["publishAuthModes"] = _mode_list(namespace.publish_modes)
        if namespace.subscribe_modes is not None:
            document["subscribeAuthModes"] = _mode_list(namespace.subscribe_modes)
        said[f"namespace {api_id}/{namespace.name}"] = document
    for key in config.api_keys:
        said[f"key {api_id}/{key.id}"] = _key_document(key)
    return said


def config_of(book: Book, api_id: str, *, base: ApiConfig, now: float) -> ApiConfig | None:
    """An API as the data plane needs it, None if there is none.

    Args:
        book: the records.
        api_id: which API.
        base: what no record tells: identities, how signatures are checked, more domains.
        now: wall clock, seconds since the epoch.
    """
    record = book.get("api", api_id)
    if record is None:
        return None
    document = record.document
    _, _, _, region, account, _ = document["apiArn"].split(":", 5)
    event_config = document["eventConfig"]
    return replace(
        base,
        api_id=api_id,
        label=document["dns"]["HTTP"].partition(".")[0],
        name=document["name"],
        region=region,
        account=account,
        domains=(*base.domains, *_domains(book, api_id)),
        namespaces=tuple(map(_namespace, _children(book, "namespace", api_id))),
        api_keys=tuple(
            ApiKey(one["id"], one.get("expires"), one.get("description", ""))
            for one in _children(book, "key", api_id)
            if one.get("deletes") is None or now < one["deletes"]
        ),
        providers=providers_of(event_config["authProviders"], known=base.providers),
        connect_modes=_mode_set(event_config["connectionAuthModes"]),
        publish_modes=_mode_set(event_config["defaultPublishAuthModes"]),
        subscribe_modes=_mode_set(event_config["defaultSubscribeAuthModes"]),
    )


def touched_apis(records: Iterable[Record], *, changed: Iterable[tuple[str, str]]) -> set[str]:
    """The APIs whose configuration follows from these kinds and keys."""
    found: set[str] = set()
    for kind, key in changed:
        if kind == "api" or kind in CHILDREN:
            found.add(key.partition("/")[0])
        elif kind == "domain":
            found |= {record.key for record in records}
    return found


def _children(book: Book, kind: str, api_id: str) -> Sequence[Document]:
    return [one.document for one in book.all(kind) if one.key.startswith(f"{api_id}/")]


def _domains(book: Book, api_id: str) -> Iterable[str]:
    return (one.key for one in book.all("domain") if one.document.get("apiId") == api_id)


def _namespace(document: Document) -> NamespaceConfig:
    return NamespaceConfig(
        name=document["name"],
        publish_modes=_own_modes(document, "publishAuthModes"),
        subscribe_modes=_own_modes(document, "subscribeAuthModes"),
    )


def _own_modes(document: Document, member: str) -> frozenset[AuthMode] | None:
    """A namespace's own modes; an empty list means the API's, as a missing one does."""
    return _mode_set(document[member]) if document.get(member) else None


def _mode_set(modes: Iterable[Mapping[str, str]]) -> frozenset[AuthMode]:
    return frozenset(AuthMode(mode["authType"]) for mode in modes)


def _mode_list(modes: Iterable[AuthMode]) -> list[dict[str, str]]:
    return [{"authType": mode.value} for mode in AuthMode if mode in modes]


def _key_document(key: ApiKey) -> dict[str, Any]:
    document: dict[str, Any] = {"id": key.id}
    if key.description:
        document["description"] = key.description
    if key.expires is not None:
        document |= {
            "expires": int(key.expires),
            "deletes": int(key.expires) + KEPT_AFTER_EXPIRY,
        }
    return document
