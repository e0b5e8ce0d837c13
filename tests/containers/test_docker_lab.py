"""The lab that one run makes through the SDK: same promises, no traces, clear refusals."""

import asyncio
import os
import signal
import sys

import pytest
import pytest_asyncio

from natless.errors import ComponentFailed, EnvironmentLacks
from natless.journal import Journal
from natless.relay_process import start_relay
from natless.vpc.model import Role
from natless.vpc.topologies import find
from tests.containers.docker_bench import LABEL, open_lab

BUDGET = 30.0  # for what takes a moment

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vpc(engine, folder):
    journal = Journal()
    async with (
        open_lab(folder, journal) as (vpc, served, ca),
        start_relay(
            certificate=served.certificate,
            key=served.key,
            ca=ca,
            api_key="da2-test",
            label=LABEL,
            region="us-east-1",
            namespaces=["sst"],
            listening=vpc.relay_sockets,
            journal=journal,
        ),
    ):
        yield vpc


async def test_a_program_runs_without_powers_and_tells_how_it_ended(vpc):
    program = await vpc.run(
        Role.FUNCTION,
        ["sh", "-c", "grep CapEff /proc/self/status; id -u; echo oh >&2; exit 7"],
        environment={"PATH": "/usr/bin:/bin"},
    )
    async with asyncio.timeout(BUDGET):
        said, complained = await program.stdout.read(), await program.stderr.read()
        assert await program.wait() == 7
    assert said.split()[:2] == [b"CapEff:", b"0000000000000000"]
    assert int(said.split()[2]) != 0
    assert complained == b"oh\n"


async def test_a_signal_reaches_what_a_program_has_started(vpc):
    program = await vpc.run(
        Role.FUNCTION, ["sh", "-c", "sleep 600 & wait"], environment={"PATH": "/usr/bin:/bin"}
    )
    program.kill()
    async with asyncio.timeout(BUDGET):
        assert await program.wait() == -signal.SIGKILL
        assert await program.stdout.read() == b""  # which the sleeper would hold open


async def test_a_program_that_does_not_exist_is_told(vpc):
    with pytest.raises(ComponentFailed, match="no-such-program"):
        await vpc.run(Role.FUNCTION, ["no-such-program"], environment={"PATH": "/bin"})


async def test_a_socket_made_in_the_functions_network_is_served_from_here(vpc):
    with await vpc.listen(Role.FUNCTION) as listening:
        address, port = listening.getsockname()
        dial = f"import socket; socket.create_connection(({address!r}, {port})).sendall(b'hello')"
        program = await vpc.run(Role.FUNCTION, [sys.executable, "-c", dial], environment={})
        listening.setblocking(False)
        async with asyncio.timeout(BUDGET):
            connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            with connection:
                connection.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(connection, 16) == b"hello"
            assert await program.wait() == 0


async def test_a_second_lab_is_refused_with_the_one_that_is_in_the_way(vpc, tmp_path):
    with pytest.raises(EnvironmentLacks, match=f"another lab .*process {os.getpid()}") as raised:
        async with open_lab(tmp_path, Journal()):
            pass
    assert "--network netns" in raised.value.hint
    await vpc.apply(find("nat"))  # the first lab is not harmed
