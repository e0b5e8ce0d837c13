"""The operator's door: ``/_natless/health`` and ``/_natless/connections``."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiohttp import web

from relay.clock import Clock
from relay.front import Visit
from relay.http_replies import Reply, answer_unknown, refuse
from relay.link import Link
from relay.namespaces import Registry
from relay.publishing import NewIdentifier

PREFIX = "/_natless/"
SHOWN_COUNT = 1000  # connections in one answer


@dataclass(frozen=True, slots=True, eq=False)
class Admin:
    """Says how the relay is. ``/connections`` tells channel names, so only loopback may ask."""

    clock: Clock
    started: float
    registry: Registry
    connections: Iterable[Link]
    new_identifier: NewIdentifier

    def __call__(self, request: web.BaseRequest, *, visit: Visit) -> web.StreamResponse:
        """Answers one request."""
        request_id = self.new_identifier()
        match request.path.removeprefix(PREFIX):
            case "health":
                document = self._health()
            case "connections" if not is_loopback(visit.peer):
                message = "Ask from the machine that the relay runs on."
                return refuse("AccessDeniedException", message, request_id=request_id, status=403)
            case "connections":
                document = self._connections()
            case _:
                return answer_unknown(request_id=request_id)
        return Reply(json.dumps(document).encode(), request_id=request_id)

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "seconds": round(self.clock.now() - self.started, 3),
            "connections": sum(1 for _ in self.connections),
            "subscriptions": sum(len(api.channels) for api in self.registry),
            "apis": sum(1 for _ in self.registry),
        }

    def _connections(self) -> dict[str, Any]:
        shown = [self._describe(one) for one in islice(self.connections, SHOWN_COUNT)]
        return {"count": sum(1 for _ in self.connections), "connections": shown}

    def _describe(self, connection: Link) -> dict[str, Any]:
        visit, outlet = connection.visit, connection.outlet
        return {
            "connection": visit.connection,
            "api": connection.api.config.api_id,
            "peer": visit.peer,
            "peer_port": visit.port,
            "tls": visit.tls,
            "seconds": round(self.clock.now() - visit.opened, 3),
            "subscriptions": connection.describe_subscriptions(),
            "received": visit.received,
            "delivered": outlet.delivered,
            "unsent_bytes": outlet.look(),
        }


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
