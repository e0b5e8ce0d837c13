"""The doors of a worker: which environment has which port for its debugger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from natless.errors import UsageError
from natless.runtimes import Family
from natless.worker.config import LocalFunction
from natless.worker.debug_door import DebugDoor, OnChange

# Where editors look by default: debugpy's and Node.js's own ports.
FIRST_PORTS = {Family.PYTHON: 5678, Family.NODE: 9229}
_PORTS_TRIED = 100

RecordFact = Callable[..., None]
"""Takes the kind of a fact and its data."""


class DebugDoors:
    """Opens a door for each function at once, and more when its calls run side by side.

    Args:
        functions: by their ids; those that may be debugged get doors.
        record: takes facts.
    """

    def __init__(self, functions: Mapping[str, LocalFunction], *, record: RecordFact) -> None:
        self._functions = {name: each for name, each in functions.items() if each.debug}
        self._record = record
        self._doors: dict[str, list[DebugDoor]] = {name: [] for name in self._functions}
        self._taken: set[DebugDoor] = set()
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def ports(self) -> dict[str, int]:
        """The port of each function's first door."""
        return {name: doors[0].port for name, doors in self._doors.items() if doors}

    async def open(self) -> None:
        """Opens the first door of each function.

        Raises:
            UsageError: there is no free port.
        """
        for name in self._functions:
            await self._open(self._add(name), name)

    def take(self, name: str, on_change: OnChange) -> DebugDoor | None:
        """A door for one more environment of a function; None if it is not to be debugged."""
        if name not in self._functions:
            return None
        door = next((each for each in self._doors[name] if each not in self._taken), None)
        if door is None:
            door = self._add(name)
            opening = asyncio.create_task(self._open(door, name))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
        self._taken.add(door)
        door.listen(partial(self._tell, name, door, on_change))
        return door

    def give_back(self, door: DebugDoor) -> None:
        """The environment is gone; another one may have its door."""
        door.listen(None)
        self._taken.discard(door)

    def stop_time(self, name: str) -> bool:
        """Whether a debugger is connected for the function."""
        return any(door.stops_time for door in self._doors.get(name, ()))

    async def close(self) -> None:
        """Closes them all."""
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for doors in self._doors.values():
            for door in doors:
                await door.close()

    def _add(self, name: str) -> DebugDoor:
        family = self._functions[name].code.runtime.family
        door = DebugDoor(asks_first=family is Family.NODE)
        self._doors[name].append(door)
        return door

    async def _open(self, door: DebugDoor, name: str) -> None:
        family = self._functions[name].code.runtime.family
        first = FIRST_PORTS[family]
        for port in range(first, first + _PORTS_TRIED):
            try:
                await door.open(port)
            except OSError:
                continue
            self._record("worker.debug.listening", function=name, port=door.port)
            return
        raise UsageError(
            f"no port from {first} to {first + _PORTS_TRIED - 1} is free for a debugger",
            hint="end what uses them",
        )

    def _tell(self, name: str, door: DebugDoor, on_change: OnChange, is_attached: bool) -> None:
        what = "attached" if is_attached else "detached"
        self._record(f"worker.debug.{what}", function=name, port=door.port)
        on_change(is_attached)
