import asyncio
import json

import pytest

from natless.lambda_host.invocation import Failure, Invocation
from natless.lambda_host.runtime_process import describe_exit
from natless.lambda_host.runtime_session import Answer, AnswerKind
from natless.lambda_host.spec import InvokeResult

RESULT = InvokeResult(200, b"{}", None, "r-1", "$LATEST", b"", 1.0, 3.5)


def invocation(*, wants_tail: bool) -> Invocation:
    result: asyncio.Future[InvokeResult] = asyncio.get_running_loop().create_future()
    return Invocation("r-1", b"{}", None, wants_tail, 1.0, result)


async def test_a_caller_gets_its_answer_at_once():
    one = invocation(wants_tail=False)
    one.answer(RESULT)
    assert one.result.result() is RESULT


async def test_a_caller_that_wants_the_log_waits_for_its_end():
    one = invocation(wants_tail=True)
    one.answer(RESULT)
    one.tail.add(["END"])
    assert not one.result.done()
    one.finish()
    assert one.result.result().log_tail == b"END\n"


async def test_a_caller_that_has_gone_is_not_answered():
    one = invocation(wants_tail=False)
    one.result.cancel()
    one.answer(RESULT)
    one.finish()
    assert one.result.cancelled()


def test_the_duration_is_what_the_caller_waited():
    assert RESULT.duration == 2.5


def test_a_failure_names_the_request_in_the_words_of_lambda():
    answer = Failure("Runtime.ExitError", describe_exit(1)).answer_for("r-1")
    assert json.loads(answer.body) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: r-1 Error: Runtime exited with error: exit status 1",
    }


def test_what_the_runtime_said_itself_is_not_reworded():
    posted = Answer(AnswerKind.INIT_ERROR, b'{"errorType":"X"}', "Runtime.X")
    assert Failure("Runtime.X", "", posted=posted).answer_for("r-1") is posted


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "Runtime exited without providing a reason"),
        (3, "Runtime exited with error: exit status 3"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
        (-15, "Runtime exited with error: signal: terminated"),
    ],
)
def test_exits_are_worded_as_lambda_does(status, words):
    assert describe_exit(status) == words
