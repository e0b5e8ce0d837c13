"""Which invocations of one execution environment were begun, and what they were answered."""

from __future__ import annotations

from collections import OrderedDict

from event_protocol.live import MessageCode

ANSWERS_REMEMBERED = 100
ANSWER_BYTES_REMEMBERED = 8 * 1024 * 1024  # of one environment; Lambda allows 6 MiB for one answer
FORGOTTEN = (
    MessageCode.ERROR,
    b'{"errorType":"LiveWorker.AnswerForgotten","errorMessage":"this invocation was answered, and '
    b'its function went on to others; the answer is not kept any more"}',
)


class Answers:
    """What became of the latest invocations, within bounds. A key names one attempt at one.

    ::

        begin ──▶ running ──▶ answered: the answer may be asked for once more
                      └─────▶ lost: nobody got an answer, so it may be begun again

    A function that goes on to another invocation has the answer of the one before, or wants it no
    more. Only of events that it brings from its spool it may ask again between others.
    """

    def __init__(
        self, count: int = ANSWERS_REMEMBERED, size: int = ANSWER_BYTES_REMEMBERED
    ) -> None:
        self._answers: OrderedDict[str, tuple[MessageCode, bytes] | None] = OrderedDict()
        self._count = count
        self._left = size
        self._latest = ""  # the key of the latest that is not from a spool

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def begin(self, key: str, *, is_kept: bool = False) -> None:
        """It runs.

        Args:
            key: its name.
            is_kept: whether it comes from a spool.
        """
        if not is_kept:
            if self._answers.get(self._latest) is not None:
                self._replace(self._latest, FORGOTTEN)
            self._latest = key
        self._answers[key] = None
        while len(self._answers) > self._count:
            self._drop(next(iter(self._answers)))

    def keep(self, key: str, code: MessageCode, body: bytes) -> None:
        """It was answered; of what is too much, the oldest is forgotten."""
        if key not in self._answers:
            return
        self._replace(key, (code, body))
        while self._left < 0:
            self._drop(next(iter(self._answers)))

    def lose(self, key: str) -> None:
        """Nobody got its answer."""
        if key in self._answers and self._answers[key] is None:
            del self._answers[key]

    def find(self, key: str) -> tuple[MessageCode, bytes] | None:
        """Its answer; None while it runs."""
        return self._answers.get(key)

    def _replace(self, key: str, answer: tuple[MessageCode, bytes]) -> None:
        held = self._answers[key]
        self._left += _size(held) - _size(answer)
        self._answers[key] = answer

    def _drop(self, key: str) -> None:
        self._left += _size(self._answers.pop(key))


def _size(answer: tuple[MessageCode, bytes] | None) -> int:
    return 0 if answer is None or answer is FORGOTTEN else len(answer[1])
