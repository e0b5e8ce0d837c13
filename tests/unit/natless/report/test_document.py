from dataclasses import replace

import pytest

from event_protocol.phases import InvocationRecord, Outcome, Phase, Strategy
from natless.explain import Verdict
from natless.measure import Recorder
from natless.report import Platform, ProbeRun, TopologyRun, describe_topology
from tests.unit.natless.explain.calls import failed_call
from tests.unit.natless.report.sample import REFUSAL, SILENCE, WORKS, make_document


def recorder_of(*strategies: Strategy) -> Recorder:
    recorder = Recorder()
    for index, strategy in enumerate(strategies):
        recorder.add_record(InvocationRecord(f"r{index}", "w", False, strategy, 0.0, 1.0, ()))
    return recorder


def topology_of(by: dict[Strategy, int], *, total: int) -> TopologyRun:
    return TopologyRun("t", "", "", "", True, total, total, Verdict("works", "", works=True), by=by)


def test_the_sample_shows_what_the_demo_promises():
    document = make_document()
    assert document.kept
    assert [t.seen for t in document.topologies] == [
        "works", "works", "connect: no answer in 3.0 s", "upgrade: HTTP 403 from 10.0.9.10",
    ]  # fmt: skip
    assert [t.verdict.cause for t in document.topologies] == [
        "works", "works", "no-route-out", "endpoint-captures",
    ]  # fmt: skip


def test_a_topology_is_measured_explained_and_compared_with_its_promise():
    run = describe_topology("t", recorder_of(Strategy.WORKER), title="T", promise=WORKS)
    assert (run.kept, run.seen, run.total, run.answered) == (True, "works", 1, 1)
    run = describe_topology("t", recorder_of(Strategy.WORKER), title="T", promise=SILENCE)
    assert (run.kept, run.promised) == (False, "SYN gets no answer")


def test_another_way_that_was_found_at_the_first_call_is_told_though_later_calls_just_work():
    opening = Recorder()
    failed = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    opening.add_record(replace(failed, strategy=Strategy.ROUTE))
    run = describe_topology(
        "t", recorder_of(Strategy.WORKER), title="T", promise=SILENCE, opening=opening
    )
    assert (run.kept, run.seen) == (True, "works after connect: no answer in 3.0 s (1 of 2)")
    assert (run.verdict.cause, run.total) == ("answered-later", 1)
    run = describe_topology(
        "t", recorder_of(Strategy.WORKER), title="T", promise=REFUSAL, opening=opening
    )
    assert not run.kept
    fallen = Recorder()
    fallen.add_record(failed)
    run = describe_topology("t", fallen, title="T", promise=SILENCE, opening=opening)
    assert (run.kept, run.seen) == (True, "connect: no answer in 3.0 s")


def test_a_broken_probe_breaks_the_promise_of_calls_that_kept_it():
    probe = ProbeRun("names", "", "nothing", kept=False)
    run = describe_topology(
        "t", recorder_of(Strategy.WORKER), title="T", promise=WORKS, probes=[probe]
    )
    assert not run.kept


@pytest.mark.parametrize(
    ("by", "total", "text"),
    [
        ({Strategy.WORKER: 3}, 3, "worker"),
        ({Strategy.DEPLOYED: 3}, 3, "fallback: deployed"),
        ({Strategy.WORKER: 2, Strategy.ERROR: 1}, 3, "worker 2, fallback: error 1"),
        ({Strategy.WORKER: 2}, 3, "worker 2"),
        ({}, 3, "nobody"),
    ],
)
def test_who_answered_is_told_with_counts_only_where_needed(by, total, text):
    assert topology_of(by, total=total).by_text == text


def test_this_machine_is_described_without_its_name_and_its_user():
    here = Platform.here()
    assert here.cpu_count >= 1
    assert here.python.startswith("3.")
    assert set(here.__slots__) == {"system", "kernel", "machine", "python", "cpu_count"}
