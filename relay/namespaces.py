"""APIs, their channel namespaces, and who listens to which channel.

::

    Registry ── Api ── namespaces       name -> who may publish and subscribe
                   ├── access           proves identities
                   └── channels         ChannelTable: exact and wildcard subscriptions
                            └── routes  channel -> who gets its events, resolved once
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from event_protocol.channels import ChannelPattern
from relay.auth.access import Access
from relay.auth.base import AuthMode, Authorizer
from relay.config import ApiConfig, NamespaceConfig
from relay.hub import Outlet, Route, Subscriber

ROUTES_COUNT = 4096  # channels whose subscribers are kept resolved
PASSES_COUNT = 4096  # publishers whose right is remembered
PASS_BYTES = 1024  # of the credentials of one
HOSTS_COUNT = 1024  # host names whose API is remembered


class Subscription(Subscriber):
    """A connection's interest in a pattern, under an id of its own choice."""

    __slots__ = ("id", "is_wildcard", "path", "pattern")

    def __init__(self, id: str, pattern: ChannelPattern, *, outlet: Outlet) -> None:  # noqa: A002
        super().__init__(outlet, f'{{"id":"{id}","type":"data","event":'.encode())
        self.id = id
        self.pattern = pattern
        self.path = pattern.base.path
        self.is_wildcard = pattern.is_wildcard


