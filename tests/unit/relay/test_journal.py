import io
import json
import threading

from relay import journal
from relay.journal import LineJournal, MemoryJournal, NoJournal


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_fact_is_one_line_in_the_shape_that_all_rooms_read():
    stream = io.StringIO()
    facts = LineJournal(stream, now=lambda: 12.3456789)
    facts.record("relay.connection.opened", connection="c1", tls=True)
    facts.close()
    assert stream.getvalue() == (
        '{"at":12.345679,"source":"relay","kind":"relay.connection.opened",'
        '"connection":"c1","tls":true}\n'
    )


def test_facts_keep_their_order():
    stream = io.StringIO()
    facts = LineJournal(stream, now=lambda: 0.0)
    for number in range(100):
        facts.record("relay.test", number=number)
    facts.close()
    assert [line["number"] for line in lines(stream)] == list(range(100))


def test_a_reader_that_sleeps_stops_nobody_and_is_told_what_it_missed(monkeypatch):
    monkeypatch.setattr(journal, "QUEUE_COUNT", 5)
    entered, awake = threading.Event(), threading.Event()

    class SleepyStream(io.StringIO):
        def write(self, text):
            entered.set()
            awake.wait(10)
            return super().write(text)

    stream = SleepyStream()
    facts = LineJournal(stream, now=lambda: 0.0)
    facts.record("relay.test", number=0)
    assert entered.wait(10)
    for number in range(1, 11):
        facts.record("relay.test", number=number)
    awake.set()
    facts.close()
    again = LineJournal(stream, now=lambda: 0.0)
    again._dropped = facts._dropped
    again.record("relay.test", number=11)
    again.close()
    seen = lines(stream)
    assert [line["number"] for line in seen if "number" in line] == [0, 1, 2, 3, 4, 5, 11]
    assert [line["count"] for line in seen if line["kind"] == "relay.journal.dropped"] == [5]


def test_a_reader_that_has_gone_does_not_end_the_relay():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    facts = LineJournal(Broken(), now=lambda: 0.0)
    facts.record("relay.test")
    facts._thread.join(10)
    facts.record("relay.test")
    facts.close()


def test_the_other_journals_keep_all_or_nothing():
    memory = MemoryJournal()
    memory.record("a", x=1)
    memory.record("b", x=2)
    memory.record("a", x=3)
    assert memory.of("a") == [{"x": 1}, {"x": 3}]
    NoJournal().record("a", x=1)
