"""The kernel or a router says at once that there is no way: above all IPv6 without a route."""

from __future__ import annotations

import errno

from event_protocol.phases import Outcome
from natless.explain import advice
from natless.explain.evidence import Evidence, Failure
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a destination that was called unreachable."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.UNREACHABLE:
        return None
    return _ipv6(evidence, failure) if _is_ipv6(failure) else _ipv4(evidence, failure)


def _is_ipv6(failure: Failure) -> bool:
    addresses = (failure.address,) if failure.address else failure.addresses
    return bool(addresses) and all(":" in address for address in addresses)


def _ipv6(evidence: Evidence, failure: Failure) -> Verdict:
    return Verdict(
        cause="ipv6-no-route",
        phase=failure.phase,
        hop=Hop.FUNCTION,
        sentence=(
            f"{opening(failure)}The name resolved to the IPv6 address {address_of(failure)}, and "
            f"the function has no IPv6 route (said at once, after {how_long(failure)}). Give it "
            f"dual stack and an egress-only internet gateway{_ipv4_way(failure)}"
        ),
        next_steps=(
            "Set Ipv6AllowedForDualStack on the function, give its subnets IPv6 ranges, and route "
            "::/0 to an egress-only internet gateway; security group and network ACL need rules "
            "for ::/0 of their own.",
            "A NAT gateway helps only a name that has A records as well (`dig A <host>`). "
            "If it should have one, look for a private hosted zone that covers it.",
            advice.LEAVE_VPC,
        ),
        evidence=observations(evidence),
        certainty=Certainty.PROVEN if failure.errno == errno.ENETUNREACH else Certainty.LIKELY,
    )


def _ipv4_way(failure: Failure) -> str:
    """What to say of NAT: it carries IPv4 alone, and the name may have no such address."""
    if failure.addresses and all(":" in address for address in failure.addresses):
        return ": the name has no IPv4 address, so that a NAT gateway would not help."
    return ", or a NAT gateway for IPv4."


def _ipv4(evidence: Evidence, failure: Failure) -> Verdict:
    return Verdict(
        cause="unreachable",
        phase=failure.phase,
        hop=Hop.ROUTER,
        sentence=(
            f"{opening(failure)}Somebody on the way said after {how_long(failure)} that "
            f"{address_of(failure)} cannot be reached. AWS's own route tables and filters stay "
            "silent, so an appliance of yours (NAT instance, firewall, proxy) said it: look at its "
            "routes and rules."
        ),
        next_steps=(
            "Find the instance or appliance that the subnet's default route leads to, and check "
            "its own way to the internet.",
            advice.NAT,
            advice.LEAVE_VPC,
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "nat-instance",
                "a NAT instance without a route of its own",
                "0.0.0.0/0 leads to an eni-… or i-…; log in there and try the same address",
            ),
            Candidate(
                "firewall-reject",
                "a firewall that answers with ICMP",
                "errno 113 (EHOSTUNREACH) instead of 101 (ENETUNREACH)",
            ),
        ),
    )
