import pytest

from natless.measure import Histogram, Percentiles, compare


def latency(seconds: float) -> Percentiles:
    return Histogram([seconds]).summarize()


def test_every_topology_is_related_to_the_fastest():
    comparison = compare({"slow": latency(3.0), "fast": latency(0.01)})
    assert comparison is not None
    assert comparison.baseline == "fast"
    assert comparison.factors == {"slow": pytest.approx(300.0), "fast": 1.0}


def test_a_topology_without_a_sample_is_left_out():
    comparison = compare({"a": latency(1.0), "b": latency(2.0), "empty": Percentiles()})
    assert comparison is not None
    assert set(comparison.factors) == {"a", "b"}


@pytest.mark.parametrize(
    "latencies",
    [{}, {"only": latency(1.0)}, {"a": latency(1.0), "b": Percentiles()},
     {"a": latency(0.0), "b": latency(1.0)}],
)  # fmt: skip
def test_nothing_is_compared_where_nothing_can_be(latencies):
    assert compare(latencies) is None
