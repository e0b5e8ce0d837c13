"""What runs that were killed have left: folders with keys and copies of code, and containers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from natless.doctor.finding import Seen
from natless.errors import NatlessError
from natless.run_directory import find_leftovers, remove_leftovers

if TYPE_CHECKING:
    from natless.vpc.docker_engine import Engine

SWEEP = "natless doctor --sweep"


def check_leftovers() -> Seen:
    """Looks for what nobody needs any more, and leaves it where it is."""
    folders = find_leftovers()
    with _engine() as engine:
        labs = engine.find_leftovers() if engine is not None else ()
    said = [f"{each.path} ({each.command}, process {each.pid})" for each in folders]
    said += [f"the Docker lab {lab}" for lab in labs]
    if said:
        return Seen.warning(f"killed runs have left {', '.join(said)}", SWEEP)
    return Seen.ok("killed runs have left nothing")


def sweep() -> tuple[str, ...]:
    """Removes what runs of this user that were killed have left; says what that was.

    Raises:
        ComponentFailed: the Docker engine refused.
    """
    removed = [str(each.path) for each in remove_leftovers()]
    with _engine() as engine:
        if engine is not None:
            removed += [f"the Docker lab {lab}" for lab in engine.remove_leftovers()]
    return tuple(removed)


@contextlib.contextmanager
def _engine() -> Iterator[Engine | None]:
    """An engine on this machine that labs may have been made on, or none."""
    if sys.platform != "linux":
        yield None
        return
    from natless.vpc.docker_engine import Engine

    try:
        engine = Engine.connect(lab="doctor")
    except NatlessError:  # other checks say why
        yield None
        return
    try:
        yield engine
    finally:
        engine.close()
