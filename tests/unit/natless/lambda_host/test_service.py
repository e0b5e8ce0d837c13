"""Events and their retries, by a hand-moved clock; and whom a name means."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.clock import HandClock
from natless.lambda_host.destinations import EventConfig
from natless.lambda_host.function_name import FunctionName
from natless.lambda_host.invoke_api import check_json
from natless.lambda_host.refusal import Refusal
from natless.lambda_host.service import MAX_DEPTH, Call, EventBudgets, LambdaService
from natless.lambda_host.spec import InvokeResult

ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders"


class Host:
    """Answers with the statuses of a list, then well; notes when it was called."""

    def __init__(self, clock: HandClock, *outcomes: int | str) -> None:
        self.spec = SimpleNamespace(name="orders", arn=ARN, aliases=("live",))
        self.called: list[float] = []
        self._clock = clock
        self._outcomes = list(outcomes)

    async def invoke(self, payload: bytes, **options) -> InvokeResult:
        self.called.append(self._clock.now() - 1000.0)
        outcome = self._outcomes.pop(0) if self._outcomes else 200
        status, error = (200, outcome) if isinstance(outcome, str) else (outcome, None)
        return InvokeResult(status, payload, error, options["request_id"], "", b"", 0.0, 0.0)


class Stage:
    def __init__(
        self,
        *outcomes: int | str,
        budgets: EventBudgets | None = None,
        config: EventConfig | None = None,
    ) -> None:
        self.clock = HandClock()
        self.host = Host(self.clock, *outcomes)
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self._notice)
        self._news = asyncio.Event()
        self.service = LambdaService(
            [self.host],
            journal=journal,
            clock=self.clock,
            budgets=budgets,
            configs={"orders": config} if config else None,
        )

    def _notice(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._news.set()

    async def until(self, kind: str) -> None:
        """Returns once there is a fact of this kind."""
        while kind not in self.kinds():
            self._news.clear()
            await self._news.wait()

    def enqueue(self) -> None:
        self.service.enqueue(Call(self.host, b"{}", via="event", request_id="r-1"))

    def kinds(self) -> list[str]:
        return [fact.kind.removeprefix("lambda.") for fact in self.facts]

    async def pass_time(self, count: int) -> None:
        """Lets so many pauses pass, each in full."""
        for _ in range(count):
            await self.clock.pending()
            [*_, fact] = [f for f in self.facts if f.kind == "lambda.event.postponed"]
            self.clock.advance(fact.data["seconds"])
        for _ in range(5):
            await asyncio.sleep(0)


async def test_an_event_that_works_is_done():
    stage = Stage()
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(0)
    assert stage.host.called == [0.0]
    assert stage.kinds() == ["request.received", "request.answered"]


async def test_a_failed_event_is_tried_after_one_and_two_more_minutes():
    stage = Stage("Unhandled", "Unhandled", "Unhandled")
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(2)
    assert stage.host.called == [0.0, 60.0, 180.0]
    assert stage.kinds()[-1] == "event.dropped"
    assert stage.facts[-1].data["attempts"] == 3


async def test_a_throttled_event_waits_ever_longer_and_that_is_no_attempt():
    stage = Stage(429, 429, 429, "Unhandled")
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(4)
    assert stage.host.called == [0.0, 1.0, 3.0, 7.0, 67.0]
    attempts = [f.data["attempt"] for f in stage.facts if f.kind == "lambda.request.received"]
    assert attempts == [1, 1, 1, 1, 2]


async def test_an_event_that_is_throttled_for_hours_is_given_up():
    stage = Stage(*[429] * 9, budgets=EventBudgets(event_age=100.0, throttle_max=32.0))
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(7)
    assert stage.host.called == [0, 1, 3, 7, 15, 31, 63, 95]
    assert stage.kinds()[-1] == "event.dropped"


async def test_what_cannot_be_run_is_given_up_at_once():
    stage = Stage(413)
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(0)
    assert stage.kinds()[-1] == "event.dropped"


async def test_waiting_events_end_with_the_service():
    stage = Stage("Unhandled")
    async with stage.service:
        stage.enqueue()
        await stage.clock.pending()
    await stage.pass_time(0)
    assert len(stage.host.called) == 1


async def test_only_so_many_events_are_kept():
    stage = Stage("Unhandled", budgets=EventBudgets(queued_count=1))
    async with stage.service:
        stage.enqueue()
        with pytest.raises(Refusal) as caught:
            stage.enqueue()
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")


async def test_a_function_may_be_tried_less_often():
    stage = Stage("Unhandled", "Unhandled", config=EventConfig(retries=0))
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(0)
    assert stage.host.called == [0.0]
    assert stage.facts[-1].data["condition"] == "RetriesExhausted"


async def test_a_retry_that_would_come_too_late_is_not_made():
    stage = Stage("Unhandled", "Unhandled", config=EventConfig(event_age=100.0))
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(1)
    assert stage.host.called == [0.0, 60.0]
    assert stage.facts[-1].data["condition"] == "EventAgeExceeded"


def note_payloads(stage: Stage, name: str) -> list[dict]:
    """A second function, and what it is called with."""
    taken: list[dict] = []
    other = Host(stage.clock)
    other.spec = SimpleNamespace(name=name, arn=ARN.replace("orders", name), aliases=())

    async def invoke(payload: bytes, **options) -> InvokeResult:
        taken.append(json.loads(payload))
        return await Host.invoke(other, payload, **options)

    other.invoke = invoke
    stage.service.functions[name] = other
    return taken


@pytest.mark.parametrize("target", ["lost", ARN.replace("orders", "lost")])
async def test_what_is_given_up_goes_to_the_function_for_failures(target):
    stage = Stage("Unhandled", config=EventConfig(retries=0, on_failure=target, on_success="no"))
    taken = note_payloads(stage, "lost")
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(0)
        [record] = taken
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert "destination.sent" in stage.kinds()


async def test_what_works_goes_to_the_function_for_successes():
    stage = Stage(config=EventConfig(on_success="done", on_failure="no"))
    taken = note_payloads(stage, "done")
    async with stage.service:
        stage.enqueue()
        await stage.pass_time(0)
    assert [each["requestContext"]["condition"] for each in taken] == ["Success"]


async def test_records_may_go_to_a_file(tmp_path):
    file = tmp_path / "done.jsonl"
    stage = Stage(config=EventConfig(on_success=str(file)))
    async with stage.service:
        stage.enqueue()
        await stage.until("destination.sent")
    assert json.loads(file.read_text())["requestContext"]["requestId"] == "r-1"


@pytest.mark.parametrize(
    "target", ["nobody", "arn:aws:sqs:us-east-1:123456789012:queue", "/no/such/folder/file"]
)
async def test_a_destination_that_is_not_there_is_told_and_costs_nothing_else(target):
    stage = Stage(config=EventConfig(on_success=target))
    async with stage.service:
        stage.enqueue()
        await stage.until("destination.failed")
    assert stage.facts[-1].data["target"] == target


async def test_functions_that_call_each_other_in_a_circle_are_stopped():
    stage = Stage(config=EventConfig(on_success="orders"))
    async with stage.service:
        stage.enqueue()
        await stage.until("destination.failed")
    assert len(stage.host.called) == MAX_DEPTH + 1
    assert "recursive loop" in stage.facts[-1].data["reason"]


@pytest.mark.parametrize(
    "name",
    ["orders", "orders:$LATEST", "orders:live", "function", ARN.replace("us-east-1", "eu-west-1")],
)
def test_a_function_is_found_by_its_name_alone(name):
    stage = Stage()
    assert stage.service.find(FunctionName.parse(name)) is stage.host


@pytest.mark.parametrize(
    ("name", "arn"), [("mail", ARN.replace("orders", "mail")), ("orders:old", ARN + ":old")]
)
def test_whom_nobody_knows_is_named_by_an_arn(name, arn):
    with pytest.raises(Refusal) as caught:
        Stage().service.find(FunctionName.parse(name))
    assert json.loads(caught.value.body)["Message"] == f"Function not found: {arn}"


@pytest.mark.parametrize("text", [b"{}", b"1", b'"\xc3\xbc"', b" [1] "])
def test_json_is_let_through(text):
    check_json(text)


@pytest.mark.parametrize("text", [b"{", b"Infinity", b"\xff", b"\xff\xfe{\0}\0", b"[" * 100_000])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(Refusal, match="InvalidRequestContentException"):
        check_json(text)


def test_the_emulators_name_means_a_function_only_where_there_is_one():
    stage = Stage()
    note_payloads(stage, "mail")
    with pytest.raises(Refusal, match="ResourceNotFoundException"):
        stage.service.find(FunctionName.parse("function"))
