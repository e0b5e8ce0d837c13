"""What a worker remembers of the invocations it was asked for."""

from event_protocol.live import MessageCode
from natless.lambda_host.runtime_session import Event
from natless.worker.answers import FORGOTTEN, Answers
from natless.worker.work import Work

RESPONSE = MessageCode.RESPONSE


def test_an_answer_is_found_until_it_is_forgotten():
    answers = Answers(count=2)
    for key in ("a", "b", "c"):
        answers.begin(key, is_kept=True)
        assert answers.find(key) is None
        answers.keep(key, RESPONSE, key.encode())
    assert "a" not in answers
    assert answers.find("b") == (RESPONSE, b"b")
    assert answers.find("c") == (RESPONSE, b"c")


def test_large_answers_push_the_oldest_out():
    answers = Answers(size=10)
    for key in ("a", "b", "c"):
        answers.begin(key, is_kept=True)
        answers.keep(key, RESPONSE, b"12345")
    assert ["a" in answers, "b" in answers, "c" in answers] == [False, True, True]
    answers.begin("d")
    answers.keep("d", RESPONSE, b"x" * 11)
    assert "d" not in answers, "one that is larger than all there is room for"
    answers.begin("e")
    answers.keep("e", RESPONSE, b"1234567890")
    assert answers.find("e") == (RESPONSE, b"1234567890"), "nothing of the others is counted still"


def test_a_function_that_went_on_has_its_answer_and_keeps_only_those_of_its_spool():
    answers = Answers(size=10)
    for key in ("a", "b"):
        answers.begin(key)
        answers.keep(key, RESPONSE, b"12345678")
        answers.begin(f"kept {key}", is_kept=True)
        answers.keep(f"kept {key}", RESPONSE, b"1")
    assert answers.find("a") is FORGOTTEN
    assert answers.find("b") == (RESPONSE, b"12345678")
    assert answers.find("kept a") == (RESPONSE, b"1")
    assert "AnswerForgotten" in FORGOTTEN[1].decode()


def test_what_was_lost_may_begin_anew_and_what_was_answered_may_not():
    answers = Answers()
    answers.begin("a")
    answers.lose("a")
    assert "a" not in answers
    answers.begin("b")
    answers.keep("b", RESPONSE, b"1")
    answers.lose("b")
    assert "b" in answers
    answers.keep("never begun", RESPONSE, b"1")
    assert "never begun" not in answers


def work(**headers: str) -> Work:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Work(Event("r-1", named, b""), 0.0, 0.0, withdrawn=None)  # type: ignore[arg-type]


def test_lambdas_retry_is_another_attempt_and_a_guests_repeat_is_not():
    first = work(lambda_runtime_deadline_ms="1000")
    assert first.attempt == work(lambda_runtime_deadline_ms="1000").attempt
    assert first.attempt != work(lambda_runtime_deadline_ms="2000").attempt
    nonce = work(lambda_runtime_deadline_ms="1000", lambda_runtime_invocation_id="x")
    assert nonce.attempt != first.attempt


def test_a_kept_event_is_one_whatever_its_deadline():
    kept = work(lambda_runtime_deadline_ms="1000", natless_kept="17.5")
    later = work(lambda_runtime_deadline_ms="9000", natless_kept="17.5")
    assert kept.attempt == later.attempt
