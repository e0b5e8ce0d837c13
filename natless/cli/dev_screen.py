"""What ``natless dev`` shows while it runs: each call, what it printed, each edit.

::

    14:03:21 hello  GET /  200 in 4 ms · your code      a call that printed nothing is one line
    14:03:25 hello  GET /orders                         otherwise its lines stay together, as
             │ order 7                                  they come, however many calls run at once
             └ 200 in 31 ms · your code

It reads the journal and nothing else, so what it shows can be found there.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from event_protocol.phases import InvocationRecord, Strategy
from natless.cli.log_lines import show_line
from natless.explain.engine import explain
from natless.explain.evidence import Evidence, NetworkFacts
from natless.explain.seen import describe_seen
from natless.journal import Fact
from natless.measure.durations import humanize
from natless.scenario.network_facts import describe_network
from natless.vpc.topologies import find

HEADER_AFTER = 1.0  # seconds without a word until a call that still runs is shown
FROZEN_LONG = 10.0  # seconds that a connection may not have survived
KEPT_LINES = 1000  # of a call that waits for its turn on the screen
KEPT_CALLS = 1000  # whose end never comes, as their function was stopped

Later = Callable[[float, Callable[[], None]], object]
"""Calls something after so many seconds."""


@dataclass(frozen=True, slots=True)
class Network:
    """The network that a function is in.

    Attributes:
        topology: its name; empty for this machine's own.
        facts: what is known of it.
    """

    topology: str = ""
    facts: NetworkFacts = field(default_factory=NetworkFacts)


@dataclass(slots=True)
class _Code:
    """One function's code as it is loaded: by each execution environment, and shown once.

    Attributes:
        edit: the files that were saved, until the new code is loaded or cannot be.
        lines: what that printed so far.
        is_broken: whether the last edit cannot be loaded.
        loader: the environment and the version of the code whose lines are shown.
    """

    edit: tuple[str, ...] = ()
    lines: list[Text] = field(default_factory=list)
    is_introduced: bool = False
    is_broken: bool = False
    loader: tuple[str, int] = ("", -1)

    def is_news(self, worker_id: str, generation: int) -> bool:
        """Whether a line of a process that loads the code was not printed by another one before."""
        if self.loader[1] != generation:
            self.loader = worker_id, generation
        return self.loader[0] == worker_id and not self.is_broken

    def end_edit(self) -> tuple[tuple[str, ...], list[Text]]:
        """The files of the edit and what loading it printed; nothing when that is told already."""
        told = self.edit, self.lines
        self.edit, self.lines = (), []
        return told


@dataclass(slots=True)
class _Call:
    """One call, from its first fact to its last."""

    request_id: str
    function: str
    title: str
    clock: str
    is_begun: bool = False
    is_shown: bool = False
    is_reported: bool = False
    is_cold: bool = False
    is_new_code: bool = False
    answered: Fact | None = None
    record: InvocationRecord | None = None
    error: str = ""
    lines: list[Text] = field(default_factory=list)


class DevScreen:
    """Prints facts as they come.

    Args:
        console: where to.
        clock: the time of day, such as ``14:03:21``.
        later: calls something after so many seconds.
        networks: what is known of the networks that functions are in, by the functions' names; who
            is not named is in this machine's own.
    """

    def __init__(
        self,
        console: Console,
        *,
        clock: Callable[[], str],
        later: Later,
        networks: Mapping[str, Network] | None = None,
    ) -> None:
        self._console = console
        self._clock = clock
        self._later = later
        self._networks = networks or {}
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._own: OrderedDict[str, None] = OrderedDict()  # ids of calls that began here
        self._open: _Call | None = None  # whose lines are being shown
        self._codes: defaultdict[str, _Code] = defaultdict(_Code)  # by function
        self._last_cause = ""
        self._is_lost = False

    def take_record(self, record: InvocationRecord) -> None:
        """What a guest measured of one call."""
        if (call := self._calls.get(record.request_id)) is not None:
            call.record = record

    def take(self, fact: Fact) -> None:
        """One fact of the journal."""
        call = self._calls.get(str(fact.data.get("request_id", "")))
        match fact.kind:
            case "lambda.request.received":
                self._begin(fact)
            case "lambda.invocation.started" if call:
                call.is_begun = True
            case "lambda.request.answered" if call:
                call.answered = fact
                self._finish(call)
            case "worker.invocation.failed" if call and fact.data["answered"]:
                call.error = f"{fact.data['reason']}: {fact.data['message']}"
            case "worker.reload.first_answer" if call:
                call.is_new_code = True
            case "worker.log" | "lambda.log":
                self._line(fact, call)
            case "lambda.platform":
                self._platform(fact, call)
            case _:
                self._take_other(fact)

    def _take_other(self, fact: Fact) -> None:
        function = str(fact.data.get("function", ""))
        match fact.kind:
            case "worker.init.received":
                self._codes[function].is_introduced = True
            case "worker.reload.noticed":
                self._notice(function, fact)
            case "worker.reload.complete":
                self._tell_loaded(function, fact)
            case "worker.reload.failed":
                self._tell_broken(function, fact)
            case "worker.reload.unavailable":
                self._say("edits", f"are not noticed: {fact.data['reason']}", style="yellow")
            case "worker.connect.closed" | "worker.connect.failed" if not self._is_lost:
                self._is_lost = True
                self._say("channel", "lost; trying again", style="yellow")
            case "worker.connect.complete" if self._is_lost:
                self._is_lost = False
                self._say("channel", "is back", style="yellow")
            case "worker.stage.shared":
                words = f"{fact.data['developer']} is there, too: calls may get their answers"
                self._say(f"stage {fact.data['stage']}", words, style="yellow")
            case "worker.debug.listening":
                words = f"runs twice at once; debug the other one at 127.0.0.1:{fact.data['port']}"
                self._say(function, words, style="cyan")
            case "worker.debug.attached":
                self._say(function, "a debugger is attached; its time stands still", style="cyan")
            case "worker.debug.detached":
                self._say(function, "the debugger is gone; time goes on", style="cyan")
            case "lambda.event.postponed":
                seconds = humanize(float(fact.data["seconds"]))
                self._say(function, f"event: tried again in {seconds}", style="yellow")
            case "lambda.event.dropped":
                self._say(function, "event: given up, as AWS would", style="red")
            case "worker.report.received":
                self._tell_elsewhere(function, fact)
            case "dev.network.changed":
                self._change_network(str(fact.data["topology"]), list(fact.data["functions"]))

    def _change_network(self, name: str, functions: list[str]) -> None:
        topology = find(name)
        known = Network(name, describe_network(topology, syns_dropped=None))
        self._networks = {**self._networks, **dict.fromkeys(functions, known)}
        self._say("network", f"is now {name}: {topology.promise.text}", style="cyan")

    # -- calls -------------------------------------------------------------------------------

    def _begin(self, fact: Fact) -> None:
        data = fact.data
        title = str(data["title"]) or str(data["via"])
        if int(data["attempt"]) > 1:
            title += f", attempt {data['attempt']}"
        call = _Call(str(data["request_id"]), str(data["function"]), title, self._clock())
        self._calls[call.request_id] = call
        self._own[call.request_id] = None
        for kept in (self._calls, self._own):
            if len(kept) > KEPT_CALLS:
                kept.popitem(last=False)
        self._later(HEADER_AFTER, lambda: self._show_waiting(call))

    def _tell_elsewhere(self, function: str, fact: Fact) -> None:
        """A call of a function that does not run here: only what its guest tells is known."""
        data = fact.data
        if data["request_id"] in self._own:
            return
        phases = ", ".join(
            f"{each['phase']} {humanize(float(each['seconds']))}"
            + (f" ({each['outcome']})" if "outcome" in each else "")
            for each in data["phases"]
        )
        who = "your code" if Strategy(data["strategy"]).is_developers else f"by {data['strategy']}"
        words = f"elsewhere in {humanize(float(data['seconds']))} · {who} · {phases}"
        self._say(function, words, style="")

    def _show_waiting(self, call: _Call) -> None:
        """A call that is quiet for long is shown, unless another one is speaking."""
        if call.request_id in self._calls and not call.is_shown and self._open is None:
            self._show(call)

    def _line(self, fact: Fact, call: _Call | None) -> None:
        rows = show_line(
            str(fact.data["line"]),
            is_stderr=fact.data.get("stream") == "stderr",
            is_dim=fact.kind == "lambda.log",
        )
        for text in rows:
            if call is None:
                self._loose_line(fact, text)
            elif self._open is None or self._open is call:
                self._show(call)
                self._print_inside(text)
            elif len(call.lines) < KEPT_LINES:
                call.lines.append(text)

    def _loose_line(self, fact: Fact, text: Text) -> None:
        """A line that was printed outside any call, such as by a module when it is loaded."""
        function = str(fact.data.get("function", ""))
        code = self._codes[function]
        if fact.kind == "worker.log" and not code.is_news(
            str(fact.data["worker_id"]), int(fact.data["generation"])
        ):
            return
        if code.edit and len(code.lines) < KEPT_LINES:
            code.lines.append(text)
        elif not code.edit:
            self._print_loose(function, text)

    def _platform(self, fact: Fact, call: _Call | None) -> None:
        line = str(fact.data["line"])
        if call is None:
            return
        if line.startswith("REPORT "):
            call.is_reported = True
            call.is_cold = "Init Duration:" in line
            self._finish(call)
        elif line.startswith("INIT_REPORT ") or "Task timed out" in line:
            self._line(fact, call)

    def _show(self, call: _Call) -> None:
        """Opens the call's block, or opens it again after another one's came between."""
        if self._open is call:
            return
        self._console.print(self._head(call), soft_wrap=True)
        call.is_shown = True
        self._open = call
        lines, call.lines = call.lines, []
        for line in lines:
            self._print_inside(line)

    def _finish(self, call: _Call) -> None:
        """Shows how the call ended, once that and the function's report are known."""
        if call.answered is None or (call.is_begun and not call.is_reported):
            return
        del self._calls[call.request_id]
        ending, remarks = self._ending(call), self._remarks(call)
        if not remarks and not call.is_shown and not call.lines:
            self._console.print(self._head(call) + Text("  ") + ending, soft_wrap=True)
        else:
            self._show(call)
            for remark in remarks:
                self._print_inside(remark)
            self._console.print(Text("         └ ", style="dim") + ending, soft_wrap=True)
        self._open = None

    def _head(self, call: _Call) -> Text:
        head = Text(f"{call.clock} ", style="dim") + Text(call.function, style="bold")
        return head + Text(f"  {call.title}" + ("  (goes on)" if call.is_shown else ""))

    def _ending(self, call: _Call) -> Text:
        assert call.answered is not None
        data = call.answered.data
        status = "error" if data["function_error"] and data["status"] == 200 else data["status"]
        parts = Text(str(status), style="bold red" if _is_failed(call) else "bold green")
        parts += Text(f" in {humanize(float(data['seconds']))}")
        if call.record is not None:
            parts += Text(" · ") + self._answerer(call, call.record)
        if call.is_cold:
            parts += Text(" · cold start", style="dim")
        if call.is_new_code:
            parts += Text(" · new code", style="cyan")
        if (frozen := data.get("frozen")) is not None and frozen >= FROZEN_LONG:
            parts += Text(f" · after {humanize(float(frozen))} frozen", style="dim")
        return parts

    def _remarks(self, call: _Call) -> list[Text]:
        """Why the call did not end well, and why not with the developer's code."""
        assert call.answered is not None
        why = (str(call.answered.data["note"]) or call.error) if _is_failed(call) else ""
        cause = self._cause(call, call.record) if call.record is not None else ""
        remarks = [Text(why, style="red")] if why else []
        return remarks + ([Text(cause, style="yellow")] if cause else [])

    def _answerer(self, call: _Call, record: InvocationRecord) -> Text:
        if record.strategy.is_developers:
            how = "" if record.strategy is Strategy.WORKER else f", by {record.strategy}"
            return Text(f"your code{how}")
        seen = describe_seen(self._evidence(call, record))
        return Text(f"not your code but fallback {record.strategy} ({seen})", style="yellow")

    def _cause(self, call: _Call, record: InvocationRecord) -> str:
        """The verdict, when it is another one than at the call before."""
        if record.strategy.is_developers:
            self._last_cause = ""
            return ""
        verdict = explain(self._evidence(call, record))
        if verdict.works or verdict.cause == self._last_cause:
            return ""
        self._last_cause = verdict.cause
        return f"{verdict.sentence} [{verdict.cause}]"

    def _evidence(self, call: _Call, record: InvocationRecord) -> Evidence:
        network = self._networks.get(call.function, Network())
        return Evidence(topology=network.topology, records=(record,), network=network.facts)

    # -- edits -------------------------------------------------------------------------------

    def _notice(self, function: str, fact: Fact) -> None:
        code, files = self._codes[function], tuple(str(name) for name in fact.data["files"])
        code.is_broken = False
        if code.is_introduced:
            code.edit = files
        else:
            self._say(
                function,
                f"{_list(files)} saved; the first call that reaches your code loads it",
                style="cyan",
            )

    def _tell_loaded(self, function: str, fact: Fact) -> None:
        files, lines = self._codes[function].end_edit()
        if not files:
            return
        seconds = humanize(float(fact.data["seconds"]))
        self._say(function, f"reloaded {_list(files)} in {seconds}", style="cyan")
        for line in lines:
            self._print_inside(line)

    def _tell_broken(self, function: str, fact: Fact) -> None:
        code = self._codes[function]
        files, lines = code.end_edit()
        if not files:
            return
        code.is_broken = True
        self._say(function, f"{_list(files)} cannot be loaded, so calls get this:", style="red")
        said = [f"{fact.data['error_type']}: {fact.data.get('message', '')}"]
        said += [str(place)] if (place := fact.data.get("place")) else []
        for line in lines or [Text(each, style="red") for each in said]:
            self._print_inside(line)

    # -- lines -------------------------------------------------------------------------------

    def _say(self, function: str, text: str, *, style: str) -> None:
        """A line that belongs to no call."""
        self._open = None
        self._console.print(
            Text(f"{self._clock()} ", style="dim")
            + Text(function, style="bold")
            + Text(f"  {text}", style=style),
            soft_wrap=True,
        )

    def _print_loose(self, function: str, text: Text) -> None:
        self._open = None
        head = Text(f"{self._clock()} ", style="dim") + Text(function, style="bold")
        self._console.print(head + Text(" │ ", style="dim") + text, soft_wrap=True)

    def _print_inside(self, text: Text) -> None:
        """A line under a call, wrapped beside its bar where somebody looks at it."""
        bar = Text("         │ ", style="dim")
        width = self._console.width - len(bar)
        rows = text.wrap(self._console, width) if self._console.is_terminal else [text]
        for row in rows:
            row.rstrip()
            self._console.print(bar + row, soft_wrap=True)


def _is_failed(call: _Call) -> bool:
    data = call.answered.data if call.answered is not None else {}
    return bool(data.get("function_error")) or int(data.get("status", 0)) >= 400


def _list(files: tuple[str, ...]) -> str:
    names = [Path(name).as_posix() for name in files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
