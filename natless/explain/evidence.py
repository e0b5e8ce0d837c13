"""What is known before a cause is named: the measured failure, and facts about the network."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.measure.recorder import CallerResult, find_failure, find_setback

_AT_ONCE = 0.5  # seconds; a resolver inside a VPC answers in milliseconds, also when it refuses

# Ranges that a VPC may use inside and that the internet does not route (RFC 1918, RFC 6598,
# RFC 4193, link-local). `ipaddress.is_private` is no help: it also counts the documentation ranges,
# which stand for the internet in our networks.
_INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)


MESSAGE_LENGTH = 300  # characters of a foreign text that go into reports

# What the guest notes of a fallback that had no answer: "…; deployed could not: why; …".
_COULD_NOT = re.compile(
    r"; (?P<name>\w+) could not: (?P<reason>.+?)(?=; \w+ could not: |; answered by |$)"
)


def is_inside(address: str) -> bool:
    """Whether an address belongs to a private network; False for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _INSIDE if network.version == parsed.version)


class Dropper(StrEnum):
    """What in a network throws a packet away without a word. All look alike from the function."""

    ROUTE_TABLE = "route table"  # no route to a NAT gateway
    NAT_GONE = "blackhole route"  # a route to a NAT gateway that was deleted
    IPV6_ONLY = "egress-only internet gateway"  # a way out, but none for IPv4
    PUBLIC_SUBNET = "public subnet"  # an internet gateway, but no public address
    SECURITY_GROUP = "security group"  # egress
    ACL_OUT = "network ACL, outbound"
    ACL_RETURN = "network ACL, inbound"  # the answer's way back
    FIREWALL = "firewall"


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What somebody knows about the network from outside the function; None is *not known*.

    A network of ours knows all of it; in a real VPC nothing may be known.

    Attributes:
        in_vpc: whether the function is attached to a VPC.
        has_way_out: whether its subnet has a route to a NAT.
        dropper: what throws the function's packets to the internet away.
        syns_dropped: how many SYNs the router counted and threw away.
        function_address: the function's own address.
        resolver_address: the VPC's resolver.
        nat_address: the NAT's public address.
        endpoint_address: the interface endpoint for AppSync, if there is one.
        channel_address: the public address of the channel (AppSync, or our relay).
        private_dns: whether the endpoint's private DNS is on.
    """

    in_vpc: bool | None = None
    has_way_out: bool | None = None
    dropper: Dropper | None = None
    syns_dropped: int | None = None
    function_address: str = ""
    resolver_address: str = ""
    nat_address: str = ""
    endpoint_address: str = ""
    channel_address: str = ""
    private_dns: bool | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How calls ended that the channel did not answer: the most frequent kind of a run.

    Attributes:
        phase: the phase that ended the call.
        outcome: how.
        seconds: how long that phase lasted, the median of the calls that ended so.
        count: how many calls ended so.
        total: how many calls there were.
        budget: the name of the wait that ran out, if one did.
        budget_seconds: its length.
        host: the name that was called, when told.
        address: the address that was talked to, when one was.
        port: the port of it, 0 when not told.
        addresses: what the name resolved to.
        errno: the kernel's or the resolver's number, None when there was none.
        status: HTTP status, None when there was none.
        message: what the other side or the library said.
        is_clipped: whether the function's deadline allowed less than the budget.
    """

    phase: Phase
    outcome: Outcome
    seconds: float
    count: int = 1
    total: int = 1
    budget: str = ""
    budget_seconds: float = 0.0
    host: str = ""
    address: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()
    errno: int | None = None
    status: int | None = None
    message: str = ""
    is_clipped: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether other calls of the run ended differently."""
        return self.count < self.total

    @property
    def is_answered_lookup(self) -> bool:
        """Whether a lookup failed because a resolver said so, and no wait ran out."""
        return self.outcome is Outcome.NAME_TIMEOUT and self.seconds < _AT_ONCE

    @property
    def step(self) -> Phase:
        """The network step that failed: a publish over HTTP resolves and connects on its own."""
        if self.phase is not Phase.PUBLISH:
            return self.phase
        if self.outcome in (Outcome.NAME_NOT_FOUND, Outcome.NAME_TIMEOUT):
            return Phase.RESOLVE
        if self.outcome in (Outcome.REFUSED, Outcome.UNREACHABLE):
            return Phase.CONNECT
        if self.outcome is Outcome.TLS_ERROR:
            return Phase.TLS
        by_budget = {"dns": Phase.RESOLVE, "tcp": Phase.CONNECT, "tls": Phase.TLS}
        return by_budget.get(self.budget.rpartition(".")[2], Phase.PUBLISH)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a cause may look at.

    Attributes:
        topology: name of the network.
        title: the same for a reader.
        records: what the guest measured.
        results: what the callers got; empty when nobody told.
        network: facts from outside the function.
    """

    topology: str
    title: str = ""
    records: tuple[InvocationRecord, ...] = ()
    results: tuple[CallerResult, ...] = ()
    network: NetworkFacts = field(default_factory=NetworkFacts)

    @property
    def failure(self) -> Failure | None:
        """The most frequent way in which calls ended early, None when your code answered all."""
        return observe_failure(self.records)

    @property
    def setback(self) -> Failure | None:
        """What most often kept the developer's answer back at first; None when nothing did."""
        return _observe(self.records, find_setback)

    @property
    def asked_in_vain(self) -> tuple[str, ...]:
        """Which fallbacks had no answer and why, the most frequent first: ``deployed: …``."""
        found = Counter(
            f"{match['name']}: {_shorten(match['reason'])}"
            for record in self.records
            for match in _COULD_NOT.finditer(record.note)
        )
        return tuple(text for text, _ in found.most_common(2))

    @property
    def total(self) -> int:
        """How many invocations are known to either side."""
        return max(len(self.records), len(self.results))

    @property
    def lost(self) -> tuple[CallerResult, ...]:
        """The calls that got no answer of the function at all."""
        return tuple(result for result in self.results if not result.answered)

    @property
    def handler_errors(self) -> tuple[CallerResult, ...]:
        """The calls that the developer's handler answered with an error."""
        return self._errors_by(lambda strategy: strategy.is_developers)

    @property
    def deployed_errors(self) -> tuple[CallerResult, ...]:
        """The calls that the deployed code answered with an error."""
        return self._errors_by(lambda strategy: strategy in (Strategy.DEPLOYED, Strategy.OBSERVE))

    def _errors_by(self, is_meant: Callable[[Strategy], bool]) -> tuple[CallerResult, ...]:
        theirs = {record.request_id for record in self.records if is_meant(record.strategy)}
        return tuple(
            result
            for result in self.results
            if result.answered and result.error_type and result.request_id in theirs
        )


