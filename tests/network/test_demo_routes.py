"""The fallback `route` on real networks: another host that leads out, and one that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from natless.vpc.model import CUSTOM_DOMAIN
from natless.vpc.netns import can_use_namespaces

NATLESS = Path(sys.executable).with_name("natless")
SETTINGS = f"""
[demo]
topologies = ["endpoint-and-nat", "no-nat"]
invocations = 2
environments = 1

[function]
fallbacks = ["route", "deployed", "error"]

[function.environment]
NATLESS_ROUTES = "{CUSTOM_DOMAIN}"
NATLESS_BUDGET_CONNECT_TCP = "0.5"
"""

_reason = can_use_namespaces()
pytestmark = pytest.mark.skipif(_reason is not None, reason=f"no namespaces: {_reason}")


def test_the_usual_way_is_what_a_verdict_speaks_of_whatever_other_ways_came_to(tmp_path):
    (tmp_path / "natless.toml").write_text(SETTINGS)
    done = subprocess.run(
        [NATLESS, "demo", "--json", "--quiet"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("NATLESS_")},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    captured, silent = json.loads(done.stdout)["topologies"]
    assert captured["verdict"]["cause"] == "answered-later"
    assert captured["by"] == {"worker": 2}  # the way that works was kept
    assert captured["seen"] == "works after upgrade: HTTP 403 from 10.0.9.10 (1 of 3)"
    assert "1 of them only by another route" in captured["verdict"]["sentence"]
    assert silent["verdict"]["cause"] == "no-route-out"
    assert silent["by"] == {"deployed": 2}
    assert silent["seen"].startswith("connect: no answer in ")
    assert f"The fallback route had no answer: {CUSTOM_DOMAIN}" in silent["verdict"]["sentence"]


def test_a_function_that_leaves_as_a_bridge_does_is_told_by_its_last_words(tmp_path):
    settings = SETTINGS.replace('["route", "deployed", "error"]', '["faithful", "error"]')
    (tmp_path / "natless.toml").write_text(settings)
    done = subprocess.run(
        [NATLESS, "demo", "--json", "--quiet", "--topology", "no-nat"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("NATLESS_")},
        timeout=60,
    )
    assert done.returncode == 4, done.stderr
    [silent] = json.loads(done.stdout)["topologies"]
    assert silent["verdict"]["cause"] == "function-lost"
    words = "The last line of its log: connect: no answer from 198.51.100.10"
    assert words in silent["verdict"]["sentence"]
