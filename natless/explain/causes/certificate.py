"""The server's certificate is not trusted: somebody else answers, or a CA is missing."""

from __future__ import annotations

from event_protocol.phases import Outcome
from natless.explain.evidence import Evidence, is_inside
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import address_of, name_of, observations, opening


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises a handshake that the function itself gave up."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.TLS_ERROR:
        return None
    # OpenSSL's sentences about a certificate all have the word in them.
    if "certificate" not in failure.message.lower():
        return None
    return Verdict(
        cause="certificate",
        phase=failure.phase,
        hop=Hop.ENDPOINT if is_inside(failure.address) else Hop.CHANNEL,
        sentence=(
            f"{opening(failure)}TCP to {address_of(failure)} stands, but the TLS handshake failed "
            f"({failure.message}): the certificate shown for {name_of(failure)} is not one that "
            "the function trusts. Find out who shows it; if it is a proxy that opens TLS, give the "
            "function its certificate authority."
        ),
        next_steps=(
            "Look at the certificate (`openssl s_client -connect <address>:443 -servername "
            "<host>`): the API's own is issued by Amazon.",
            "If a firewall or proxy inspects TLS, add its CA to the function's trust store "
            "(SSL_CERT_FILE, NODE_EXTRA_CA_CERTS) or exempt the API's names.",
            "Against natless' own relay: the function needs the CA that `natless relay` prints.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "tls-inspection",
                "a proxy or firewall opens TLS and shows a certificate of its own",
                "the issuer is your company's, not Amazon's",
            ),
            Candidate(
                "wrong-host",
                "another server answers at that address",
                "the certificate's names do not contain the name that was called",
            ),
            Candidate(
                "trust-store",
                "the function's trust store lacks the CA, or its clock is wrong",
                "the same call works from another runtime in the same subnet",
            ),
        ),
    )
