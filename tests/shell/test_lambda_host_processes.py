"""Processes on this host: what they get, and that nothing of them is left."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from natless.lambda_host.launcher import HostLauncher, die_with_parent
from natless.lambda_host.runtime_process import RuntimeProcess

SLEEP = "import time; time.sleep(60)"


async def run(code: str, **environment: str):
    return await HostLauncher().run(
        (sys.executable, "-c", code), environment=environment, directory=Path("/")
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def gone(pid: int) -> None:
    """Returns when a process has ended, whosever child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def test_a_process_gets_exactly_the_environment_it_was_given():
    process = await run("import os; print(sorted(os.environ))", ONLY="this", LC_CTYPE="C.UTF-8")
    assert await process.stdout.read() == b"['LC_CTYPE', 'ONLY']\n"
    assert await process.wait() == 0


@pytest.mark.parametrize(("code", "status"), [("exit(3)", 3), ("import os; os.abort()", -6)])
async def test_the_exit_status_is_negative_for_a_signal(code, status):
    process = await run(code)
    assert await process.wait() == status


async def test_killing_a_process_ends_what_it_started():
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    process = await run(code)
    grandchild = int(await process.stdout.readline())
    process.kill()
    assert await process.wait() == -9
    await gone(grandchild)


async def test_killing_a_process_that_is_gone_does_nothing():
    process = await run("pass")
    await process.wait()
    process.kill()
    process.terminate()


async def test_what_a_runtime_set_free_does_not_hold_up_its_end(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        f"argv = [sys.executable, '-c', {SLEEP!r}]\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)"
    )
    lines: asyncio.Queue[str] = asyncio.Queue()
    runtime = await RuntimeProcess.start(
        (sys.executable, "-c", code),
        launcher=HostLauncher(),
        environment={},
        directory=tmp_path,
        on_line=lambda _, line: lines.put_nowait(line),
    )
    free = int(await lines.get())
    await runtime.stop()
    assert is_alive(free), "it left its group, so it is not ours to end"
    os.kill(free, signal.SIGKILL)
    await gone(free)


async def test_a_process_can_be_asked_to_end():
    process = await run(SLEEP)
    process.terminate()
    assert await process.wait() == -signal.SIGTERM


async def test_a_process_does_not_hear_of_ctrl_c():
    process = await run(SLEEP)
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
    await process.wait()


async def test_a_program_that_is_not_there_is_told_at_once():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        await HostLauncher().run(("no-such-program",), environment={"PATH": "/usr/bin"})


async def test_a_socket_of_this_host_listens_on_loopback():
    with await HostLauncher().listen() as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()


@pytest.mark.skipif(not die_with_parent(), reason="setpriv of util-linux is not on this machine")
async def test_a_process_ends_when_we_are_killed():
    code = (
        "import asyncio, sys\n"
        "from natless.lambda_host.launcher import HostLauncher\n"
        "async def main():\n"
        f"    argv = (sys.executable, '-c', 'print(1, flush=True);' {SLEEP!r})\n"
        "    process = await HostLauncher().run(argv, environment={})\n"
        "    await process.stdout.readline()\n"  # setpriv has done its work
        "    print(process.pid, flush=True)\n"
        "    await process.wait()\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    await parent.wait()
    await gone(child)
