"""Calls that ended in a given way, as the guest in the function would have recorded them."""

from __future__ import annotations

from typing import Any

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.explain import Evidence, NetworkFacts
from natless.measure import CallerResult

HOST = "abc.appsync-realtime-api.us-east-1.amazonaws.com"
PUBLIC = "198.51.100.10"
INSIDE = "10.0.9.10"


def failed_call(
    phase: Phase,
    outcome: Outcome,
    *,
    seconds: float = 3.0,
    budget: str = "connect.tcp",
    address: str = PUBLIC,
    request_id: str = "r1",
    **detail: Any,
) -> InvocationRecord:
    """A call whose opening went well up to the phase that failed."""
    resolve = Span(
        Phase.RESOLVE, 0.0, 0.002, detail={"host": HOST, "port": 443, "addresses": [address]}
    )
    connect = Span(
        Phase.CONNECT, 0.002, 0.003, detail={"host": HOST, "port": 443, "address": address}
    )
    opening = {Phase.RESOLVE: (), Phase.CONNECT: (resolve,)}.get(phase, (resolve, connect))
    known = {"host": HOST, "port": 443} | ({} if phase is Phase.RESOLVE else {"address": address})
    failed = Span(phase, 0.01, 0.01 + seconds, outcome, budget, 3.0, known | detail)
    return InvocationRecord(
        request_id, "w" * 32, True, Strategy.DEPLOYED, 0.0, 0.02 + seconds, (*opening, failed)
    )


def answered_call(request_id: str = "r1", *, seconds: float = 0.01) -> InvocationRecord:
    """A call that the developer's side answered."""
    handle = Span(Phase.HANDLE, 0.0, seconds)
    return InvocationRecord(request_id, "w" * 32, False, Strategy.WORKER, 0.0, seconds, (handle,))


def evidence(
    *records: InvocationRecord,
    network: NetworkFacts | None = None,
    results: tuple[CallerResult, ...] = (),
) -> Evidence:
    return Evidence("t", records=records, network=network or NetworkFacts(), results=results)
