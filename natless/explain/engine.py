"""Asks the causes one after the other; the first that recognises the evidence speaks."""

from __future__ import annotations

from dataclasses import replace

from natless.explain.causes import CAUSES, unknown
from natless.explain.evidence import Evidence
from natless.explain.verdict import Verdict


def explain(evidence: Evidence) -> Verdict:
    """Names the cause of what was measured. Always ends in a verdict, if only an honest one."""
    for recognise in CAUSES:
        if (verdict := recognise(evidence)) is not None:
            return _say_who_had_no_answer(_say_how_often(verdict, evidence), evidence)
    return unknown.explain(evidence)


def _say_how_often(verdict: Verdict, evidence: Evidence) -> Verdict:
    """A cause that hit only some calls says so first: it is another kind of trouble."""
    failure = evidence.failure
    if failure is None or not failure.is_partial:
        return verdict
    share = f"In {failure.count} of {failure.total} calls: "
    return replace(verdict, sentence=share + verdict.sentence)


def _say_who_had_no_answer(verdict: Verdict, evidence: Evidence) -> Verdict:
    """Whoever expects the deployed code to answer wants to know why it did not."""
    in_vain = evidence.asked_in_vain
    if verdict.works or not in_vain:
        return verdict
    name, _, reason = in_vain[0].partition(": ")
    return replace(
        verdict,
        sentence=f"{verdict.sentence} The fallback {name} had no answer: {reason}.",
        evidence=(*verdict.evidence, *(f"no answer by {each}" for each in in_vain)),
    )
