"""A lab shows what its topologies promise, and the same whether it is namespaces or containers."""

import asyncio
import errno
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from event_protocol.phases import Outcome, Phase
from natless.errors import ComponentFailed, PromiseBroken
from natless.vpc import probes
from natless.vpc.model import (
    Action,
    Direction,
    DnsMode,
    DnsView,
    FarSide,
    Promise,
    Rule,
    Topology,
    WayOut,
)
from natless.vpc.topologies import TOPOLOGIES, find
from tests.network.vpc_bench import NETWORKS, open_bench

BUDGET = 20.0  # for what takes three seconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=NETWORKS)
async def lab(request, tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab"), network=request.param) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _short_silence(monkeypatch):
    monkeypatch.setattr(probes, "HANG_BUDGET", 0.4)  # what takes milliseconds has not come by then


@pytest_asyncio.fixture(loop_scope="module")
async def bench(lab):
    return await lab.cleared()


@pytest.mark.parametrize("name", TOPOLOGIES)
async def test_every_topology_of_the_catalogue_shows_what_it_promises(bench, name):
    topology = find(name)
    if topology.nat_idle is not None:
        topology = replace(topology, nat_idle=1.0)  # which is waited for
    results = await bench.vpc.verify(topology)
    assert all(result.is_ok for result in results)
    (fact,) = bench.told("vpc.topology.probed")
    assert (fact["topology"], fact["is_ok"]) == (name, True)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("no-vpc", "198.51.100.3"),
        ("nat", "198.51.100.2"),
        ("nat-replaced", "198.51.100.5"),
        ("ipv6-dual-stack", "2001:db8:1::10"),
    ],
)
async def test_the_relay_sees_whose_way_out_it_was(bench, name, peer):
    await bench.vpc.apply(find(name))
    await bench.ask(CALL, bench.realtime_host, str(bench.ca))
    assert bench.peers == [peer]


async def test_a_network_that_lets_everything_through_does_not_pass_for_a_silent_one(bench):
    liar = replace(find("no-nat"), way_out=WayOut.NAT_GATEWAY)
    with pytest.raises(PromiseBroken, match="SYN gets no answer"):
        await bench.vpc.verify(liar)
    assert bench.told("vpc.probe.failed")


async def test_a_relay_that_says_nothing_does_not_pass_for_a_silent_network(bench, monkeypatch):
    monkeypatch.setattr(probes, "PHASE_BUDGET", 0.5)
    bench.relay.close()
    with pytest.raises(PromiseBroken, match="control before/reach") as raised:
        await bench.vpc.verify(find("no-nat"))
    await bench.relay.open()
    assert "tls: timeout" in str(raised.value)
    assert "Does a relay accept" in raised.value.hint


async def test_the_relay_is_reached_only_through_the_proxy_and_by_the_name_it_asks_for(bench):
    await bench.vpc.verify(find("egress-proxy"))
    (fact,) = bench.told("vpc.proxy.tunnelled")
    assert (fact["host"], fact["peer"]) == (bench.realtime_host, "10.0.1.10")
    assert set(bench.peers) == {"198.51.100.4"}
    names = {each["peer"] for each in bench.told("vpc.resolver.answered")}
    assert names == {"10.0.1.10", "10.0.8.10"}  # the function's own lookups were the probe's


@pytest.mark.parametrize(
    ("target", "status"),
    [("example.com:443", 502), ("198.51.100.10:80", 403), ("no-port", 400)],
)
async def test_a_proxy_says_what_it_cannot_do(bench, target, status):
    await bench.vpc.apply(find("egress-proxy"))
    code = """
import json, socket, sys
with socket.create_connection(("10.0.8.10", 3128), timeout=10) as connection:
    connection.sendall(f"CONNECT {sys.argv[1]} HTTP/1.1\\r\\n\\r\\n".encode())
    print(connection.recv(4096).split()[1].decode())
"""
    assert await bench.ask(code, target) == status
    assert [fact["status"] for fact in bench.told("vpc.proxy.refused")] == [status]


