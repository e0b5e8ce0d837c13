import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natless.measure.histogram import RELATIVE_ERROR, Histogram, Percentiles

durations = st.floats(min_value=1e-6, max_value=1e4)
fractions = st.floats(min_value=0, max_value=1)


def nearest_rank(samples: list[float], fraction: float) -> float:
    return sorted(samples)[max(1, math.ceil(fraction * len(samples))) - 1]


def test_an_empty_histogram_answers_zero():
    assert Histogram().percentile(0.5) == 0.0
    assert Histogram().summarize() == Percentiles()


def test_the_p99_of_twenty_samples_is_the_largest():
    histogram = Histogram(float(n) for n in range(20, 0, -1))
    summary = histogram.summarize()
    assert (summary.p50, summary.p90, summary.p99) == (10.0, 18.0, 20.0)
    assert (summary.count, summary.least, summary.most) == (20, 1.0, 20.0)


@given(st.lists(durations, min_size=1, max_size=60), fractions)
def test_few_samples_give_the_very_sample_of_that_rank(samples, fraction):
    assert Histogram(samples).percentile(fraction) == nearest_rank(samples, fraction)


@given(st.lists(durations, min_size=3, max_size=200), fractions)
def test_folded_percentiles_are_as_near_as_promised(samples, fraction):
    histogram = Histogram(samples, exact_count=1)
    exact = nearest_rank(samples, fraction)
    assert not histogram.is_exact
    assert histogram.percentile(fraction) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)


@given(st.lists(durations, min_size=1, max_size=60), st.lists(fractions, min_size=2, max_size=5))
def test_percentiles_never_fall_as_the_fraction_grows(samples, asked):
    histogram = Histogram(samples, exact_count=10)
    answers = [histogram.percentile(fraction) for fraction in sorted(asked)]
    assert answers == sorted(answers)


def test_memory_is_bounded_by_the_range_and_not_by_the_count():
    histogram = Histogram(exact_count=100)
    for index in range(20_000):
        histogram.add(0.001 + (index % 1000) / 1e6)
    assert histogram.count == 20_000
    assert len(histogram._samples) == 0
    assert len(histogram._buckets) < 100


def test_samples_that_come_after_a_percentile_count_too():
    histogram = Histogram([3.0, 1.0])
    assert histogram.percentile(1) == 3.0
    histogram.add(2.0)
    assert histogram.percentile(0.5) == 2.0


def test_no_folded_percentile_leaves_the_range_that_occurred():
    histogram = Histogram([0.0101, 0.0101, 0.0101], exact_count=1)
    assert not histogram.is_exact
    assert histogram.percentile(0.5) == histogram.percentile(1) == 0.0101


def test_a_folded_zero_stays_zero():
    assert Histogram([0.0, 0.0, 0.0], exact_count=1).percentile(0.5) == 0.0


@pytest.mark.parametrize("bad", [-0.001, math.nan])
def test_what_is_no_duration_is_refused(bad):
    with pytest.raises(ValueError, match="a duration"):
        Histogram().add(bad)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_what_is_no_fraction_is_refused(bad):
    with pytest.raises(ValueError, match="a fraction"):
        Histogram([1.0]).percentile(bad)
