from __future__ import annotations

from itertools import islice
from random import Random

from runtime_shim.backoff import pauses


def test_pauses_double_up_to_the_longest_and_are_cut_at_random() -> None:
    steps = [0.2, 0.4, 0.8, 1.6, 1.6, 1.6]
    for seed in range(20):
        got = list(islice(pauses(0.2, 1.6, rng=Random(seed)), 6))
        assert all(step / 2 <= pause <= step for pause, step in zip(got, steps, strict=True))


def test_the_same_seed_gives_the_same_pauses_and_another_gives_others() -> None:
    first, again, other = (list(islice(pauses(1, 9, rng=Random(n)), 5)) for n in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_limit_below_the_first_pause_holds() -> None:
    assert next(pauses(5.0, 1.0, rng=Random(1))) <= 1.0


def test_no_pause_stays_no_pause() -> None:
    assert list(islice(pauses(0.0, 0.0, rng=Random(1)), 3)) == [0.0, 0.0, 0.0]
