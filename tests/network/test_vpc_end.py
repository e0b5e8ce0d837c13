"""A lab that ends, in whatever way, leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from natless.errors import ComponentFailed
from natless.vpc import netns
from natless.vpc.model import Role
from natless.vpc.topologies import find
from tests.network.vpc_bench import LABEL, open_bench

ROOT = Path(__file__).resolve().parents[2]
BUDGET = 20.0  # for what takes milliseconds


async def test_a_closed_lab_leaves_no_file_and_no_process(tmp_path):
    async with open_bench(tmp_path) as bench:
        program = await bench.vpc.run(Role.FUNCTION, ["sleep", "600"], environment=os.environ)
        assert processes_of(tmp_path)
    assert list(tmp_path.glob("vpc-*")) == []
    assert processes_of(tmp_path) == []
    with pytest.raises(ComponentFailed, match="closed"):
        await program.wait()
    with pytest.raises(ComponentFailed, match="closed"):
        await bench.vpc.apply(find("nat"))


async def test_an_error_inside_closes_the_lab_as_well(tmp_path):
    with contextlib.suppress(ZeroDivisionError):
        async with open_bench(tmp_path) as bench:
            await bench.vpc.run(Role.FUNCTION, ["sleep", "600"], environment=os.environ)
            raise ZeroDivisionError
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("turns", [1, 3, 10, 30, 100])
async def test_a_lab_that_is_cancelled_while_it_is_built_leaves_nothing(tmp_path, turns):
    async def build():
        async with open_bench(tmp_path):
            pytest.fail("it was built after all")

    building = asyncio.create_task(build())
    for _ in range(turns):
        await asyncio.sleep(0)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert processes_of(tmp_path) == []
    assert list(tmp_path.glob("vpc-*")) == []


async def test_a_supervisor_that_dies_ends_all_waiting_with_one_error(tmp_path):
    async with asyncio.timeout(BUDGET), open_bench(tmp_path) as bench:
        program = await bench.vpc.run(Role.FUNCTION, ["sleep", "600"], environment=os.environ)
        waiting = asyncio.create_task(program.wait())
        await asyncio.sleep(0)
        supervisor = max(processes_of(tmp_path, "natless.vpc.supervisor"))
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(ComponentFailed, match="the lab has ended"):
            await waiting
        with pytest.raises(ComponentFailed, match="the lab has ended"):
            await bench.vpc.apply(find("nat"))
    assert processes_of(tmp_path) == []


async def test_a_resolver_that_dies_breaks_the_lab_and_is_named(tmp_path):
    async with asyncio.timeout(BUDGET), open_bench(tmp_path) as bench:
        program = await bench.vpc.run(Role.FUNCTION, ["sleep", "600"], environment=os.environ)
        code = "import os, sys; os.kill(int(sys.argv[1]), 9)"
        pids = await bench.ask(FIND, "natless.vpc.resolver", role=Role.ROUTER)
        with contextlib.suppress(ComponentFailed):  # the lab may be quicker than our program's end
            await bench.python(code, str(pids[0]), role=Role.ROUTER)
        with pytest.raises(ComponentFailed, match="resolver has ended"):
            await program.wait()


async def test_a_certificate_that_is_not_there_fails_at_once_with_the_reason(tmp_path):
    missing = tmp_path / "missing.pem"

    class Nothing:
        certificate = key = missing

    async with open_bench(tmp_path, is_answering=False):
        pass  # which skips where there are no namespaces
    with pytest.raises(ComponentFailed, match="No such file"):
        async with netns.NetnsVpc.open(
            label=LABEL,
            region="us-east-1",
            certificate=Nothing(),
            ca=missing,
            journal=netns.Journal(),
            directory=tmp_path,
        ):
            pytest.fail("it was built after all")
    assert processes_of(tmp_path) == []


OUTER = """
import asyncio, os, sys
from pathlib import Path
from natless.vpc.model import Role
from tests.network.vpc_bench import open_bench

async def main(directory):
    async with open_bench(Path(directory)) as bench:
        await bench.vpc.run(Role.FUNCTION, ["sleep", "600"], environment=os.environ)
        print("up", flush=True)
        await asyncio.sleep(600)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("whom", ["outer", "keeper", "supervisor"])
async def test_whoever_is_killed_the_whole_lab_is_gone(tmp_path, whom):
    """SIGKILL leaves nobody time to clean up: the kernel does."""
    async with open_bench(tmp_path, is_answering=False):
        pass  # which skips where there are no namespaces
    outer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OUTER, str(tmp_path)),
        cwd=ROOT,
        env=dict(os.environ, MARK=str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BUDGET):
            assert await outer.stdout.readline() == b"up\n"
        members = marked(tmp_path)
        spaces = {network_of(pid) for pid in members} - {network_of(os.getpid())}
        keeper, supervisor = sorted(processes_of(tmp_path, "natless.vpc.supervisor"))
        assert len(members) >= 7  # outer, keeper, supervisor, resolver, endpoint, proxy, sleep
        assert len(spaces) == 5  # router, function, resolver, endpoint, proxy
        pid = {"outer": outer.pid, "keeper": keeper, "supervisor": supervisor}[whom]
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(BUDGET):
            while set(marked(tmp_path)) - {outer.pid}:  # noqa: ASYNC110  nobody tells us
                await asyncio.sleep(0.01)
        assert list(tmp_path.glob("vpc-*")) == []
        assert not spaces & {network_of(pid) for pid in all_processes()}
    finally:
        with contextlib.suppress(ProcessLookupError):
            outer.kill()
        await outer.communicate()


def all_processes():
    return [int(each.name) for each in Path("/proc").glob("[0-9]*")]


def marked(directory):
    """The processes of this machine with the directory in their command or environment."""
    found = []
    for pid in all_processes():
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{pid}/cmdline").read_bytes()
            told += Path(f"/proc/{pid}/environ").read_bytes()
            is_dead = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if str(directory).encode() in told and not is_dead and pid != os.getpid():
                found.append(pid)
    return found


def network_of(pid):
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return "gone"


FIND = """
import json, pathlib, sys
found = []
for each in pathlib.Path("/proc").glob("[0-9]*"):
    argv = (each / "cmdline").read_bytes().decode().split("\\0")
    if sys.argv[1] in argv[:5] and "-c" not in argv:
        found.append(int(each.name))
print(json.dumps(found))
"""


def processes_of(directory, *words):
    """The processes of this machine that have the directory in their command, by their ids."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (each / "cmdline").read_bytes().decode(errors="replace")
            is_dead = (each / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if str(directory) in argv and all(word in argv for word in words) and not is_dead:
                found.append(int(each.name))
    return [pid for pid in found if pid != os.getpid()]
