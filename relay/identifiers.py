"""Identifiers of events and requests: random UUIDs, quickly."""

from __future__ import annotations

from random import Random


class Identifiers:
    """Makes version 4 UUIDs. They name things and guard nothing, so any randomness will do.

    Args:
        rng: where they come from; a seeded one makes a run the same again.
    """

    def __init__(self, rng: Random) -> None:
        self._bits = rng.getrandbits

    def __call__(self) -> str:
        """The next one."""
        text = f"{self._bits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
