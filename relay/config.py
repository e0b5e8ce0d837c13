"""What the relay is told: frozen values, read once from flags or from ``relay.toml``.

::

    RelayConfig ── listen: Listen           where, and with which certificate
                ├─ apis: ApiConfig …        each with its keys, modes, host names and namespaces
                ├─ limits: Limits           sizes, counts and durations of the channel
                ├─ budgets: Budgets         waits that only the relay has
                ├─ subscription_lag         how late subscriptions begin to deliver
                └─ time_scale               all durations are multiplied by it when used
"""

from __future__ import annotations

import hashlib
import math
import re
import string
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from event_protocol.channels import is_segment
from event_protocol.limits import Limits
from relay.auth.access import Modes
from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.auth.iam_policy import Policies
from relay.auth.providers import Provider
from relay.errors import ConfigInvalid

LABEL_ALPHABET = string.ascii_lowercase + string.digits
LABEL_LENGTH = 26  # Amplify and Android recognize AWS hosts by exactly that many word characters
UNSENT_BYTES = 16 << 20  # two invocations with the largest payload, as base64 in JSON

Verify = Literal["strict", "parse-only", "off"]

_is_label = re.compile(r"[A-Za-z0-9_]{26}").fullmatch
_is_api_id = re.compile(r"[A-Za-z0-9_-]{26}").fullmatch
_is_authority = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?").fullmatch
_is_region = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceConfig:
    """One channel namespace.

    Attributes:
        name: the first segment of its channels.
        publish_modes: who may publish; None for the API's default.
        subscribe_modes: who may subscribe; None for the API's default.
    """

    name: str
    publish_modes: frozenset[AuthMode] | None = None
    subscribe_modes: frozenset[AuthMode] | None = None

    def __post_init__(self) -> None:
        if not is_segment(self.name):
            raise ConfigInvalid(
                f"{self.name!r} cannot be a channel namespace",
                hint="use 1 to 50 letters, digits or dashes, beginning and ending without a dash",
            )
        if frozenset() in (self.publish_modes, self.subscribe_modes):
            raise ConfigInvalid(
                f"the namespace {self.name!r} has an empty list of modes",
                hint="leave the list out for the API's modes; AWS takes an empty one for that too",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class IamCredential:
    """One pair of access key and secret that may sign.

    Attributes:
        access_key_id: who signs.
        secret_access_key: what proves it.
        session_token: what temporary credentials must present as well; None takes any.
        policies: what they may do; None for everything.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    policies: Policies | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """One Event API.

    Attributes:
        label: the 26 characters that its host names begin with.
        api_id: 26 characters, another name than the label; made from it unless given.
        name: as in the control plane.
        region: in its host names and ARNs.
        account: twelve digits, in its ARNs.
        domains: custom domains; each serves publish and realtime.
        namespaces: the channel namespaces that exist.
        api_keys: the keys that open it.
        iam: credentials that may sign requests.
        providers: user pools, issuers and a Lambda authorizer that prove identities.
        verify: ``strict`` proves signatures, ``parse-only`` reads them, ``off`` takes any.
        connect_modes: who may connect; None for every configured mode; the same for the next two.
        publish_modes: who may publish where the namespace does not say.
        subscribe_modes: who may subscribe where the namespace does not say.
    """

    label: str
    api_id: str = ""
    name: str = "natless"
    region: str = "us-east-1"
    account: str = "000000000000"
    domains: tuple[str, ...] = ()
    namespaces: tuple[NamespaceConfig, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    iam: tuple[IamCredential, ...] = ()
    providers: tuple[Provider, ...] = ()
    verify: Verify = "strict"
    connect_modes: frozenset[AuthMode] | None = None
    publish_modes: frozenset[AuthMode] | None = None
    subscribe_modes: frozenset[AuthMode] | None = None

    def __post_init__(self) -> None:
        if not _is_label(self.label):
            raise ConfigInvalid(
                f"the label {self.label!r} is not 26 letters or digits",
                hint="leave it out to get a random one",
            )
        if not self.api_id:
            object.__setattr__(self, "api_id", api_id_of(self.label))
        if not _is_api_id(self.api_id):
            raise ConfigInvalid(f"the API id {self.api_id!r} is not 26 letters, digits, _ or -")
        if not _is_region(self.region):
            raise ConfigInvalid(f"{self.region!r} is not a region", hint="write it as in us-east-1")
        if self.verify not in ("strict", "parse-only", "off"):
            raise ConfigInvalid(
                f"verify = {self.verify!r} is unknown", hint="use strict, parse-only or off"
            )
        if any(not key.id.strip() for key in self.api_keys):
            raise ConfigInvalid(
                "an API key is empty: whoever sends none would be let in",
                hint="give a key, or leave it out to get a random one",
            )
        names = [namespace.name for namespace in self.namespaces]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigInvalid(f"the namespace {min(twice)!r} is there twice")

    @property
    def http_host(self) -> str:
        """Where events are published over HTTP."""
        return f"{self.label}.appsync-api.{self.region}.{self._suffix}"

    @property
    def realtime_host(self) -> str:
        """Where WebSockets are opened."""
        return f"{self.label}.appsync-realtime-api.{self.region}.{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"

    @property
    def configured_modes(self) -> frozenset[AuthMode]:
        """The modes for which there is something to prove oneself with."""
        modes: set[AuthMode] = set()
        if self.api_keys:
            modes.add(AuthMode.API_KEY)
        if self.iam or self.verify != "strict":
            modes.add(AuthMode.AWS_IAM)
        modes.update(one.mode for one in self.providers)
        return frozenset(modes)

    @property
    def modes(self) -> Modes:
        """Who may do what where a namespace does not say."""
        configured = self.configured_modes
        return Modes(
            connect=configured if self.connect_modes is None else self.connect_modes,
            publish=configured if self.publish_modes is None else self.publish_modes,
            subscribe=configured if self.subscribe_modes is None else self.subscribe_modes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the relay listens.

    Attributes:
        host: the address of both ports.
        port: TLS; 0 picks a free one, None for no TLS port.
        plain_port: http and ws; 0 picks a free one, None for none.
        fds: inherited sockets that already listen; TLS is spoken on them.
        certificate: PEM of the server's certificate, with its chain.
        key: PEM of its private key.
    """

    host: str = "127.0.0.1"
    port: int | None = 0
    plain_port: int | None = None
    fds: tuple[int, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        needs_tls = self.port is not None or bool(self.fds)
        if needs_tls and (self.certificate is None or self.key is None):
            raise ConfigInvalid(
                "a TLS port needs a certificate and its key",
                hint="give --certificate and --key, or use `natless relay`, which makes them",
            )
        if not self.host:
            raise ConfigInvalid(
                "the address to listen on is empty",
                hint="0.0.0.0 and :: are all addresses of this machine, 127.0.0.1 is itself",
            )
        for port in (self.port, self.plain_port):
            if port is not None and not 0 <= port <= 65535:
                raise ConfigInvalid(f"{port} is not a port", hint="use 0 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Waits that only the relay has, in seconds.

    Attributes:
        refusal: for the client's first frame before a ``connection_error`` is sent, and for its
            close after that. Clients lose a frame that comes with the 101 (observed with
            aws-amplify on ws) or with the close (observed with Node 20's own WebSocket).
        close: how long a peer may take to answer a close frame, or the end of TLS.
        drain: how long connections may take to end after SIGTERM, all together.
        idle: how long an HTTP connection may stay without a request (load balancers of AWS: 60,
            and more, so that the client closes first).
        request: how long the body of a request may take to arrive, or a TLS handshake.
    """

    refusal: float = 0.25
    close: float = 2.0
    drain: float = 3.0
    idle: float = 75.0
    request: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ConfigInvalid(f"budgets.{name} must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """All that the relay is told.

    Attributes:
        listen: where.
        apis: at least one; with several, a request's host names the API, and the first one
            answers to every host that names none.
        limits: sizes, counts and durations of the channel.
        budgets: waits that only the relay has.
        unsent_bytes: what a connection may leave unread before it is cut.
        subscription_lag: seconds from the acknowledgement of a subscription until it delivers; what
            is published in between never reaches it. AWS was seen to acknowledge too early
            (anomalyco/sst#6575), and clients that believe it lose their first answer.
        time_scale: all durations are multiplied by it; 0.001 turns an hour into 3.6 seconds.
        state: the file that keeps what the control plane is told; None keeps it in memory.
        lambda_endpoint: where Lambda authorizers are invoked that are named, as at AWS Lambda.
        public_host: what the control plane hands out as the host of the first API, in place of
            AWS's names, for programs that find the channel that way and cannot resolve those; the
            relay's own port is added when it names none. Other APIs get their label in front.
    """

    listen: Listen
    apis: tuple[ApiConfig, ...]
    limits: Limits = field(default_factory=Limits)
    budgets: Budgets = field(default_factory=Budgets)
    unsent_bytes: int = UNSENT_BYTES
    subscription_lag: float = 0.0
    time_scale: float = 1.0
    state: Path | None = None
    lambda_endpoint: str | None = None
    public_host: str | None = None

    def __post_init__(self) -> None:
        if not self.apis:
            raise ConfigInvalid("there is no API", hint="add a table [[api]]")
        for what in ("label", "api_id"):
            values = [getattr(api, what) for api in self.apis]
            if len(set(values)) < len(values):
                raise ConfigInvalid(f"two APIs have the same {what}")
        if not self.time_scale > 0:
            raise ConfigInvalid("time_scale must be positive")
        if not 0 <= self.subscription_lag < math.inf:
            raise ConfigInvalid("subscription_lag must be seconds, or 0 for none")
        endpoint = self.lambda_endpoint
        if endpoint is not None and not re.match(r"https?://[^/\s]+", endpoint):
            raise ConfigInvalid(
                f"lambda_endpoint = {endpoint!r} is no URL", hint="such as http://127.0.0.1:9400"
            )
        if self.public_host is not None and not _is_authority(self.public_host):
            raise ConfigInvalid(
                f"{self.public_host!r} is not a host",
                hint="write it as localhost or localhost:8443",
            )
        if self.unsent_bytes < self.limits.event_bytes:
            raise ConfigInvalid("unsent_bytes must hold at least one event of event_bytes")

    @property
    def scaled_limits(self) -> Limits:
        """The limits with their durations as they are waited for."""
        return replace(
            self.limits,
            keep_alive=self.limits.keep_alive * self.time_scale,
            connection_timeout=self.limits.connection_timeout * self.time_scale,
            connection_life=self.limits.connection_life * self.time_scale,
        )

    @property
    def scaled_subscription_lag(self) -> float:
        """Likewise, the lag of subscriptions."""
        return self.subscription_lag * self.time_scale


def api_id_of(label: str) -> str:
    """An API id for a label: always the same, and never the label itself."""
    return scramble("natless api id " + label)


def scramble(text: str) -> str:
    """26 letters and digits that look random and are always the same for that text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(LABEL_ALPHABET[byte % len(LABEL_ALPHABET)] for byte in digest[:LABEL_LENGTH])
