import json
from dataclasses import replace

import pytest

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.measure import CallerResult, Recorder, find_failure, find_setback


def record(
    *spans: Span, strategy: Strategy = Strategy.WORKER, seconds: float = 1.0, name: str = "r1"
) -> InvocationRecord:
    return InvocationRecord(name, "w" * 32, True, strategy, 10.0, 10.0 + seconds, spans)


def span(
    phase: Phase, outcome: Outcome = Outcome.OK, *, start: float = 10.0, seconds: float = 0.1
) -> Span:
    return Span(phase, start, start + seconds, outcome)


def test_both_sides_of_the_calls_are_counted():
    recorder = Recorder()
    for index in range(3):
        recorder.add_record(record(span(Phase.CONNECT), seconds=0.5))
        recorder.add_result(CallerResult(f"r{index}", 1.0, 2.0, answered=index != 2))
    measured = recorder.summarize()
    assert (measured.total, measured.answered) == (3, 2)
    assert measured.by == {Strategy.WORKER: 3}
    assert measured.latency.p50 == 1.0  # the caller's second, not the guest's half
    assert measured.phases[Phase.CONNECT].count == 3


def test_without_a_caller_the_guest_is_believed():
    recorder = Recorder()
    recorder.add_record(record(seconds=0.5))
    measured = recorder.summarize()
    assert (measured.total, measured.answered, measured.latency.p50) == (1, 1, 0.5)


def test_a_guest_that_was_killed_still_counts_as_a_call():
    recorder = Recorder()
    recorder.add_result(CallerResult("r1", 0.0, 20.0, answered=False))
    measured = recorder.summarize()
    assert (measured.total, measured.answered, dict(measured.by)) == (1, 0, {})


def test_a_phase_that_is_tried_twice_counts_once_with_its_sum():
    recorder = Recorder()
    recorder.add_record(record(span(Phase.PUBLISH, seconds=1.0), span(Phase.PUBLISH, seconds=2.0)))
    phases = recorder.summarize().phases
    assert (phases[Phase.PUBLISH].count, phases[Phase.PUBLISH].p50) == (1, 3.0)


def test_phases_come_in_the_order_of_a_call():
    recorder = Recorder()
    recorder.add_record(record(span(Phase.REPLY), span(Phase.TLS), span(Phase.RESOLVE)))
    assert list(recorder.summarize().phases) == [Phase.RESOLVE, Phase.TLS, Phase.REPLY]


def test_a_clock_that_ran_backwards_does_not_stop_the_run():
    recorder = Recorder()
    recorder.add_record(record(span(Phase.TLS, seconds=-1.0), seconds=-1.0))
    recorder.add_result(CallerResult("r1", 2.0, 1.0))
    measured = recorder.summarize()
    assert (measured.latency.most, measured.phases[Phase.TLS].most) == (0.0, 0.0)


def test_only_the_first_records_are_kept_and_all_are_counted():
    recorder = Recorder(kept_count=2)
    for index in range(5):
        recorder.add_record(record(name=f"r{index}"))
        recorder.add_result(CallerResult(f"r{index}", 0.0, 1.0))
    assert [kept.request_id for kept in recorder.records] == ["r0", "r1"]
    assert len(recorder.results) == 2
    assert recorder.summarize().total == 5


def test_what_failed_on_the_way_of_an_answered_call_is_no_failure():
    assert find_failure(record(span(Phase.PUBLISH, Outcome.TIMEOUT), span(Phase.PUBLISH))) is None


def test_the_last_try_decides_what_a_call_failed_of():
    tries = (span(Phase.CONNECT, Outcome.UNREACHABLE), span(Phase.CONNECT, Outcome.TIMEOUT))
    found = find_failure(record(*tries, strategy=Strategy.DEPLOYED))
    assert found is tries[1]


def test_what_the_end_cancelled_is_not_what_failed():
    connect = span(Phase.CONNECT, Outcome.TIMEOUT)
    later = span(Phase.REPLY, Outcome.CANCELLED)
    assert find_failure(record(connect, later, strategy=Strategy.ERROR)) is connect
    assert find_failure(record(later, strategy=Strategy.ERROR)) is later


@pytest.mark.parametrize("strategy", [Strategy.RETRY, Strategy.ROUTE])
def test_what_the_developers_code_answered_later_is_a_setback_and_no_failure(strategy):
    late = record(
        span(Phase.PUBLISH, Outcome.DENIED), span(Phase.PUBLISH), strategy=strategy, name="r"
    )
    assert find_failure(late) is None
    assert find_setback(late) is late.spans[0]
    assert find_setback(record(span(Phase.PUBLISH, Outcome.TIMEOUT))) is None
    assert find_setback(record(late.spans[0], strategy=Strategy.DEPLOYED)) is None


