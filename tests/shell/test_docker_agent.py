"""An agent in a process of its own, and the switchboard that asks it. No Docker is needed."""

import asyncio
import os
import signal
import socket
import sys

import pytest
import pytest_asyncio

from natless.errors import ComponentFailed
from natless.journal import Journal
from natless.vpc import wire
from natless.vpc.docker_seats import Seat
from natless.vpc.docker_switchboard import Switchboard
from natless.vpc.docker_vpc import DockerVpc, VpcLauncher
from natless.vpc.launch import python_environment, python_program
from natless.vpc.model import Api, Role

BUDGET = 20.0
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


async def start_agent(path, seat=Seat.FUNCTION, *flags):
    return await asyncio.create_subprocess_exec(
        *python_program("natless.container", str(seat), *flags),
        env=python_environment(os.environ) | {"NATLESS_SWITCHBOARD": str(path)},
    )


async def end(process):
    if process.returncode is None:
        process.kill()
        await process.wait()


@pytest_asyncio.fixture
async def board(tmp_path):
    facts = []
    async with Switchboard.open(tmp_path / "s.sock", on_fact=facts.append) as board:
        board.path, board.facts = tmp_path / "s.sock", facts
        yield board


@pytest_asyncio.fixture
async def agent(board):
    process = await start_agent(board.path)
    await board.wait_for([Seat.FUNCTION], budget=BUDGET)
    yield process
    await end(process)


@pytest.fixture
def vpc(board, agent, tmp_path):
    vpc = DockerVpc(
        board, api=Api("a" * 26, "us-east-1"), ca=tmp_path / "ca.pem", journal=Journal()
    )
    yield vpc
    vpc.close()


def sh(text):
    return ["sh", "-c", text]


async def test_a_program_says_what_it_has_to_say_and_how_it_ended(vpc):
    program = await vpc.run(Role.FUNCTION, sh("echo $0 $A; exit 3"), environment={"A": "b"})
    async with asyncio.timeout(BUDGET):
        assert await program.stdout.read() == b"sh b\n"
        assert await program.wait() == 3


async def test_our_own_interpreter_means_the_containers(vpc, monkeypatch):
    monkeypatch.setattr("natless.vpc.docker_vpc.PYTHON", "/bin/echo")
    program = await vpc.run(Role.FUNCTION, [sys.executable, "hello"], environment=ENVIRONMENT)
    async with asyncio.timeout(BUDGET):
        assert await program.stdout.read() == b"hello\n"
        await program.wait()


async def test_a_killed_program_takes_along_what_it_has_started(vpc):
    program = await vpc.run(Role.FUNCTION, sh("sleep 600 & wait"), environment=ENVIRONMENT)
    program.kill()
    async with asyncio.timeout(BUDGET):
        assert await program.stdout.read() == b""
        assert await program.wait() == -signal.SIGKILL


async def test_what_a_program_leaves_behind_ends_with_it(vpc):
    program = await vpc.run(Role.FUNCTION, sh("sleep 600 & exit 0"), environment=ENVIRONMENT)
    async with asyncio.timeout(BUDGET):
        assert await program.stdout.read() == b""
        assert await program.wait() == 0


async def test_what_cannot_be_started_is_told_and_the_agent_goes_on(vpc, tmp_path):
    with pytest.raises(ComponentFailed, match="the function could not run: FileNotFoundError"):
        await vpc.run(Role.FUNCTION, ["/no/such"], environment=ENVIRONMENT)
    with pytest.raises(ComponentFailed, match="nowhere"):
        await vpc.run(
            Role.FUNCTION, sh("true"), environment=ENVIRONMENT, directory=tmp_path / "nowhere"
        )
    program = await vpc.run(Role.FUNCTION, sh("true"), environment=ENVIRONMENT)
    async with asyncio.timeout(BUDGET):
        assert await program.wait() == 0


