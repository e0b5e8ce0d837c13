"""HTTP is refused from an address inside the VPC: an AppSync endpoint, which knows no Event API.

AppSync's endpoint with private DNS answers for the generated names of *all* AppSync APIs of the
region, and refuses public ones (AWS AppSync developer guide, "Using AWS AppSync Private APIs").
Event APIs are always public.
"""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Evidence, Failure, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, observations, opening

_OTHERS = (
    Candidate(
        "endpoint-captures",
        "an interface endpoint for AppSync with private DNS",
        "`aws ec2 describe-vpc-endpoints`: one with `appsync-api` in its service name and "
        "PrivateDnsEnabled, with this address",
    ),
    Candidate(
        "name-captured",
        "a private hosted zone points the name at something of yours, such as a load balancer",
        "`aws route53 list-hosted-zones-by-vpc` for the function's VPC",
    ),
)


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises an HTTP refusal whose sender is inside the VPC."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.HTTP_ERROR:
        return None
    is_endpoint = bool(failure.address) and failure.address == evidence.network.endpoint_address
    if not is_endpoint and not is_inside(failure.address):
        return None
    sure = "" if is_endpoint else "most likely "
    return Verdict(
        cause="endpoint-captures",
        phase=failure.phase,
        hop=Hop.ENDPOINT,
        sentence=(
            f"{_what_happened(failure)}: {sure}the private DNS of an AppSync interface endpoint "
            "captures the API's names, and the endpoint refuses Event APIs, which are always "
            "public. A NAT alone does not help: switch the endpoint's private DNS off or use a "
            "custom domain, both with a NAT, or run the function outside the VPC in dev."
        ),
        next_steps=(advice.PRIVATE_DNS_OFF, advice.CUSTOM_DOMAIN, advice.LEAVE_VPC),
        evidence=observations(evidence),
        certainty=Certainty.PROVEN if is_endpoint else Certainty.LIKELY,
        candidates=() if is_endpoint else _OTHERS,
    )


def _what_happened(failure: Failure) -> str:
    what = "the publish" if failure.phase is Phase.PUBLISH else "the upgrade"
    status = f"HTTP {failure.status}" if failure.status is not None else "a refusal"
    return (
        f"{opening(failure)}The name resolved to {address_of(failure)}, inside the VPC, "
        f"which answered {what} with {status}"
    )
