"""The causes, one a file: ``explain(evidence)`` gives a verdict, or None when it is another one.

The order matters only where two could speak about the same evidence: the more special one comes
first. A new cause is a new file, a line here and a test; ``unknown`` stays outside, as the end.
"""

from __future__ import annotations

from collections.abc import Callable

from natless.explain.causes import (
    answered_later,
    authorization_denied,
    certificate,
    channel_silent,
    connection_cut,
    connection_refused,
    deadline,
    dns_failing,
    dns_no_such_name,
    dns_silent,
    endpoint_refuses,
    endpoint_silent,
    function_lost,
    guest_refused,
    handler_error,
    handler_exit,
    http_refused,
    nobody_answers,
    observed,
    subscribe_refused,
    subscription_deaf,
    syn_unanswered,
    tls_protocol,
    tls_reset,
    tls_silent,
    unknown,
    unreachable,
    worker_silent,
    works,
)
from natless.explain.evidence import Evidence
from natless.explain.verdict import Verdict

Cause = Callable[[Evidence], Verdict | None]

CAUSES: tuple[Cause, ...] = (
    # nothing ended early
    handler_exit.explain,
    handler_error.explain,
    answered_later.explain,
    observed.explain,
    works.explain,
    guest_refused.explain,
    function_lost.explain,
    # names
    dns_no_such_name.explain,
    dns_failing.explain,
    dns_silent.explain,
    # packets
    endpoint_silent.explain,
    syn_unanswered.explain,
    connection_refused.explain,
    unreachable.explain,
    # the handshake
    certificate.explain,
    tls_protocol.explain,
    tls_silent.explain,
    tls_reset.explain,
    # HTTP and the channel: who inside the VPC refuses, before who outside does, and why
    endpoint_refuses.explain,
    authorization_denied.explain,
    http_refused.explain,
    subscribe_refused.explain,
    subscription_deaf.explain,
    channel_silent.explain,
    # the developer's side
    nobody_answers.explain,
    worker_silent.explain,
    # anything, at any time
    connection_cut.explain,
    deadline.explain,
)

__all__ = ["CAUSES", "Cause", "unknown"]
