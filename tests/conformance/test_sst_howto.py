"""docs/howto/sst-dev.md, line by line, where there is no internet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from natless.certificates import Authority, aws_names
from natless.journal import Journal
from natless.vpc.model import Role
from natless.vpc.netns import NetnsVpc, VpcProcess
from natless.vpc.topologies import find
from tests.conformance.bridge_lambda import sst_command_line
from tests.conformance.proofs import npm_version, prove
from tests.golden.relay import LABEL, REGION

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "sst-dev.md"
STEP_BUDGET = 40.0  # seconds for any one step


def blocks() -> list[tuple[str, str]]:
    """The page's commands in order, each with what it is for."""
    return re.findall(r"<!-- ([\w -]+) -->\n```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@dataclass
class Shell:
    """A developer at a machine without a way out, whose exports stay."""

    vpc: NetnsVpc
    folder: Path
    exports: list[str] = field(default_factory=list)

    async def start(self, commands: str) -> VpcProcess:
        home = self.folder.parent
        (home / "home").mkdir(exist_ok=True)
        paths = [str(Path(sys.executable).parent), str(sst_command_line().parent)]
        environment = {
            "PATH": os.pathsep.join([*paths, os.environ["PATH"]]),
            "HOME": str(home / "home"),
            "NO_COLOR": "1",
        }
        script = "\n".join(["set -e", *self.exports, commands])
        return await self.vpc.run(
            Role.FUNCTION, ["bash", "-c", script], environment=environment, directory=self.folder
        )

    async def finish(self, commands: str) -> str:
        process = await self.start(commands)
        async with asyncio.timeout(STEP_BUDGET):
            out, err, code = await asyncio.gather(
                process.stdout.read(), process.stderr.read(), process.wait()
            )
        assert code == 0, (out + err).decode()
        return out.decode()

    @asynccontextmanager
    async def terminal(self, commands: str, *, until: str) -> AsyncIterator[None]:
        """Another terminal in which something runs for the rest of the page."""
        process = await self.start(commands)
        said = b""
        rest = asyncio.ensure_future(process.stderr.read())
        try:
            async with asyncio.timeout(STEP_BUDGET):
                while until.encode() not in said:
                    line = await process.stdout.readline()
                    assert line, (said + await rest).decode()
                    said += line
            draining = asyncio.ensure_future(process.stdout.read())
            yield
            process.terminate()
            async with asyncio.timeout(STEP_BUDGET):
                await process.wait()
                await draining
        finally:
            process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STEP_BUDGET):
                    await rest


READY = {"relay": "Ctrl-C ends it", "stand-in": "http://", "sst dev": "ready!"}


async def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    sst_command_line()
    shutil.copytree(ROOT / "examples" / "sst-dev", tmp_path / "project")
    served = Authority.for_user(tmp_path / "ca").issue(aws_names(REGION), directory=tmp_path)
    answers = []
    async with contextlib.AsyncExitStack() as stack:
        vpc = await stack.enter_async_context(
            NetnsVpc.open(
                label=LABEL,
                region=REGION,
                certificate=served,
                ca=tmp_path / "ca" / "ca.pem",
                journal=Journal(),
                directory=tmp_path,
            )
        )
        await vpc.apply(find("no-nat"))
        shell = Shell(vpc, tmp_path / "project")
        for purpose, commands in blocks():
            if purpose in READY:
                await stack.enter_async_context(shell.terminal(commands, until=READY[purpose]))
            elif purpose == "call":
                answers.append(await shell.finish(commands))
            else:
                shell.exports += [line for line in commands.splitlines() if "export " in line]
                await shell.finish(commands)
    registered, bridge, shim = answers
    assert registered == "sst dev runs src/hello.handler as fn\n"
    assert re.fullmatch(
        r'ok \{"hello":"world","request":"[0-9a-f-]{36}"\}\n'
        r'Unhandled \{"errorType":"TypeError","errorMessage":"on purpose","trace":\[.+\]\}\n',
        bridge,
    )
    assert re.fullmatch(r'ok \{"hello":"world","request":"[0-9a-f-]{36}"\}\n', shim)
    prove(
        "`sst dev` (npm, sst-linux-x64)",
        npm_version("sst-linux-x64"),
        test="test_sst_howto.py::test_every_command_of_the_page_does_what_it_says",
        held=["docs/howto/sst-dev.md as it is written, on localhost, without AWS and internet"],
    )
