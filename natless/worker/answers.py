"""Which requests of one execution environment were begun, and what they were answered."""

from __future__ import annotations

from collections import OrderedDict

from event_protocol.live import MessageCode

ANSWERS_REMEMBERED = 100
ANSWER_BYTES_REMEMBERED = 16 * 1024 * 1024


class Answers:
    """What became of the latest request ids, within bounds.

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

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._answers

    def begin(self, request_id: str) -> None:
        """It runs."""
        self._answers[request_id] = None
        while len(self._answers) > self._count:
            self._forget(next(iter(self._answers)))

    def keep(self, request_id: str, code: MessageCode, body: bytes) -> None:
        """It was answered; of what is too much, the oldest is forgotten."""
        if request_id not in self._answers:
            return
        self._answers[request_id] = (code, body)
        self._left -= len(body)
        while self._left < 0:
            self._forget(next(iter(self._answers)))

    def lose(self, request_id: str) -> None:
        """Nobody got its answer."""
        if request_id in self._answers and self._answers[request_id] is None:
            del self._answers[request_id]

    def find(self, request_id: str) -> tuple[MessageCode, bytes] | None:
        """Its answer; None while it runs."""
        return self._answers.get(request_id)

    def _forget(self, request_id: str) -> None:
        kept = self._answers.pop(request_id)
        self._left += len(kept[1]) if kept else 0
