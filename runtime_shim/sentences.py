"""A failed phase in words: what happened, where, after how long, and what to do next.

Used by the fallbacks, so that the caller of the function reads the cause and not "timed out".
"""

from __future__ import annotations

from dataclasses import dataclass

from event_protocol.phases import Outcome, Phase, Span

_NO_WAY_OUT = (
    "the subnet's route table has no way out: add a NAT gateway, or take the function out of the"
    " VPC while you develop"
)
_ENDPOINT = (
    "an interface endpoint with private DNS may be answering for the name, and it does not serve"
    " Event APIs: turn its private DNS off, or use a custom domain"
)
_NO_WORKER = "start the developer's side for this app and stage, or deploy the function without it"
_NAMESPACE = "check that the channel namespace exists and that the key may use it"

_HINTS: dict[tuple[Phase, Outcome], str] = {
    (Phase.RESOLVE, Outcome.NAME_TIMEOUT): (
        "no resolver answered: check that DNS support is on in the VPC, and that its resolver can"
        " be reached"
    ),
    (Phase.RESOLVE, Outcome.NAME_NOT_FOUND): (
        "check the host's spelling, and whether a private hosted zone hides the public name"
    ),
    (Phase.CONNECT, Outcome.TIMEOUT): _NO_WAY_OUT,
    (Phase.CONNECT, Outcome.UNREACHABLE): _NO_WAY_OUT,
    (Phase.CONNECT, Outcome.REFUSED): (
        "something answered and nothing listens there: check the port, and what the name resolves"
        " to inside the VPC"
    ),
    (Phase.CONNECT, Outcome.HTTP_ERROR): (
        "the proxy did not open a tunnel: check HTTPS_PROXY, its credentials and what it lets pass"
    ),
    (Phase.TLS, Outcome.TLS_ERROR): (
        "something else answered in the service's place: check what the name resolves to inside the"
        " VPC, and the certificate authority the function trusts"
    ),
    (Phase.UPGRADE, Outcome.HTTP_ERROR): _ENDPOINT,
    (Phase.INIT, Outcome.DENIED): "check the API key and the host it is valid for",
    (Phase.SUBSCRIBE, Outcome.DENIED): _NAMESPACE,
    (Phase.PROBE, Outcome.TIMEOUT): (
        "the service confirmed the subscription and delivers nothing on it: invoke again, and look"
        " at the channel's log if it comes back"
    ),
    (Phase.PUBLISH, Outcome.DENIED): _NAMESPACE,
    (Phase.PUBLISH, Outcome.TIMEOUT): (
        "the API's HTTP host or its channel swallows what is sent: check the routes and filters for"
        " both of its hosts"
    ),
    (Phase.PUBLISH, Outcome.HTTP_ERROR): (
        "the API's HTTP host refused the event: check the key, the namespace, and whether an"
        " interface endpoint answers for the name"
    ),
    (Phase.DELIVER, Outcome.TIMEOUT): _NO_WORKER,
    (Phase.HANDLE, Outcome.TIMEOUT): (
        "the handler on the developer's machine did not finish: look at its log, or give the"
        " function a longer timeout"
    ),
}
_ANY_HINT = "see the function's log for the phases of this invocation"

_WHAT: dict[Outcome, str] = {
    Outcome.TIMEOUT: "no answer",
    Outcome.REFUSED: "refused",
    Outcome.RESET: "the connection was reset",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.NAME_NOT_FOUND: "there is no such name",
    Outcome.NAME_TIMEOUT: "no answer from a resolver",
    Outcome.TLS_ERROR: "the TLS handshake failed",
    Outcome.HTTP_ERROR: "answered with another status",
    Outcome.DENIED: "denied",
    Outcome.CLOSED: "the channel was closed",
    Outcome.CANCELLED: "the invocation ended first",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failed phase in words.

    Attributes:
        error_type: ``LiveBridge.<Phase><Outcome>``, such as ``LiveBridge.ConnectTimeout``.
        sentence: what happened, with phase, host, address and limit.
        hint: the next step.
    """

    error_type: str
    sentence: str
    hint: str

    @property
    def message(self) -> str:
        """Both in one text."""
        return f"{self.sentence}. Next: {self.hint}."


def explain_span(span: Span) -> Explanation:
    """The words for a phase that did not end well."""
    kind = "".join(part.capitalize() for part in span.outcome.split("-"))
    kind = kind.removeprefix(span.phase.capitalize())
    return Explanation(
        error_type=f"LiveBridge.{span.phase.capitalize()}{kind}",
        sentence=f"{span.phase}: {_describe(span)}{_describe_target(span)}{_describe_limit(span)}",
        hint=_HINTS.get((span.phase, span.outcome), _ANY_HINT),
    )


def _describe(span: Span) -> str:
    detail = span.detail
    if span.outcome is Outcome.HTTP_ERROR and "status" in detail:
        what = f"HTTP {detail['status']}"
    elif span.phase is Phase.DELIVER and span.outcome is Outcome.TIMEOUT:
        what = "nobody on the developer's side took the event"
    elif span.phase is Phase.PROBE and span.outcome is Outcome.TIMEOUT:
        what = "the subscription is acknowledged and delivers nothing"
    elif span.phase is Phase.HANDLE and span.budget == "dev.silence":
        what = "the developer's side took the event and was not heard of again"
    elif span.phase is Phase.HANDLE and span.outcome is Outcome.TIMEOUT:
        what = "the developer's side took the event and did not answer"
    else:
        what = _WHAT.get(span.outcome, str(span.outcome))
    said = ": ".join(str(detail[key]) for key in ("error_type", "message") if detail.get(key))
    return f"{what} ({said})" if said else what


def _describe_target(span: Span) -> str:
    host, port, address = (span.detail.get(key) for key in ("host", "port", "address"))
    if address and address != host:
        return f" from {address}:{port} ({host})"
    return f" from {host}:{port}" if host else ""


def _describe_limit(span: Span) -> str:
    if span.outcome not in (Outcome.TIMEOUT, Outcome.NAME_TIMEOUT):
        return f" after {span.duration:.3f} s"
    if not span.budget:
        return f" in {span.duration:.1f} s (no limit of ours)"
    clipped = ", cut short by the function's timeout" if span.detail.get("clipped") else ""
    return f" in {span.duration:.1f} s (limit {span.budget} {span.budget_seconds:.1f} s{clipped})"
