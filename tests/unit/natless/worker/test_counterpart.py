import pytest

from natless.lambda_host.invocation import Failure
from natless.lambda_host.runtime_session import Answer, AnswerKind, Event
from natless.worker.counterpart import monotonic_deadline
from natless.worker.failures import describe_failure


def event(deadline: str | None) -> Event:
    headers = {} if deadline is None else {"lambda-runtime-deadline-ms": deadline}
    return Event("r-1", headers, b"")


@pytest.mark.parametrize(
    ("deadline", "left"),
    [
        ("1000003000", 3.0),
        ("999999000", 0.0),  # over already
        ("9999999999999", 900.0),  # further away than anything may last
        ("soon", 900.0),
        (None, 900.0),
    ],
)
def test_a_functions_deadline_becomes_one_of_this_machines_clock(deadline, left):
    got = monotonic_deadline(event(deadline), now=50.0, wall=1_000_000.0, longest=900.0)
    assert got == 50.0 + left


def failure(body: bytes) -> Failure:
    return Failure("X", "", posted=Answer(AnswerKind.INIT_ERROR, body, "X"))


def test_a_failure_is_told_with_its_message_and_its_place():
    body = (
        b'{"errorMessage":"no","stackTrace":["  File \\"a.py\\"\\n  x\\n"," File \\"b.py\\"\\n y"]}'
    )
    assert describe_failure(failure(body)) == {"message": "no", "place": 'File "b.py"'}


@pytest.mark.parametrize(
    "body",
    [
        b'{"errorMessage":"no"}',
        b'{"errorMessage":"no","stackTrace":[]}',
        b'{"errorMessage":"no","stackTrace":["  "]}',
    ],
)
def test_a_failure_without_a_place_has_only_its_message(body):
    assert describe_failure(failure(body)) == {"message": "no"}


@pytest.mark.parametrize("body", [b"oops", b"[1]", b'{"error":1}', b"3"])
def test_a_failure_in_a_form_of_its_own_is_told_as_it_is(body):
    assert describe_failure(failure(body)) == {"message": body.decode()}


def test_a_failure_that_nobody_worded_has_its_own_message():
    assert describe_failure(Failure("X", "it ended")) == {"message": "it ended"}
