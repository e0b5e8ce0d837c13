from dataclasses import dataclass, replace

import pytest

from event_protocol.phases import Outcome, Phase, Strategy
from natless.explain import describe_seen, is_kept
from natless.measure import CallerResult
from tests.unit.natless.explain.calls import INSIDE, answered_call, evidence, failed_call


@dataclass(frozen=True)
class Promise:
    text: str = ""
    phase: Phase = Phase.REPLY
    outcome: Outcome = Outcome.OK
    http_status: int | None = None


WORKS = Promise()
SILENCE = Promise("SYN gets no answer", Phase.CONNECT, Outcome.TIMEOUT)
REFUSAL = Promise("endpoint refuses", Phase.UPGRADE, Outcome.HTTP_ERROR, 403)


@pytest.mark.parametrize(
    ("phase", "outcome", "more", "text"),
    [
        (Phase.CONNECT, Outcome.TIMEOUT, {}, "connect: no answer in 3.0 s"),
        (Phase.RESOLVE, Outcome.NAME_TIMEOUT, {}, "resolve: no answer to the name in 3.0 s"),
        (Phase.RESOLVE, Outcome.NAME_NOT_FOUND, {}, "resolve: no such name"),
        (Phase.CONNECT, Outcome.REFUSED, {}, "connect: connection refused"),
        (Phase.UPGRADE, Outcome.HTTP_ERROR, {"status": 403, "address": INSIDE},
         "upgrade: HTTP 403 from 10.0.9.10"),
        (Phase.UPGRADE, Outcome.HTTP_ERROR, {"status": 403, "address": ""}, "upgrade: HTTP 403"),
        (Phase.UPGRADE, Outcome.HTTP_ERROR, {}, "upgrade: http-error"),
        (Phase.SUBSCRIBE, Outcome.DENIED, {}, "subscribe: denied"),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_a_few_words(phase, outcome, more, text):
    assert describe_seen(evidence(failed_call(phase, outcome, **more))) == text


def test_a_resolver_that_fails_at_once_is_not_one_that_says_nothing():
    call = failed_call(Phase.RESOLVE, Outcome.NAME_TIMEOUT, seconds=0.002)
    assert describe_seen(evidence(call)) == "resolve: resolver failed after 2 ms"


def test_a_partial_failure_tells_its_share():
    seen = describe_seen(evidence(failed_call(Phase.TLS, Outcome.RESET), answered_call("r2")))
    assert seen == "tls: connection reset (1 of 2)"


def test_what_works_and_what_was_never_measured_are_told_apart():
    assert describe_seen(evidence(answered_call())) == "works"
    assert describe_seen(evidence()) == "nothing measured"


def test_lost_calls_are_told():
    lost = CallerResult("r2", 0, 1, answered=False)
    seen = describe_seen(evidence(answered_call(), results=(CallerResult("r1", 0, 1), lost)))
    assert seen == "1 of 2 not answered"


def test_a_working_promise_is_kept_by_working_calls_only():
    assert is_kept(WORKS, evidence(answered_call()))
    assert not is_kept(WORKS, evidence())
    assert not is_kept(WORKS, evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT)))
    lost = (CallerResult("r1", 0, 1, answered=False),)
    assert not is_kept(WORKS, evidence(answered_call(), results=lost))


def test_a_promised_failure_is_kept_when_every_call_fails_just_so():
    silent = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    assert is_kept(SILENCE, evidence(silent, silent))
    assert not is_kept(SILENCE, evidence(silent, answered_call("r2")))
    assert not is_kept(SILENCE, evidence(answered_call()))
    assert not is_kept(SILENCE, evidence(failed_call(Phase.TLS, Outcome.TIMEOUT)))
    assert not is_kept(SILENCE, evidence(failed_call(Phase.CONNECT, Outcome.REFUSED)))


def test_a_promised_status_is_compared():
    def refused(status):
        return evidence(failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, status=status))

    assert is_kept(REFUSAL, refused(403))
    assert not is_kept(REFUSAL, refused(404))


def test_calls_that_worked_later_keep_a_promise_to_work_and_one_to_fail():
    late = replace(failed_call(Phase.CONNECT, Outcome.TIMEOUT), strategy=Strategy.ROUTE)
    assert is_kept(WORKS, evidence(late, answered_call("r2")))
    assert is_kept(SILENCE, evidence(late, late))
    assert not is_kept(SILENCE, evidence(late, answered_call("r2")))
    assert not is_kept(REFUSAL, evidence(late))
    assert describe_seen(evidence(late)) == "works after connect: no answer in 3.0 s"
    assert describe_seen(evidence(late, answered_call())).endswith(" (1 of 2)")


def test_a_handler_that_fails_and_a_guest_that_does_not_start_are_told():
    error = CallerResult("r1", 0, 1, error_type="ValueError")
    assert describe_seen(evidence(answered_call(), results=(error,))) == "works, handler fails"
    lost = CallerResult("r1", 0, 1, answered=False, error_type="LiveBridge.ConfigInvalid")
    assert describe_seen(evidence(results=(lost,))) == "guest does not start"
    assert describe_seen(evidence(results=(lost, replace(lost, error_type="x")))) == (
        "2 of 2 not answered"
    )
