"""Where the agents of a lab of containers report, and how they are asked, held by asyncio.

::

    async with Switchboard.open(path, on_fact=…) as switchboard:
        await switchboard.wait_for(Seat, budget=…)
        reply, descriptors = await switchboard.ask(Seat.ROUTER, "counters")

The agents come to us, not we to them: whoever decides has one socket, and an agent that is started
anew simply reports again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from natless.errors import ComponentFailed
from natless.journal import Journal
from natless.vpc import wire
from natless.vpc.docker_seats import Seat

REQUEST_BUDGET = 10.0
"""Seconds until an agent must have done what it was asked for; it takes milliseconds."""

_BACKLOG = 16
_BUSY_PAUSE = 0.001

OnFact = Callable[[dict[str, Any]], None]


def record_into(journal: Journal) -> OnFact:
    """Takes what agents report unasked, as facts of the network."""

    def record(fact: dict[str, Any]) -> None:
        kind, at = str(fact.pop("fact")), float(fact.pop("at"))
        journal.record(kind, source="vpc", at=at, **fact)

    return record


class Line:
    """One agent that has reported.

    Attributes:
        is_open: whether it is still there.
    """

    def __init__(self, seat: Seat, end: socket.socket, *, on_fact: OnFact) -> None:
        self.seat = seat
        self.is_open = True
        self._end = end
        self._on_fact = on_fact
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[tuple[wire.Packet, list[int]]]] = {}
        self._endings: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_reader(end, self._read)

    async def ask(
        self,
        do: str,
        *,
        descriptors: Sequence[int] = (),
        **members: Any,  # noqa: ANN401  any JSON
    ) -> tuple[wire.Packet, list[int]]:
        """Asks for something; returns the reply and its descriptors, which are ours to close.

        Raises:
            ComponentFailed: it could not be done, or the agent has gone.
        """
        number = next(self._numbers)
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REQUEST_BUDGET):
                await self._send({"id": number, "do": do, **members}, descriptors)
                packet, received = await future
        except TimeoutError as error:
            raise ComponentFailed(
                f"the {self.seat} did not {do} in {REQUEST_BUDGET:.0f} s"
            ) from error
        finally:
            self._replies.pop(number, None)
        if "error" in packet:
            raise ComponentFailed(f"the {self.seat} could not {do}: {packet['error']}")
        return packet, received

    def expect_ending(self) -> tuple[int, asyncio.Future[int]]:
        """A number for a program that is about to be started, and its exit code to come."""
        number = next(self._numbers)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._endings[number] = future
        return number, future

    def forget_ending(self, number: int) -> None:
        """The program was not started after all."""
        self._endings.pop(number, None)

    def close(self, reason: str) -> None:
        """Ends the line; whoever waits on it learns why."""
        if not self.is_open:
            return
        self.is_open = False
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()
        error = ComponentFailed(reason)
        waiting: list[asyncio.Future[Any]] = [*self._replies.values(), *self._endings.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody has to fetch it
        self._endings.clear()

    async def _send(self, packet: wire.Packet, descriptors: Sequence[int]) -> None:
        while self.is_open:
            try:
                return wire.send(self._end, packet, descriptors=descriptors, wait=False)
            except BlockingIOError:
                await asyncio.sleep(_BUSY_PAUSE)
            except OSError:
                self.close(f"the {self.seat} has ended")
            except wire.PacketTooLong as error:
                raise ComponentFailed(
                    f"a program's arguments and environment are too long: {error}",
                    hint="Start it with fewer environment variables.",
                ) from error
        raise ComponentFailed(f"the {self.seat} has ended")

    def _read(self) -> None:
        while self.is_open:
            try:
                received = wire.receive(self._end)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self.close(f"the {self.seat} has ended")
                return
            self._take(*received)

    def _take(self, packet: wire.Packet, descriptors: list[int]) -> None:
        match packet.get("event"):
            case None:
                future = self._replies.get(packet["id"])
                if future is None or future.done():
                    for descriptor in descriptors:
                        os.close(descriptor)
                else:
                    future.set_result((packet, descriptors))
            case "fact":
                del packet["event"]
                self._on_fact(packet)
            case "exited":
                ending = self._endings.pop(packet["process"], None)
                if ending is not None and not ending.done():
                    ending.set_result(packet["code"])


class Switchboard:
    """Takes reports, one line for each seat. Made by :meth:`open`."""

    def __init__(
        self, *, on_fact: OnFact, users: Mapping[Seat, frozenset[int]] | None = None
    ) -> None:
        self._on_fact = on_fact
        self._users = users
        self._lines: dict[Seat, Line] = {}
        self._has_changed = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        on_fact: OnFact,
        users: Mapping[Seat, frozenset[int]] | None = None,
    ) -> AsyncIterator[Switchboard]:
        """Listens until the block ends.

        Args:
            path: of the socket, at most 107 bytes; what was left there is replaced.
            on_fact: takes what agents report unasked.
            users: who may sit where, by user id; None lets everybody who can reach the socket.

        Raises:
            OSError: the socket cannot be made.
        """
        switchboard = cls(on_fact=on_fact, users=users)
        loop = asyncio.get_running_loop()
        with _listen(path) as listener:
            loop.add_reader(listener, switchboard._accept, listener)
            try:
                yield switchboard
            finally:
                loop.remove_reader(listener)
                for line in switchboard._lines.values():
                    line.close("the lab has been closed")
                _remove(path)

    def has(self, seat: Seat) -> bool:
        """Whether somebody sits there now."""
        line = self._lines.get(seat)
        return line is not None and line.is_open

    def missing(self, seats: Iterable[Seat]) -> tuple[Seat, ...]:
        """Who has not reported."""
        return tuple(seat for seat in seats if not self.has(seat))

    async def wait_for(self, seats: Iterable[Seat], *, budget: float) -> None:
        """Returns when all of them have reported.

        Raises:
            ComponentFailed: with those who have not.
        """
        wanted = tuple(seats)
        try:
            async with asyncio.timeout(budget):
                while self.missing(wanted):
                    self._has_changed.clear()
                    await self._has_changed.wait()
        except TimeoutError as error:
            raise ComponentFailed(
                f"no word from {', '.join(self.missing(wanted))} in {budget:.0f} s",
                hint="The logs of these containers say why.",
            ) from error

    def line(self, seat: Seat) -> Line:
        """The line to somebody.

        Raises:
            ComponentFailed: nobody sits there.
        """
        line = self._lines.get(seat)
        if line is None or not line.is_open:
            raise ComponentFailed(f"the {seat} is not there", hint="Is its container running?")
        return line

    def _accept(self, listener: socket.socket) -> None:
        try:
            end, _ = listener.accept()
        except BlockingIOError:
            return
        end.setblocking(False)
        # Its first packet is there already or will be in a moment; until then it has no seat.
        asyncio.get_running_loop().add_reader(end, self._take_hello, end)

    def _take_hello(self, end: socket.socket) -> None:
        try:
            received = wire.receive(end)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            received = None
        asyncio.get_running_loop().remove_reader(end)
        seat = _seat_of(received)
        # A seat is taken until its holder ends, which a Unix socket tells at once.
        if seat is None or self.has(seat) or not self._may_sit(seat, end):
            end.close()
            return
        self._lines[seat] = Line(seat, end, on_fact=self._on_fact)
        self._has_changed.set()

    def _may_sit(self, seat: Seat, end: socket.socket) -> bool:
        """The function's container must not be able to pass for the router."""
        if self._users is None:
            return True
        size = struct.calcsize("3i")
        credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, user, _ = struct.unpack("3i", credentials)
        return user in self._users.get(seat, frozenset())


def _listen(path: Path) -> socket.socket:
    _remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # agents run as users of their own; see Switchboard._may_sit
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _seat_of(received: tuple[wire.Packet, list[int]] | None) -> Seat | None:
    if received is None:
        return None
    packet, descriptors = received
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        return Seat(packet.get("seat", ""))
    except ValueError:
        return None
