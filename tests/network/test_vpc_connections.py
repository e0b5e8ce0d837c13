"""What becomes of running connections when the network changes: the same as on AWS, on both."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
import pytest_asyncio

from natless.vpc.model import ADDRESSES, Action, Direction, Role, Rule
from natless.vpc.tcp_table import TcpState
from natless.vpc.topologies import TOPOLOGIES, find
from tests.containers.conftest import watch_uplink
from tests.network.vpc_bench import NETWORKS, open_bench

BUDGET = 20.0  # for what takes milliseconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=NETWORKS)
async def lab(request, tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab"), network=request.param) as lab:
        yield lab


@pytest_asyncio.fixture(loop_scope="module")
async def bench(lab):
    return await lab.cleared()


ANSWERED = "HTTP/1.1 404"

HOLD = """
import socket, ssl, sys
host, ca, patience = sys.argv[1:4]
context = ssl.create_default_context(cafile=ca)
secure = context.wrap_socket(
    socket.create_connection((host, 443), timeout=10), server_hostname=host
)
secure.settimeout(float(patience))
with socket.create_server(("127.0.0.1", 5000)) as door:
    while True:
        try:
            secure.sendall(b"GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
            said = secure.recv(4096)[:12].decode()
        except OSError as error:
            said = type(error).__name__
        state = secure.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        print("reset" if state == 7 else said, flush=True)  # OpenSSL does not always tell a reset
        door.accept()[0].close()
"""

KNOCK = "import socket\nsocket.create_connection(('127.0.0.1', 5000), timeout=10)\nprint(0)"


class Held:
    """A connection from the function's place to the relay, which asks when it is told to."""

    def __init__(self, bench, program):
        self._bench = bench
        self._program = program

    async def read(self):
        async with asyncio.timeout(BUDGET):
            return (await self._program.stdout.readline()).decode().strip()

    async def ask(self):
        await self._bench.ask(KNOCK)
        return await self.read()


@asynccontextmanager
async def hold(bench, *, on="nat", patience=10.0):
    await bench.vpc.apply(find(on))
    arguments = [bench.realtime_host, str(bench.ca), str(patience)]
    program = await bench.vpc.run(
        Role.FUNCTION, [sys.executable, "-I", "-c", HOLD, *arguments], environment=os.environ
    )
    try:
        held = Held(bench, program)
        assert await held.read() == ANSWERED
        yield held
    finally:
        program.kill()
        await program.wait()


@pytest.mark.parametrize("name", ["security-group-egress", "dns-silent", "endpoint-and-nat"])
async def test_a_running_connection_outlives_what_only_new_ones_meet(bench, name):
    async with hold(bench) as held:
        await bench.vpc.apply(find(name))
        assert await held.ask() == ANSWERED


@pytest.mark.parametrize(
    "name", ["no-nat", "nat-deleted", "vpc-public-subnet", "network-acl-return", "endpoint"]
)
async def test_a_running_connection_falls_silent_with_what_keeps_no_state(bench, name):
    async with hold(bench, patience=0.5) as held:
        await bench.vpc.apply(find(name))
        assert await held.ask() == "TimeoutError"


@pytest.mark.parametrize("name", ["no-nat", "network-acl-return"])
async def test_what_fell_silent_goes_on_when_the_way_comes_back(bench, name):
    """The gateway was there all the time, and so was its table."""
    async with hold(bench, patience=3.0) as held:
        await bench.vpc.apply(find(name))
        await bench.vpc.apply(find("nat"))
        assert await held.ask() == ANSWERED


async def test_a_connection_through_a_gateway_that_was_replaced_is_reset(bench):
    async with hold(bench) as held:
        await bench.vpc.apply(find("nat-replaced"))
        assert await held.ask() == "reset"
    assert (await bench.vpc.counters())["nat-forgotten"] > 0


async def test_a_new_gateway_does_not_know_the_connections_of_the_one_that_was_deleted(bench):
    async with hold(bench) as held:
        await bench.vpc.apply(find("nat-deleted"))
        await bench.vpc.apply(find("nat"))
        assert await held.ask() == "reset"


async def test_a_stateless_rule_that_resets_meets_running_connections_too(bench):
    cut = replace(find("nat"), stateless=(Rule(Direction.OUT, Action.RESET),))
    async with hold(bench) as held:
        await bench.vpc.apply(cut)
        assert await held.ask() == "reset"


# The NAT gateway's idle limit


async def test_a_connection_that_is_used_in_time_is_kept_for_longer_than_the_limit(bench):
    """That an idle one is reset is what the probes of ``nat-idle`` prove."""
    limit = 2.0
    await bench.vpc.apply(scaled := replace(find("nat-idle"), nat_idle=limit))
    async with hold(bench) as held:
        await bench.vpc.apply(scaled)
        for _ in range(5):  # longer than the limit altogether
            await asyncio.sleep(limit / 4)
            assert await held.ask() == ANSWERED


async def test_what_the_relay_says_to_a_forgotten_connection_meets_silence(bench):
    """A NAT gateway has nobody to give it to, and does not answer for the function."""
    limit = 1.0
    await bench.vpc.apply(scaled := replace(find("nat-idle"), nat_idle=limit))
    async with hold(bench):
        await bench.vpc.apply(scaled)
        bench.relay.say(b"anybody there?")  # within the limit: it is taken
        assert (await bench.vpc.counters())["nat-stray"] == 0, "it should have been taken"
        await asyncio.sleep(limit * 1.5)
        bench.relay.say(b"anybody there?")
        async with asyncio.timeout(BUDGET):
            while (await bench.vpc.counters())["nat-stray"] == 0:  # noqa: ASYNC110  nobody tells us
                await asyncio.sleep(0.05)
        relays = await bench.vpc.connections(Role.INTERNET)  # a reset would have ended it
        assert [each.state for each in relays if each.remote == ADDRESSES.nat_gateway] == [
            TcpState.ESTABLISHED
        ]


async def test_without_a_limit_an_idle_connection_is_kept(bench):
    await bench.vpc.apply(replace(find("nat-idle"), nat_idle=1.0))
    async with hold(bench, on="nat") as held:
        await asyncio.sleep(1.5)
        assert await held.ask() == ANSWERED


# Nothing leaves

SPRAY = """
import json, socket
seen = []
for address in ("198.51.100.77", "192.0.2.1", "8.8.8.8", "10.99.0.1", "2001:db8:ffff::1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.sendto(b"lab", (address, 443))
            seen.append(address)
        except OSError:
            pass
    with socket.socket(family) as stream:
        stream.setblocking(False)
        stream.connect_ex((address, 443))
print(json.dumps(seen))
"""


async def test_no_packet_for_an_address_of_the_lab_leaves_the_machine(bench):
    legs = (*ADDRESSES.legs.values(), *ADDRESSES.legs_ipv6.values())
    own = [ip_network(leg.network) for leg in legs]
    strangers = [ip_network(each) for each in ("192.0.2.1", "10.99.0.1", "2001:db8:ffff::1")]
    if (watcher := watch_uplink([*own, *strangers])) is None:
        pytest.skip("this machine's way out cannot be watched: there is none, or only root may")
    with watcher as uplink:
        for topology in TOPOLOGIES.values():
            await bench.vpc.apply(topology)
            assert "198.51.100.77" in await bench.ask(SPRAY)
        for role in (Role.INTERNET, Role.PROXY, Role.ROUTER):
            await bench.ask(SPRAY, role=role)
    assert uplink.seen == []