async def test_nobody_but_a_network_with_a_proxy_lets_anybody_near_it(bench):
    await bench.vpc.apply(find("nat"))
    code = """
import json, socket
try:
    socket.create_connection(("10.0.8.10", 3128), timeout=0.4)
except OSError as error:
    print(json.dumps(type(error).__name__))
"""
    assert await bench.ask(code) == "TimeoutError"


@pytest.mark.parametrize("name", ["nat", "egress-proxy", "endpoint-custom-domain"])
async def test_a_function_is_told_what_the_network_wants_it_to_know(bench, name):
    await bench.vpc.apply(find(name))
    code = "import json, os\nprint(json.dumps({k: os.environ.get(k) for k in %r}))"
    told = await bench.ask(code % ["HTTPS_PROXY", "NATLESS_HTTP"])
    assert told == {
        "HTTPS_PROXY": "http://10.0.8.10:3128" if name == "egress-proxy" else None,
        "NATLESS_HTTP": "events.example.com" if name == "endpoint-custom-domain" else None,
    }


CALL = """
import json, socket, ssl, sys
host, ca = sys.argv[1:3]
context = ssl.create_default_context(cafile=ca)
with socket.create_connection((host, 443), timeout=10) as plain:
    with context.wrap_socket(plain, server_hostname=host) as secure:
        secure.sendall(b"GET / HTTP/1.1\\r\\nHost: " + host.encode() + b"\\r\\n\\r\\n")
        print(json.dumps(secure.recv(4096).decode()))
"""

LOOK_UP = """
import json, socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], 443, type=socket.SOCK_STREAM)
    print(json.dumps([address[0] for *_, address in found]))
except socket.gaierror as error:
    print(json.dumps(error.errno))
"""


async def test_names_mean_what_the_topology_says_after_every_switch(bench):
    seen = []
    for name in ("nat", "endpoint", "no-nat"):
        await bench.vpc.apply(find(name))
        seen.append(await bench.ask(LOOK_UP, bench.vpc.api.http_host))
    assert seen == [["198.51.100.10"], ["10.0.9.10"], ["198.51.100.10"]]
    assert {fact["name"] for fact in bench.told("vpc.resolver.answered")} == {
        bench.vpc.api.http_host
    }


async def test_the_lab_knows_no_other_names(bench):
    await bench.vpc.apply(find("nat"))
    for name in ("example.com", socket.gethostname() + ".local"):
        assert await bench.ask(LOOK_UP, name) == socket.EAI_NONAME


async def test_the_resolver_answers_over_tcp_as_well(bench):
    await bench.vpc.apply(find("no-nat"))
    code = """
import json, socket
query = bytes.fromhex("123401000001000000000000") + b"".join(
    bytes([len(label)]) + label for label in HOST.encode().split(b".")
) + bytes.fromhex("0000010001")
with socket.create_connection(("10.0.0.2", 53), timeout=10) as connection:
    for _ in range(2):
        connection.sendall(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
        answer = connection.recv(size, socket.MSG_WAITALL)
print(json.dumps(list(answer[-4:])))
"""
    answer = await bench.ask(code.replace("HOST", repr(bench.realtime_host)))
    assert answer == [198, 51, 100, 10]


ASK_ENDPOINT = """
import json, socket, ssl, sys
host, ca, request = sys.argv[1:4]
context = ssl.create_default_context(cafile=ca)
with context.wrap_socket(
    socket.create_connection((host, 443), timeout=10), server_hostname=host
) as secure:
    secure.sendall(request.encode())
    answer = b""
    while part := secure.recv(4096):
        answer += part
print(json.dumps(answer.decode()))
"""


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /event/realtime HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "POST /event HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /event HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["upgrade", "publish", "chunked"],
)
async def test_the_endpoint_refuses_everything_over_http(bench, request_text):
    await bench.vpc.apply(find("endpoint"))
    for host in (bench.vpc.api.http_host, bench.vpc.api.realtime_host):
        answer = await bench.ask(ASK_ENDPOINT, host, str(bench.ca), request_text)
        head, _, body = answer.partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 403 Forbidden\r\n")
        assert json.loads(body)["errors"][0]["errorType"] == "ForbiddenException"
    assert {fact["peer"] for fact in bench.told("vpc.endpoint.refused")} == {"10.0.1.10"}
    assert bench.peers == []


