"""The network of a topology as a drawing: who reaches whom, and where packets die.

::

    ┌ VPC ────────────────────────────┐
    │               resolver          │
    │  function ──▶ way out       ────┼──▶ AppSync ◀──── your machine
    │               endpoint          │
    └─────────────────────────────────┘

There are two layouts of the same graph: the one above, and one from top to bottom for a phone,
because text in a drawing that is scaled down cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from natless.explain.evidence import NetworkFacts
from natless.explain.verdict import Hop, Verdict
from natless.report.document import TopologyRun


class Look(StrEnum):
    """How a part is painted."""

    LIVE = "live"  # packets pass
    DEAD = "dead"  # packets die here
    IDLE = "idle"  # there, and no packet of this call comes by
    WAITING = "waiting"  # up, and waiting for a call that never arrives


class Side(StrEnum):
    """The nodes of the graph."""

    FUNCTION = "function"
    RESOLVER = "resolver"
    WAY_OUT = "way-out"
    ENDPOINT = "endpoint"
    CHANNEL = "channel"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Node:
    """A box: its name, its address or a word, and its place."""

    side: Side
    title: str
    subtitle: str
    look: Look
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        """The centre of the box."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow; a dead one ends in a cross at its middle.

    Attributes:
        path: as in the ``d`` of an SVG path.
        look: how it is painted.
        label: a few words beside it.
        label_x: their place.
        label_y: their place.
        anchor: which end of the label is at that place: ``start``, ``middle``, ``end``.
        cross: where the cross is, None without one.
    """

    path: str
    look: Look
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "middle"
    cross: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """The border of the VPC."""

    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Diagram:
    """A drawing of the network, ready to be painted."""

    width: float
    top: float
    bottom: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    frame: Frame | None
    is_upright: bool


# Where a call ends, and which edge that is; the edges before it are live.
_CROSSED = {
    Hop.RESOLVER: Side.RESOLVER,
    Hop.ROUTER: Side.WAY_OUT,
    Hop.ENDPOINT: Side.ENDPOINT,
    Hop.CHANNEL: Side.CHANNEL,
    Hop.WORKER: Side.MACHINE,
}


_PAINTED = (Look.IDLE, Look.WAITING, Look.DEAD, Look.LIVE)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Columns, rows and sizes of one layout."""

    is_upright: bool
    width: float
    node_width: float
    node_height: float
    places: dict[Side, tuple[float, float]]

    def node(self, side: Side, title: str, subtitle: str, look: Look) -> Node:
        x, y = self.places[side]
        return Node(side, title, subtitle, look, x, y, self.node_width, self.node_height)


def draw_diagrams(topology: TopologyRun) -> tuple[Diagram, Diagram]:
    """The wide and the upright drawing of a topology."""
    has_endpoint = _has_endpoint(topology)
    return _draw(topology, _wide_grid(has_endpoint)), _draw(topology, _upright_grid(has_endpoint))


def describe_diagram(topology: TopologyRun) -> str:
    """The drawing in words, for those who cannot see it."""
    verdict = topology.verdict
    if verdict.works:
        return "The function reaches AppSync, and AppSync reaches your machine."
    where = {
        Hop.FUNCTION: "in the function itself",
        Hop.RESOLVER: "at the resolver",
        Hop.ROUTER: "on the way out of its subnet",
        Hop.ENDPOINT: "at the interface endpoint inside the VPC",
        Hop.CHANNEL: "at AppSync",
        Hop.WORKER: "between AppSync and your machine",
        Hop.HANDLER: "in the handler on your machine",
    }
    place = where.get(verdict.hop, "at a place that is not known")
    return f"The function's call ends {place}."


def _has_endpoint(topology: TopologyRun) -> bool:
    return bool(topology.network.endpoint_address) or topology.verdict.hop is Hop.ENDPOINT


def _wide_grid(has_endpoint: bool) -> _Grid:
    top, step = 40.0, 84.0
    row = (top, top + step, top + 2 * step)
    return _Grid(
        is_upright=False,
        width=900.0,
        node_width=150.0,
        node_height=54.0,
        places={
            Side.FUNCTION: (24.0, row[1]),
            Side.RESOLVER: (286.0, row[0]),
            Side.WAY_OUT: (286.0, row[1]),
            Side.ENDPOINT: (286.0, row[2] if has_endpoint else row[1]),
            Side.CHANNEL: (534.0, row[1]),
            Side.MACHINE: (746.0, row[1]),
        },
    )


