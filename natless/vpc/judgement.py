"""Whether what a probe saw is what a topology promises. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from event_protocol.phases import Outcome, Phase, Span
from natless.vpc.model import ADDRESSES, Addresses, Beside, FarSide, Promise
from natless.vpc.routes import parse_routes
from natless.vpc.tcp_table import TcpSocket

_EARLY = 0.95
"""A hang lasts at least this part of its budget; clocks and schedulers take the rest."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One thing that was looked at.

    Attributes:
        name: what was looked at: ``reach``, ``names``, ``far side``, ``router``, ``isolation``,
            where a promise speaks of it also ``beside`` and ``idle``;
            after ``control before/`` or ``control after/`` when it was seen on ``nat``.
        is_ok: whether it is as promised.
        sentence: what was seen, and when that is not as promised, what was.
        spans: the phases, where phases were measured.
    """

    name: str
    is_ok: bool
    sentence: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one call from the function's place looked like, from all sides.

    Attributes:
        spans: the phases, up to the first that failed.
        names: the addresses of the API's other names.
        far_sockets: sockets that the far sides have of this call.
        counters: packets by rule of the router, since the topology was applied.
        beside: how connections to further addresses ended.
        idle: how a request ended after a short pause (``kept``), and after one that was longer
            than the NAT gateway's limit (``forgotten``); empty where there is no such limit.
    """

    spans: tuple[Span, ...]
    names: Mapping[str, tuple[str, ...]]
    far_sockets: tuple[TcpSocket, ...]
    counters: Mapping[str, int]
    beside: Mapping[str, Outcome] = field(default_factory=dict)
    idle: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def last(self) -> Span:
        """The phase that ended the call."""
        return self.spans[-1]


def judge(promise: Promise, seen: Observation) -> tuple[ProbeResult, ...]:
    """All that can be said about one call."""
    return (
        _judge_reach(promise, seen),
        _judge_names(promise, seen),
        _judge_far_side(promise, seen),
        _judge_router(promise, seen),
        *(_judge_beside(each, seen) for each in promise.beside),
        *((_judge_idle(seen),) if seen.idle else ()),
    )


def judge_isolation(routes: str, *, addresses: Addresses = ADDRESSES) -> ProbeResult:
    """Whether the router's routes (``/proc/net/route``) stay inside the lab."""
    own = {leg.network for leg in addresses.legs.values()}
    foreign = [
        f"{network} dev {interface}"
        for interface, network in parse_routes(routes)
        if str(network) not in own
    ]
    if foreign:
        return ProbeResult("isolation", False, f"the router has a way out: {', '.join(foreign)}")
    return ProbeResult("isolation", True, "the router has routes to the lab's networks only")


def describe_span(span: Span) -> str:
    """A phase and its end in a few words, such as ``connect: timeout after 1000.3 ms``."""
    status = span.detail.get("status")
    said = f"HTTP {status}" if status is not None else str(span.outcome)
    address = span.detail.get("address")
    at = f" from {address}" if address and status is not None else ""
    name = span.detail.get("error")
    number = f" ({name})" if name else ""
    return f"{span.phase}: {said}{at}{number} after {span.duration * 1000:.1f} ms"


def _judge_reach(promise: Promise, seen: Observation) -> ProbeResult:
    wrong = "; ".join(_reach_mistakes(promise, seen.last))
    sentence = describe_span(seen.last)
    if wrong:
        sentence = f"promised is {promise.text!r}, seen was {sentence}: {wrong}"
        if message := seen.last.detail.get("message"):
            sentence += f" ({message})"
    return ProbeResult("reach", not wrong, sentence, seen.spans)