# Every other way to fail that a topology can be given: what AWS or Linux shows

RELAY, NAT = "198.51.100.10", "198.51.100.2"
NAT_WAY = {"way_out": WayOut.NAT_GATEWAY}


def is_refused(outcome, *numbers, **facts):
    return Promise(
        "is refused",
        Phase.CONNECT,
        outcome,
        errnos=frozenset(numbers),
        **({"far_side": FarSide.NOTHING, "counter": "stateless-0"} | facts),
    )


def out(action, **facts):
    return {"stateless": (Rule(Direction.OUT, action, **facts),)}


CASES = {
    "no default route of its own": (
        NAT_WAY | {"default_route": False},
        is_refused(Outcome.UNREACHABLE, errno.ENETUNREACH, counter=None),
    ),
    "a network ACL that drops what leaves": (
        NAT_WAY | out(Action.DROP),
        Promise(
            "hangs",
            Phase.CONNECT,
            Outcome.TIMEOUT,
            far_side=FarSide.NOTHING,
            counter="stateless-0",
        ),
    ),
    "port unreachable": (
        out(Action.PORT_UNREACHABLE),
        is_refused(Outcome.REFUSED, errno.ECONNREFUSED),
    ),
    "host unreachable": (
        out(Action.HOST_UNREACHABLE),
        is_refused(Outcome.UNREACHABLE, errno.EHOSTUNREACH),
    ),
    "net unreachable": (
        out(Action.NET_UNREACHABLE),
        is_refused(Outcome.UNREACHABLE, errno.ENETUNREACH),
    ),
    "a resolver that refuses": (
        NAT_WAY | {"dns": DnsView(DnsMode.REFUSED)},
        Promise(
            "no name",
            Phase.RESOLVE,
            Outcome.NAME_TIMEOUT,
            address=None,
            far_side=FarSide.NOTHING,
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_topology_fails_as_it_promises(bench, case):
    facts, promise = CASES[case]
    topology = Topology(name="case", title=case, purpose=case, promise=promise, **facts)
    await bench.vpc.verify(topology)


async def test_a_name_with_both_addresses_is_reached_by_ipv4_without_ipv6(bench):
    promise = Promise("works", further=("2001:db8:100::10",), peer=NAT)
    topology = Topology(
        name="case",
        title="both",
        purpose="both",
        promise=promise,
        dns=DnsView(ipv6=True),
        **NAT_WAY,
    )
    await bench.vpc.verify(topology)


CONNECT = """
import json, socket, sys, time
started = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 443))
except OSError as error:
    print(json.dumps([error.errno, time.monotonic() - started]))
"""


async def test_what_cannot_be_made_is_refused_and_the_lab_goes_on(bench):
    impossible = replace(find("nat"), stateful=(Rule(Direction.OUT, Action.DROP, port=70_000),))
    with pytest.raises(ComponentFailed, match="could not apply"):
        await bench.vpc.apply(impossible)
    await bench.vpc.verify(find("nat"))


async def test_a_kernel_that_gives_up_early_says_so_itself(bench):
    """One repetition of the SYN instead of six: ETIMEDOUT after 3 s, not after two minutes."""
    own = [Path("/proc/sys/net", name) for name in ("ipv4/tcp_syn_retries", "ipv4/ip_forward")]
    before = [each.read_text() for each in own]
    await bench.vpc.apply(replace(find("no-nat"), syn_retries=1))
    assert [each.read_text() for each in own] == before  # this machine's settings are its own
    async with asyncio.timeout(BUDGET):
        number, seconds = await bench.ask(CONNECT, RELAY)
    assert number == errno.ETIMEDOUT
    assert seconds > 1  # it did wait for an answer
    await bench.vpc.apply(find("no-nat"))
    code = 'print(open("/proc/sys/net/ipv4/tcp_syn_retries").read())'
    assert await bench.ask(code) == 6
