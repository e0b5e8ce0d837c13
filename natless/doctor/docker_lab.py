"""The check of Docker by its SDK, which is what ``natless demo --network docker`` goes through."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from natless.doctor.finding import Seen
from natless.errors import NatlessError
from natless.run_directory import open_run_directory

if TYPE_CHECKING:
    from natless.vpc.docker_engine import Engine


def check_docker_lab() -> Seen:
    """Makes a lab's socket and its networks, with the lab's own ranges, and removes them."""
    if sys.platform != "linux":
        return Seen.lacks(
            "a lab that sockets of this machine reach into needs an engine on this machine",
            "docker compose up",
        )
    from natless.vpc.docker_engine import Engine

    if complaint := _bind_switchboard():
        return Seen.lacks(complaint, "export TMPDIR=/tmp")
    try:
        engine = Engine.connect(lab=f"doctor-{os.getpid()}")
    except NatlessError as error:
        return Seen.lacks(str(error), error.hint)
    try:
        count = _make_networks(engine)
    except NatlessError as error:
        return Seen.lacks(str(error), error.hint)
    finally:
        engine.remove_lab()
        engine.close()
    return Seen.ok(f"made and removed the {count} networks of a lab through the SDK")


def _bind_switchboard() -> str:
    """Why containers could not reach us, or nothing: a socket's path is soon too long."""
    with open_run_directory(sweep=False) as scratch, socket.socket(socket.AF_UNIX) as door:
        path = scratch / "switchboard.sock"
        try:
            door.bind(str(path))
        except OSError as error:
            return f"no socket can be made at {path}: {error}"
    return ""


def _make_networks(engine: Engine) -> int:
    """Makes them as a lab does; says how many.

    Raises:
        NatlessError: the engine refused one.
    """
    from natless.vpc.docker_seats import gateway_address
    from natless.vpc.model import ADDRESSES

    for role, leg in ADDRESSES.legs.items():
        engine.make_network(str(role), network=leg.network, gateway=gateway_address(leg))
    return len(ADDRESSES.legs)
