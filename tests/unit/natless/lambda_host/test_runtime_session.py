import json

import pytest

from natless.lambda_host.runtime_session import (
    MAX_PAYLOAD_BYTES,
    TOO_LARGE,
    AnswerKind,
    Event,
    Refusal,
    RuntimeSession,
    RuntimeState,
    parse_error_type,
    platform_error,
    too_large_answer,
)

EVENT = Event("r-1", {"Lambda-Runtime-Invocation-Id": "nonce"}, b"{}")
OTHER = Event("r-2", {}, b"{}")


def running(event: Event = EVENT) -> RuntimeSession:
    session = RuntimeSession()
    assert session.ask() is None
    session.offer(event)
    assert session.serve() is event
    return session


def answered() -> RuntimeSession:
    session = running()
    assert session.begin_post(AnswerKind.RESPONSE, request_id="r-1") is None
    session.finish_post()
    return session


def status(refusal: Refusal | None) -> int:
    return 202 if refusal is None else refusal.status


def test_a_runtime_is_ready_once_it_asks():
    session = RuntimeSession()
    assert session.state is RuntimeState.STARTED
    assert session.ask() is None
    assert session.state is RuntimeState.READY


def test_asking_again_while_an_invocation_runs_gives_the_same_event():
    session = running()
    assert session.ask() is None
    assert session.serve() is EVENT
    assert session.state is RuntimeState.RUNNING


def test_asking_twice_before_there_is_an_event_changes_nothing():
    session = RuntimeSession()
    session.ask()
    assert session.ask() is None
    assert session.state is RuntimeState.READY


def test_after_its_answer_a_runtime_may_ask_and_the_event_is_gone():
    session = answered()
    assert session.ask() is None
    assert session.event is None
    assert session.state is RuntimeState.READY


@pytest.mark.parametrize("kind", [AnswerKind.RESPONSE, AnswerKind.ERROR])
def test_an_answer_moves_through_its_own_state(kind):
    session = running()
    assert session.begin_post(kind, request_id="r-1") is None
    assert session.state.startswith("Invocation")
    session.finish_post()
    assert session.state is RuntimeState.RESPONSE_SENT


@pytest.mark.parametrize("make", [running, answered, RuntimeSession])
def test_an_answer_with_another_id_is_refused_before_the_state_is_looked_at(make):
    refusal = make().begin_post(AnswerKind.RESPONSE, request_id="r-9")
    assert refusal is not None
    assert refusal.status == 400
    assert json.loads(refusal.body) == {
        "errorMessage": "Invalid request ID",
        "errorType": "InvalidRequestID",
    }


def test_the_answer_of_an_earlier_invocation_is_refused_once_the_next_was_asked_for():
    session = answered()
    session.ask()
    assert status(session.begin_post(AnswerKind.RESPONSE, request_id="r-1")) == 400


@pytest.mark.parametrize("kind", [AnswerKind.RESPONSE, AnswerKind.ERROR])
def test_a_second_answer_is_refused_with_the_names_of_the_states(kind):
    refusal = answered().begin_post(kind, request_id="r-1")
    assert refusal is not None
    assert refusal.status == 403
    target = "InvocationResponse" if kind is AnswerKind.RESPONSE else "InvocationErrorResponse"
    assert json.loads(refusal.body) == {
        "errorMessage": f"State transition from RuntimeResponseSentState to {target} failed for "
        "runtime. Error: State transition is not allowed",
        "errorType": "InvalidStateTransition",
    }


def test_two_answers_cannot_arrive_at_once():
    session = running()
    session.begin_post(AnswerKind.RESPONSE, request_id="r-1")
    assert status(session.begin_post(AnswerKind.ERROR, request_id="r-1")) == 403


def test_an_answer_before_the_event_was_taken_is_refused():
    session = RuntimeSession()
    session.ask()
    session.offer(EVENT)
    assert status(session.begin_post(AnswerKind.RESPONSE, request_id="r-1")) == 403


def test_asking_while_an_answer_arrives_is_refused():
    session = running()
    session.begin_post(AnswerKind.RESPONSE, request_id="r-1")
    refusal = session.ask()
    assert refusal is not None
    assert refusal.status == 403
    assert "from InvocationResponse to Ready" in refusal.message


@pytest.mark.parametrize(
    ("echo", "expected"), [("nonce", 202), (None, 202), ("an older one", 410), ("", 410)]
)
def test_an_echoed_invocation_id_must_be_the_current_one(echo, expected):
    session = running()
    refusal = session.begin_post(AnswerKind.RESPONSE, request_id="r-1", invocation_id=echo)
    assert status(refusal) == expected
    if refusal is not None:
        assert refusal.error_type == "ErrorRuntimeInvokeTimeout"
        assert session.state is RuntimeState.RUNNING, "the right answer may still come"


def test_an_echo_is_not_checked_for_an_event_without_a_nonce():
    session = running(OTHER)
    refusal = session.begin_post(AnswerKind.RESPONSE, request_id="r-2", invocation_id="any")
    assert refusal is None


def test_an_init_error_is_taken_once_and_then_everything_is_refused():
    session = RuntimeSession()
    assert session.fail_init() is None
    assert status(session.fail_init()) == 403
    assert status(session.ask()) == 403


@pytest.mark.parametrize("make", [running, answered])
def test_an_init_error_after_the_first_event_is_refused(make):
    refusal = make().fail_init()
    assert refusal is not None
    assert refusal.status == 403
    assert "to InitError failed" in refusal.message


def test_an_event_can_only_be_offered_to_a_runtime_that_asked():
    with pytest.raises(RuntimeError, match="Started"):
        RuntimeSession().offer(EVENT)
    with pytest.raises(RuntimeError):
        running().offer(OTHER)
    session = RuntimeSession()
    session.ask()
    session.offer(EVENT)
    with pytest.raises(RuntimeError):
        session.offer(OTHER)


def test_nothing_can_be_served_that_was_not_offered():
    session = RuntimeSession()
    session.ask()
    with pytest.raises(RuntimeError, match="no event"):
        session.serve()


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.MyError", "Function.MyError"),
        ("Function.my", "Function.Unknown"),
        ("ValueError", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
        (None, "Runtime.Unknown"),
    ],
)
def test_only_platform_like_error_types_are_kept(header, kept):
    assert parse_error_type(header) == kept


def test_platform_errors_have_the_members_in_the_order_of_lambda():
    answer = platform_error("Runtime.ExitError", "gone")
    assert answer.body == b'{"errorType":"Runtime.ExitError","errorMessage":"gone"}'
    assert answer.is_error


def test_a_response_that_is_too_large_is_told_to_both_sides():
    assert MAX_PAYLOAD_BYTES == 6_291_556
    assert TOO_LARGE.status == 413
    assert b"(6291556 bytes)." in TOO_LARGE.body
    assert json.loads(too_large_answer(7_000_000).body) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size (7000000 bytes) exceeded maximum allowed payload "
        "size (6291556 bytes).",
    }
