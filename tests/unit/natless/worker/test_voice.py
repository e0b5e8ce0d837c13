"""What the developer's side says beside answers, by a hand-moved clock."""

import pytest

from event_protocol.live import FEATURES, Beat, MessageCode
from natless.lambda_host.clock import HandClock
from natless.worker.config import WorkerBudgets
from natless.worker.errors import PublishFailed
from natless.worker.voice import Voice

BEAT = 5.0


class Stage:
    """Runs what is said at once, and keeps it."""

    def __init__(self, *, announced=FEATURES, refusal=None):
        self.clock = HandClock()
        self.said = []
        self.facts = []
        self._refusal = refusal
        self.voice = Voice(
            "w" * 32,
            instance="i",
            budgets=WorkerBudgets(beat=BEAT),
            clock=self.clock,
            send=self._send,
            spawn=self._spawn,
            fact=lambda kind, **data: self.facts.append((kind, data)),
        )
        self.voice.agree(announced)

    async def _send(self, worker_id, code, body, *, name="", give_up):
        if self._refusal:
            raise self._refusal
        self.said.append((code, body))

    def _spawn(self, coroutine):
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def beats(self):
        return [Beat.decode(body).request_id for code, body in self.said if code == 103]


def test_it_beats_for_the_call_that_is_worked_on_and_for_no_other():
    stage = Stage()
    stage.clock.advance(3 * BEAT)
    assert stage.beats() == []
    stage.voice.begin("r-1")
    stage.clock.advance(2.5 * BEAT)
    assert stage.beats() == ["r-1", "r-1"]
    stage.voice.end()
    stage.clock.advance(3 * BEAT)
    assert stage.beats() == ["r-1", "r-1"]
    stage.voice.begin("r-2")
    stage.clock.advance(BEAT)
    assert stage.beats()[2:] == ["r-2"]


def test_a_debugger_is_told_at_once_but_only_while_something_is_worked_on():
    stage = Stage()
    stage.voice.note_debugger(is_attached=True)
    assert stage.beats() == []
    stage.voice.begin("r-1")
    stage.voice.note_debugger(is_attached=False)
    stage.voice.note_debugger(is_attached=False)
    stage.voice.note_debugger(is_attached=True)
    told = [Beat.decode(body).is_debugging for code, body in stage.said if code == 103]
    assert told == [False, True]


def test_a_guest_that_announced_nothing_gets_only_what_every_guest_knows():
    stage = Stage(announced=())
    stage.voice.begin("r-1")
    stage.voice.acknowledge("r-1")
    stage.clock.advance(3 * BEAT)
    assert [code for code, _ in stage.said] == [MessageCode.PING]


def test_what_could_not_be_said_is_a_fact():
    stage = Stage(refusal=PublishFailed("gone"))
    assert [kind for kind, _ in stage.facts] == ["worker.word.failed"]
    assert stage.facts[0][1]["word"] == "hello"
