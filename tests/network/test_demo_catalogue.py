"""Every network of the catalogue through the public door: measured calls end as it promises.

The budgets of the shim are shortened, or half of the test would be waiting: which wait ran out is
what counts, not how long it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from natless.vpc.netns import can_use_namespaces
from natless.vpc.topologies import TOPOLOGIES, find

ROOT = Path(__file__).parents[2]
NATLESS = Path(sys.executable).with_name("natless")
SETTINGS = f"""
[demo]
invocations = 2
topologies = {json.dumps(list(TOPOLOGIES))}

[function]
folder = "{ROOT}/examples/hello"

[function.environment]
NATLESS_BUDGET_CONNECT_DNS = "0.6"
NATLESS_BUDGET_CONNECT_TCP = "0.6"
NATLESS_BUDGET_CONNECT_TLS = "0.6"
"""

_reason = can_use_namespaces()
pytestmark = [
    pytest.mark.skipif(_reason is not None, reason=f"no namespaces: {_reason}"),
    pytest.mark.timeout(180),
]


@dataclass(frozen=True)
class Said:
    """What the report says of a network.

    Attributes:
        seen: how the column *seen* begins.
        cause: the verdict's cause.
        sure: its certainty.
        words: what its sentence must contain.
    """

    seen: str
    cause: str
    sure: str
    words: tuple[str, ...] = ()


SILENT_SYN = "connect: no answer in "
SAID = {
    "no-vpc": Said("works", "works", "proven"),
    "nat": Said("works", "works", "proven"),
    "no-nat": Said(SILENT_SYN, "no-route-out", "proven", ("no way out", "NAT gateway")),
    "endpoint": Said(
        "upgrade: HTTP 403 from 10.0.9.10",
        "endpoint-captures",
        "proven",
        ("captures the API's names", "A NAT alone does not help"),
    ),
    "endpoint-and-nat": Said(
        "upgrade: HTTP 403 from 10.0.9.10",
        "endpoint-captures",
        "proven",
        ("captures the API's names", "A NAT alone does not help"),
    ),
    "endpoint-no-private-dns": Said(SILENT_SYN, "no-route-out", "proven", ("no way out",)),
    "endpoint-custom-domain": Said("works", "works", "proven"),
    "egress-proxy": Said("works", "works", "proven"),
    "vpc-public-subnet": Said(SILENT_SYN, "public-subnet", "proven", ("without a public address",)),
    "nat-deleted": Said(SILENT_SYN, "nat-gone", "proven", ("was deleted",)),
    "nat-replaced": Said("works", "works", "proven"),
    "nat-idle": Said("works", "works", "proven"),
    "security-group-egress": Said(SILENT_SYN, "sg-egress", "proven", ("security group", "443")),
    "network-acl-return": Said(SILENT_SYN, "nacl-return", "proven", ("1024-65535 inbound",)),
    "dns-silent": Said(
        "resolve: no answer to the name in ",
        "dns-silent",
        "alike",
        ("No resolver answered", "no missing NAT"),
    ),
    "dns-nxdomain": Said(
        "resolve: no such name", "dns-no-such-name", "alike", ("does not exist", "DNS Firewall")
    ),
    "dns-servfail": Said("resolve: resolver failed", "dns-failing", "alike", ("SERVFAIL",)),
    "ipv6-only": Said(
        "connect: network unreachable",
        "ipv6-no-route",
        "proven",
        ("no IPv6 route", "NAT gateway would not help"),
    ),
    "ipv6-way-out": Said(
        SILENT_SYN, "ipv6-only-way", "proven", ("carries IPv6", "NAT gateway for IPv4")
    ),
    "ipv6-dual-stack": Said("works", "works", "proven"),
    "firewall-sni-drop": Said(
        "tls: no answer in ", "firewall-sni", "proven", ("ClientHello got no answer",)
    ),
    "firewall-sni-reset": Said(
        "tls: connection reset", "firewall-sni", "proven", ("handshake was cut off", "rejects it")
    ),
    "reject": Said(
        "connect: network unreachable", "unreachable", "alike", ("an appliance of yours",)
    ),
    "reset": Said(
        "connect: connection refused", "connection-refused", "alike", ("no missing NAT",)
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one run over the whole catalogue reported, by network."""
    folder = tmp_path_factory.mktemp("catalogue")
    settings = folder / "natless.toml"
    settings.write_text(SETTINGS)
    scratch = folder / "t"
    scratch.mkdir()
    done = subprocess.run(
        [NATLESS, "demo", "--json", "--config", settings, "--out", folder / "out"],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch), "NO_COLOR": "1"},
        cwd=folder,
        timeout=150,
    )
    assert done.stdout, done.stderr
    return {run["name"]: run for run in json.loads(done.stdout)["topologies"]}


def test_every_network_of_the_catalogue_has_its_line_here() -> None:
    assert list(SAID) == list(TOPOLOGIES)


@pytest.mark.parametrize("name", SAID)
def test_measured_calls_end_as_the_network_promises(
    runs: dict[str, dict[str, Any]], name: str
) -> None:
    run = runs[name]
    assert run["kept"], run["seen"]
    assert run["answered"] == 2
    assert run["by"] == ({"worker": 2} if find(name).promise.is_working else {"deployed": 2})
    assert run["seen"].startswith(SAID[name].seen)


@pytest.mark.parametrize("name", SAID)
def test_the_verdict_names_the_cause_and_no_more_than_is_known(
    runs: dict[str, dict[str, Any]], name: str
) -> None:
    verdict = runs[name]["verdict"]
    assert (verdict["cause"], verdict["certainty"]) == (SAID[name].cause, SAID[name].sure)
    for words in SAID[name].words:
        assert words in verdict["sentence"]
    if not find(name).promise.is_working:
        assert verdict["next_steps"]
        assert "2 of 2 calls ended this way" in verdict["evidence"]
