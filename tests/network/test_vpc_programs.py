"""Programs in the lab: started, ended, listened for, and kept inside."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pyroute2 import IPRoute

from natless.errors import ComponentFailed
from natless.vpc.model import Role
from natless.vpc.topologies import find
from tests.network.vpc_bench import open_bench

BUDGET = 20.0  # for what takes milliseconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest_asyncio.fixture(loop_scope="module")
async def bench(lab):
    return await lab.cleared()


async def test_a_program_has_its_own_environment_directory_and_output(bench, tmp_path):
    code = "import os, sys; print(os.getcwd(), dict(os.environ)); print('bad', file=sys.stderr)"
    program = await bench.vpc.run(
        Role.FUNCTION,
        [sys.executable, "-I", "-c", code],
        environment={"A": "ü", "LC_CTYPE": "C.UTF-8"},
        directory=tmp_path,
    )
    out, err = await program.stdout.read(), await program.stderr.read()
    assert out.decode() == f"{tmp_path} {{'A': 'ü', 'LC_CTYPE': 'C.UTF-8'}}\n"
    assert err == b"bad\n"
    assert await program.wait() == 0
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
async def test_how_a_program_ended_is_told(bench, code, status):
    assert (await bench.python(code))[0] == status


async def test_a_program_inherits_nothing_but_its_output(bench):
    code = """
import json, os
print(json.dumps({n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                  if os.path.lexists(f"/proc/self/fd/{n}")}))
"""
    found = await bench.ask(code)
    assert found.pop("0") == "/dev/null"
    assert set(found) == {"1", "2"}
    assert all(each.startswith("pipe:") for each in found.values())


async def test_many_programs_leave_no_descriptor_open_here(bench):
    assert await bench.python("") == (0, "", "")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  a list of names is what is compared
    for _ in range(5):
        await asyncio.gather(*(bench.python("") for _ in range(5)))
    assert len(os.listdir("/proc/self/fd")) <= len(before)  # noqa: PTH208


async def test_several_programs_run_at_once(bench):
    code = """
import socket
with socket.create_server(("127.0.0.1", 6000)) as door:
    connection, _ = door.accept()
    print(connection.recv(10).decode())
"""
    knock = """
import socket, sys, time
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", 6000))
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
connection.sendall(b"hello")
"""
    listening, _ = await asyncio.gather(bench.python(code), bench.python(knock))
    assert listening[1] == "hello\n"


async def test_a_program_that_is_killed_takes_its_children_along(bench):
    code = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("started", flush=True)
import time; time.sleep(600)
"""
    program = await bench.vpc.run(
        Role.FUNCTION, [sys.executable, "-I", "-c", code], environment=os.environ
    )
    assert await program.stdout.readline() == b"started\n"
    program.kill()
    assert await program.wait() == -signal.SIGKILL
    assert await program.stdout.read() == b""  # which ends when nobody holds it any more


async def test_what_a_program_leaves_behind_ends_with_it(bench):
    code = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
"""
    assert await bench.python(code) == (0, "", "")


async def test_a_program_can_be_asked_to_end(bench):
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(600)
"""
    program = await bench.vpc.run(
        Role.FUNCTION, [sys.executable, "-I", "-c", code], environment=os.environ
    )
    await program.stdout.readline()
    program.terminate()
    assert await program.wait() == 7
    program.kill()  # does nothing any more


@pytest.mark.parametrize(
    ("argv", "directory", "said"),
    [
        (["/nowhere/at-all"], "/", "execute /nowhere/at-all: No such file"),
        (["true"], "/nowhere/at-all", "enter /nowhere/at-all: No such file"),
    ],
)
async def test_a_program_that_cannot_be_started_says_at_which_step(bench, argv, directory, said):
    with pytest.raises(ComponentFailed, match=said):
        await bench.vpc.run(Role.FUNCTION, argv, environment=os.environ, directory=Path(directory))
    assert await bench.python("print('the lab goes on')") == (0, "the lab goes on\n", "")


async def test_an_environment_that_is_too_long_is_refused_with_a_hint(bench):
    with pytest.raises(ComponentFailed, match="too long") as raised:
        await bench.vpc.run(Role.FUNCTION, ["true"], environment={"A": "x" * 300_000})
    assert "fewer environment variables" in raised.value.hint


