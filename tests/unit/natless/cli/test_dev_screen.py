"""What a developer sees, fact by fact."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.cli.dev_screen import DevScreen, Network
from natless.explain import Dropper, NetworkFacts
from natless.journal import Fact

WORKER = "0" * 32


class Stage:
    def __init__(
        self,
        *,
        width: int = 200,
        is_terminal: bool = False,
        networks: dict[str, Network] | None = None,
    ) -> None:
        self._stream = io.StringIO()
        console = Console(
            file=self._stream, width=width, force_terminal=is_terminal, color_system=None
        )
        self.later: list = []
        self.screen = DevScreen(
            console,
            clock=lambda: "12:00:00",
            later=lambda _, call: self.later.append(call),
            networks=networks,
        )

    def tell(self, kind: str, **data) -> None:
        self.screen.take(Fact(0.0, "test", kind, {"function": "hello", **data}))

    def call(self, request_id: str, *, title: str = "GET /", attempt: int = 1) -> None:
        self.tell(
            "lambda.request.received",
            request_id=request_id,
            via="url",
            title=title,
            attempt=attempt,
            bytes=2,
        )
        self.tell("lambda.invocation.started", request_id=request_id)

    def log(self, request_id: str, line: str, *, worker_id: str = WORKER, generation=0) -> None:
        self.tell(
            "worker.log",
            request_id=request_id,
            stream="stdout",
            line=line,
            worker_id=worker_id,
            generation=generation,
        )

    def end(self, request_id: str, *, status=200, error="", note="", init="", frozen=None) -> None:
        self.tell(
            "lambda.request.answered",
            request_id=request_id,
            status=status,
            function_error=error,
            seconds=0.004,
            bytes=2,
            note=note,
            **({} if frozen is None else {"frozen": frozen}),
        )
        self.report(request_id, init=init)

    def report(self, request_id: str, *, init: str = "") -> None:
        self.tell("lambda.platform", request_id=request_id, line=f"REPORT RequestId: r{init}")

    def record(self, request_id: str, strategy: Strategy, *spans: Span) -> None:
        self.screen.take_record(
            InvocationRecord(request_id, WORKER, False, strategy, 0.0, 1.0, spans)
        )

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_call_that_printed_nothing_is_one_line(stage):
    stage.call("r")
    stage.record("r", Strategy.WORKER)
    stage.end("r", init="\tInit Duration: 1 ms")
    assert stage.lines == ["12:00:00 hello  GET /  200 in 4 ms · your code · cold start"]


def test_lines_are_shown_as_they_come_and_the_end_below_them(stage):
    stage.call("r")
    stage.log("r", "one")
    assert stage.lines == ["12:00:00 hello  GET /", "         │ one"]
    stage.log("r", "[red]two[/]")
    stage.end("r")
    assert stage.lines[2:] == ["         │ [red]two[/]", "         └ 200 in 4 ms"]


def test_the_lines_of_the_next_call_are_shown_as_they_come_too(stage):
    for name in ("a", "b"):
        stage.call(name)
        stage.log(name, f"from {name}")
        assert stage.lines[-2:] == ["12:00:00 hello  GET /", f"         │ from {name}"]
        stage.end(name)


def test_lines_of_calls_at_once_stay_together(stage):
    stage.call("a", title="GET /a")
    stage.call("b", title="GET /b")
    stage.log("a", "a1")
    stage.log("b", "b1")
    stage.log("a", "a2")
    stage.end("b")
    stage.log("a", "a3")
    stage.end("a")
    assert stage.lines == [
        "12:00:00 hello  GET /a",
        "         │ a1",
        "         │ a2",
        "12:00:00 hello  GET /b",
        "         │ b1",
        "         └ 200 in 4 ms",
        "12:00:00 hello  GET /a  (goes on)",
        "         │ a3",
        "         └ 200 in 4 ms",
    ]


def test_a_quiet_call_that_takes_long_is_shown_while_it_runs(stage):
    stage.call("r")
    stage.later[0]()
    assert stage.lines == ["12:00:00 hello  GET /"]
    stage.end("r")
    assert stage.lines[1:] == ["         └ 200 in 4 ms"]


def test_a_call_that_has_ended_is_not_shown_again(stage):
    stage.call("r")
    stage.end("r")
    stage.later[0]()
    assert len(stage.lines) == 1


def test_the_report_may_come_before_the_answer(stage):
    stage.call("r")
    stage.report("r")
    assert stage.lines == []
    stage.end("r")
    assert len(stage.lines) == 1


def test_a_throttled_call_ends_without_a_report(stage):
    stage.tell(
        "lambda.request.received", request_id="r", via="invoke", title="", attempt=1, bytes=2
    )
    stage.tell(
        "lambda.request.answered",
        request_id="r",
        status=429,
        function_error="",
        seconds=0.0,
        bytes=2,
        note="every execution environment is busy",
    )
    assert stage.lines == [
        "12:00:00 hello  invoke",
        "         │ every execution environment is busy",
        "         └ 429 in 0 ms",
    ]


def test_an_error_of_the_code_is_told_with_its_words(stage):
    stage.call("r", title="")
    stage.tell(
        "worker.invocation.failed",
        request_id="r",
        reason="ValueError",
        message="boom",
        answered=True,
    )
    stage.end("r", error="Unhandled")
    assert stage.lines[1:] == ["         │ ValueError: boom", "         └ error in 4 ms"]


def test_a_retry_says_which(stage):
    stage.call("r", title="", attempt=2)
    stage.end("r")
    assert "url, attempt 2" in stage.lines[0]


def test_a_fallback_is_told_with_its_cause_and_the_cause_once(stage):
    silence = Span(
        Phase.CONNECT,
        0.0,
        3.0,
        Outcome.TIMEOUT,
        "connect.tcp",
        3.0,
        {"address": "198.51.100.10", "port": 443},
    )
    for name in ("a", "b"):
        stage.call(name)
        stage.record(name, Strategy.DEPLOYED, silence)
        stage.end(name)
    ending = "200 in 4 ms · not your code but fallback deployed (connect: no answer in 3.0 s)"
    head, cause, first, second = stage.lines
    assert head == "12:00:00 hello  GET /"
    assert cause.startswith("         │ ")
    assert "SYN" in cause
    assert first == f"         └ {ending}"
    assert second == f"12:00:00 hello  GET /  {ending}"


def edit(stage, *, introduced: bool = True) -> None:
    if introduced:
        stage.tell("worker.init.received")
    stage.tell("worker.reload.noticed", files=("handler.py",))


def test_an_edit_is_told_once_however_many_environments_load_it(stage):
    edit(stage)
    for worker_id in ("a" * 32, "b" * 32):
        stage.log("", "loaded", worker_id=worker_id, generation=1)
    for _ in range(2):
        stage.tell("worker.reload.complete", files=("handler.py",), seconds=0.04)
    assert stage.lines == [
        "12:00:00 hello  reloaded handler.py in 40 ms",
        "         │ loaded",
    ]


def test_an_edit_before_any_call_waits_for_the_first(stage):
    edit(stage, introduced=False)
    assert stage.lines == [
        "12:00:00 hello  handler.py saved; the first call that reaches your code loads it"
    ]


def test_an_edit_that_cannot_be_loaded_is_told_with_its_place(stage):
    edit(stage)
    stage.tell(
        "worker.reload.failed",
        files=("handler.py",),
        error_type="Runtime.UserCodeSyntaxError",
        message="'(' was never closed",
        place='File "handler.py", line 3',
    )
    stage.log("", "[ERROR] again, as the next start fails too", generation=1)
    assert stage.lines == [
        "12:00:00 hello  handler.py cannot be loaded, so calls get this:",
        "         │ Runtime.UserCodeSyntaxError: '(' was never closed",
        '         │ File "handler.py", line 3',
    ]
    edit(stage)
    stage.log("", "loaded", generation=2)
    stage.tell("worker.reload.complete", files=("handler.py",), seconds=0.04)
    assert stage.lines[3:] == ["12:00:00 hello  reloaded handler.py in 40 ms", "         │ loaded"]


def test_what_a_module_prints_when_it_is_loaded_belongs_to_no_call(stage):
    stage.log("", "loaded")
    assert stage.lines == ["12:00:00 hello │ loaded"]


def test_a_lost_channel_is_told_once_and_so_is_its_return(stage):
    for kind in ("closed", "failed", "failed", "complete", "complete"):
        stage.tell(f"worker.connect.{kind}")
    assert stage.lines == [
        "12:00:00 channel  lost; trying again",
        "12:00:00 channel  is back",
    ]


def test_debuggers_are_told(stage):
    for kind in ("attached", "detached", "listening"):
        stage.tell(f"worker.debug.{kind}", port=5679)
    assert stage.lines == [
        "12:00:00 hello  a debugger is attached; its time stands still",
        "12:00:00 hello  the debugger is gone; time goes on",
        "12:00:00 hello  runs twice at once; debug the other one at 127.0.0.1:5679",
    ]


def test_long_lines_wrap_beside_their_bar_on_a_terminal():
    stage = Stage(width=30, is_terminal=True)
    stage.call("r")
    stage.log("r", "word " * 8)
    assert stage.lines[1:] == [
        "         │ word word word word",
        "         │ word word word word",
    ]


def test_long_lines_stay_whole_in_a_file(stage):
    stage.call("r")
    stage.log("r", "x" * 500)
    assert stage.lines[1] == "         │ " + "x" * 500


@pytest.mark.parametrize(("frozen", "words"), [(9.9, ""), (30.0, " · after 30.0 s frozen")])
def test_a_call_says_for_how_long_its_function_had_been_frozen(stage, frozen, words):
    stage.call("r")
    stage.end("r", frozen=frozen)
    assert stage.lines == [f"12:00:00 hello  GET /  200 in 4 ms{words}"]


def test_the_network_of_a_call_is_that_of_its_function():
    lost = Network("no-nat", NetworkFacts(in_vpc=True, dropper=Dropper.ROUTE_TABLE))
    span = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0)
    told = []
    for networks in ({"hello": lost}, {"other": lost}):
        stage = Stage(networks=networks)
        stage.call("r")
        stage.record("r", Strategy.DEPLOYED, span)
        stage.end("r")
        told.append(" ".join(stage.lines))
    assert "[no-route-out]" in told[0]
    assert "[no-route-out]" not in told[1]


def test_a_network_that_changed_is_said_and_explains_the_calls_from_then_on():
    span = Span(Phase.CONNECT, 0.0, 3.0, Outcome.TIMEOUT, "connect.tcp", 3.0)
    stage = Stage(networks={"hello": Network("nat", NetworkFacts(in_vpc=True))})
    stage.tell("dev.network.changed", topology="nat-deleted", functions=["hello"], seconds=0.02)
    stage.call("r")
    stage.record("r", Strategy.DEPLOYED, span)
    stage.end("r")
    assert stage.lines[0].endswith("is now nat-deleted: SYN gets no answer")
    assert "[nat-gone]" in " ".join(stage.lines)


REPORT = {
    "worker_id": WORKER,
    "strategy": "worker",
    "seconds": 0.031,
    "phases": [
        {"phase": "publish", "seconds": 0.001},
        {"phase": "handle", "seconds": 0.028, "outcome": "timeout"},
    ],
}


def test_a_call_of_a_function_elsewhere_shows_what_its_guest_measured():
    stage = Stage()
    stage.tell("worker.report.received", request_id="r-9", **REPORT)
    assert stage.lines == [
        "12:00:00 hello  elsewhere in 31 ms · your code · publish 1 ms, handle 28 ms (timeout)"
    ]


def test_a_call_that_began_here_is_not_told_twice():
    stage = Stage()
    stage.call("r-1")
    stage.end("r-1")
    before = stage.lines
    stage.tell("worker.report.received", request_id="r-1", **REPORT)
    assert stage.lines == before
