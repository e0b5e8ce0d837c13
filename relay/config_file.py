"""``relay.toml``: read strictly, so that a misspelt name is an error and not a silence.

::

    time_scale = 1.0
    unsent_bytes = 16777216
    subscription_lag = 0.0       # seconds from an acknowledgement until the subscription delivers
    state = "relay.db"           # keeps what the control plane is told
    lambda_endpoint = "http://localhost:9001"  # where named Lambda authorizers are invoked
    public_host = "localhost"    # what the control plane hands out in place of AWS's names

    [listen]                     # host port plain_port certificate key
    [limits]                     # events_per_publish event_bytes keep_alive connection_life …
    [budgets]                    # refusal close drain idle request

    [[api]]                      # one or more
    label = "26 characters"      # name region account api_id domains verify
    connect_modes = ["API_KEY"]  # publish_modes subscribe_modes; left out: every configured mode

    [[api.namespace]]
    name = "default"             # publish_modes subscribe_modes; left out: the API's

    [[api.key]]
    id = "da2-…"                 # expires (a date and time) description

    [[api.iam]]
    access_key_id = "…"          # secret_access_key session_token (then it must be presented)
    policies = ["policy.json"]   # IAM policy documents; left out: everything is allowed

    [[api.cognito]]
    user_pool_id = "…"           # region client_id jwks (a path or an address)

    [[api.oidc]]
    issuer = "https://…"         # client_id iat_ttl auth_ttl (seconds) jwks

    [api.lambda]
    uri = "…"                    # an address, an ARN or a name; ttl (seconds) expression
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from event_protocol.errors import LocalProtocolError
from event_protocol.limits import Limits
from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.auth.iam_policy import Policies, PolicyError
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider, Provider
from relay.config import Budgets, IamCredential, NamespaceConfig
from relay.errors import ConfigInvalid

_Kind = TypeVar("_Kind")

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
    datetime: "a date and time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """What a file says, and only that: flags and defaults fill the rest.

    Attributes:
        listen: members of :class:`Listen`.
        apis: members of :class:`ApiConfig`, one mapping for each API, in the order of the file.
        others: further members of :class:`RelayConfig`.
    """

    listen: Mapping[str, Any]
    apis: Sequence[Mapping[str, Any]]
    others: Mapping[str, Any]


def load_config_file(path: Path) -> ConfigFile:
    """Reads a configuration file.

    Args:
        path: a TOML file; paths in it are relative to it.

    Raises:
        ConfigInvalid: it cannot be read, is not TOML, or says something that is not understood.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror}", hint="give the path of a file that exists"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path} is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"{path} is not TOML: {error}") from error
    try:
        return _read_document(_Table(document, place=path.name), folder=path.parent)
    except LocalProtocolError as error:
        raise ConfigInvalid(f"{path.name}: limits: {error}") from error


def _read_document(table: _Table, *, folder: Path) -> ConfigFile:
    others = table.take_all(
        time_scale=float,
        unsent_bytes=int,
        subscription_lag=float,
        lambda_endpoint=str,
        public_host=str,
    )
    if (state := table.take("state", str)) is not None:
        others["state"] = folder / state
    if (limits := table.take_table("limits")) is not None:
        others["limits"] = Limits(**limits.take_fields(Limits))
        limits.done()
    if (budgets := table.take_table("budgets")) is not None:
        others["budgets"] = Budgets(**budgets.take_fields(Budgets))
        budgets.done()
    listen: dict[str, Any] = {}
    if (place := table.take_table("listen")) is not None:
        listen = place.take_all(host=str, port=int, plain_port=int)
        paths = place.take_all(certificate=str, key=str)
        listen |= {name: folder / value for name, value in paths.items()}
        place.done()
    apis = [_read_api(each, folder=folder) for each in table.take_tables("api")]
    table.done()
    return ConfigFile(listen=listen, apis=apis, others=others)


def _read_api(table: _Table, *, folder: Path) -> dict[str, Any]:
    api = table.take_all(
        label=str, api_id=str, name=str, region=str, account=str, domains=list, verify=str
    )
    if "domains" in api:
        api["domains"] = tuple(map(str, api["domains"]))
    for name in ("connect_modes", "publish_modes", "subscribe_modes"):
        if (modes := table.take_modes(name)) is not None:
            api[name] = modes
    if namespaces := table.take_tables("namespace"):
        api["namespaces"] = tuple(map(_read_namespace, namespaces))
    if keys := table.take_tables("key"):
        api["api_keys"] = tuple(map(_read_key, keys))
    if credentials := table.take_tables("iam"):
        api["iam"] = tuple(_read_iam(each, folder=folder) for each in credentials)
    if providers := tuple(_read_providers(table, folder=folder)):
        api["providers"] = providers
    table.done()
    return api


def _read_namespace(table: _Table) -> NamespaceConfig:
    namespace = NamespaceConfig(
        name=table.require("name", str),
        publish_modes=table.take_modes("publish_modes"),
        subscribe_modes=table.take_modes("subscribe_modes"),
    )
    table.done()
    return namespace


