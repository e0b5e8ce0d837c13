"""The lab of namespaces shows what its topologies promise."""

import json
import os
import socket
import sys
from dataclasses import replace

import pytest
import pytest_asyncio

from natless.errors import PromiseBroken
from natless.vpc import probes
from natless.vpc.model import Action, Direction, Role, Rule, WayOut
from natless.vpc.topologies import TOPOLOGIES, find
from tests.network.vpc_bench import open_bench

BUDGET = 20.0  # for what takes milliseconds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory):
    async with open_bench(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def bench(lab):
    return lab.cleared()


@pytest.mark.parametrize("name", TOPOLOGIES)
async def test_every_topology_of_the_catalogue_shows_what_it_promises(bench, name):
    results = await bench.vpc.verify(find(name))
    assert all(result.is_ok for result in results)
    (fact,) = bench.told("vpc.topology.probed")
    assert (fact["topology"], fact["is_ok"]) == (name, True)


@pytest.mark.parametrize(("name", "peer"), [("no-vpc", "198.51.100.3"), ("nat", "198.51.100.2")])
async def test_the_relay_sees_whose_way_out_it_was(bench, name, peer):
    await bench.vpc.apply(find(name))
    await bench.ask(CALL, bench.realtime_host, str(bench.ca))
    assert bench.peers == [peer]


async def test_a_network_that_lets_everything_through_does_not_pass_for_a_silent_one(bench):
    liar = replace(find("no-nat"), way_out=WayOut.NAT_GATEWAY)
    with pytest.raises(PromiseBroken, match="SYN gets no answer"):
        await bench.vpc.verify(liar)
    assert bench.told("vpc.probe.failed")


async def test_a_relay_that_says_nothing_does_not_pass_for_a_silent_network(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "PHASE_BUDGET", 0.5)
    async with open_bench(tmp_path, is_answering=False) as bench:
        with pytest.raises(PromiseBroken, match=r"control before/reach.*tls: timeout") as raised:
            await bench.vpc.verify(find("no-nat"))
    assert "Does a relay accept" in raised.value.hint


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


# Running connections at a switch

HOLD = """
import socket, ssl, sys
host, ca = sys.argv[1:3]
context = ssl.create_default_context(cafile=ca)
with context.wrap_socket(
    socket.create_connection((host, 443), timeout=10), server_hostname=host
) as secure:
    secure.settimeout(float(sys.argv[3]))
    for step in range(2):
        try:
            secure.sendall(b"GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
            print(secure.recv(4096)[:12].decode(), flush=True)
        except OSError as error:
            print(type(error).__name__, flush=True)
        with socket.create_server(("127.0.0.1", 5000 + step)) as door:
            if step == 0:
                door.accept()
"""


async def hold_over_a_switch(bench, topology, *, patience):
    """What a running connection sees before and after a switch."""
    await bench.vpc.apply(find("nat"))
    program = await bench.vpc.run(
        Role.FUNCTION,
        [sys.executable, "-I", "-c", HOLD, bench.realtime_host, str(bench.ca), str(patience)],
        environment=os.environ,
    )
    before = await program.stdout.readline()
    await bench.vpc.apply(topology)
    await bench.ask(
        "import socket\nsocket.create_connection(('127.0.0.1', 5000), timeout=10)\nprint(0)"
    )
    after = await program.stdout.readline()
    await program.wait()
    return before.decode().strip(), after.decode().strip()


async def test_a_running_connection_outlives_a_switch(bench):
    seen = await hold_over_a_switch(bench, find("no-nat"), patience=10)
    assert seen == ("HTTP/1.1 404", "HTTP/1.1 404")


async def test_a_running_connection_outlives_a_security_group_that_closes(bench):
    seen = await hold_over_a_switch(bench, find("security-group-egress"), patience=10)
    assert seen == ("HTTP/1.1 404", "HTTP/1.1 404")


@pytest.mark.parametrize("name", ["network-acl-return", "nat-deleted"])
async def test_a_running_connection_falls_silent_with_what_keeps_no_state(bench, name):
    seen = await hold_over_a_switch(bench, find(name), patience=1)
    assert seen == ("HTTP/1.1 404", "TimeoutError")


async def test_a_stateless_rule_meets_running_connections_too(bench):
    cut = replace(find("nat"), stateless=(Rule(Direction.OUT, Action.RESET),))
    seen = await hold_over_a_switch(bench, cut, patience=10)
    # OpenSSL reports a reset as an end without a goodbye when it comes at the wrong moment, and
    # Python's sockets make an empty answer of that.
    assert seen[0] == "HTTP/1.1 404"
    assert seen[1] in {"ConnectionResetError", "BrokenPipeError", "SSLEOFError", ""}