def _upright_grid(has_endpoint: bool) -> _Grid:
    left, middle, right = (10.0, 120.0, 230.0) if has_endpoint else (38.0, 192.0, 192.0)
    function = middle
    return _Grid(
        is_upright=True,
        width=346.0,
        node_width=106.0 if has_endpoint else 114.0,
        node_height=50.0,
        places={
            Side.FUNCTION: (function, 34.0),
            Side.RESOLVER: (left, 142.0),
            Side.WAY_OUT: (middle, 142.0),
            Side.ENDPOINT: (right, 142.0),
            Side.CHANNEL: (middle, 252.0),
            Side.MACHINE: (middle, 352.0),
        },
    )


def _draw(topology: TopologyRun, grid: _Grid) -> Diagram:
    verdict, network = topology.verdict, topology.network
    looks = _looks(topology)
    resolver = "" if network.in_vpc is False else network.resolver_address
    nodes = [
        grid.node(Side.FUNCTION, "function", _own_address(network), looks[Side.FUNCTION]),
        grid.node(Side.RESOLVER, "resolver", resolver, looks[Side.RESOLVER]),
        grid.node(Side.CHANNEL, "AppSync", network.channel_address, looks[Side.CHANNEL]),
        grid.node(Side.MACHINE, "your machine", "worker", looks[Side.MACHINE]),
    ]
    if network.in_vpc is not False:
        title, subtitle = _way_out(network)
        nodes.append(grid.node(Side.WAY_OUT, title, subtitle, looks[Side.WAY_OUT]))
    if _has_endpoint(topology):
        address = network.endpoint_address
        nodes.append(grid.node(Side.ENDPOINT, "endpoint", address, looks[Side.ENDPOINT]))
    placed = {node.side: node for node in nodes}
    frame = _frame(network, placed, upright=grid.is_upright)
    tops = [node.y for node in nodes] + ([frame.y] if frame else [])
    bottoms = [node.y + node.height for node in nodes] + ([frame.y + frame.height] if frame else [])
    return Diagram(
        width=grid.width,
        top=min(tops) - 4,
        bottom=max(bottoms) + 4,
        nodes=tuple(nodes),
        edges=tuple(_edges(verdict, network, placed, upright=grid.is_upright)),
        frame=frame,
        is_upright=grid.is_upright,
    )


def _own_address(network: NetworkFacts) -> str:
    """Outside a VPC a function has no address that anybody could know."""
    return "Lambda's network" if network.in_vpc is False else network.function_address


def _way_out(network: NetworkFacts) -> tuple[str, str]:
    if network.nat_address or network.has_way_out:
        return "NAT gateway", network.nat_address
    return "route table", "no way out" if network.has_way_out is False else ""


def _looks(topology: TopologyRun) -> dict[Side, Look]:
    """Every node is live up to where the call ends; the developer's side is always there."""
    hop = topology.verdict.hop
    passed = {
        Hop.FUNCTION: (),
        Hop.RESOLVER: (),
        Hop.ROUTER: (Side.RESOLVER,),
        Hop.ENDPOINT: (Side.RESOLVER,),
        Hop.CHANNEL: (Side.RESOLVER, Side.WAY_OUT),
    }.get(hop, (Side.RESOLVER, Side.WAY_OUT, Side.CHANNEL, Side.MACHINE))
    looks = {side: Look.LIVE if side in passed else Look.IDLE for side in Side}
    looks[Side.FUNCTION] = Look.DEAD if hop is Hop.FUNCTION else Look.LIVE
    for side in (Side.CHANNEL, Side.MACHINE):
        looks[side] = Look.LIVE if side in passed else Look.WAITING
    if hop is Hop.HANDLER:
        looks[Side.MACHINE] = Look.DEAD if not topology.verdict.works else Look.LIVE
    elif (dead := _CROSSED.get(hop)) is not None:
        looks[dead] = Look.DEAD
    if topology.verdict.works:
        looks[Side.ENDPOINT] = Look.IDLE
    return looks