async def test_a_program_sees_its_own_processes_only(bench):
    code = """
import json, os
print(json.dumps([os.readlink("/proc/self"), str(os.getpid()), os.path.exists("/proc/1/stat"),
                  len([each for each in os.listdir("/proc") if each.isdigit()])]))
"""
    link, pid, has_first, count = await bench.ask(code)
    assert link == pid
    assert has_first
    assert count < 10


async def test_a_program_cannot_change_its_network_even_as_root(bench):
    code = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
entered = libc.setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0x40000000)
mounted = libc.mount(b"none", b"/", None, 0x44000, None)
print(json.dumps([entered, mounted]))
"""
    status, out, _ = await bench.python(code)
    assert status != 0 or json.loads(out) == [-1, -1]


async def test_nothing_in_the_lab_can_reach_this_machine(bench):
    await bench.vpc.apply(find("no-vpc"))
    addresses = await asyncio.to_thread(addresses_of_this_machine)
    code = """
import json, socket, sys
reached = []
for address in sys.argv[2:]:
    try:
        socket.create_connection((address, int(sys.argv[1])), timeout=0.3).close()
        reached.append(address)
    except OSError:
        pass
print(json.dumps(reached))
"""
    with socket.create_server(("", 0)) as door:
        port = str(door.getsockname()[1])
        for role in Role:
            assert await bench.ask(code, port, *addresses, role=role) == []


async def test_the_files_of_this_machine_stay_as_they_are(bench):
    before = read("/etc/resolv.conf")
    assert await bench.ask("import json; print(json.dumps(open('/etc/resolv.conf').read()))") == (
        "nameserver 10.0.0.2\n"
    )
    assert read("/etc/resolv.conf") == before


async def test_what_listens_in_the_function_is_heard_there_and_accepted_here(bench):
    with await bench.vpc.listen(Role.FUNCTION) as door:
        address, port = door.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(ConnectionRefusedError):  # on this machine's own loopback
            socket.create_connection((address, port), BUDGET)
        door.setblocking(False)
        code = f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'hello')"
        calling = asyncio.create_task(bench.python(code))
        async with asyncio.timeout(BUDGET):
            connection, _ = await asyncio.get_running_loop().sock_accept(door)
            with connection:
                assert await asyncio.get_running_loop().sock_recv(connection, 10) == b"hello"
        assert (await calling)[0] == 0


async def test_a_port_that_is_taken_there_is_told(bench):
    with await bench.vpc.listen(Role.FUNCTION, port=9001):
        with pytest.raises(ComponentFailed, match="in use"):
            await bench.vpc.listen(Role.FUNCTION, port=9001)
        (await bench.vpc.listen(Role.RESOLVER, port=9001)).close()


async def test_another_process_of_this_machine_can_accept_for_the_relay(tmp_path):
    code = """
import json, socket, sys
door = socket.socket(fileno=int(sys.argv[1]))
connection, peer = door.accept()
print(json.dumps([door.getsockname()[0], peer[0]]))
"""
    async with asyncio.timeout(BUDGET), open_bench(tmp_path, is_answering=False) as bench:
        await bench.vpc.apply(find("nat"))
        number = bench.vpc.relay_socket.fileno()
        acceptor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", code, str(number)),
            pass_fds=(number,),
            stdout=subprocess.PIPE,
        )
        await bench.python("import socket; socket.create_connection(('198.51.100.10', 443))")
        out, _ = await acceptor.communicate()
    assert json.loads(out) == ["198.51.100.10", "198.51.100.2"]


async def test_the_function_sees_as_many_tries_as_its_kernel_is_told(bench):
    code = "print(open('/proc/sys/net/ipv4/tcp_syn_retries').read())"
    await bench.vpc.apply(replace(find("no-nat"), syn_retries=1))
    assert await bench.ask(code) == 1
    await bench.vpc.apply(find("no-nat"))
    assert await bench.ask(code) == 6


async def test_two_labs_at_once_do_not_meet(tmp_path):
    directories = tmp_path / "one", tmp_path / "two"
    for directory in directories:
        directory.mkdir()
    async with (
        asyncio.timeout(60),
        open_bench(directories[0]) as one,
        open_bench(directories[1]) as two,
    ):
        await asyncio.gather(one.vpc.verify(find("nat")), two.vpc.verify(find("no-nat")))
        assert one.peers == ["198.51.100.2"]
        assert two.peers == ["198.51.100.2"] * 2  # the controls of its own


def addresses_of_this_machine():
    with IPRoute() as ip:
        return [each.get_attr("IFA_ADDRESS") for each in ip.get_addr(family=socket.AF_INET)]


def read(path):
    return Path(path).read_text()
