import pytest

from event_protocol.phases import InvocationRecord, Strategy
from natless.measure import CallerResult
from natless.report.calls import SHOWN_COUNT, draw_calls


def call(started: float, seconds: float, strategy: Strategy = Strategy.WORKER) -> InvocationRecord:
    return InvocationRecord("r", "w", started == 0, strategy, started, started + seconds, ())


def test_bars_are_as_high_as_their_calls_are_long_and_in_order():
    bars = draw_calls([call(5.0, 2.0, Strategy.ERROR), call(0.0, 4.0)])
    assert [bar.height for bar in bars] == [100.0, 50.0]
    assert [bar.kind for bar in bars] == ["worker", "fallback"]
    assert bars[0].text == "call 1: 4.0 s, worker, cold"


def test_a_long_cold_call_is_cut_so_that_the_others_can_be_seen():
    cold, *warm = draw_calls([call(0.0, 100.0), call(1.0, 1.0), call(2.0, 2.0)])
    assert (cold.height, cold.is_cut) == (100.0, True)
    assert [round(bar.height) for bar in warm] == [33, 67]
    assert not any(bar.is_cut for bar in warm)


def test_what_the_caller_waited_counts_where_it_is_known():
    (bar,) = draw_calls([call(5.0, 2.0)], [CallerResult("r", 1.0, 8.0)])
    assert bar.text == "call 1: 7.0 s, worker"


@pytest.mark.parametrize(
    ("frozen", "words"), [(None, ""), (0.9, ""), (75.0, ", after 1 min 15 s frozen")]
)
def test_a_call_that_found_its_function_frozen_for_long_says_so(frozen, words):
    (bar,) = draw_calls([call(5.0, 2.0)], [CallerResult("r", 5.0, 7.0, frozen=frozen)])
    assert bar.text == f"call 1: 2.0 s, worker{words}"


def test_many_calls_stay_within_the_drawing():
    bars = draw_calls([call(float(n), 1.0) for n in range(500)])
    assert len(bars) == SHOWN_COUNT
    assert all(bar.x + bar.width <= 100 for bar in bars)


def test_no_calls_are_no_bars_and_calls_of_no_length_are_bars():
    assert draw_calls([]) == ()
    assert draw_calls([call(1.0, 0.0)])[0].height > 0