def _edges(
    verdict: Verdict, network: NetworkFacts, placed: dict[Side, Node], *, upright: bool
) -> list[Edge]:
    crossed = _CROSSED.get(verdict.hop)
    order = (Side.RESOLVER, Side.WAY_OUT, Side.CHANNEL, Side.MACHINE)

    def look(side: Side) -> Look:
        if side is crossed:
            return Look.DEAD
        if side is Side.ENDPOINT:
            return Look.IDLE
        if verdict.hop is Hop.FUNCTION or (crossed is Side.ENDPOINT and side is not Side.RESOLVER):
            return Look.IDLE
        stop = order.index(crossed) if crossed in order else len(order)
        return Look.LIVE if order.index(side) < stop else Look.IDLE

    function, channel = placed[Side.FUNCTION], placed[Side.CHANNEL]
    edges = [_join(function, placed[Side.RESOLVER], look(Side.RESOLVER), "name?", upright=upright)]
    before_channel = placed.get(Side.WAY_OUT, function)
    if Side.WAY_OUT in placed:
        # The packets reach the route table; what dies is what should come out of it.
        dead = crossed is Side.WAY_OUT
        first = Look.LIVE if dead else look(Side.WAY_OUT)
        label = "SYN" if first is Look.LIVE else ""
        edges.append(_join(function, before_channel, first, label, upright=upright))
        out = Look.DEAD if dead else look(Side.CHANNEL)
        label = f"{network.syns_dropped} dropped" if dead and network.syns_dropped else ""
        edges.append(_join(before_channel, channel, out, label, upright=upright))
    else:
        edges.append(_join(function, channel, look(Side.CHANNEL), "", upright=upright))
    if Side.ENDPOINT in placed:
        label = "refused" if crossed is Side.ENDPOINT else ""
        look_ = look(Side.ENDPOINT)
        edges.append(_join(function, placed[Side.ENDPOINT], look_, label, upright=upright))
    worker = Look.LIVE if verdict.works or verdict.hop is Hop.HANDLER else Look.WAITING
    if crossed is Side.MACHINE:
        worker = Look.DEAD
    edges.append(_join(placed[Side.MACHINE], channel, worker, "", upright=upright))
    # Lines share their beginning; what is live is painted over what is not.
    return sorted(edges, key=lambda edge: _PAINTED.index(edge.look))


def _join(start: Node, end: Node, look: Look, label: str, *, upright: bool) -> Edge:
    return _join_down(start, end, look, label) if upright else _join_across(start, end, look, label)


def _join_across(start: Node, end: Node, look: Look, label: str) -> Edge:
    """A line from side to side; to another row it bends half-way."""
    (_, y1), (_, y2) = start.middle, end.middle
    forward = start.x < end.x
    x1 = start.x + (start.width if forward else 0)
    x2 = end.x + (0 if forward else end.width)
    turn = x1 + (x2 - x1) * 0.42
    path = f"M{x1} {y1}H{x2}" if y1 == y2 else f"M{x1} {y1}H{turn}V{y2}H{x2}"
    # Lines to other rows branch off at the turn, so a short line has its label after it.
    middle = (x1 + x2) / 2 if y1 == y2 and look is Look.DEAD else (turn + x2) / 2
    return Edge(
        path=path,
        look=look,
        label=label,
        label_x=middle,
        label_y=y2 - 13,
        cross=(middle, y2) if look is Look.DEAD else None,
    )


def _join_down(start: Node, end: Node, look: Look, label: str) -> Edge:
    """A line from top to bottom; to another column it bends half-way."""
    (x1, _), (x2, _) = start.middle, end.middle
    forward = start.y < end.y
    y1 = start.y + (start.height if forward else 0)
    y2 = end.y + (0 if forward else end.height)
    turn = y1 + (y2 - y1) * 0.4
    path = f"M{x1} {y1}V{y2}" if x1 == x2 else f"M{x1} {y1}V{turn}H{x2}V{y2}"
    middle = (y1 + y2) / 2 if x1 == x2 else (turn + y2) / 2
    return Edge(
        path=path,
        look=look,
        label=label,
        label_x=x2 - 13 if x2 > x1 else x2 + (13 if look is Look.DEAD else 8),
        label_y=middle + 4,
        anchor="end" if x2 > x1 else "start",
        cross=(x2, middle) if look is Look.DEAD else None,
    )


def _frame(network: NetworkFacts, placed: dict[Side, Node], *, upright: bool) -> Frame | None:
    if network.in_vpc is False:
        return None
    inside = [placed[s] for s in (Side.FUNCTION, Side.RESOLVER, Side.WAY_OUT, Side.ENDPOINT)
              if s in placed]  # fmt: skip
    pad = 8.0 if upright else 20.0
    left = min(node.x for node in inside) - pad
    right = max(node.x + node.width for node in inside) + pad
    top = min(node.y for node in inside) - 30.0
    bottom = max(node.y + node.height for node in inside) + (14.0 if upright else 18.0)
    return Frame("VPC" if network.in_vpc else "network", left, top, right - left, bottom - top)
