"""Keeps the event in a file and tells its source that it is done, so that nobody repeats it.

For queues, streams and asynchronous calls, whose repetitions are otherwise a storm. What is
answered with success is deleted by its source: the file is written first and the answer second. An
environment that ends in between has kept an event that comes again.
"""

from __future__ import annotations

import time

from event_protocol.phases import Strategy
from runtime_shim.config import ShimConfig
from runtime_shim.fallbacks.base import CannotAnswer, Failure
from runtime_shim.fallbacks.sources import Source, decide_source, decode_event, render_failures
from runtime_shim.runtime_api import Answer, Invocation
from runtime_shim.sentences import explain_span
from runtime_shim.spool import Spool, SpoolFull, encode_event


class OkFallback:
    """Answers ``null``, or that no record of a batch failed.

    Args:
        config: where events are kept, and how many.
    """

    strategy = Strategy.OK

    def __init__(self, config: ShimConfig) -> None:
        self._spool = Spool(config.spool, max_bytes=config.spool_bytes)
        self._directory = config.spool

    def applies(self, invocation: Invocation, failure: Failure) -> bool:
        """Whether nobody waits for what the answer says, as far as the event tells."""
        source = decide_source(decode_event(invocation.body))
        return not source.is_http and source is not Source.AUTHORIZER

    async def answer(self, invocation: Invocation, failure: Failure) -> Answer:
        """Success, once the event is on the disk.

        Raises:
            CannotAnswer: it cannot be kept.
        """
        content = encode_event(
            invocation.request_id,
            kept=time.time(),
            reason=explain_span(failure.span).message,
            headers=invocation.headers,
            body=invocation.body,
        )
        try:
            self._spool.keep(invocation.request_id, content)
        except SpoolFull as error:
            raise CannotAnswer(f"the spool {self._directory} is full: {error}") from error
        except OSError as error:
            raise CannotAnswer(
                f"the spool {self._directory} cannot be written: {error.strerror}"
            ) from error
        is_batch = decide_source(decode_event(invocation.body)).is_batch
        return render_failures([]) if is_batch else Answer(b"null")

    async def close(self) -> None:
        """Nothing runs."""
