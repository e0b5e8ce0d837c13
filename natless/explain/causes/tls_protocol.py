"""The handshake failed, and not by a certificate: the two sides do not speak the same TLS."""

from __future__ import annotations

from event_protocol.phases import Outcome
from natless.explain.evidence import Evidence, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a handshake that ended in an error of the protocol."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.TLS_ERROR:
        return None
    said = f" ({failure.message})" if failure.message else ""
    return Verdict(
        cause="tls-protocol",
        phase=failure.phase,
        hop=Hop.ENDPOINT if is_inside(failure.address) else Hop.CHANNEL,
        sentence=(
            f"{opening(failure)}TCP to {address_of(failure)} stands, but the TLS handshake failed"
            f"{said}: whoever answers there speaks another TLS, or none. Check that the port is "
            "443, and find out who answers: a proxy, or a firewall's block page."
        ),
        next_steps=(
            "See who answers: `openssl s_client -connect <address>:443 -servername <host>`.",
            "If it is a proxy, name it in HTTPS_PROXY instead of sending TLS to it.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "wrong-port",
                "a port on which nobody speaks TLS, or a proxy that expects CONNECT",
                "the port is not 443, or the address is a proxy's; OpenSSL says "
                "WRONG_VERSION_NUMBER",
            ),
            Candidate(
                "tls-inspection",
                "a proxy or firewall that opens TLS and refuses this handshake with an alert",
                "OpenSSL names the alert; the same call works from outside the VPC",
            ),
        ),
    )
