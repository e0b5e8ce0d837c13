"""What the bench asks of a relay in the long run, asked briefly of a real process."""

import os
from dataclasses import replace

import pytest

from bench.endurance import endure
from bench.shapes import SHAPES
from bench.subjects import Certificate, run_relay
from natless.certificates import Authority

CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def server(tmp_path):
    pair = Authority.for_user(tmp_path / "ca").issue(["localhost"], directory=tmp_path)
    certificate = Certificate(pair.certificate, pair.key)
    with run_relay(certificate, core=CORE, log=tmp_path / "log") as running:
        yield running


def shape(name, **changes):
    return replace(next(one for one in SHAPES if one.name == name), **changes)


def test_no_socket_is_left_of_connections_that_came_and_went(server):
    assert endure(shape("churn", subscribers=200), server, core=CORE)["left"] == 0


def test_one_who_does_not_read_costs_no_more_than_its_bound_and_is_cut(server):
    numbers = endure(shape("stall", subscribers=2, events=150), server, core=CORE)
    assert numbers["grown_mb"] < 64
    assert numbers["kept"] > 0
