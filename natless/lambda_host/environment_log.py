"""What is written about one execution environment: its log lines, Lambda's lines, and facts.

All of it goes over the control path into the journal, so a function that has no network is still
heard.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from event_protocol.phases import MARK, InvocationRecord, decode_record
from natless.journal import Journal
from natless.lambda_host.clock import Clock
from natless.lambda_host.invocation import Invocation
from natless.lambda_host.output import Stream

SOURCE = "lambda"
RecordListener = Callable[[InvocationRecord], None]


class EnvironmentLog:
    """Writes facts under the name of one environment.

    Attributes:
        current: the invocation that lines belong to; None between invocations.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        function: str,
        worker_id: str,
        on_record: RecordListener,
    ) -> None:
        self.current: Invocation | None = None
        self._journal = journal
        self._clock = clock
        self._function = function
        self._worker_id = worker_id
        self._on_record = on_record

    def line(self, stream: Stream, line: str) -> None:
        """A line of the function: a measurement of the guest, or anything else."""
        if not (line.startswith(MARK) and self._take_record(line)):
            self._write("lambda.log", line, stream=stream)

    def extension_line(self, stream: Stream, line: str, *, extension: str) -> None:
        """A line of an extension; its log is the function's."""
        self._write("lambda.log", line, stream=stream, extension=extension)

    def platform(self, line: str) -> None:
        """A line of Lambda's own."""
        self._write("lambda.platform", line)

    def fact(self, kind: str, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        """Anything else that happened in the environment."""
        self._journal.record(
            kind,
            source=SOURCE,
            at=self._clock.now(),
            function=self._function,
            worker_id=self._worker_id,
            **data,
        )

    def _write(self, kind: str, line: str, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        if self.current is not None:
            self.current.tail.add([line])
        request_id = self.current.request_id if self.current else ""
        self.fact(kind, request_id=request_id, line=line, **data)

    def _take_record(self, line: str) -> bool:
        try:
            record = decode_record(line)
        except ValueError:
            return False  # kept as an ordinary line, so that it can be looked at
        if record is None:
            return False
        members = json.loads(line.removeprefix(MARK))
        members.pop("v", None)
        self._journal.record(
            "shim.invocation", source="shim", at=record.finished, function=self._function, **members
        )
        self._on_record(record)
        return True
