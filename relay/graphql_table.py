"""Who listens to which name over GraphQL, and how what is published gets there.

::

    publication ─ name ─┬─ selection {name data} ──> Route ──> hub     one payload for all of them
                        └─ selection {data}      ──> Route ──> hub
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from relay.graphql_codec import data_prefix, data_tail
from relay.hub import Hub, Outlet, Route, Subscriber

if TYPE_CHECKING:
    from relay.graphql_schema import Publication, Selection


class Listener(Subscriber):
    """One subscription.

    Attributes:
        id: its name on its connection.
        selection: what it asks for.
    """

    __slots__ = ("id", "selection")

    def __init__(self, id: str, selection: Selection, *, outlet: Outlet) -> None:  # noqa: A002
        super().__init__(outlet, data_prefix(id))
        self.id = id
        self.selection = selection


class ListenerTable:
    """The subscriptions of one API. Whoever changes it flushes the hub first."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Selection, dict[Listener, None]]] = {}
        self._routes: dict[Selection, Route] = {}

    def __len__(self) -> int:
        return sum(
            len(listeners) for group in self._by_name.values() for listeners in group.values()
        )

    def add(self, listener: Listener) -> None:
        """Adds a subscription; it gets what is published from now on."""
        selection = listener.selection
        group = self._by_name.setdefault(selection.name, {})
        group.setdefault(selection, {})[listener] = None
        self._routes.pop(selection, None)

    def remove(self, listener: Listener) -> None:
        """Removes a subscription that was added."""
        selection = listener.selection
        self._routes.pop(selection, None)
        group = self._by_name[selection.name]
        del group[selection][listener]
        if not group[selection]:
            del group[selection]
        if not group:
            del self._by_name[selection.name]

    def publish(self, publications: Iterable[Publication], *, hub: Hub) -> None:
        """Sends what was published to whoever subscribed with the same name."""
        for publication in publications:
            for selection in self._by_name.get(publication.name, ()):
                tail = data_tail(selection.fill(publication))
                hub.publish(self._route(selection), [tail], size=len(tail))

    def _route(self, selection: Selection) -> Route:
        route = self._routes.get(selection)
        if route is None:
            # All of them collect their bytes first: a connection may have several, of different
            # selections, and its events must keep their order.
            listeners = tuple(self._by_name[selection.name][selection])
            route = self._routes[selection] = Route(direct=(), mixed=listeners)
        return route
