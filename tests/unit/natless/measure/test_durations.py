import math

import pytest

from natless.measure.durations import humanize


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.00004, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.00096, "1 ms"),
        (0.0091, "9 ms"),
        (0.0144, "14 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (3.004, "3.0 s"),
        (20.02, "20.0 s"),
        (59.96, "1 min"),
        (60.0, "1 min"),
        (134.0, "2 min 14 s"),
        (math.inf, "never"),
    ],
)
def test_a_duration_reads_as_a_person_says_it(seconds, text):
    assert humanize(seconds) == text
