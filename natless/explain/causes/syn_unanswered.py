"""A SYN to a public address gets no answer: above all, a VPC without NAT.

From inside the function a missing route, a security group and a network ACL are one picture: the
name resolves (the VPC's resolver answers whatever the routes say) and the SYN meets silence. Only
facts about the network tell them apart; without these the candidates are listed by how often they
are the reason.
"""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Dropper, Evidence, Failure, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, observations, opening

_KNOWN = {
    Dropper.ROUTE_TABLE: Candidate(
        "no-route-out",
        "the subnet's route table has no way out",
        "the table of every subnet of the function needs 0.0.0.0/0 to a nat-… "
        "(`aws ec2 describe-route-tables --filters Name=association.subnet-id,Values=<subnet>`; "
        "an empty answer means the VPC's main table)",
    ),
    Dropper.NAT_GONE: Candidate(
        "nat-gone",
        "the subnet's default route leads to a NAT gateway that was deleted",
        "the route's state is `blackhole` (`aws ec2 describe-route-tables`)",
    ),
    Dropper.IPV6_ONLY: Candidate(
        "ipv6-only-way",
        "the subnet's only way out carries IPv6 (an egress-only internet gateway), and the name "
        "has IPv4 addresses alone",
        "the route table has ::/0 to an eigw-… and no 0.0.0.0/0; `dig AAAA <host>` is empty",
    ),
    Dropper.PUBLIC_SUBNET: Candidate(
        "public-subnet",
        "the function is in a public subnet, and the internet gateway drops packets of an "
        "interface without a public address, which a function never has",
        "0.0.0.0/0 of the function's subnet goes to an igw-…",
    ),
    Dropper.SECURITY_GROUP: Candidate(
        "sg-egress",
        "no security group of the function lets TCP 443 out",
        "the groups' egress rules together must allow tcp 443 to 0.0.0.0/0 "
        "(`aws ec2 describe-security-groups --group-ids <group>`)",
    ),
    Dropper.ACL_RETURN: Candidate(
        "nacl-return",
        "a network ACL refuses the answer's way back",
        "the subnet's inbound rules must allow tcp 1024-65535 from 0.0.0.0/0",
    ),
    Dropper.ACL_OUT: Candidate(
        "nacl-egress",
        "a network ACL refuses TCP 443 on the way out",
        "the subnet's outbound rules, lowest number first, must allow tcp 443 to 0.0.0.0/0",
    ),
    Dropper.FIREWALL: Candidate(
        "firewall-drop",
        "a firewall on the way out drops the packets",
        "the rule groups and the log of the Network Firewall between subnet and NAT",
    ),
}

_NAT_GONE = Candidate(
    "nat-gone",
    "the route leads to a NAT that is gone, private, or in a subnet without an internet gateway",
    "the route's state is not `blackhole`; the NAT is `available`, public, and its own subnet "
    "routes 0.0.0.0/0 to an igw-…",
)

_CANDIDATES = (
    _KNOWN[Dropper.ROUTE_TABLE],
    _KNOWN[Dropper.PUBLIC_SUBNET],
    _KNOWN[Dropper.SECURITY_GROUP],
    _KNOWN[Dropper.ACL_RETURN],
    _KNOWN[Dropper.ACL_OUT],
    _NAT_GONE,
)

_NO_WAY_OUT_STEPS = (
    advice.NAT,
    advice.LEAVE_VPC,
    advice.PROXY,
    advice.NO_PRIVATELINK,
    advice.IPV6,
)

