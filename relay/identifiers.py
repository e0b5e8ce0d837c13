"""Identifiers of events and requests: UUIDs, quickly."""

from __future__ import annotations

from random import Random


class Identifiers:
    """Makes UUIDs of version 4: a random beginning, and an end that is counted up.

    They name things and guard nothing, so they need to be unique and not unguessable.

    Args:
        rng: where the beginning comes from; a seeded one makes a run the same again.
    """

    def __init__(self, rng: Random) -> None:
        text = f"{rng.getrandbits(72):018x}"
        self._head = f"{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:]}-"
        self._count = rng.getrandbits(40)

    def __call__(self) -> str:
        """The next one."""
        self._count = count = self._count + 1
        return f"{self._head}{count:012x}"