def test_how_other_ways_ended_says_nothing_about_the_usual_one():
    spans = (
        span(Phase.CONNECT, Outcome.TIMEOUT),  # the usual way
        span(Phase.CONNECT, Outcome.REFUSED),  # another host
        span(Phase.RESOLVE, Outcome.NAME_NOT_FOUND),  # the other address family
    )
    note = "connect: no answer in 3.0 s; route could not: x, y; answered by deployed in 6.0 s"
    failed = replace(record(*spans, strategy=Strategy.DEPLOYED), note=note)
    assert find_failure(failed) is spans[0]
    late = replace(failed, strategy=Strategy.ROUTE, note="connect: no; answered by route in 3 s")
    assert find_setback(late) is spans[0]
    odd = replace(failed, note="open breaker; route could not: x; answered by deployed")
    assert find_failure(odd) is spans[2]
    usual = replace(failed, note="connect: no answer; answered by deployed in 3.0 s")
    assert find_failure(usual) is spans[2]


REPLIED = span(Phase.REPLY)
EXITED = CallerResult("r1", 0.0, 1.0, answered=False, error_type="Runtime.ExitError")


@pytest.mark.parametrize("record_first", [True, False])
def test_an_exit_that_the_worker_told_is_an_answer(record_first):
    recorder = Recorder()
    adds = [
        lambda: recorder.add_record(record(REPLIED)),
        lambda: recorder.add_result(EXITED),
    ]
    for add in adds if record_first else reversed(adds):
        add()
    assert recorder.summarize().answered == 1
    assert [result.answered for result in recorder.results] == [True]


@pytest.mark.parametrize(
    "guest", [None, record(span(Phase.REPLY, Outcome.CLOSED)), record(REPLIED, name="another")]
)
def test_an_exit_of_the_guest_is_none(guest):
    recorder = Recorder()
    if guest is not None:
        recorder.add_record(guest)
    recorder.add_result(EXITED)
    assert recorder.summarize().answered == 0
    assert [result.answered for result in recorder.results] == [False]


def test_calls_of_which_one_side_is_never_seen_are_not_remembered_for_ever():
    recorder = Recorder(kept_count=3)
    for index in range(10):
        recorder.add_record(record(REPLIED, name=f"r{index}"))
    assert len(recorder._half_seen) == 3


def test_a_fallback_without_a_failed_phase_has_no_failure():
    assert find_failure(record(strategy=Strategy.DEPLOYED)) is None


def test_failed_phases_are_counted():
    recorder = Recorder()
    recorder.add_record(record(span(Phase.TLS, Outcome.RESET), strategy=Strategy.ERROR))
    recorder.add_record(record())
    assert recorder.summarize().failed_phases == {Phase.TLS: 1}


@pytest.mark.parametrize(
    ("body", "function_error", "answered", "error_type"),
    [
        ({"ok": True}, None, True, ""),
        ({"errorType": "ValueError", "errorMessage": "no"}, "Unhandled", True, "ValueError"),
        ({"errorType": "Sandbox.Timedout", "errorMessage": "x"}, "Unhandled", False,
         "Sandbox.Timedout"),
        ({"errorMessage": "2026 id Task timed out after 3.00 seconds"}, "Unhandled", False,
         "Sandbox.Timedout"),
        ({"errorType": "Runtime.ExitError"}, "Unhandled", False, "Runtime.ExitError"),
        ({"errorType": "LiveBridge.ConfigInvalid", "errorMessage": "no"}, "Unhandled", False,
         "LiveBridge.ConfigInvalid"),
        (["odd"], "Unhandled", True, "Unknown"),
        ({"errorMessage": "no type"}, "Unhandled", True, "Unknown"),
    ],
)  # fmt: skip
def test_a_reply_says_whether_the_function_answered(body, function_error, answered, error_type):
    result = CallerResult.from_reply(
        "r1", json.dumps(body).encode(), function_error=function_error, started=1.0, finished=3.5
    )
    assert (result.answered, result.error_type) == (answered, error_type)
    assert result.duration == 2.5


def test_a_reply_that_is_no_json_is_an_error_of_unknown_type():
    result = CallerResult.from_reply(
        "r1", b"\xff", function_error="Unhandled", started=0, finished=1
    )
    assert (result.answered, result.error_type) == (True, "Unknown")
