import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.measure import CallerResult
from natless.report.waterfall import draw_waterfall
from tests.unit.natless.report.sample import make_document


def call(
    *spans: Span, seconds: float = 1.0, strategy: Strategy = Strategy.WORKER
) -> InvocationRecord:
    return InvocationRecord("r", "w", True, strategy, 100.0, 100.0 + seconds, spans)


def test_a_phase_stands_where_it_was():
    fall = draw_waterfall(call(Span(Phase.TLS, 100.25, 100.5)), title="first")
    (bar,) = fall.bars
    assert (bar.label, bar.kind, bar.left, bar.width) == ("tls", "open", 25.0, 25.0)
    assert (bar.duration, fall.duration, fall.title) == ("250 ms", "1.0 s", "first")


def test_a_failed_phase_says_how_and_where_its_budget_ended():
    span = Span(Phase.CONNECT, 100.0, 100.8, Outcome.TIMEOUT, "connect.tcp", 0.8)
    bar = draw_waterfall(call(span, strategy=Strategy.DEPLOYED), title="").bars[0]
    assert (bar.kind, bar.outcome, bar.budget, bar.budget_name, bar.budget_at) == (
        "failed", "timeout", "800 ms", "connect.tcp", pytest.approx(80.0),
    )  # fmt: skip


def test_a_status_is_told_instead_of_its_kind():
    span = Span(Phase.UPGRADE, 100.0, 100.1, Outcome.HTTP_ERROR, detail={"status": 403})
    assert draw_waterfall(call(span), title="").bars[0].outcome == "HTTP 403"


def test_a_budget_that_ends_after_the_call_has_no_mark():
    span = Span(Phase.CONNECT, 100.0, 100.1, budget="connect.tcp", budget_seconds=3.0)
    bar = draw_waterfall(call(span), title="").bars[0]
    assert (bar.budget, bar.budget_at) == ("3.0 s", None)


def test_what_is_left_after_the_failure_is_the_fallback():
    spans = (
        Span(Phase.CONNECT, 100.0, 100.4, Outcome.TIMEOUT),
        Span(Phase.REPLY, 100.9, 101.0),
    )
    fallback = draw_waterfall(call(*spans, strategy=Strategy.HTTP), title="").bars[1]
    assert (fallback.label, fallback.kind, fallback.left, fallback.width) == (
        "fallback: http", "fallback", pytest.approx(40.0), pytest.approx(50.0),
    )  # fmt: skip


def test_the_caller_s_wait_before_the_guest_has_the_event_is_a_bar():
    caller = CallerResult("r", 99.0, 101.0)
    fall = draw_waterfall(call(Span(Phase.TLS, 100.0, 101.0)), title="", caller=caller)
    start, tls = fall.bars
    assert (start.label, start.kind, start.left, start.width) == ("cold start", "wait", 0.0, 50.0)
    assert (tls.left, tls.width, fall.duration) == (50.0, 50.0, "2.0 s")


def test_a_call_says_for_how_long_its_function_had_been_frozen():
    caller = CallerResult("r", 100.0, 101.0, frozen=30.0)
    fall = draw_waterfall(call(Span(Phase.TLS, 100.0, 101.0)), title="a call", caller=caller)
    assert fall.title == "a call, after 30.0 s frozen"


def test_a_caller_s_wait_of_no_account_is_no_row():
    caller = CallerResult("r", 99.99, 101.0)
    fall = draw_waterfall(call(Span(Phase.TLS, 100.0, 101.0)), title="", caller=caller)
    assert [bar.label for bar in fall.bars] == ["tls"]


def test_two_publishes_are_told_apart_by_their_packet():
    spans = (
        Span(Phase.PUBLISH, 100.0, 100.1, detail={"packet": "init"}),
        Span(Phase.PUBLISH, 100.2, 100.3, detail={"packet": "next"}),
    )
    bars = draw_waterfall(call(*spans), title="").bars
    assert [bar.label for bar in bars] == ["publish init", "publish"]


def test_the_axis_has_round_times():
    ticks = draw_waterfall(call(seconds=0.019), title="").ticks
    assert [tick.text for tick in ticks] == ["0", "5 ms", "10 ms", "15 ms"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Phase),
            st.floats(-1, 30),
            st.floats(0, 30),
            st.sampled_from(Outcome),
            st.floats(0, 1000),
        ),
        max_size=8,
    ),
    st.floats(0, 30),
    st.sampled_from(Strategy),
)
def test_every_bar_and_mark_stays_within_the_drawing(raw, seconds, strategy):
    spans = [Span(p, 100 + s, 100 + s + d, o, "b", b) for p, s, d, o, b in raw]
    fall = draw_waterfall(call(*spans, seconds=seconds, strategy=strategy), title="")
    for bar in fall.bars:
        assert 0 <= bar.left <= 100
        assert 0 < bar.width <= 100
        assert bar.budget_at is None or bar.budget_at <= 100
    assert all(0 <= tick.at <= 100 for tick in fall.ticks)
    assert 1 <= len(fall.ticks) <= 6


def test_the_sample_draws_every_phase_of_a_cold_call():
    cold = make_document().topologies[0].invocations[0]
    labels = [bar.label for bar in draw_waterfall(cold, title="").bars]
    assert labels == [str(phase) for phase in Phase]
