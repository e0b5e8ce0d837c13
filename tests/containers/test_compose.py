"""``docker compose up`` for real: call, edit, change the network, and leave nothing behind."""

import json
import socket
import subprocess
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from natless.vpc.model import ADDRESSES
from natless.vpc.topologies import TOPOLOGIES
from tests.containers.conftest import EDIT_BUDGET, PROJECT, ROOT

POWERFUL = {"router", "function-net", "internet-net"}


def test_a_call_is_answered_by_the_code_on_the_developers_side(loop):
    loop.change("nat")
    assert loop.invoke()["message"] == "Hello from the developer code!"


def test_an_edit_on_the_machine_answers_soon_after(loop):
    loop.change("nat")
    handler = loop.folder / "handler.py"
    before = handler.read_text()
    handler.write_text(before.replace("Hello from", "Changed:"))
    try:
        give_up = time.monotonic() + EDIT_BUDGET
        while (said := loop.invoke()["message"]) != "Changed: the developer code!":
            assert time.monotonic() < give_up, said
    finally:
        handler.write_text(before)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_calls_end_as_every_topology_promises_and_its_verdict_says_so(loop, uplink, name):
    loop.change(name)
    loop.invoke()
    verdict = loop.verdict()
    is_working = TOPOLOGIES[name].promise.is_working
    assert (verdict["kept"], verdict["works"]) == (True, is_working), verdict


# The catalogue is proved in tests/network; here it is what compose wires by itself.
@pytest.mark.parametrize("name", ["no-nat", "egress-proxy", "nat-idle", "ipv6-dual-stack"])
def test_a_change_can_be_proved_by_probes(loop, name):
    changed = loop.change(name, "verify")
    assert changed["kept"], changed["probes"]


def test_the_commands_of_the_readme_do_what_it_says(loop):
    section = (ROOT / "README.md").read_text().partition("## With Docker")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("curl")]
    loop.change("nat")
    said = []
    for line in lines:
        command = line.replace("localhost:9400", f"127.0.0.1:{loop.port}")
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True
        )
        said.append(done.stdout)
    call, change, again, verdict, back = said
    assert "Hello from the developer code!" in call
    assert json.loads(change)["name"] == "no-nat"
    assert "Hello from the deployed code!" in again
    assert "[no-route-out]" in verdict
    assert json.loads(back)["name"] == "nat"
    assert loop.invoke()["message"] == "Hello from the developer code!"


def test_what_was_deployed_stays_what_it_was_and_answers_without_a_network(loop):
    handler = loop.folder / "handler.py"
    before = handler.read_text()
    loop.change("no-nat")
    handler.write_text(before.replace("Hello from", "Changed:"))
    try:
        assert loop.invoke()["message"] == "Hello from the deployed code!"
    finally:
        handler.write_text(before)
    verdict = loop.verdict()
    assert (verdict["cause"], verdict["phase"]) == ("no-route-out", "connect")


def test_back_on_a_network_that_works_the_developer_answers_again(loop):
    loop.change("no-nat")
    loop.invoke()
    loop.change("nat")
    assert loop.invoke()["message"] == "Hello from the developer code!"


def test_the_report_holds_every_network_that_was_called_on(loop):
    for name in ("nat", "endpoint"):
        loop.change(name)
        loop.invoke()
    document = loop.ask("/report.json").json()
    assert {"nat", "endpoint"} <= {each["name"] for each in document["topologies"]}
    page = loop.ask("/report")
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"endpoint" in page.body


def test_boto3_invokes_the_function_over_the_control_port(loop):
    loop.change("nat")
    client = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{loop.port}",
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
        config=Config(proxies={}, retries={"max_attempts": 0}),
    )
    answer = client.invoke(FunctionName="hello", Payload=b"{}", LogType="Tail")
    with answer["Payload"] as payload:
        assert "developer code" in json.loads(payload.read())["body"]
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="somebody-else")
    client.close()


def test_a_wrong_name_is_answered_with_the_list(loop):
    answer = loop.ask("/topology/no-natt", method="PUT")
    assert answer.status == 404
    assert answer.json()["next"] == "Did you mean 'no-nat'?"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_a_page_in_a_browser_can_do_nothing(loop, headers):
    assert loop.ask("/invoke", method="POST", body=b"{}", **headers).status == 403


def test_only_the_owners_of_networks_have_any_power_and_nobody_has_the_engine(loop):
    containers = loop.containers()
    for service, known in containers.items():
        host = known["HostConfig"]
        powers = {each.removeprefix("CAP_") for each in host["CapAdd"] or ()}
        assert powers == ({"NET_ADMIN"} if service in POWERFUL else set()), service
        assert [each.removeprefix("CAP_") for each in host["CapDrop"]] == ["ALL"], service
        assert not host["Privileged"]
        assert host["ReadonlyRootfs"]
        assert not any("docker.sock" in mount["Source"] for mount in known["Mounts"]), service
        if service not in POWERFUL:
            assert known["Config"]["User"] in {"natless", "sandbox"}, service
    assert set(containers) > POWERFUL


def test_the_control_port_is_for_this_machine_alone(loop):
    ports = [known["NetworkSettings"]["Ports"] for known in loop.containers().values()]
    published = [where for each in ports for place in each.values() for where in place or ()]
    assert [where["HostIp"] for where in published] == ["127.0.0.1"]


def test_the_machine_has_no_address_and_no_route_in_the_lab(loop):
    assert loop.containers()
    lab = [IPv4Network(leg.network) for leg in ADDRESSES.legs.values()]
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    for line in routes:
        raw = int(line.split()[1], 16)
        destination = IPv4Address(raw.to_bytes(4, "little"))
        assert not any(destination in network for network in lab), line
    for leg in ADDRESSES.legs.values():
        for address in (*leg.router, leg.address):
            with socket.socket() as own, pytest.raises(OSError, match="assign"):
                own.bind((address, 0))


def test_no_packet_of_the_lab_leaves_the_machine(loop, uplink):
    """Nor did one while calls were made on every topology."""
    if uplink is None:
        pytest.skip("this machine's way out cannot be watched: there is none, or only root may")
    # The function's own place tries the whole internet, in a network that lets everything out.
    loop.change("nat")
    for address in ("192.0.2.1", "8.8.8.8", ADDRESSES.internet.address):
        tried = f"import socket; socket.create_connection(({address!r}, 80), timeout=1)"
        with pytest.raises(AssertionError, match="Error"):
            loop.compose("exec", "-T", "function", "python", "-c", tried)
    assert uplink.seen == []


def test_down_leaves_nothing(loop):
    loop.compose("down", "--timeout", "2")
    for kind in ("container", "network", "volume"):
        listed = subprocess.run(
            [
                *("docker", kind, "ls", "--quiet"),
                *(("--all",) if kind == "container" else ()),
                *("--filter", f"label=com.docker.compose.project={PROJECT}"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert listed.stdout == "", kind