async def test_a_socket_that_the_agent_made_is_ours_to_serve(board, agent):
    _, descriptors = await board.line(Seat.FUNCTION).ask("listen", address="127.0.0.1", port=0)
    with (
        socket.socket(fileno=descriptors[0]) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        connection, _ = listening.accept()
        connection.close()


async def test_who_is_not_there_is_named(board):
    with pytest.raises(ComponentFailed, match="no word from router, endpoint"):
        await board.wait_for([Seat.ROUTER, Seat.ENDPOINT], budget=0.01)
    with pytest.raises(ComponentFailed, match="the router is not there"):
        board.line(Seat.ROUTER)


async def test_an_agent_that_ends_fails_whoever_waits_for_its_programs(vpc, board, agent):
    program = await vpc.run(Role.FUNCTION, sh("sleep 600"), environment=ENVIRONMENT)
    await end(agent)
    async with asyncio.timeout(BUDGET):
        with pytest.raises(ComponentFailed, match="the function has ended"):
            await program.wait()
    assert board.missing([Seat.FUNCTION]) == (Seat.FUNCTION,)
    os.kill(program.pid, signal.SIGKILL)


async def test_an_agent_reports_anew_and_has_ended_its_programs(tmp_path):
    path = tmp_path / "s.sock"
    agent = await start_agent(path)
    try:
        async with Switchboard.open(path, on_fact=print) as board:
            await board.wait_for([Seat.FUNCTION], budget=BUDGET)
            vpc = DockerVpc(board, api=Api("a" * 26, "us-east-1"), ca=path, journal=Journal())
            program = await vpc.run(Role.FUNCTION, sh("sleep 600"), environment=ENVIRONMENT)
        vpc.close()
        async with Switchboard.open(path, on_fact=print) as board:
            await board.wait_for([Seat.FUNCTION], budget=BUDGET)
            with pytest.raises(ProcessLookupError):
                os.kill(program.pid, 0)
    finally:
        await end(agent)


async def test_an_agent_of_one_run_ends_with_it_and_so_do_its_programs(tmp_path):
    path = tmp_path / "s.sock"
    agent = await start_agent(path, Seat.FUNCTION, "--once")
    try:
        async with Switchboard.open(path, on_fact=print) as board:
            await board.wait_for([Seat.FUNCTION], budget=BUDGET)
            vpc = DockerVpc(board, api=Api("a" * 26, "us-east-1"), ca=path, journal=Journal())
            program = await vpc.run(Role.FUNCTION, sh("sleep 600"), environment=ENVIRONMENT)
        vpc.close()
        async with asyncio.timeout(BUDGET):
            assert await agent.wait() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(program.pid, 0)
    finally:
        await end(agent)


async def test_nobody_may_sit_where_another_user_belongs(tmp_path):
    users = {Seat.FUNCTION: frozenset({os.getuid()}), Seat.ROUTER: frozenset({os.getuid() + 1})}
    path = tmp_path / "s.sock"
    async with Switchboard.open(path, on_fact=print, users=users) as board:
        for seat in (Seat.ROUTER, Seat.FUNCTION):
            end_ = await hello(path, {"event": "hello", "seat": seat})
            if seat is Seat.ROUTER:
                async with asyncio.timeout(BUDGET):
                    assert await asyncio.to_thread(wire.receive, end_) is None
                assert not board.has(seat)
            else:
                await board.wait_for([seat], budget=BUDGET)
            end_.close()


@pytest.mark.parametrize("packet", [{"event": "hello", "seat": "king"}, {"event": "hello"}, {}])
async def test_whoever_names_no_seat_is_shown_the_door(board, packet):
    with await hello(board.path, packet) as end_:
        async with asyncio.timeout(BUDGET):
            assert await asyncio.to_thread(wire.receive, end_) is None


async def test_a_seat_is_taken_until_its_holder_ends(board, agent):
    first = board.line(Seat.FUNCTION)
    second = await start_agent(board.path)
    try:
        with await hello(board.path, {"event": "hello", "seat": "function"}) as end_:
            async with asyncio.timeout(BUDGET):
                assert await asyncio.to_thread(wire.receive, end_) is None
        assert board.line(Seat.FUNCTION) is first
        await end(agent)
        with pytest.raises(ComponentFailed):
            await first.ask("routes")
        await board.wait_for([Seat.FUNCTION], budget=BUDGET)
        assert board.line(Seat.FUNCTION) is not first
    finally:
        await end(second)


async def test_what_is_asked_of_the_wrong_one_is_refused(board, agent):
    with pytest.raises(ComponentFailed, match="could not counters: KeyError"):
        await board.line(Seat.FUNCTION).ask("counters")


async def test_the_launcher_joins_sockets_and_programs(board, agent, tmp_path, monkeypatch):
    monkeypatch.setattr("natless.vpc.docker_vpc.NETWORK_OF", {Role.FUNCTION: Seat.FUNCTION})
    vpc = DockerVpc(board, api=Api("a" * 26, "us-east-1"), ca=tmp_path, journal=Journal())
    launcher = VpcLauncher(vpc)
    with await launcher.listen() as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    program = await launcher.run(sh("pwd"), environment=ENVIRONMENT, directory=tmp_path)
    async with asyncio.timeout(BUDGET):
        assert await program.stdout.read() == f"{tmp_path}\n".encode()
        await program.wait()
    vpc.close()


async def hello(path, packet):
    end_ = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end_.connect(str(path))
    wire.send(end_, packet)
    await asyncio.sleep(0)
    return end_