def _read_key(table: _Table) -> ApiKey:
    expires = table.take("expires", datetime)
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    key = ApiKey(
        table.require("id", str),
        None if expires is None else expires.timestamp(),
        table.take("description", str) or "",
    )
    table.done()
    return key


def _read_iam(table: _Table, *, folder: Path) -> IamCredential:
    paths = table.take("policies", list)
    credential = IamCredential(
        access_key_id=table.require("access_key_id", str),
        secret_access_key=table.require("secret_access_key", str),
        session_token=table.take("session_token", str),
        policies=None if paths is None else _read_policies(paths, folder=folder),
    )
    table.done()
    return credential


def _read_policies(paths: Sequence[Any], *, folder: Path) -> Policies:
    documents = []
    for path in paths:
        try:
            documents.append((folder / str(path)).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"the policy {path} cannot be read: {error}") from error
    try:
        return Policies.parse(documents)
    except PolicyError as error:
        raise ConfigInvalid(f"a policy cannot be used: {error}") from error


def _read_providers(table: _Table, *, folder: Path) -> Iterator[Provider]:
    for each in table.take_tables("cognito"):
        said = each.take_all(user_pool_id=str, region=str, client_id=str)
        each.require("user_pool_id", str)
        region = str(said.get("user_pool_id", "")).partition("_")[0]
        yield CognitoProvider(**{"region": region, **said}, jwks=_take_jwks(each, folder=folder))
        each.done()
    for each in table.take_tables("oidc"):
        said = each.take_all(issuer=str, client_id=str, iat_ttl=float, auth_ttl=float)
        each.require("issuer", str)
        yield OidcProvider(**said, jwks=_take_jwks(each, folder=folder))
        each.done()
    if (one := table.take_table("lambda")) is not None:
        said = one.take_all(uri=str, ttl=float, expression=str)
        one.require("uri", str)
        yield LambdaProvider(**said)
        one.done()


def _take_jwks(table: _Table, *, folder: Path) -> str | None:
    """Where the keys are; a path is relative to the file."""
    place = table.take("jwks", str)
    if place is None or place.startswith(("http://", "https://")):
        return place
    return str(folder / place)


class _Table:
    """A TOML table whose keys are taken one by one; what is left over at the end is an error."""

    def __init__(self, content: Mapping[str, Any], *, place: str) -> None:
        self._content = content
        self._place = place
        self._known: set[str] = set()

    def take(self, name: str, kind: type[_Kind]) -> _Kind | None:
        """The value under that name, None when there is none."""
        self._known.add(name)
        value = self._content.get(name)
        if value is None:
            return None
        if kind is float and type(value) is int:
            return float(value)  # type: ignore[return-value]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ConfigInvalid(f"{self._place}: {name} must be {_NAMES[kind]}")
        return value

    def require(self, name: str, kind: type[_Kind]) -> _Kind:
        """The value under that name, which must be there."""
        value = self.take(name, kind)
        if value is None:
            raise ConfigInvalid(f"{self._place}: {name} is missing")
        return value

    def take_all(self, **kinds: type) -> dict[str, Any]:
        """Those of the values that are there."""
        taken = {name: self.take(name, kind) for name, kind in kinds.items()}
        return {name: value for name, value in taken.items() if value is not None}

    def take_fields(self, of: type) -> dict[str, Any]:
        """Those of a dataclass's fields that are there, each of the kind of its default."""
        return self.take_all(**{each.name: type(each.default) for each in fields(of)})

    def take_table(self, name: str) -> _Table | None:
        """The table of that name, None when there is none."""
        content = self.take(name, dict)
        return None if content is None else _Table(content, place=f"{self._place}: [{name}]")

    def take_tables(self, name: str) -> list[_Table]:
        """The tables of that name, in order."""
        entries = self.take(name, list) or []
        if not all(isinstance(each, dict) for each in entries):
            raise ConfigInvalid(f"{self._place}: write {name} as [[{name}]]")
        return [
            _Table(each, place=f"{self._place}: [[{name}]] number {number}")
            for number, each in enumerate(entries, 1)
        ]

    def take_modes(self, name: str) -> frozenset[AuthMode] | None:
        """A list of authorization modes, None when there is none."""
        values = self.take(name, list)
        if values is None:
            return None
        try:
            return frozenset(AuthMode(value) for value in values)
        except ValueError as error:
            raise ConfigInvalid(
                f"{self._place}: {name} has an unknown mode: {error}",
                hint="known are " + ", ".join(AuthMode),
            ) from error

    def done(self) -> None:
        """Complains about what nobody took."""
        for name in self._content:
            if name not in self._known:
                close = difflib.get_close_matches(name, self._known, n=1)
                raise ConfigInvalid(
                    f"{self._place}: {name} is unknown",
                    hint=f"did you mean {close[0]}?"
                    if close
                    else "known are " + ", ".join(sorted(self._known)),
                )
