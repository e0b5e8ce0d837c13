"""The report as one HTML file: no script, no network, no font or image from anywhere.

The page forbids itself everything but its own style sheet: the policy in its head names the hash of
that one ``<style>`` block, so that not even a style attribute would be applied. All text goes
through Jinja's escaping.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from event_protocol.phases import InvocationRecord
from natless.explain.verdict import Certainty, Verdict
from natless.measure.compare import compare
from natless.measure.durations import humanize
from natless.report.calls import CallBar, draw_calls
from natless.report.diagram import Diagram, describe_diagram, draw_diagrams
from natless.report.document import RunDocument, TopologyRun
from natless.report.waterfall import Waterfall, draw_waterfall

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_INVOCATIONS = 200  # of each topology among the raw facts; report.json has them all

_CERTAINTY = {
    Certainty.PROVEN: "proven by the facts of this network",
    Certainty.LIKELY: "the usual cause of this picture",
    Certainty.ALIKE: "several causes look like this from inside the function",
    Certainty.OPEN: "no known cause fits",
}


@dataclass(frozen=True, slots=True)
class TopologyView:
    """What the page shows of one topology, beside the run itself.

    Attributes:
        run: the topology.
        look: ``good``; ``but`` where the network works and something else does not; ``bad``.
        p50_width: percent of the longest p99 of the page.
        p99_at: percent of it.
        factor: how many times the fastest topology's p50.
        diagrams: the wide and the upright drawing.
        diagram_text: the drawing in words.
        waterfalls: one or two calls.
        calls: every call as a bar.
        certainty: how far the evidence reaches, in words.
        facts: the invocations as JSON, one a line.
    """

    run: TopologyRun
    look: str
    p50_width: float
    p99_at: float
    factor: float | None
    diagrams: tuple[Diagram, Diagram]
    diagram_text: str
    waterfalls: tuple[Waterfall, ...]
    calls: tuple[CallBar, ...]
    certainty: str
    facts: tuple[str, ...]


def render_html(document: RunDocument) -> str:
    """The whole page as text, to be written as UTF-8."""
    style = _read_style()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            views=_view_topologies(document.topologies),
            headline=_headline(document.topologies),
            lead=_lead(document.topologies),
            style=Markup(style),  # our own file; the hash is of exactly this
            style_hash=_hash(style),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["humanize"] = humanize
    environment.filters["prose"] = _mark_code
    return environment


def _mark_code(text: str) -> Markup:
    """Escaped text in which what stood between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its other half is only a character
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


@cache
def _read_style() -> str:
    return "\n" + (_TEMPLATES / "report.css").read_text(encoding="utf-8")


def _hash(style: str) -> str:
    digest = hashlib.sha256(style.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _headline(topologies: tuple[TopologyRun, ...]) -> str:
    total, working = len(topologies), sum(topology.verdict.works for topology in topologies)
    if total == 1:
        name = topologies[0].name
        return f"On {name} the function {'reaches' if working else 'does not reach'} your machine"
    if working == total:
        return f"The function reaches your machine on all {total} networks"
    if working == 0:
        return f"The function reaches your machine on none of {total} networks"
    return f"The function reaches your machine on {working} of {total} networks"


def _lead(topologies: tuple[TopologyRun, ...]) -> str:
    """The most striking number: how much longer the slowest network makes a caller wait."""
    comparison = compare({topology.name: topology.latency for topology in topologies})
    if comparison is None:
        return ""
    slowest = max(topologies, key=lambda topology: topology.latency.p50)
    base = next(topology for topology in topologies if topology.name == comparison.baseline)
    factor = comparison.factors[slowest.name]
    if factor < 2:
        return "All networks answer about equally fast."
    return (
        f"On {slowest.name} a caller waits {humanize(slowest.latency.p50)} instead of "
        f"{humanize(base.latency.p50)}: {factor:.0f} times as long as on {base.name}."
    )


def _view_topologies(topologies: tuple[TopologyRun, ...]) -> list[TopologyView]:
    longest = max((topology.latency.p99 for topology in topologies), default=0.0) or 1.0
    comparison = compare({topology.name: topology.latency for topology in topologies})
    return [
        TopologyView(
            run=topology,
            look=_choose_look(topology.verdict),
            p50_width=round(topology.latency.p50 / longest * 100, 3),
            p99_at=round(topology.latency.p99 / longest * 100, 3),
            factor=comparison.factors.get(topology.name) if comparison else None,
            diagrams=draw_diagrams(topology),
            diagram_text=describe_diagram(topology),
            waterfalls=tuple(_choose_waterfalls(topology)),
            calls=draw_calls(topology.invocations, topology.results),
            certainty=_CERTAINTY[topology.verdict.certainty],
            facts=tuple(_facts(topology)),
        )
        for topology in topologies
    ]


def _choose_look(verdict: Verdict) -> str:
    if not verdict.works:
        return "bad"
    return "good" if verdict.cause == "works" else "but"


def _choose_waterfalls(topology: TopologyRun) -> Iterable[Waterfall]:
    """The first cold call shows every phase; where the channel is kept, a warm one shows the rest.

    The warm one is the median, as the p50 in the table is.
    """
    callers = {
        result.request_id: result for result in (*topology.opening_results, *topology.results)
    }
    cold = next((r for r in (*topology.opening, *topology.invocations) if r.cold), None)
    warm = sorted((r for r in topology.invocations if not r.cold), key=_seconds)
    if cold is not None:
        caller = callers.get(cold.request_id)
        yield draw_waterfall(cold, title="first call, cold", caller=caller)
    if not warm:
        return
    typical = warm[(len(warm) - 1) // 2]
    if cold is None or typical.strategy.is_developers:
        title = "a typical call, warm" if cold else "a typical call"
        yield draw_waterfall(typical, title=title, caller=callers.get(typical.request_id))


def _seconds(record: InvocationRecord) -> float:
    return record.finished - record.started


def _facts(topology: TopologyRun) -> Iterable[str]:
    waits = {
        result.request_id: result.duration
        for result in (*topology.opening_results, *topology.results)
    }
    for record in (*topology.opening, *topology.invocations)[:_SHOWN_INVOCATIONS]:
        plain = _plain(record)
        if record.request_id in waits:
            plain |= {"caller_ms": round(waits[record.request_id] * 1000, 3)}
        yield json.dumps(plain, ensure_ascii=False)


def _plain(record: InvocationRecord) -> dict[str, Any]:
    """An invocation for reading: times from its start, in milliseconds, empty members left out."""
    return {
        "request_id": record.request_id,
        "cold": record.cold,
        "strategy": str(record.strategy),
        "ms": round(_seconds(record) * 1000, 3),
        **({"note": record.note} if record.note else {}),
        "spans": [
            {
                "phase": str(span.phase),
                "at_ms": round((span.started - record.started) * 1000, 3),
                "ms": round(span.duration * 1000, 3),
                "outcome": str(span.outcome),
                **dict(span.detail),
            }
            for span in record.spans
        ],
    }
