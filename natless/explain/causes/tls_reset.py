"""TCP stands, and the handshake is cut: a firewall that rejects by name, or no TLS at all."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Dropper, Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a handshake that was cut off."""
    failure = evidence.failure
    if failure is None or failure.step is not Phase.TLS:
        return None
    if failure.outcome not in (Outcome.RESET, Outcome.CLOSED):
        return None
    is_known = evidence.network.dropper is Dropper.FIREWALL
    what = "a firewall" if is_known else "most likely something"
    return Verdict(
        cause="firewall-sni",
        phase=failure.phase,
        hop=Hop.ROUTER,
        sentence=(
            f"{opening(failure)}TCP to {address_of(failure)} stands, but the TLS handshake was cut "
            f"off after {how_long(failure)}: routes and NAT work, and {what} that reads the "
            "server name in the handshake rejects it, such as AWS Network Firewall. Allow both of "
            "the API's names there."
        ),
        next_steps=(
            f"Allow {name_of(failure)} and its sibling (appsync-api and appsync-realtime-api) in "
            "the firewall's TLS_SNI list; an entry `.amazonaws.com` covers both.",
            advice.LEAVE_VPC,
        ),
        evidence=observations(evidence),
        certainty=Certainty.PROVEN if is_known else Certainty.LIKELY,
        candidates=()
        if is_known
        else (
            Candidate(
                "firewall-sni",
                "a firewall cuts the handshake by its server name",
                "`openssl s_client -connect <address>:443 -servername example.com` gets an answer, "
                "the same with the API's name does not",
            ),
            Candidate(
                "wrong-port",
                "a port on which nobody speaks TLS, or a proxy that expects CONNECT",
                "the port is not 443, or the address is a proxy's",
            ),
        ),
    )
