"""The resolver says that there is no such name, or none with an address."""

from __future__ import annotations

from event_protocol.phases import Outcome
from natless.explain.evidence import Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises NXDOMAIN and an answer without an address."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.NAME_NOT_FOUND:
        return None
    return Verdict(
        cause="dns-no-such-name",
        phase=failure.phase,
        hop=Hop.RESOLVER,
        sentence=(
            f"{opening(failure)}The resolver says that {name_of(failure)} does not exist (or has "
            "no address). If it resolves on your own machine, a private hosted zone or a DNS "
            "Firewall rule of the VPC hides it; if not, the name is wrong or the API is gone."
        ),
        next_steps=(
            "Resolve the name on your own machine (`dig <host>`): NXDOMAIN there too means a typo, "
            "another region, or a deleted API.",
            "If it resolves there, add the name to the private hosted zone that covers it, or take "
            "the zone off this VPC.",
            "If a DNS Firewall rule blocks it, allow *.amazonaws.com before that rule.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "name-captured",
                "a private hosted zone covers the name and has no record of it",
                "`aws route53 list-hosted-zones-by-vpc --vpc-id <vpc> --vpc-region <region>`",
            ),
            Candidate(
                "dns-firewall",
                "a rule of Route 53 Resolver DNS Firewall blocks it",
                "`aws route53resolver list-firewall-rule-group-associations --vpc-id <vpc>`",
            ),
            Candidate(
                "wrong-host",
                "the API was deleted, or the name is of another region or has a typo",
                "the name does not resolve outside the VPC either",
            ),
        ),
    )
