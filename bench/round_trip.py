"""What Live mode costs: a call through everything, beside the same handler invoked directly.

    python -m bench.round_trip [--invocations 300]

Both are measured in one run, in turns, so that a busy machine disturbs both alike: the function in
the namespaces' `no-vpc` network with the shim, TLS, the relay and the worker; and the same handler
in the same lambda host with only its runtime client.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from natless.journal import Journal
from natless.lab import VpcLauncher, open_lab
from natless.lambda_host.host import FunctionSpec, LambdaHost
from natless.measure import Histogram, humanize
from natless.progress import SilentProgress
from natless.scenario.side_by_side import make_events
from natless.settings import example_folder, load_settings
from natless.shim_archive import python_runtime_path
from natless.vpc.topologies import find

TARGET_P50 = 0.015  # seconds, through everything, on two cores


async def measure(count: int) -> tuple[Histogram, Histogram]:
    """Seconds of each call: through the channel, and directly."""
    live, direct = Histogram(), Histogram()
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="natless-") as folder:
        lab_opened = open_lab(
            settings, journal=Journal(), progress=SilentProgress(), directory=Path(folder)
        )
        async with lab_opened as lab:
            await lab.vpc.apply(find("no-vpc"))
            spec = FunctionSpec(
                "direct",
                settings.function.handler,
                task_root=example_folder(),
                bootstrap=(sys.executable, "-I", str(python_runtime_path())),
            )
            alone = LambdaHost(spec, launcher=VpcLauncher(lab.vpc), journal=Journal())
            async with lab.function(environments=1) as function, alone:
                events = make_events(count + 1, seed=1)
                first = next(events)
                await function.invoke(first)  # cold starts are another question
                await alone.invoke(first)
                for event in events:
                    for host, times in ((function, live), (alone, direct)):
                        result = await host.invoke(event)
                        if result.status != 200 or result.function_error:
                            raise SystemExit(f"a call failed: {result.payload[:300]!r}")
                        times.add(result.duration)
                        await host.settled()
    return live, direct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--invocations", type=int, default=300)
    live, direct = asyncio.run(measure(parser.parse_args().invocations))
    for name, times in (("through everything", live), ("directly", direct)):
        p = times.summarize()
        print(f"{name:20} p50 {humanize(p.p50):>8}   p99 {humanize(p.p99):>8}   n {p.count}")
    print(
        f"Live mode costs {live.summarize().p50 / direct.summarize().p50:.1f} times a direct call."
    )
    sys.exit(live.summarize().p50 > TARGET_P50)


if __name__ == "__main__":
    main()
