"""TCP stands, and the ClientHello gets no answer: a firewall that reads names."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain import advice
from natless.explain.evidence import Dropper, Evidence
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, how_long, name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a handshake without an answer."""
    failure = evidence.failure
    if failure is None or failure.step is not Phase.TLS or failure.outcome is not Outcome.TIMEOUT:
        return None
    is_known = evidence.network.dropper is Dropper.FIREWALL
    what = "a firewall" if is_known else "most likely something"
    return Verdict(
        cause="firewall-sni",
        phase=failure.phase,
        hop=Hop.ROUTER,
        sentence=(
            f"{opening(failure)}TCP to {address_of(failure)} stands, but the ClientHello got no "
            f"answer in {how_long(failure)}: routes and NAT work, and {what} that reads the "
            "server name in the handshake drops it, such as AWS Network Firewall. Allow both of "
            "the API's names there."
        ),
        next_steps=(
            f"Allow {name_of(failure)} and its sibling (appsync-api and appsync-realtime-api) in "
            "the firewall's TLS_SNI list; an entry `.amazonaws.com` covers both.",
            "If no firewall is on the way, look for a smaller MTU behind a VPN or a transit "
            "gateway: the handshake's packets are the first large ones.",
            advice.LEAVE_VPC,
        ),
        evidence=observations(evidence),
        certainty=Certainty.PROVEN if is_known else Certainty.LIKELY,
        candidates=()
        if is_known
        else (
            Candidate(
                "firewall-sni",
                "a firewall drops the handshake by its server name",
                "`openssl s_client -connect <address>:443 -servername example.com` gets an answer, "
                "the same with the API's name does not",
            ),
            Candidate(
                "mtu",
                "large packets are lost on the way",
                "the server's certificate never arrives, whatever the name is",
            ),
        ),
    )
