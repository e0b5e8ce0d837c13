import io
import json

import pytest
from rich.console import Console

from natless.progress import (
    JsonProgress,
    PlainProgress,
    Progress,
    RichProgress,
    SilentProgress,
    choose_progress,
)


class Clock:
    """Moves two seconds at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    with progress.step("network") as step:
        step.say("1 of 2")
    progress.warn("no IPv6")
    with pytest.raises(KeyboardInterrupt), progress.step("relay"):
        raise KeyboardInterrupt


def rich_progress(stream: io.StringIO) -> RichProgress:
    console = Console(file=stream, force_terminal=True, width=60, highlight=False)
    return RichProgress(console, clock=Clock())


def test_plain_progress_is_one_line_for_each_end():
    stream = io.StringIO()
    work(PlainProgress(stream, clock=Clock()))
    assert stream.getvalue() == ("done: network (2.0 s)\nwarning: no IPv6\nFAILED: relay (2.0 s)\n")


def test_json_progress_is_one_object_a_line():
    stream = io.StringIO()
    work(JsonProgress(stream, clock=Clock()))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"event": "step.started", "step": "network"},
        {"event": "step.said", "step": "network", "text": "1 of 2"},
        {"event": "step.done", "step": "network", "seconds": 2.0},
        {"event": "warning", "text": "no IPv6"},
        {"event": "step.started", "step": "relay"},
        {"event": "step.failed", "step": "relay", "seconds": 2.0},
    ]


def test_silent_progress_lets_work_and_its_errors_through():
    work(SilentProgress())


def test_a_person_sees_what_is_done_and_what_failed():
    stream = io.StringIO()
    work(rich_progress(stream))
    text = stream.getvalue()
    assert "✓" in text
    assert "✗" in text
    assert "no IPv6" in text
    # The cursor that the spinner hides is shown again, also after an interruption.
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0


def test_steps_within_steps_end_one_by_one():
    stream = io.StringIO()
    progress = rich_progress(stream)
    with progress.step("outer"), progress.step("inner [not markup]") as inner:
        inner.say("[/neither]")  # an error if it were taken for markup
    plain = stream.getvalue()
    assert plain.index("inner [not markup]") < plain.rindex("outer")


@pytest.mark.parametrize(
    ("stream", "options", "kind"),
    [
        (Terminal(), {}, RichProgress),
        (io.StringIO(), {}, PlainProgress),
        (Terminal(), {"json_lines": True}, JsonProgress),
        (Terminal(), {"silent": True, "json_lines": True}, SilentProgress),
    ],
)
def test_the_way_of_telling_suits_the_reader(stream, options, kind, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert type(choose_progress(stream, **options)) is kind


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert type(choose_progress(Terminal())) is PlainProgress


def test_standard_error_is_told_unless_said_otherwise(capsys):
    with choose_progress().step("network"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("done: network")