_STEPS = {
    Dropper.ROUTE_TABLE: _NO_WAY_OUT_STEPS,
    Dropper.NAT_GONE: (
        "Create a NAT gateway in a public subnet and let the route point to it (`aws ec2 "
        "replace-route --destination-cidr-block 0.0.0.0/0 --nat-gateway-id <nat>`): a route to a "
        "deleted one stays, in the state `blackhole`.",
        *_NO_WAY_OUT_STEPS[1:],
    ),
    Dropper.IPV6_ONLY: _NO_WAY_OUT_STEPS[:-1],
    Dropper.PUBLIC_SUBNET: (
        "Move the function to private subnets whose route table sends 0.0.0.0/0 to a NAT gateway.",
        *_NO_WAY_OUT_STEPS[1:],
    ),
    Dropper.SECURITY_GROUP: (
        "Add an egress rule to the function's security group: tcp 443 to 0.0.0.0/0. (A group "
        "declared in Terraform without egress rules allows nothing.)",
        advice.LEAVE_VPC,
    ),
    Dropper.ACL_RETURN: (
        "Allow tcp 1024-65535 from 0.0.0.0/0 in the inbound rules of the subnet's network ACL: an "
        "ACL keeps no state, so the answer needs a rule of its own.",
        advice.LEAVE_VPC,
    ),
    Dropper.ACL_OUT: (
        "Allow tcp 443 to 0.0.0.0/0 in the outbound rules of the subnet's network ACL.",
        advice.LEAVE_VPC,
    ),
    Dropper.FIREWALL: (
        "Let the firewall pass tcp 443 to the API's two names.",
        advice.LEAVE_VPC,
    ),
}

_SHORT_STEP = {
    Dropper.ROUTE_TABLE: "Add a NAT gateway, or run the function outside the VPC in dev.",
    Dropper.NAT_GONE: "Let it lead to a NAT gateway that exists, or run the function outside the "
    "VPC in dev.",
    Dropper.IPV6_ONLY: "Add a NAT gateway for IPv4, or run the function outside the VPC in dev.",
    Dropper.PUBLIC_SUBNET: "Move it to private subnets behind a NAT gateway, or out of the VPC in "
    "dev.",
    Dropper.SECURITY_GROUP: "Allow tcp 443 to 0.0.0.0/0 in its egress rules.",
    Dropper.ACL_RETURN: "Allow tcp 1024-65535 inbound in it.",
    Dropper.ACL_OUT: "Allow tcp 443 outbound in it.",
    Dropper.FIREWALL: "Let it pass tcp 443 to the API's two names.",
}


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a SYN without an answer, unless it went to an address inside the VPC."""
    failure = evidence.failure
    if failure is None or failure.step is not Phase.CONNECT:
        return None
    if failure.outcome is not Outcome.TIMEOUT or is_inside(failure.address):
        return None
    if evidence.network.in_vpc is False:
        return _outside_vpc(evidence, failure)
    dropper = evidence.network.dropper
    if dropper is None and evidence.network.has_way_out is False:
        dropper = Dropper.ROUTE_TABLE
    return _alike(evidence, failure) if dropper is None else _known(evidence, failure, dropper)


def _what_happened(failure: Failure) -> str:
    return (
        f"{opening(failure)}The name resolved to {address_of(failure)}, but the SYN got no answer "
        f"in {how_long(failure)}"
    )


def _known(evidence: Evidence, failure: Failure, dropper: Dropper) -> Verdict:
    known = _KNOWN[dropper]
    return Verdict(
        cause=known.cause,
        phase=failure.phase,
        hop=Hop.ROUTER,
        sentence=f"{_what_happened(failure)}: {known.text}. {_SHORT_STEP[dropper]}",
        next_steps=_STEPS[dropper],
        evidence=observations(evidence),
        certainty=Certainty.PROVEN,
    )


def _alike(evidence: Evidence, failure: Failure) -> Verdict:
    return Verdict(
        cause="syn-unanswered",
        phase=failure.phase,
        hop=Hop.ROUTER,
        sentence=(
            f"{_what_happened(failure)}: packets of the function get lost on the way out or back. "
            "Most often the subnet has no route to a NAT gateway; a security group or a network "
            "ACL looks the same from inside. Check the route table first."
        ),
        next_steps=(advice.NAT, advice.FLOW_LOGS, *_NO_WAY_OUT_STEPS[1:]),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=_CANDIDATES,
    )


def _outside_vpc(evidence: Evidence, failure: Failure) -> Verdict:
    return Verdict(
        cause="syn-unanswered",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            f"{_what_happened(failure)}, and the function is outside any VPC: nothing of yours is "
            f"between it and the address. Check that {address_of(failure)} is where the API lives "
            "and that it is up."
        ),
        next_steps=(
            "Compare the host with the API's DNS names (`aws appsync get-api --api-id <id>`).",
            "Look at the AWS Health Dashboard of the region.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
    )
