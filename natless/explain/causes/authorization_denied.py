"""The channel was reached and does not accept the credentials."""

from __future__ import annotations

from event_protocol.phases import Outcome, Phase
from natless.explain.evidence import Evidence, Failure
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.explain.wording import observations

_ACTIONS = {
    Phase.UPGRADE: "appsync:EventConnect",
    Phase.INIT: "appsync:EventConnect",
    Phase.SUBSCRIBE: "appsync:EventSubscribe",
    Phase.PUBLISH: "appsync:EventPublish",
}
_DENYING_STATUS = (401, 403)
_DENYING_WORDS = ("unauthorized", "forbidden", "not authorized", "accessdenied", "expired")


def explain(evidence: Evidence) -> Verdict | None:
    """Recognises an answer that is about credentials, from an address outside the VPC."""
    failure = evidence.failure
    if failure is None or not _is_about_credentials(failure):
        return None
    action = _ACTIONS.get(failure.phase, "appsync:EventConnect")
    said = f" ({failure.message})" if failure.message else ""
    status = f" with HTTP {failure.status}" if failure.status is not None else ""
    return Verdict(
        cause="authorization-denied",
        phase=failure.phase,
        hop=Hop.CHANNEL,
        sentence=(
            f"The network is fine: the channel answered, and refused the credentials in the phase "
            f"'{failure.phase}'{status}{said}. Give the function's role {action} on this API, or "
            "check the API key and the authorization modes of the channel namespace."
        ),
        next_steps=(
            "With IAM: the function's role needs appsync:EventConnect on the API, and "
            "appsync:EventSubscribe and appsync:EventPublish on its channel namespace. SST adds "
            "them only to a role that it creates itself.",
            "With an API key: compare it with `aws appsync list-api-keys --api-id <id>`, and look "
            "at its expiry.",
            "The mode must be allowed for the connection and for the namespace, whose own modes "
            "override the API's defaults.",
        ),
        evidence=observations(evidence),
        certainty=Certainty.ALIKE,
        candidates=(
            Candidate(
                "iam-events-denied",
                "the function's role lacks the action, or something denies it",
                f"`aws iam simulate-principal-policy` with {action}",
            ),
            Candidate(
                "api-key-expired",
                "the API key is wrong, of another API, or expired",
                "`aws appsync list-api-keys --api-id <id>`",
            ),
            Candidate(
                "auth-mode",
                "the way of authorization is not switched on for the API or the namespace",
                "`aws appsync get-api` and `get-channel-namespace`",
            ),
            Candidate(
                "waf",
                "a web ACL on the API refuses the request",
                "HTTP 403, and the web ACL's sampled requests show it",
            ),
        ),
    )


def _is_about_credentials(failure: Failure) -> bool:
    if failure.outcome is Outcome.HTTP_ERROR:
        return failure.status in _DENYING_STATUS
    if failure.outcome is not Outcome.DENIED:
        return False
    # AppSync's connection_error is nearly always about credentials; in the later phases the text
    # has to say so, as a wrong channel is refused there too.
    said = failure.message.lower()
    return failure.phase is Phase.INIT or any(word in said for word in _DENYING_WORDS)
