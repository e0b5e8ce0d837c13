"""What Live mode costs: a call through everything, beside the same handler invoked directly.

    python -m bench.round_trip [--invocations 300] [--rate 20] [--environments 1] [--seconds 15]

The function runs in the namespaces' `no-vpc` network with the shim, TLS, the relay and the worker;
the same handler also runs in the same lambda host with only its runtime client.

Without a rate both are measured in one run, in turns, so that a busy machine disturbs both alike.
With a rate calls begin by the clock, whether or not the ones before have ended (an open loop: a
stall is paid for by every call that it delays), first through everything and then directly. The
generator counts from the moment at which a call was due.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from natless.journal import Journal
from natless.lab import Lab, VpcLauncher, open_lab
from natless.lambda_host.host import FunctionSpec, LambdaHost
from natless.measure import Histogram, humanize
from natless.progress import SilentProgress
from natless.scenario.side_by_side import make_events
from natless.settings import example_folder, load_settings
from natless.shim_archive import python_runtime_path
from natless.vpc.topologies import find

TARGET_P50, TARGET_P99 = 0.008, 0.025  # seconds, through everything at 20 calls/s, on two cores
TARGET_RATE, TARGET_ENVIRONMENTS = 200.0, 20  # sustained
SETTLING = 5.0  # seconds of the same load before it counts: processes in reserve are started then
SUSTAINED = 0.98  # of the calls that were due must have begun in time and been answered


@dataclass
class Load:
    """What was measured of one subject."""

    times: Histogram = field(default_factory=Histogram)
    failed: int = 0
    late: int = 0  # began more than one interval after they were due
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answered calls a second."""
        return self.times.summarize().count / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    invocations: int
    rate: float
    environments: int
    seconds: float


@asynccontextmanager
async def subjects(environments: int) -> AsyncIterator[tuple[LambdaHost, LambdaHost]]:
    """The function with Live mode, and the handler alone."""
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="natless-") as folder:
        lab_opened = open_lab(
            settings, journal=Journal(), progress=SilentProgress(), directory=Path(folder)
        )
        async with lab_opened as lab:
            await lab.vpc.apply(find("no-vpc"))
            alone = _alone(lab, environments)
            async with lab.function(environments=environments) as function, alone:
                yield function, alone


def _alone(lab: Lab, environments: int) -> LambdaHost:
    spec = FunctionSpec(
        "direct",
        lab.settings.function.handler,
        task_root=example_folder(),
        bootstrap=(sys.executable, "-I", str(python_runtime_path())),
    )
    return LambdaHost(
        spec, launcher=VpcLauncher(lab.vpc), journal=Journal(), concurrency=environments
    )


async def measure_in_turns(count: int) -> tuple[Load, Load]:
    """One call after the other, through everything and directly in turns."""
    live, direct = Load(), Load()
    async with subjects(1) as (function, alone):
        events = make_events(count + 1, seed=1)
        first = next(events)
        await function.invoke(first)  # cold starts are another question
        await alone.invoke(first)
        for event in events:
            for host, load in ((function, live), (alone, direct)):
                result = await host.invoke(event)
                if result.status != 200 or result.function_error:
                    raise SystemExit(f"a call failed: {result.payload[:300]!r}")
                load.times.add(result.duration)
                await host.settled()
    return live, direct


async def measure_at_rate(plan: Plan) -> tuple[Load, Load]:
    """Calls by the clock, first through everything and then directly."""
    async with subjects(plan.environments) as (function, alone):
        loads = []
        for host in (function, alone):
            await _warm_up(host, plan)
            loads.append(await _offer(host, plan))
            await host.settled()
    return loads[0], loads[1]


async def _warm_up(host: LambdaHost, plan: Plan) -> None:
    """Every environment has had a call: cold starts are another question."""
    events = make_events(plan.environments, seed=1)
    results = await asyncio.gather(*(host.invoke(event) for event in events))
    await host.settled()
    if any(result.status != 200 or result.function_error for result in results):
        raise SystemExit(f"a call failed: {results[0].payload[:300]!r}")
    await _offer(host, replace(plan, seconds=SETTLING))
    await host.settled()


async def _offer(host: LambdaHost, plan: Plan) -> Load:
    load = Load()
    count = round(plan.rate * plan.seconds)
    started = time.monotonic() + 0.1

    async def call(event: bytes, due: float) -> None:
        begun = time.monotonic()
        load.late += begun - due > 1 / plan.rate
        result = await host.invoke(event)
        if result.status == 200 and not result.function_error:
            load.times.add(time.monotonic() - due)
        else:
            load.failed += 1

    async with asyncio.TaskGroup() as group:
        for index, event in enumerate(make_events(count, seed=3)):
            due = started + index / plan.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(call(event, due))
    load.seconds = time.monotonic() - started
    return load


def main() -> None:
    plan = _parse()
    live, direct = asyncio.run(
        measure_at_rate(plan) if plan.rate else measure_in_turns(plan.invocations)
    )
    for name, load in (("through everything", live), ("directly", direct)):
        p = load.times.summarize()
        line = f"{name:20} p50 {humanize(p.p50):>8}   p99 {humanize(p.p99):>8}   n {p.count}"
        if plan.rate:
            line += f"   {load.rate:.0f}/s   failed {load.failed}   late {load.late}"
        print(line)
    live_p, direct_p = live.times.summarize(), direct.times.summarize()
    print(f"Live mode costs {live_p.p50 / direct_p.p50:.1f} times a direct call.")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"processor: {used.ru_utime + used.ru_stime:.1f} s in the parts, "
        f"{own.ru_utime + own.ru_stime:.1f} s in host, worker and generator"
    )
    sys.exit(0 if _is_reached(plan, live) else 1)


def _is_reached(plan: Plan, live: Load) -> bool:
    p = live.times.summarize()
    if plan.environments >= TARGET_ENVIRONMENTS:
        is_sustained = live.rate >= SUSTAINED * plan.rate and live.failed == 0
        print(f"target: {plan.rate:.0f}/s sustained, none failed: {_verdict(is_sustained)}")
        return is_sustained
    is_fast = p.p50 < TARGET_P50 and p.p99 < TARGET_P99
    print(
        f"target: p50 < {humanize(TARGET_P50)}, p99 < {humanize(TARGET_P99)}: {_verdict(is_fast)}"
    )
    return is_fast


def _verdict(is_reached: bool) -> str:
    return "reached" if is_reached else "MISSED"


def _parse() -> Plan:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--invocations", type=int, default=300, help="one after the other, without a rate (300)")
    add("--rate", type=float, default=0.0, metavar="N", help="calls a second, by the clock")
    add("--environments", type=int, default=0, metavar="N", help="at once (1; 20 from 100/s on)")
    add("--seconds", type=float, default=15.0, help="how long calls are offered at a rate (15)")
    told = parser.parse_args()
    busy = TARGET_ENVIRONMENTS if told.rate >= TARGET_RATE / 2 else 4
    environments = told.environments or (busy if told.rate else 1)
    return Plan(told.invocations, told.rate, environments, told.seconds)


if __name__ == "__main__":
    main()
