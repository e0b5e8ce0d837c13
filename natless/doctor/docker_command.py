"""Checks of Docker by its own command, which is what ``docker compose up`` goes through."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from natless.doctor.finding import Seen
from natless.run_directory import open_run_directory
from natless.vpc.docker_owner import LAB, OWNER, Owner
from natless.vpc.model import ADDRESSES

ANSWER_BUDGET = 20.0
"""Seconds until the engine must have answered; it takes a fraction of one."""

OLDEST_API = (1, 41)
"""Docker Engine 20.10."""

OLDEST_COMPOSE = (2, 20)
"""The first that knows ``include``."""

PROJECT = "natless"
"""What our own compose.yaml calls its project."""

BASE_IMAGE = "python:3.13-slim"
"""What our Dockerfile starts from."""

NO_COMMAND = "there is no docker command"

_COMPOSE_FIX = "sudo apt-get install docker-compose-plugin (on Debian: docker-compose)"
_FIXES = (
    (NO_COMMAND, "Install Docker, if you want containers: docs.docker.com/engine/install"),
    ("permission denied", "sudo usermod -aG docker $USER, then log in again"),
    ("cannot connect", "sudo systemctl start docker (or start Docker Desktop)"),
    ("no such host", "unset DOCKER_HOST, or correct it"),
    ("buildx", "sudo apt-get install docker-buildx-plugin (on Debian: docker-buildx)"),
    ("fully subnetted", "docker network prune"),
    ("non-overlapping", "docker network prune"),
)
_ROOT = Path(__file__).resolve().parents[2]


class _CannotAsk(Exception):
    """Docker's command is not there, or says no; the sentence is its own."""


def check_engine() -> Seen:
    """Asks the engine for its version."""
    try:
        version = json.loads(_docker("version", "--format", "{{json .Server}}")) or {}
    except (_CannotAsk, ValueError) as error:
        return _lacks(str(error))
    if "ApiVersion" not in version:
        return _lacks("the docker command says nothing of an engine; is it another program's?")
    number, api = version.get("Version", "?"), str(version["ApiVersion"])
    if _parse(api) < OLDEST_API:
        return Seen.lacks(
            f"Docker Engine {number} is older than 20.10", "Install a newer Docker Engine."
        )
    return Seen.ok(f"Docker Engine {number} (API {api})")


def check_network() -> Seen:
    """Makes an internal network on a range that the engine chooses, and looks whose ours are."""
    if not _is_answering():
        return Seen.skipped("no engine answers")
    try:
        with _network() as made:
            described = json.loads(_docker("network", "inspect", made))[0]
        holders = {leg.network: _find_holder(leg.network) for leg in ADDRESSES.legs.values()}
    except (_CannotAsk, ValueError, LookupError) as error:
        return _lacks(str(error))
    pools = ", ".join(str(each["Subnet"]) for each in described["IPAM"]["Config"])
    taken = {network: holder for network, holder in holders.items() if holder is not None}
    foreign = {network: holder for network, holder in taken.items() if not _is_composed(holder)}
    if foreign:
        return _describe_holder(*next(iter(foreign.items())))
    own = "the lab's ranges are free"
    if taken:
        own = "docker compose has a lab up"
    return Seen.ok(f"made and removed one ({pools}); {own}")


def check_build() -> Seen:
    """Builds an image of nothing as the lab's is built, by BuildKit, and removes it."""
    if not _is_answering():
        return Seen.skipped("no engine answers")
    if named := os.environ.get("NATLESS_IMAGE"):
        return _look_for(named)
    if not (_ROOT / "docker" / "Dockerfile").exists():
        return Seen.lacks(
            "the lab's image is built from natless's own sources, which are not here",
            "git clone https://github.com/natless/natless && cd natless && make doctor",
        )
    name = f"natless-doctor:{os.getpid()}"
    try:
        # Not from standard input: then the command itself leaves folders behind.
        with open_run_directory(sweep=False) as scratch:
            (scratch / "Dockerfile").write_text(f"FROM scratch\nLABEL {LAB}=doctor\n")
            _docker("build", "--quiet", "--tag", name, str(scratch))
        _docker("image", "rm", name)
    except _CannotAsk as error:
        return _lacks(str(error))
    base = "is here" if not _complaint("image", "inspect", BASE_IMAGE) else "will be pulled once"
    return Seen.ok(f"built and removed an image; the base image {BASE_IMAGE} {base}")


