"""Nobody answers the question for the name: the resolver is off, elsewhere, or filtered."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence, Failure
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import how_long, name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a lookup that waited in vain."""
    failure = evidence.failure
    if failure is None or not is_lookup_without_answer(failure) or failure.is_answered_lookup:
        return None
    return Verdict(
        cause="dns-silent",
        phase=failure.phase,
        hop=Hop.RESOLVER,
        sentence=(
            f"{opening(failure)}No resolver answered for {name_of(failure)} in "
            f"{how_long(failure)}. This is no missing NAT: the VPC's own resolver answers without "
            "one. Switch the VPC's DNS support on, or open UDP and TCP 53 to your own resolvers."
        ),
        next_steps=(
            "Look at the VPC's attributes: enableDnsSupport must be on "
            "(`aws ec2 describe-vpc-attribute --attribute enableDnsSupport --vpc-id <vpc>`).",
            "If the DHCP options name resolvers of your own, the route table, the security group "
            "and the network ACL must let UDP and TCP 53 to them, and they must forward "
            "amazonaws.com.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "dns-off",
                "the VPC's DNS support is off",
                "`aws ec2 describe-vpc-attribute --attribute enableDnsSupport --vpc-id <vpc>`",
            ),
            Candidate(
                "dns-custom",
                "the DHCP options name resolvers that cannot be reached or do not answer",
                "`aws ec2 describe-dhcp-options`: domain-name-servers is not AmazonProvidedDNS",
            ),
        ),
    )


def is_lookup_without_answer(failure: Failure) -> bool:
    """Whether the name's lookup ended without yes or no."""
    return failure.step is Phase.RESOLVE and failure.outcome in (
        Outcome.NAME_TIMEOUT,
        Outcome.TIMEOUT,
    )