class ChannelTable:
    """The subscriptions of one API.

    Whoever changes it flushes the hub first: a route is valid until the next change.
    """

    def __init__(self) -> None:
        self._exact: dict[str, dict[Subscription, None]] = {}
        self._below: dict[str, dict[Subscription, None]] = {}
        self._of: dict[Outlet, list[Subscription]] = {}  # mostly one, and a list is smaller
        self._routes: dict[str, Route] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def add(self, subscription: Subscription) -> None:
        """Adds a subscription; it gets what is published from now on."""
        self._side(subscription).setdefault(subscription.path, {})[subscription] = None
        self._of.setdefault(subscription.outlet, []).append(subscription)
        self._forget(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Removes a subscription that was added."""
        self._forget(subscription)
        _discard(self._side(subscription), subscription.path, subscription)
        siblings = self._of[subscription.outlet]
        siblings.remove(subscription)
        if not siblings:
            del self._of[subscription.outlet]

    def route(self, path: str) -> Route:
        """Who gets what is published on the channel of this normalized path."""
        return self._routes.get(path) or self._resolve(path)

    def _resolve(self, path: str) -> Route:
        found = [*self._exact.get(path, ())]
        prefix = path
        while (prefix := prefix.rpartition("/")[0]) != "":
            found += self._below.get(prefix, ())
        direct: list[Subscription] = []
        mixed: list[Subscription] = []
        for one in found:
            is_alone = not one.is_wildcard and len(self._of[one.outlet]) == 1
            (direct if is_alone else mixed).append(one)
        if len(self._routes) >= ROUTES_COUNT:
            self._routes.clear()
        route = self._routes[path] = Route(direct=direct, mixed=mixed)
        return route

    def _side(self, subscription: Subscription) -> dict[str, dict[Subscription, None]]:
        return self._below if subscription.is_wildcard else self._exact

    def _forget(self, changed: Subscription) -> None:
        """Drops the routes that lead to this subscription or to its connection's only other."""
        siblings = self._of[changed.outlet]
        for one in siblings if len(siblings) <= 2 else (changed,):
            if one.is_wildcard:
                self._routes.clear()
            else:
                self._routes.pop(one.path, None)


_Key = TypeVar("_Key")


def _discard(
    table: dict[_Key, dict[Subscription, None]], key: _Key, subscription: Subscription
) -> None:
    entries = table[key]
    del entries[subscription]
    if not entries:
        del table[key]


@dataclass(frozen=True, slots=True)
class ChannelNamespace:
    """A namespace with the API's defaults filled in."""

    name: str
    publish_modes: frozenset[AuthMode]
    subscribe_modes: frozenset[AuthMode]


AuthorizerFactory = Callable[[ApiConfig], Sequence[Authorizer]]


class Api:
    """One Event API: its configuration at this moment, and its live subscriptions.

    Args:
        config: the first one.
        authorizers: makes what proves identities.
        owner: whose host name that is, None for a name that no API has.

    Attributes:
        config: replaced as a whole by :meth:`apply`.
        access: proves identities.
        channels: who listens.
    """

    def __init__(
        self,
        config: ApiConfig,
        *,
        authorizers: AuthorizerFactory,
        owner: Callable[[str], Api | None] = lambda _: None,
    ) -> None:
        self._authorizers = authorizers
        self._owner = owner
        self._passes: dict[tuple[str, str | bytes], tuple[float, str]] = {}
        self.channels = ChannelTable()
        self.apply(config)

    def apply(self, config: ApiConfig) -> None:
        """Takes another configuration; connections and subscriptions stay.

        Subscriptions in a namespace that is gone stay too, but nobody can publish there any more.
        """
        self.config = config
        self.modes = config.modes
        self.access = Access(self._authorizers(config))
        self._namespaces = {one.name: self._complete(one) for one in config.namespaces}
        self._passes.clear()

    def _complete(self, namespace: NamespaceConfig) -> ChannelNamespace:
        publish, subscribe = namespace.publish_modes, namespace.subscribe_modes
        return ChannelNamespace(
            namespace.name,
            publish_modes=self.modes.publish if publish is None else publish,
            subscribe_modes=self.modes.subscribe if subscribe is None else subscribe,
        )

    def namespace(self, name: str) -> ChannelNamespace | None:
        """The namespace of that name, None when nobody created it."""
        return self._namespaces.get(name)

    def is_of_another(self, host: str) -> bool:
        """Whether a host name is one of another API's; a name that nobody has is nobody's."""
        owner = self._owner(host)
        return owner is not None and owner is not self

    def remember(self, channel: str, presented: str | bytes, *, path: str, until: float) -> None:
        """Lets a publisher pass unasked until the given moment; see :meth:`recall`.

        Args:
            channel: as it was written.
            presented: what stands for the credentials: the API key of a request, or the bytes of a
                frame's authorization object. Nothing is never remembered, since that would open
                the door to whoever presents nothing.
            path: the normalized channel.
            until: seconds since 1970.
        """
        if until <= 0 or not 0 < len(presented) <= PASS_BYTES:
            return
        if len(self._passes) >= PASSES_COUNT:
            self._passes.clear()
        self._passes[channel, presented] = (until, path)

    def recall(self, channel: str, presented: str | bytes, *, wall: float) -> str | None:
        """The normalized channel, if this publisher was allowed there before and still is.

        Channel, namespace and credentials are what they were, so all three checks would say the
        same again. None means: ask.
        """
        found = self._passes.get((channel, presented))
        return found[1] if found is not None and wall < found[0] else None


class Registry:
    """The APIs of one relay, found by what a request says.

    A request names its API by host: the two AWS-shaped ones, a custom domain, or the label as the
    first part of any other name (``<label>.localhost``). Several clients set ``Host`` to the HTTP
    host although they dial the realtime one, so either host leads to both doors. A host that names
    no API leads to the first one.
    """

    def __init__(self, configs: Sequence[ApiConfig], *, authorizers: AuthorizerFactory) -> None:
        self._authorizers = authorizers
        self._apis: dict[str, Api] = {}
        self._hosts: dict[str, Api] = {}
        self._found: dict[str, Api | None] = {}
        for config in configs:
            self.put(config)

    def __iter__(self) -> Iterator[Api]:
        return iter(self._apis.values())

    def put(self, config: ApiConfig) -> Api:
        """Adds an API, or changes the one with this API id."""
        api = self._apis.get(config.api_id)
        if api is None:
            api = self._apis[config.api_id] = Api(
                config, authorizers=self._authorizers, owner=self._owner_of
            )
        else:
            api.apply(config)
        self._index()
        return api

    def remove(self, api_id: str) -> Api | None:
        """Forgets an API and returns it; its connections are the caller's to close."""
        api = self._apis.pop(api_id, None)
        self._index()
        return api

    def get(self, name: str) -> Api | None:
        """The API with this API id or label."""
        return self._apis.get(name) or self._hosts.get(name.lower())

    def find(self, host: str) -> Api | None:
        """The API that a ``Host`` header leads to; None only when there is no API at all."""
        try:
            return self._found[host]
        except KeyError:
            if len(self._found) >= HOSTS_COUNT:
                self._found.clear()
            api = self._found[host] = self._search(host)
            return api

    def _owner_of(self, host: str) -> Api | None:
        return self._hosts.get(_without_port(host))

    def _search(self, host: str) -> Api | None:
        name = _without_port(host)
        found = self._hosts.get(name) or self._hosts.get(name.partition(".")[0])
        return found or next(iter(self), None)

    def _index(self) -> None:
        self._hosts = {}
        self._found = {}
        for api in self:
            config = api.config
            for name in (config.label, config.http_host, config.realtime_host, *config.domains):
                self._hosts.setdefault(name.lower(), api)


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