def observe_failure(records: Iterable[InvocationRecord]) -> Failure | None:
    """Groups the failed calls by how they ended, and describes the largest group."""
    return _observe(records, find_failure)


def _observe(
    records: Iterable[InvocationRecord], find: Callable[[InvocationRecord], Span | None]
) -> Failure | None:
    all_records = tuple(records)
    failed = [(record, span) for record in all_records if (span := find(record))]
    if not failed:
        return None
    kinds = Counter(_kind_of(span) for _, span in failed)
    kind = kinds.most_common(1)[0][0]
    group = [(record, span) for record, span in failed if _kind_of(span) == kind]
    record, span = group[0]
    durations = sorted(span.duration for _, span in group)
    return _describe(
        record,
        span,
        seconds=durations[len(durations) // 2],
        count=len(group),
        total=len(all_records),
    )


def _shorten(reason: str) -> str:
    """An error of a runtime is JSON: its type and message say enough."""
    head, brace, rest = reason.partition("{")
    try:
        said = json.loads(brace + rest)
        return f"{head}{said['errorType']}: {said['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return reason


def _kind_of(span: Span) -> tuple[Any, ...]:
    return span.phase, span.outcome, span.budget, _number(span.detail, "status")


def _describe(
    record: InvocationRecord, span: Span, *, seconds: float, count: int, total: int
) -> Failure:
    before = _details_before(record, span)
    # A publish over HTTP talks to a host of its own: what the socket's phases saw is not about it.
    is_elsewhere = span.detail.get("host", before.get("host")) != before.get("host")
    detail = span.detail if is_elsewhere else {**before, **span.detail}
    return Failure(
        phase=span.phase,
        outcome=span.outcome,
        seconds=seconds,
        count=count,
        total=total,
        budget=span.budget,
        budget_seconds=span.budget_seconds,
        host=str(detail.get("host") or ""),
        address=_address_of(detail),
        port=_number(detail, "port") or 0,
        addresses=_addresses_of(detail),
        errno=_number(span.detail, "errno"),
        status=_number(span.detail, "status"),
        message=_read_message(span.detail),
        is_clipped=bool(span.detail.get("clipped")),
    )


def _read_message(detail: Mapping[str, Any]) -> str:
    """What was said: an AWS error's type and message, or the text of an HTTP answer."""
    said = (detail.get("error_type"), detail.get("message") or _text_of(detail.get("body")))
    return ": ".join(str(part) for part in said if part)[:MESSAGE_LENGTH]


def _text_of(body: object) -> str:
    """The message in a JSON error body of AWS, or the body as it is."""
    text = body if isinstance(body, str) else ""
    try:
        parsed = json.loads(text)
    except ValueError:
        return text.strip()
    errors = parsed.get("errors") if isinstance(parsed, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        parsed = errors[0]
    return str(parsed.get("message") or text.strip()) if isinstance(parsed, dict) else text.strip()


def _address_of(detail: Mapping[str, Any]) -> str:
    if address := detail.get("address"):
        return str(address)
    addresses = _addresses_of(detail)
    return addresses[0] if len(addresses) == 1 else ""


def _addresses_of(detail: Mapping[str, Any]) -> tuple[str, ...]:
    addresses = detail.get("addresses")
    return tuple(map(str, addresses)) if isinstance(addresses, list | tuple) else ()


def _number(detail: Mapping[str, Any], name: str) -> int | None:
    """A fact that should be a number; the log line it comes from may hold anything."""
    value = detail.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _details_before(record: InvocationRecord, failed: Span) -> dict[str, Any]:
    """What the phases of the opening told: a failed upgrade is one to the address connected to."""
    known: dict[str, Any] = {}
    for span in record.spans:
        if span is failed:
            break
        if span.phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS):
            told = ("host", "addresses", "address", "port")
            known |= {key: span.detail[key] for key in told if key in span.detail}
    return known
