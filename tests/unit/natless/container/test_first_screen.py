"""The first thing that somebody tries changes what they have."""

from __future__ import annotations

import pytest

from natless.container.first_screen import render_first_screen
from natless.vpc.topologies import find


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("nat", "take its NAT away   curl -X PUT http://localhost:9500/topology/no-nat"),
        ("no-nat", "give it a way out   curl -X PUT http://localhost:9500/topology/nat"),
    ],
)
def test_the_second_step_is_the_other_network(name: str, step: str) -> None:
    screen = render_first_screen(find(name), function="hello", port="9500")
    assert step in screen
    assert f"on the network {name!r}" in screen
