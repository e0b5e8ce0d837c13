"""Proves that a topology shows what it promises, before anything is measured on it.

A call is made from the function's place and looked at from all sides: which phase ended it and how,
what the names meant, what the far side saw, and what the router counted. A topology that promises a
failure is framed by the same call on ``nat``, which must work: a lab that is down must not count as
"silently dropped".
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from event_protocol.phases import Outcome, Phase
from natless.errors import ComponentFailed, PromiseBroken
from natless.vpc.judgement import Observation, ProbeResult, judge, judge_isolation
from natless.vpc.launch import python_environment, python_program
from natless.vpc.model import (
    ADDRESSES,
    CUSTOM_DOMAIN,
    PROXY_PORT,
    TLS_PORT,
    Api,
    Promise,
    Role,
    Topology,
)
from natless.vpc.process import VpcProcess
from natless.vpc.reach import span_from_json
from natless.vpc.tcp_table import TcpSocket, TcpState
from natless.vpc.topologies import TOPOLOGIES

__all__ = ["Observation", "ProbeResult", "Vpc", "check", "observe", "prove"]

HANG_BUDGET = 1.0
"""Seconds after which a promised silence counts as one. Linux repeats a SYN after 1 s."""

PHASE_BUDGET = 5.0
"""Seconds for a phase that is expected to end by itself, which takes milliseconds."""

START_BUDGET = 10.0
"""Seconds for the probe's process to start, over the budgets of its phases."""

_CONTROL = TOPOLOGIES["nat"]
_PHASES = (Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.UPGRADE)
_SILENCES = (Outcome.TIMEOUT, Outcome.NAME_TIMEOUT)


class Vpc(Protocol):
    """What a probe needs of a VPC, however it is built."""

    @property
    def api(self) -> Api:
        """The names that the VPC knows."""

    async def apply(self, topology: Topology) -> None:
        """Makes it into a topology."""

    async def run(
        self,
        role: Role,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """Starts a program in it."""

    async def counters(self) -> Mapping[str, int]:
        """Packets by rule."""

    async def connections(self, role: Role) -> frozenset[TcpSocket]:
        """Sockets on one side."""

    async def router_routes(self) -> str:
        """The router's routes as the kernel prints them."""


async def prove(vpc: Vpc, topology: Topology, *, ca: Path) -> tuple[ProbeResult, ...]:
    """Applies the topology, looks at it from all sides, and leaves it applied.

    Args:
        vpc: the VPC; its other traffic should rest meanwhile.
        topology: what it must show.
        ca: the certificate of the authority that signed the relay's and the endpoint's.

    Returns:
        Everything that was looked at, in order.

    Raises:
        ComponentFailed: the VPC is broken.
    """
    results = [judge_isolation(await vpc.router_routes())]
    if not topology.promise.is_working:
        results += await _observe_control(vpc, "control before", ca=ca)
    await vpc.apply(topology)
    results += judge(topology.promise, await observe(vpc, topology, ca=ca))
    if not topology.promise.is_working:
        results += await _observe_control(vpc, "control after", ca=ca)
        await vpc.apply(topology)
    return tuple(results)


def check(topology: Topology, results: Iterable[ProbeResult]) -> None:
    """Accepts results that are all as promised.

    Raises:
        PromiseBroken: with a sentence for each that is not.
    """
    broken = [result for result in results if not result.is_ok]
    if not broken:
        return
    is_control = any(result.name.startswith("control") for result in broken)
    said = "; ".join(f"{result.name}: {result.sentence}" for result in broken)
    raise PromiseBroken(
        f"the topology {topology.name!r} does not show what it promises: {said}",
        hint=(
            "The same call must work on 'nat'. Does a relay accept on the lab's relay socket, with"
            " a certificate that the probe trusts?"
            if is_control or topology.promise.is_working
            else "Nothing was measured. Please report it with the journal of this run."
        ),
    )


async def observe(vpc: Vpc, topology: Topology, *, ca: Path) -> Observation:
    """Makes one call from the function's place and looks at it from all sides."""
    before = await _far_sockets(vpc)
    budgets = _budgets(topology.promise)
    program = await vpc.run(
        Role.FUNCTION,
        python_program("natless.vpc.reach", *_arguments(topology, budgets, api=vpc.api, ca=ca)),
        environment=python_environment(os.environ),
    )
    try:
        most = 2 * sum(budgets.values()) + 2 * (topology.nat_idle or 0.0)
        line = await _read_line(program, budget=START_BUDGET + most)
        after = await _far_sockets(vpc)  # while the probe still holds its connection
        counters = await vpc.counters()
    finally:
        program.kill()
        await program.wait()
    seen = json.loads(line)
    return Observation(
        spans=tuple(span_from_json(span) for span in seen["spans"]),
        names={name: tuple(addresses) for name, addresses in seen["names"].items()},
        far_sockets=tuple(
            each
            for key, each in after.items()
            if key not in before and each.local not in _touched(topology.promise)
        ),
        counters=counters,
        beside={address: Outcome(outcome) for address, outcome in seen["beside"].items()},
        idle={name: Outcome(outcome) for name, outcome in seen.get("idle", {}).items()},
    )


def _arguments(
    topology: Topology, budgets: Mapping[Phase, float], *, api: Api, ca: Path
) -> Iterator[str]:
    host = CUSTOM_DOMAIN if topology.custom_domain else api.realtime_host
    yield from ("--host", host, "--port", str(TLS_PORT), "--ca", str(ca))
    yield from ("--name", api.http_host)
    for phase in _PHASES:
        yield from (f"--{phase}", str(budgets[phase]))
    if topology.has_proxy:
        yield from ("--via", f"{ADDRESSES.proxy.address}:{PROXY_PORT}")
    for each in topology.promise.beside:
        budget = HANG_BUDGET if each.outcome in _SILENCES else PHASE_BUDGET
        yield from ("--beside", f"{each.address}={budget}")
    if topology.nat_idle is not None:
        yield from ("--idle", str(topology.nat_idle))


def _touched(promise: Promise) -> frozenset[str]:
    """Where connections beside the call were made: they say nothing about the call."""
    return frozenset(each.address for each in promise.beside if each.outcome is Outcome.OK)


async def _observe_control(vpc: Vpc, name: str, *, ca: Path) -> list[ProbeResult]:
    await vpc.apply(_CONTROL)
    seen = await observe(vpc, _CONTROL, ca=ca)
    return [replace(each, name=f"{name}/{each.name}") for each in judge(_CONTROL.promise, seen)]


def _budgets(promise: Promise) -> dict[Phase, float]:
    return {
        phase: HANG_BUDGET
        if phase is promise.phase and promise.outcome in _SILENCES
        else PHASE_BUDGET
        for phase in _PHASES
    }


async def _far_sockets(vpc: Vpc) -> dict[tuple[str, int, str], TcpSocket]:
    sockets = (*await vpc.connections(Role.INTERNET), *await vpc.connections(Role.ENDPOINT))
    # What waits in TIME_WAIT has ended on both sides, and its ports may be taken again.
    return {
        (each.remote, each.remote_port, each.local): each
        for each in sockets
        if each.local_port == TLS_PORT and each.state is not TcpState.TIME_WAIT
    }


async def _read_line(program: VpcProcess, *, budget: float) -> bytes:
    try:
        async with asyncio.timeout(budget):
            line = await program.stdout.readline()
            if line:
                return line
            complaint = (await program.stderr.read()).decode(errors="replace").strip()
    except TimeoutError as error:
        raise ComponentFailed(f"the probe said nothing in {budget:.0f} s") from error
    raise ComponentFailed(f"the probe ended without a word: {complaint}")