def _reach_mistakes(promise: Promise, last: Span) -> Iterator[str]:
    status = last.detail.get("status")
    if promise.outcome in (Outcome.OK, Outcome.HTTP_ERROR):
        # Any answer over HTTP proves the way; which one it must be is for the promise to say.
        if last.phase is not Phase.UPGRADE or last.outcome is not Outcome.OK:
            yield "there was no answer over HTTP"
        elif promise.http_status is not None and status != promise.http_status:
            yield f"the status should be {promise.http_status}"
    elif (last.phase, last.outcome) != (promise.phase, promise.outcome):
        yield f"it should end in {promise.phase}: {promise.outcome}"
    elif promise.outcome is Outcome.TIMEOUT:
        if last.duration < last.budget_seconds * _EARLY:
            yield f"a hang should last the whole budget of {last.budget_seconds:g} s"
    elif promise.errnos and last.detail.get("errno") not in promise.errnos:
        yield f"errno {last.detail.get('errno')} is not one of {sorted(promise.errnos)}"


def _judge_names(promise: Promise, seen: Observation) -> ProbeResult:
    first = (promise.address,) if promise.address is not None else ()
    usual = (*first, *promise.further)
    generated = usual if promise.elsewhere is None else (promise.elsewhere,)
    expected = dict.fromkeys(seen.names, generated)
    found = dict(seen.names)
    for span in seen.spans:
        host = str(span.detail.get("host"))
        if span.phase is Phase.RESOLVE and not _is_address(host):  # a proxy's is no name
            found[host], expected[host] = tuple(span.detail.get("addresses", ())), usual
    wrong = {name: addresses for name, addresses in found.items() if addresses != expected[name]}
    if wrong:
        said = "; ".join(
            f"{name} is {_listed(addresses)} and should mean {_listed(expected[name])}"
            for name, addresses in wrong.items()
        )
        return ProbeResult("names", False, said)
    said = _listed(usual)
    if generated != usual:
        said += f", and generated ones {_listed(generated)}"
    return ProbeResult("names", True, f"{len(found)} names mean {said}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _listed(addresses: tuple[str, ...]) -> str:
    return ", ".join(addresses) or "nothing"


def _judge_far_side(promise: Promise, seen: Observation) -> ProbeResult:
    peers = sorted({each.remote for each in seen.far_sockets})
    half_open = bool(seen.far_sockets) and all(each.is_half_open for each in seen.far_sockets)
    match promise.far_side:
        case FarSide.NOTHING:
            is_ok, expected = not peers, "nobody"
        case FarSide.HALF_OPEN:
            is_ok, expected = half_open, "a half-open connection"
        case FarSide.CONNECTED:
            is_ok, expected = bool(peers) and not half_open, "a connection"
    if is_ok and promise.peer is not None:
        is_ok = peers == [promise.peer]
    expected += f" from {promise.peer}" if promise.peer is not None else ""
    state = " (half-open)" if half_open else ""
    sentence = f"the far side sees {_listed(tuple(peers)) if peers else 'nobody'}{state}"
    return ProbeResult(
        "far side", is_ok, sentence if is_ok else f"{sentence}, but should see {expected}"
    )


def _judge_router(promise: Promise, seen: Observation) -> ProbeResult:
    if promise.counter is None:
        return ProbeResult("router", True, "no rule of the router has to count anything")
    packets = seen.counters.get(promise.counter, 0)
    sentence = f"the router's rule {promise.counter!r} has met {packets} packets"
    return ProbeResult(
        "router", packets > 0, sentence if packets else f"{sentence}, but should have met some"
    )


def _judge_beside(wanted: Beside, seen: Observation) -> ProbeResult:
    outcome = seen.beside.get(wanted.address)
    is_ok = outcome is wanted.outcome
    sentence = f"a connection to {wanted.address} beside the call: {outcome or 'not tried'}"
    return ProbeResult("beside", is_ok, sentence if is_ok else f"{sentence}, not {wanted.outcome}")


def _judge_idle(seen: Observation) -> ProbeResult:
    kept, forgotten = seen.idle.get("kept"), seen.idle.get("forgotten")
    resets = seen.counters.get("nat-forgotten", 0)
    is_ok = (kept, forgotten) == (Outcome.OK, Outcome.RESET) and resets > 0
    sentence = (
        f"after a short pause a request ended with {kept}, after one longer than the NAT gateway's"
        f" limit with {forgotten}; it has reset {resets} packets"
    )
    return ProbeResult("idle", is_ok, sentence if is_ok else f"{sentence}, but should have some")
