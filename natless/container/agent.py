"""An agent: a container's process that does what the control part asks for.

It connects to the switchboard, says where it sits, and then answers requests as the supervisor of
:mod:`natless.vpc.supervisor` does for namespaces: packets of :mod:`natless.vpc.wire` with the same
``id``, unasked ones with ``event``. When the other side ends, so do the programs that it started,
and the agent reports anew; in a lab of one run it ends, too, for nobody comes after.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natless.container.duties import Duties
from natless.errors import ComponentFailed
from natless.vpc import wire
from natless.vpc.docker_seats import Seat

REPORT_BUDGET = 30.0
"""Seconds in which an agent of one run must have found who asks it; it takes milliseconds."""

_PAUSE = 0.02  # seconds between two tries to report


class Agent:
    """Reports and serves, again and again unless it is for one run."""

    def __init__(
        self, seat: Seat, duties: Duties, *, switchboard: Path, is_for_one: bool = False
    ) -> None:
        self._seat = seat
        self._duties = duties
        self._switchboard = switchboard
        self._is_for_one = is_for_one

    def run(self) -> None:
        """Serves one control part after the other, or one and no more.

        Raises:
            ComponentFailed: the one for which it is does not come.
        """
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes the loop up
        waker, wakes = socket.socketpair()
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._duties.prepare()
        while True:
            lost = contextlib.suppress(BrokenPipeError, ConnectionResetError)
            with self._report() as control, lost:
                self._serve(control, waker)
            self._duties.end_programs()
            if self._is_for_one:
                return

    def _report(self) -> socket.socket:
        give_up = time.monotonic() + REPORT_BUDGET
        while True:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                control.connect(str(self._switchboard))
                wire.send(control, {"event": "hello", "seat": self._seat})
            except OSError:  # it is not there yet, or has just ended
                control.close()
                if self._is_for_one and time.monotonic() > give_up:
                    raise ComponentFailed("the run that this container is for has ended") from None
                time.sleep(_PAUSE)
            else:
                return control

    def _serve(self, control: socket.socket, waker: socket.socket) -> None:
        def forward(fact: Mapping[str, Any]) -> None:
            with contextlib.suppress(BlockingIOError):  # a fact is not worth a stall
                wire.send(control, {"event": "fact", **fact}, wait=False)

        self._duties.on_fact = forward
        with selectors.DefaultSelector() as selector:
            selector.register(control, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            if self._duties.servant is not None:
                selector.register(self._duties.servant.control, selectors.EVENT_READ, "servant")
            while True:
                for key, _ in selector.select():
                    if key.fileobj is waker:
                        waker.recv(4096)
                    elif key.data == "servant" and self._duties.servant is not None:
                        forward(self._duties.servant.read())
                    elif not self._handle_request(control):
                        return
                for event in self._duties.reap():
                    wire.send(control, event)

    def _handle_request(self, control: socket.socket) -> bool:
        received = wire.receive(control)
        if received is None:
            return False
        request, taken = received
        given: tuple[int, ...] = ()
        try:
            reply, offered = self._duties.handle(request, taken)
            given = tuple(offered)
        except Exception as error:  # whatever it was, the control part must learn of it
            number = getattr(error, "errno", None) or getattr(error, "code", None)
            reply = {"error": f"{type(error).__name__}: {error}", "errno": number}
        wire.send(control, {"id": request["id"], **reply}, descriptors=given)
        for descriptor in (*taken, *given):
            os.close(descriptor)
        return True
