"""Phrases that several causes build their sentences and their evidence from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from event_protocol.phases import Phase
from natless.explain.evidence import Evidence, Failure, is_inside
from natless.explain.seen import describe_failure
from natless.measure.durations import humanize
from natless.measure.recorder import CallerResult


def name_of(failure: Failure) -> str:
    """The name that was called, or words for it."""
    return failure.host or "the channel's name"


def address_of(failure: Failure) -> str:
    """The address that was talked to, or words for it."""
    return failure.address or ", ".join(failure.addresses) or "its address"


def opening(failure: Failure) -> str:
    """Says first that the socket stands when it was the publish's own connection that failed."""
    if failure.phase is Phase.PUBLISH and failure.step is not Phase.PUBLISH:
        return "The realtime connection stands, but publishing goes to another host. "
    return ""


def how_long(failure: Failure) -> str:
    """The wait of the failed phase: ``3.0 s``."""
    return humanize(failure.seconds)


def observations(evidence: Evidence) -> tuple[str, ...]:
    """What was measured and what is known, one a line: the evidence under a verdict."""
    failure = evidence.failure
    lines = [] if failure is None else _of_failure(failure)
    return (*lines, *_of_network(evidence), *_of_calls(evidence))


def _of_failure(failure: Failure) -> list[str]:
    lines = []
    if failure.host and failure.addresses:
        lines.append(f"{failure.host} resolved to {', '.join(failure.addresses)}")
    target = f" with {failure.address}" if failure.address else ""
    target += f" port {failure.port}" if failure.address and failure.port else ""
    lines.append(describe_failure(failure) + target)
    if failure.budget:
        lines.append(f"budget {failure.budget}: {humanize(failure.budget_seconds)}")
    if failure.is_clipped:
        lines.append("the function's deadline allowed less than the whole budget")
    if failure.errno is not None:
        lines.append(f"errno {failure.errno}")
    if failure.message:
        lines.append(f"it said: {failure.message}")
    if failure.address:
        kind = "inside the VPC" if is_inside(failure.address) else "public"
        lines.append(
            f"{failure.address} is an address {kind}"
            if kind != "public"
            else f"{failure.address} is a public address"
        )
    return lines


def _of_network(evidence: Evidence) -> list[str]:
    network = evidence.network
    lines = []
    if network.in_vpc is False:
        lines.append("the function is outside any VPC")
    elif network.in_vpc:
        way = {True: "a route to a NAT", False: "no way out", None: "an unknown way out"}
        lines.append(f"the function is in a VPC, and its subnet has {way[network.has_way_out]}")
    if network.dropper is not None:
        lines.append(f"packets to the internet are stopped by: {network.dropper}")
    if network.syns_dropped:
        lines.append(f"the router counted {network.syns_dropped} dropped SYNs")
    if network.endpoint_address:
        dns = {True: ", private DNS on", False: ", private DNS off", None: ""}
        lines.append(f"interface endpoint at {network.endpoint_address}{dns[network.private_dns]}")
    return lines


def _of_calls(evidence: Evidence) -> list[str]:
    failure = evidence.failure
    lines = []
    if failure is not None:
        lines.append(f"{failure.count} of {failure.total} calls ended this way")
    if evidence.lost:
        lines.append(f"{len(evidence.lost)} of {evidence.total} callers got no answer")
    if errors := evidence.deployed_errors:
        count = f"{len(errors)} of {evidence.total}"
        lines.append(f"the deployed code answered {count} calls with an error: {words_of(errors)}")
    return lines


def words_of(errors: Sequence[CallerResult]) -> str:
    """What answers said that were errors: the most frequent one, and how many others there are."""
    said = Counter(
        f"{error.error_type}: {error.error_message}" if error.error_message else error.error_type
        for error in errors
    )
    first = said.most_common(1)[0][0]
    others = len({error.error_type for error in errors} - {first.partition(":")[0]})
    more = f" (and {others} other kind{'s' * (others != 1)})" if others else ""
    return first + more
