"""The released `sst dev`, unmodified, as the developer's side, with nothing of the internet.

It runs where it has no uplink and no name but those of AWS, which mean the relay. What it asks of
AWS besides the channel is one parameter (``examples/sst-dev/aws_stand_in.py``). Its deployment
needs Pulumi, which is not there: it fails, and `sst dev` goes on, as it does for a developer whose
deployment fails. The function is registered as the deployment would.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from natless.vpc.model import Role
from natless.vpc.netns import VpcProcess
from tests.conformance.bridge_lambda import FUNCTION_ID, STAGE, sst_command_line
from tests.conformance.field import Field

EXAMPLE = Path(__file__).parents[2] / "examples" / "sst-dev"
PARAMETERS_PORT = 8444
READY_BUDGET = 30.0  # seconds until it is subscribed
END_BUDGET = 15.0  # seconds; it gives its workers five
# Neither has anything to do with the channel: it would fetch Pulumi and Bun, and report its use.
OFFLINE = {"SST_SKIP_DEPENDENCY_CHECK": "1", "SST_TELEMETRY_DISABLED": "1", "NO_COLOR": "1"}


@dataclass
class SstDev:
    """A running `sst dev`. Made by :func:`sst_dev`.

    Attributes:
        project: its folder.
        process: it.
    """

    project: Path
    process: VpcProcess

    @property
    def log(self) -> str:
        """What stands in its own log."""
        place = self.project / ".sst" / "log" / "sst.log"
        return place.read_text() if place.exists() else ""

    async def says(self, text: str, *, times: int = 1) -> None:
        """Returns when its log has a text so many times."""
        async with asyncio.timeout(READY_BUDGET):
            while self.log.count(text) < times:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)


@asynccontextmanager
async def sst_project(field: Field) -> AsyncIterator[Path]:
    """A project that is installed as far as that needs no registry, and the stand-in for AWS."""
    project = field.directory / "project"
    shutil.copytree(EXAMPLE, project)
    stand_in = await field.start(
        [sys.executable, str(project / "aws_stand_in.py"), str(PARAMETERS_PORT)]
    )
    said = asyncio.gather(stand_in.stdout.read(), stand_in.stderr.read())
    try:
        # It unpacks its platform, and stops at npm. What a deployment alone needs stays away.
        await finish(field, project, [str(sst_command_line()), "install", "--stage", STAGE])
        (project / ".sst" / "platform" / "node_modules").mkdir()
        lock = [{"name": "aws", "package": "@pulumi/aws", "version": "0.0.0", "alias": "aws"}]
        (project / ".sst" / "provider-lock.json").write_text(json.dumps(lock))
        yield project
    finally:
        stand_in.kill()
        await stand_in.wait()
        asked = (await said)[0].decode()
    assert "AmazonSSM.GetParameter /sst/bootstrap" in asked


@asynccontextmanager
async def sst_dev(field: Field, project: Path, **environment: str) -> AsyncIterator[SstDev]:
    """`sst dev`, subscribed, with the example's function."""
    shutil.rmtree(project / ".sst" / "log", ignore_errors=True)  # of the one before
    process = await field.vpc.run(
        Role.FUNCTION,
        [str(sst_command_line()), "dev", "--mode=mono", "--stage", STAGE],
        environment=sst_dev_environment(field, environment),
        directory=project,
    )
    said = asyncio.gather(process.stdout.read(), process.stderr.read())
    dev = SstDev(project, process)
    try:
        await dev.says("subscribed service=appsync.connection")
        await add_function(field, project, FUNCTION_ID, "src/hello.handler")
        yield dev
    except BaseException as error:
        error.add_note(dev.log)
        raise
    finally:
        process.terminate()
        try:
            async with asyncio.timeout(END_BUDGET):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await said


async def add_function(field: Field, project: Path, function_id: str, handler: str) -> None:
    """Registers a function with the `sst dev` that runs."""
    command = [sys.executable, "add_function.py", function_id, handler]
    await finish(field, project, command, code=0)


async def finish(
    field: Field, project: Path, argv: Sequence[str], *, code: int | None = None
) -> str:
    """Runs a command of the developer's to its end and returns what it said."""
    process = await field.vpc.run(
        Role.FUNCTION,
        argv,
        environment=sst_dev_environment(field, {}),
        directory=project,
    )
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    ended = await process.wait()
    assert code is None or ended == code, (out + err).decode()
    return (out + err).decode()


def sst_dev_environment(field: Field, more: Mapping[str, str]) -> dict[str, str]:
    """A developer's: credentials, whom to trust, where the parameters are."""
    environment = field.environment(
        AWS_ENDPOINT_URL_SSM=f"http://127.0.0.1:{PARAMETERS_PORT}", **OFFLINE, **more
    )
    del environment["NATLESS_CONFORMANCE"]
    return environment
