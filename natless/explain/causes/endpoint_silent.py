"""A SYN to an address inside the VPC gets no answer: an endpoint behind a closed security group."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises silence from an address inside the VPC."""
    failure = evidence.failure
    if failure is None or failure.step is not Phase.CONNECT:
        return None
    if failure.outcome is not Outcome.TIMEOUT or not is_inside(failure.address):
        return None
    return Verdict(
        cause="endpoint-sg",
        phase=failure.phase,
        hop=Hop.ENDPOINT,
        sentence=(
            f"{opening(failure)}The name resolved to {address_of(failure)}, an address "
            f"inside the VPC, and the SYN got no answer in {how_long(failure)}: most likely the "
            "private DNS of an interface endpoint captures the name, and its security group does "
            "not let the function in. Opening the group would only reach an endpoint that refuses "
            "Event APIs: switch its private DNS off, or run the function outside the VPC in dev."
        ),
        next_steps=(advice.PRIVATE_DNS_OFF, advice.CUSTOM_DOMAIN, advice.LEAVE_VPC),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
        candidates=(
            Candidate(
                "endpoint-sg",
                "an endpoint for AppSync whose security group refuses the function",
                "`aws ec2 describe-vpc-endpoints`: one with `appsync-api` in its service name and "
                "PrivateDnsEnabled, with this address",
            ),
            Candidate(
                "name-captured",
                "a private hosted zone or the proxy's DNS gives the name an address of its own",
                "`aws route53 list-hosted-zones-by-vpc` for the function's VPC",
            ),
        ),
    )
