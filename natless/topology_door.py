"""Changes the network over HTTP: what ``natless topology`` and curl talk to.

=======================  ============================================================
``GET /topology``        every network, and which one holds
``GET /topology/NAME``   a drawing of it
``PUT /topology/NAME``   change it; ``?keep`` keeps running environments and their
                         connections, ``?verify`` proves its promise by probes
=======================  ============================================================

The same for containers (``docker compose up``) and for namespaces (``natless dev``).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from natless.errors import NatlessError, UsageError
from natless.report.document import ProbeRun
from natless.vpc.drawing import draw_topology
from natless.vpc.model import Topology
from natless.vpc.topologies import TOPOLOGIES, find


class Changeable(Protocol):
    """A network that can be changed while functions live in it."""

    @property
    def current(self) -> Topology | None:
        """The topology that holds, None where functions are in no network of ours."""

    async def change(self, topology: Topology, *, keep: bool = False) -> float:
        """Makes it into another; returns the seconds that took."""

    async def verify(self) -> Sequence[ProbeRun]:
        """Proves by probes that it shows what it promises."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NETWORK: web.AppKey[Changeable] = web.AppKey("network", Changeable)


def add_topology_routes(app: web.Application, network: Changeable) -> None:
    """Adds the routes; whoever may not come in is the application's to refuse."""
    app[NETWORK] = network
    app.router.add_get("/topology", _list)
    app.router.add_get("/topology/{name}", explain_errors(_draw))
    app.router.add_put("/topology/{name}", explain_errors(_change))


def explain_errors(handler: Handler) -> Handler:
    """Our own errors as JSON, with the next step: 404 for a wrong name, 500 for the rest."""

    @functools.wraps(handler)
    async def explained(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except NatlessError as error:
            status = 404 if isinstance(error, UsageError) else 500
            return web.json_response({"error": str(error), "next": error.hint}, status=status)

    return explained


async def _list(request: web.Request) -> web.Response:
    current = request.app[NETWORK].current
    topologies = [_describe(each) for each in TOPOLOGIES.values()]
    return _json({"current": current and current.name, "topologies": topologies})


async def _draw(request: web.Request) -> web.Response:
    return web.Response(text=draw_topology(find(request.match_info["name"])))


async def _change(request: web.Request) -> web.Response:
    network = request.app[NETWORK]
    topology = find(request.match_info["name"])
    seconds = await network.change(topology, keep="keep" in request.query)
    said: dict[str, Any] = {**_describe(topology), "seconds": round(seconds, 4)}
    if "verify" in request.query:
        probes = await network.verify()
        said["kept"] = all(probe.kept for probe in probes)
        said["probes"] = [
            {"name": probe.name, "kept": probe.kept, "seen": probe.seen} for probe in probes
        ]
    return _json(said)


def _describe(topology: Topology) -> dict[str, Any]:
    return {"name": topology.name, "title": topology.title, "promise": topology.promise.text}


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(
        text=json.dumps(body, indent=2, ensure_ascii=False) + "\n", content_type="application/json"
    )
