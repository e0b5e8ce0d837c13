from dataclasses import replace

import pytest

from event_protocol.phases import Outcome, Phase
from natless.explain import NetworkFacts, explain
from natless.measure import CallerResult
from tests.unit.natless.explain.calls import answered_call, evidence, failed_call


def test_trouble_of_some_calls_says_first_how_many():
    calls = (failed_call(Phase.CONNECT, Outcome.TIMEOUT), answered_call("r2"), answered_call("r3"))
    assert explain(evidence(*calls)).sentence.startswith("In 1 of 3 calls: The name resolved")


def test_the_evidence_names_what_was_seen_and_what_is_known():
    call = failed_call(Phase.CONNECT, Outcome.TIMEOUT, errno=110, clipped=True)
    network = NetworkFacts(in_vpc=True, has_way_out=False, syns_dropped=7)
    lost = (CallerResult("r1", 0, 1, answered=False),)
    lines = "\n".join(explain(evidence(call, network=network, results=lost)).evidence)
    for fact in (
        "resolved to 198.51.100.10",
        "connect: no answer in 3.0 s with 198.51.100.10 port 443",
        "budget connect.tcp: 3.0 s",
        "errno 110",
        "deadline allowed less",
        "public address",
        "its subnet has no way out",
        "7 dropped SYNs",
        "1 of 1 calls ended this way",
        "1 of 1 callers got no answer",
    ):
        assert fact in lines


def test_a_verdict_names_its_page():
    verdict = explain(evidence(answered_call()))
    assert verdict.documentation == "reference/verdicts.html#works"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("the code did not answer in time", "the code did not answer in time"),
        (
            'cannot be loaded: {"errorType":"ImportError","errorMessage":"no; x"}',
            "cannot be loaded: ImportError: no; x",
        ),
        ("it said {", "it said {"),
    ],
)
def test_a_fallback_that_had_no_answer_is_told_beside_the_cause(reason, told):
    note = f"connect: no answer; deployed could not: {reason}; answered by http in 1.9 s"
    call = replace(failed_call(Phase.CONNECT, Outcome.TIMEOUT), note=note)
    verdict = explain(evidence(call))
    assert verdict.sentence.endswith(f" The fallback deployed had no answer: {told}.")
    assert verdict.evidence[-1] == f"no answer by deployed: {told}"


def test_errors_of_the_deployed_code_are_evidence_and_no_cause():
    call = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    error = CallerResult("r1", 0, 1, error_type="KeyError", error_message="'id'")
    verdict = explain(evidence(call, results=(error,)))
    assert verdict.cause == "syn-unanswered"
    assert "the deployed code answered 1 of 1 calls with an error: KeyError: 'id'" in (
        verdict.evidence
    )
