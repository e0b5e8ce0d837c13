"""The resolver answers at once that it cannot say: SERVFAIL or REFUSED."""

from __future__ import annotations

from natless.explain.causes.dns_silent import is_lookup_without_answer
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import how_long, name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a lookup that failed at once, but not with *no such name*."""
    failure = evidence.failure
    if failure is None or not is_lookup_without_answer(failure) or not failure.is_answered_lookup:
        return None
    return Verdict(
        cause="dns-failing",
        phase=failure.phase,
        hop=Hop.RESOLVER,
        sentence=(
            f"{opening(failure)}The resolver answered for {name_of(failure)} within "
            f"{how_long(failure)} that it cannot tell (SERVFAIL or REFUSED): it is there, but "
            "does not serve or forward the name. Let your resolvers forward amazonaws.com to the "
            "VPC's own (VPC base + 2)."
        ),
        next_steps=(
            "If the DHCP options name resolvers of your own, let them forward amazonaws.com to the "
            "VPC's own resolver (VPC base + 2).",
            "Look at the VPC's Route 53 Resolver rules for amazonaws.com or `.`: the target of a "
            "FORWARD rule must be up and must serve the name.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "dns-custom",
                "resolvers of your own that do not forward the name",
                "`aws ec2 describe-dhcp-options`: domain-name-servers is not AmazonProvidedDNS",
            ),
            Candidate(
                "dns-forwarded",
                "a Resolver rule forwards the name to a server that fails",
                "`aws route53resolver list-resolver-rule-associations` for the function's VPC",
            ),
        ),
    )