def _look_for(image: str) -> Seen:
    if _complaint("image", "inspect", image):
        return Seen.lacks(f"NATLESS_IMAGE names {image}, which is not here", f"docker pull {image}")
    return Seen.ok(f"the image {image} of NATLESS_IMAGE is here")


def check_compose() -> Seen:
    """Asks compose for its version, and whether it understands our file."""
    if (said := _complaint("version", "--format", "{{.Client.Version}}")) == NO_COMMAND:
        return _lacks(said)
    try:
        number = _docker("compose", "version", "--short").strip()
    except _CannotAsk as error:
        return Seen.lacks(f"docker has no compose: {error}", _COMPOSE_FIX)
    if _parse(number) < OLDEST_COMPOSE:
        oldest = ".".join(map(str, OLDEST_COMPOSE))
        return Seen.lacks(f"compose {number} is older than {oldest}", _COMPOSE_FIX)
    file = _ROOT / "compose.yaml"
    if not file.exists():
        return Seen.ok(f"compose {number}; run it in a clone of natless's repository")
    if complaint := _complaint("compose", "-f", str(file), "config", "--quiet"):
        return Seen.lacks(f"compose {number} does not take our file: {complaint}", _COMPOSE_FIX)
    return Seen.ok(f"compose {number} understands our file")


def _lacks(said: str) -> Seen:
    known = next((fix for words, fix in _FIXES if words in said.lower()), None)
    return Seen.lacks(said, known or "docker version")


def _is_answering() -> bool:
    return not _complaint("version", "--format", "{{.Server.Version}}")


@contextlib.contextmanager
def _network() -> Iterator[str]:
    """A network of the doctor's, labelled like a lab's: should we be killed, the next one sweeps.

    Raises:
        _CannotAsk: the engine refused.
    """
    name = f"natless-doctor-{os.getpid()}"
    labels = [f"{LAB}={name}", *((f"{OWNER}={Owner.here()}",) if sys.platform == "linux" else ())]
    flags = [part for label in labels for part in ("--label", label)]
    _docker("network", "create", "--internal", *flags, name)
    try:
        yield name
    finally:
        _docker("network", "rm", name)


def _find_holder(network: str) -> Mapping[str, Any] | None:
    """The engine's network, if any, that has a range of the lab."""
    wanted = ipaddress.ip_network(network)
    ids = _docker("network", "ls", "--quiet").split()
    for each in json.loads(_docker("network", "inspect", *ids)):
        for pool in (each.get("IPAM") or {}).get("Config") or ():
            subnet = ipaddress.ip_network(pool.get("Subnet", "255.255.255.255/32"))
            if wanted.overlaps(subnet):
                found: Mapping[str, Any] = each
                return found
    return None


def _is_composed(holder: Mapping[str, Any]) -> bool:
    return _labels(holder).get("com.docker.compose.project") == PROJECT


def _labels(holder: Mapping[str, Any]) -> Mapping[str, str]:
    return holder.get("Labels") or {}


def _describe_holder(network: str, holder: Mapping[str, Any]) -> Seen:
    said = f"the lab's range {network} is taken by the Docker network {holder['Name']}"
    if project := _labels(holder).get("com.docker.compose.project"):
        return Seen.lacks(said, f"docker compose -p {project} down")
    if (owner := Owner.parse(_labels(holder).get(OWNER, ""))) is None:
        return Seen.lacks(said, f"docker network rm {holder['Name']} (if nobody needs it)")
    if owner.is_dead():
        return Seen.lacks(f"{said}, of a run that was killed", "natless doctor --sweep")
    return Seen.lacks(f"{said}, a lab that runs now", "Wait until it has ended.")


def _parse(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _complaint(*arguments: str) -> str:
    """What the command says when it fails, nothing when it does not."""
    try:
        _docker(*arguments)
    except _CannotAsk as error:
        return str(error)
    return ""


def _shorten(line: str) -> str:
    """Without the request that failed, and without the question: we are asking ourselves."""
    line = line.partition(': Get "http')[0]
    return line.removesuffix(" Is the docker daemon running?").rstrip(".")


def _docker(*arguments: str) -> str:
    """What the command prints.

    Raises:
        _CannotAsk: it is not there, hangs, or ends with an error.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments],
            env=os.environ | {"DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            timeout=ANSWER_BUDGET,
            check=False,
        )
    except OSError as error:
        raise _CannotAsk(NO_COMMAND) from error
    except subprocess.TimeoutExpired as error:
        raise _CannotAsk(f"docker said nothing in {ANSWER_BUDGET:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["docker ended with an error"]
        raise _CannotAsk(_shorten(lines[0]))
    return done.stdout
