"""Somebody outside the VPC answers the upgrade or the publish with a status that refuses it."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence, Failure
from natless.explain.verdict import Certainty, Hop, Verdict
from natless.explain.wording import address_of, name_of, observations

_SWITCHING = 101
_NOT_FOUND = 404
_TOO_MANY = 429


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises any refusal by HTTP that is not about credentials."""
    failure = evidence.failure
    if failure is None or failure.outcome is not Outcome.HTTP_ERROR:
        return None
    meaning, step = _read_status(failure)
    said = f" ({failure.message})" if failure.message else ""
    what = "the publish" if failure.phase is Phase.PUBLISH else "the upgrade"
    status = f"HTTP {failure.status}" if failure.status is not None else "an HTTP error"
    return Verdict(
        cause="http-refused",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            f"The network is fine: {address_of(failure)} answered {what} with {status}{said}: "
            f"{meaning}. {step}"
        ),
        next_steps=(
            step,
            f"Call the same host by hand: `curl -i https://{name_of(failure)}/event/realtime`.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.LIKELY,
    )


def _read_status(failure: Failure) -> tuple[str, str]:
    status = failure.status or 0
    if status == _NOT_FOUND:
        return (
            "it knows no such API at this name",
            "Compare host and region with the API's DNS names (`aws appsync get-api`).",
        )
    if status == _TOO_MANY:
        return (
            "the API is being called more often than its quota allows",
            "Look at the API's quotas and at who else uses it.",
        )
    if status == _SWITCHING:
        return (
            "it switched protocols, but not as an Event API does",
            "Find out who answers: a proxy, or another WebSocket server.",
        )
    if status >= 500:
        return (
            "the service itself failed",
            "Call again, and look at the AWS Health Dashboard of the region.",
        )
    if status in range(300, 400):
        return (
            "it sends elsewhere, as proxies and captive portals do",
            "Find out who answers: the certificate and the Server header tell.",
        )
    return (
        "it did not accept the request as it was",
        "Compare host, path (/event/realtime, /event) and headers with the Event API's.",
    )
