"""What a kept event is when it is put to the developer's side again."""

from __future__ import annotations

import time
from pathlib import Path

from event_protocol.live import KEPT_HEADER
from runtime_shim.replay import _revive
from runtime_shim.spool import KeptEvent


def test_a_kept_event_has_its_id_and_headers_another_deadline_and_says_when_it_was_kept() -> None:
    event = KeptEvent(
        Path("r-1.json"),
        "r-1",
        1_795_543_466.5,
        {"Lambda-Runtime-Deadline-Ms": "1", "Lambda-Runtime-Trace-Id": "Root=1"},
        b"{}",
    )
    now = time.monotonic()
    invocation = _revive(event, deadline=now + 5.0)
    assert (invocation.request_id, invocation.body) == ("r-1", b"{}")
    assert invocation.header("lambda-runtime-trace-id") == "Root=1"
    assert invocation.header(KEPT_HEADER) == "1795543466.500"
    left = int(invocation.header("lambda-runtime-deadline-ms")) / 1000 - time.time()
    assert 4.0 < left < 6.0
    deadlines = [name for name in invocation.headers if "deadline" in name.lower()]
    assert len(deadlines) == 1
    assert invocation.deadline == now + 5.0


def test_it_is_the_same_event_each_time() -> None:
    event = KeptEvent(Path("r-1.json"), "r-1", 17.0, {}, b"{}")
    first = _revive(event, deadline=time.monotonic() + 1)
    second = _revive(event, deadline=time.monotonic() + 9)
    assert first.header(KEPT_HEADER) == second.header(KEPT_HEADER)
