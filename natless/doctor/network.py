"""Checks of the network: names, addresses, namespaces, and a lab in which calls are made."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from natless.doctor.finding import Seen
from natless.errors import NatlessError
from natless.run_directory import open_run_directory

if TYPE_CHECKING:
    from natless.vpc.model import Topology

REGION = "us-east-1"
LABEL = "doctor" + "x" * 20

START_BUDGET = 15.0
"""Seconds for our resolver to start; it takes a fraction of one."""

ANSWER_BUDGET = 5.0
"""Seconds for an answer over loopback; it takes milliseconds."""

SEEN_THROUGH = ("nat", "no-nat", "endpoint")
"""Networks in which a call is made: one that works, one that is silent, one that refuses."""

_REPORT = "Please report it with this output."


def check_names() -> Seen:
    """Starts our resolver on loopback and asks it for a name as AWS gives them to an Event API."""
    from natless.vpc.model import ADDRESSES, Api

    if sys.platform != "linux":
        return Seen.ok("the lab's resolver runs in a container here")
    name = Api(LABEL, REGION).realtime_host
    expected = [ADDRESSES.internet.address]
    try:
        answers = _resolve(name)
    except OSError as error:
        return Seen.lacks(f"our resolver does not answer on loopback: {error}", _REPORT)
    wrong = {way: found for way, found in answers.items() if found != expected}
    if wrong:
        return Seen.lacks(f"our resolver says {wrong} for {name}", _REPORT)
    return Seen.ok(f"*.appsync-realtime-api.{REGION}.amazonaws.com is {expected[0]} in the lab")


def _resolve(name: str) -> dict[str, list[str]]:
    """The addresses of a name by each way to ask for it.

    Raises:
        OSError: there was no answer.
    """
    from dnslib import DNSRecord

    found = {}
    with _resolver() as port:
        for way, is_tcp in (("udp", False), ("tcp", True)):
            question = DNSRecord.question(name)
            packet = question.send("127.0.0.1", port, tcp=is_tcp, timeout=ANSWER_BUDGET)
            found[way] = [str(each.rdata) for each in DNSRecord.parse(packet).rr]
    return found


@contextlib.contextmanager
def _resolver() -> Iterator[int]:
    """The VPC's resolver on a free port of loopback, with the zone of a VPC that has a NAT.

    Raises:
        OSError: it does not start.
    """
    from natless.vpc import wire
    from natless.vpc.launch import python_environment, python_program
    from natless.vpc.model import Api
    from natless.vpc.topologies import find
    from natless.vpc.zone import render_zone

    ours, theirs = wire.pair()
    with ours, theirs, _bind_both() as (udp, tcp):
        handed = {"udp": udp, "tcp": tcp, "control": theirs}
        flags = [part for key, end in handed.items() for part in (f"--{key}", str(end.fileno()))]
        with subprocess.Popen(
            python_program("natless.vpc.resolver", *flags),
            pass_fds=[end.fileno() for end in handed.values()],
            env=python_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                theirs.close()
                ours.settimeout(START_BUDGET)
                zone = render_zone(find("nat"), api=Api(LABEL, REGION))
                wire.send(ours, {"zone": dataclasses.asdict(zone)})
                if wire.receive(ours) is None:
                    raise ConnectionResetError("it ended at once")
                yield int(tcp.getsockname()[1])
            finally:
                ours.close()  # which ends it
                process.kill()


@contextlib.contextmanager
def _bind_both() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A port of loopback that is free for UDP and for TCP."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(tcp.getsockname())
        yield udp, tcp


def check_addresses() -> Seen:
    """Compares the lab's internet with this machine's routes."""
    from natless.vpc.capability import check_host_routes
    from natless.vpc.model import ADDRESSES

    if sys.platform != "linux":
        return Seen.ok("the lab's addresses are the container engine's business here")
    try:
        check_host_routes()
    except NatlessError as error:
        return Seen.lacks(str(error), error.hint)
    return Seen.ok(f"no route of this machine leads into {ADDRESSES.internet.network}")


def check_namespaces() -> Seen:
    """Builds the lab's cables and its empty packet filter in namespaces of their own."""
    from natless.vpc.capability import find_cause

    cause = find_cause()
    if cause is not None:
        return Seen.lacks(cause.message.rstrip("."), cause.hint)
    return Seen.ok("user, network, mount and process namespaces; veth; nftables")


def check_lab() -> Seen:
    """Opens a lab, makes it into every network of the catalogue, and makes calls in it."""
    from natless.vpc.capability import find_cause

    if find_cause() is not None:
        return Seen.skipped("there are no namespaces to build it in")
    started = time.monotonic()
    try:
        with open_run_directory(sweep=False) as scratch:
            count, broken = asyncio.run(_try_lab(scratch))
    except NatlessError as error:
        return Seen.lacks(str(error), error.hint or _REPORT)
    if broken:
        return Seen.lacks(broken, _REPORT)
    return Seen.ok(
        f"{count} networks built in {time.monotonic() - started:.1f} s; a call works on nat, hangs"
        " on no-nat and is refused on endpoint, as promised"
    )


async def _try_lab(directory: Path) -> tuple[int, str]:
    """How many networks were built, and what is not as promised, or nothing.

    Raises:
        NatlessError: the lab did not come up, or the kernel refused a network's rules.
    """
    from natless.certificates import Authority, aws_names
    from natless.journal import Journal
    from natless.relay_process import start_relay
    from natless.vpc.judgement import judge
    from natless.vpc.netns import NetnsVpc
    from natless.vpc.probes import observe
    from natless.vpc.topologies import TOPOLOGIES, find

    authority, journal = Authority.for_user(), Journal()
    pair = authority.issue([*aws_names(REGION), "localhost", "127.0.0.1"], directory=directory)
    async with contextlib.AsyncExitStack() as stack:
        vpc = await stack.enter_async_context(
            NetnsVpc.open(
                label=LABEL,
                region=REGION,
                certificate=pair,
                ca=authority.ca_path,
                journal=journal,
                directory=directory,
            )
        )
        await stack.enter_async_context(
            start_relay(
                certificate=pair.certificate,
                key=pair.key,
                ca=authority.ca_path,
                api_key="da2-doctor",
                label=LABEL,
                region=REGION,
                namespaces=["doctor"],
                listening=vpc.relay_sockets,
                journal=journal,
            )
        )
        for topology in TOPOLOGIES.values():
            await vpc.apply(topology)

        async def look(topology: Topology) -> str:
            await vpc.apply(topology)
            seen = await observe(vpc, topology, ca=authority.ca_path)
            results = judge(topology.promise, seen)
            return "; ".join(f"{each.name}: {each.sentence}" for each in results if not each.is_ok)

        for name in SEEN_THROUGH:
            if said := await look(find(name)):
                return len(TOPOLOGIES), f"{name} is not as promised: {said}"
    return len(TOPOLOGIES), ""
