"""Which invocations of one execution environment were begun, and what they were answered."""

from __future__ import annotations

from collections import OrderedDict

from event_protocol.live import MessageCode

ANSWERS_REMEMBERED = 100
ANSWER_BYTES_REMEMBERED = 16 * 1024 * 1024


class Answers:
    """What became of the latest invocations, within bounds. A key names one attempt at one.

    ::

        begin ──▶ running ──▶ answered: the answer may be asked for once more
                      └─────▶ lost: nobody got an answer, so it may be begun again
    """

    def __init__(
        self, count: int = ANSWERS_REMEMBERED, size: int = ANSWER_BYTES_REMEMBERED
    ) -> None:
        self._answers: OrderedDict[str, tuple[MessageCode, bytes] | None] = OrderedDict()
        self._count = count
        self._left = size

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def begin(self, key: str) -> None:
        """It runs."""
        self._answers[key] = None
        while len(self._answers) > self._count:
            self._forget(next(iter(self._answers)))

    def keep(self, key: str, code: MessageCode, body: bytes) -> None:
        """It was answered; of what is too much, the oldest is forgotten."""
        if key not in self._answers:
            return
        self._answers[key] = (code, body)
        self._left -= len(body)
        while self._left < 0:
            self._forget(next(iter(self._answers)))

    def lose(self, key: str) -> None:
        """Nobody got its answer."""
        if key in self._answers and self._answers[key] is None:
            del self._answers[key]

    def find(self, key: str) -> tuple[MessageCode, bytes] | None:
        """Its answer; None while it runs."""
        return self._answers.get(key)

    def _forget(self, key: str) -> None:
        kept = self._answers.pop(key)
        self._left += len(kept[1]) if kept else 0
