"""The report as JSON, and its JSON Schema.

``at`` times are seconds of the machine's monotonic clock, as in the journal of the same run, so
that both can be read side by side. Durations are milliseconds. A reader ignores members that it
does not know; a change that would mislead such a reader raises ``version``.
"""

from __future__ import annotations

import json

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.explain.evidence import Dropper, NetworkFacts
from natless.explain.verdict import Candidate, Certainty, Hop, Verdict
from natless.measure.histogram import Percentiles
from natless.measure.recorder import CallerResult
from natless.report.document import (
    VERSION,
    Platform,
    ProbeRun,
    RelayFacts,
    RunDocument,
    TopologyRun,
)
from natless.report.shapes import (
    COUNT,
    FACTS,
    FLAG,
    INTEGER,
    MILLISECONDS,
    SECONDS,
    TEXT,
    Json,
    Member,
    ShapeError,
    list_of,
    map_of,
    object_of,
    one_of,
    optional,
)

_PERCENTILES = object_of(
    Percentiles,
    Member("count", COUNT),
    Member("min_ms", MILLISECONDS, "least"),
    Member("p50_ms", MILLISECONDS, "p50"),
    Member("p90_ms", MILLISECONDS, "p90"),
    Member("p99_ms", MILLISECONDS, "p99"),
    Member("max_ms", MILLISECONDS, "most"),
)


def _rounded_duration(span: Span) -> float:
    """The difference of the two times *as written*, so that reading and writing again agree."""
    return round(span.finished, 6) - round(span.started, 6)


_SPAN = object_of(
    Span,
    Member("phase", one_of(Phase)),
    Member("started_at", SECONDS, "started"),
    Member("finished_at", SECONDS, "finished"),
    Member(
        "duration_ms",
        MILLISECONDS,
        derive=_rounded_duration,
        description="from start to end",
    ),
    Member("outcome", one_of(Outcome)),
    Member("budget", TEXT),
    Member("budget_ms", MILLISECONDS, "budget_seconds"),
    Member("detail", FACTS),
)

_INVOCATION = object_of(
    InvocationRecord,
    Member("request_id", TEXT),
    Member("worker_id", TEXT),
    Member("cold", FLAG),
    Member("strategy", one_of(Strategy)),
    Member("started_at", SECONDS, "started"),
    Member("finished_at", SECONDS, "finished"),
    Member("spans", list_of(_SPAN)),
    Member("note", TEXT),
)

_RESULT = object_of(
    CallerResult,
    Member("request_id", TEXT),
    Member("started_at", SECONDS, "started"),
    Member("finished_at", SECONDS, "finished"),
    Member("answered", FLAG),
    Member("error_type", TEXT),
    Member("error_message", TEXT),
    Member("error_trace", list_of(TEXT)),
    Member("frozen_ms", optional(MILLISECONDS), "frozen"),
)

_CANDIDATE = object_of(
    Candidate, Member("cause", TEXT), Member("text", TEXT), Member("check", TEXT)
)

_VERDICT = object_of(
    Verdict,
    Member("cause", TEXT),
    Member("works", FLAG),
    Member("phase", optional(one_of(Phase))),
    Member("hop", one_of(Hop)),
    Member("sentence", TEXT),
    Member("next_steps", list_of(TEXT)),
    Member("certainty", one_of(Certainty)),
    Member("candidates", list_of(_CANDIDATE)),
    Member("evidence", list_of(TEXT)),
    Member("excerpt", list_of(TEXT)),
)

_NETWORK = object_of(
    NetworkFacts,
    Member("in_vpc", optional(FLAG)),
    Member("has_way_out", optional(FLAG)),
    Member("dropper", optional(one_of(Dropper))),
    Member("syns_dropped", optional(COUNT)),
    Member("function_address", TEXT),
    Member("resolver_address", TEXT),
    Member("nat_address", TEXT),
    Member("endpoint_address", TEXT),
    Member("channel_address", TEXT),
    Member("private_dns", optional(FLAG)),
)

_PROBE = object_of(
    ProbeRun,
    Member("name", TEXT),
    Member("promised", TEXT),
    Member("seen", TEXT),
    Member("kept", FLAG),
    Member("duration_ms", MILLISECONDS, "seconds"),
)

_TOPOLOGY = object_of(
    TopologyRun,
    Member("name", TEXT),
    Member("title", TEXT),
    Member("purpose", TEXT),
    Member("promised", TEXT),
    Member("seen", TEXT),
    Member("kept", FLAG),
    Member("total", COUNT),
    Member("answered", COUNT),
    Member("by", map_of(one_of(Strategy), COUNT)),
    Member("latency", _PERCENTILES),
    Member("phases", map_of(one_of(Phase), _PERCENTILES)),
    Member("verdict", _VERDICT),
    Member("ready_ms", optional(MILLISECONDS), "ready_seconds"),
    Member("network", _NETWORK),
    Member("probes", list_of(_PROBE)),
    Member("invocations", list_of(_INVOCATION)),
    Member("results", list_of(_RESULT)),
    Member("opening", list_of(_INVOCATION)),
    Member("opening_results", list_of(_RESULT)),
)

_PLATFORM = object_of(
    Platform,
    Member("system", TEXT),
    Member("kernel", TEXT),
    Member("machine", TEXT),
    Member("python", TEXT),
    Member("cpu_count", COUNT),
)

_RELAY = object_of(
    RelayFacts,
    Member("realtime_host", TEXT),
    Member("http_host", TEXT),
    Member("region", TEXT),
    Member("address", TEXT),
    Member("connections", optional(COUNT)),
    Member("events", optional(COUNT)),
    Member("ready_ms", optional(MILLISECONDS), "ready_seconds"),
)

_RUN = object_of(
    RunDocument,
    Member("version", INTEGER),
    Member("natless", TEXT),
    Member(
        "kept",
        FLAG,
        derive=lambda document: document.kept,
        description="whether every topology kept its promise",
    ),
    Member("seed", INTEGER),
    Member("started", TEXT),
    Member("duration_ms", MILLISECONDS, "seconds"),
    Member("network", TEXT),
    Member("platform", _PLATFORM),
    Member("relay", _RELAY),
    Member("topologies", list_of(_TOPOLOGY)),
)


def render_json(document: RunDocument, *, indent: int | None = 2) -> str:
    """The document as JSON text; ``indent=None`` gives one line."""
    return json.dumps(_RUN.encode(document), indent=indent, ensure_ascii=False)


def parse_json(text: str) -> RunDocument:
    """JSON text back to the document.

    Raises:
        ShapeError: it is no report, or one of another version; says where it departs.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ShapeError("", f"is not JSON ({error})") from error
    if isinstance(raw, dict) and raw.get("version") not in (None, VERSION):
        raise ShapeError("version", f"expected {VERSION}, got {raw['version']!r:.60}")
    document = _RUN.decode(raw, "")
    if not isinstance(document, RunDocument):  # it is: the shape says so, the type checker cannot
        raise TypeError(type(document))
    return document


def make_schema() -> dict[str, Json]:
    """JSON Schema (2020-12) of the report, as committed in ``docs/reference``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "natless report",
        **_RUN.schema(),
    }


def schema_text() -> str:
    """The schema as the text of its file; ``python -m natless.report`` prints it."""
    return json.dumps(make_schema(), indent=2, ensure_ascii=False) + "\n"
