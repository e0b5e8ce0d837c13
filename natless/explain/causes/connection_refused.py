"""A reset answers the SYN: somebody is there, and nothing listens, or a firewall says no."""

from __future__ import annotations

from event_protocol.phases import Outcome
from natless.explain.evidence import Evidence, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a refused connection."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.REFUSED:
        return None
    inside = is_inside(failure.address)
    return Verdict(
        cause="connection-refused",
        phase=failure.phase,
        hop=Hop.ENDPOINT if inside else Hop.ROUTER,
        sentence=(
            f"{opening(failure)}The connection to {address_of(failure)} was refused after "
            f"{how_long(failure)}: packets flow both ways, so this is no missing NAT, and AWS's "
            "route tables, security groups and network ACLs drop instead of refusing. "
            + (
                "Nothing listens on that port of an address inside the VPC; find out what the name "
                "should point at."
                if inside
                else "Look for a proxy that is down, a wrong host or port, or a firewall that "
                "rejects."
            )
        ),
        next_steps=(
            "If HTTPS_PROXY or HTTP_PROXY is set for the function, check that the proxy is up and "
            "listens on that port.",
            "Compare host and port with the API's DNS names "
            "(`aws appsync get-api --api-id <id>`); the port is 443.",
            "If a firewall appliance is on the way out, look for a rule that rejects.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "proxy-down",
                "an egress proxy that is not running",
                "HTTPS_PROXY is set, and the refused address is the proxy's",
            ),
            Candidate(
                "wrong-host",
                "another machine than the API's",
                "the address is not what the name resolves to outside the VPC",
            ),
            Candidate(
                "firewall-reject",
                "a firewall that answers with a reset",
                "the log of the firewall has the connection",
            ),
        ),
    )
