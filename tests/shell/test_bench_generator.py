"""The bench's generator, which knows nothing of us, finds nothing wrong with what the relay sends.

It is written in C and checks every byte of every event, their order, duplicates and ids.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import SOURCES
from bench.generators import CannotBuild, CGenerator, compile_program
from bench.shapes import SHAPES
from bench.subjects import Certificate, run_relay
from natless.certificates import Authority

CORES = sorted(os.sched_getaffinity(0))
LOADS = {
    "fan1": {"events": 2000},
    "fan100": {"events": 100},
    "lock100": {"events": 50},
    "fan100-tls": {"events": 100},
    "http16": {"events": 500},
    "big1": {"events": 50},
    "conn": {"subscribers": 100},
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compile_program(
            "loadgen", sources=SOURCES, directory=tmp_path_factory.mktemp("generator")
        )
    except CannotBuild as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("relay")
    pair = Authority.for_user(folder / "ca").issue(["localhost"], directory=folder)
    certificate = Certificate(pair.certificate, pair.key)
    with run_relay(certificate, core=CORES[0], log=folder / "log") as running:
        yield running


@pytest.mark.parametrize("name", LOADS)
def test_every_event_is_right_and_comes_once_and_in_order(program, server, name):
    shape = replace(next(one for one in SHAPES if one.name == name), **LOADS[name])
    numbers = CGenerator(program, CORES[-1]).run(shape, server)
    assert numbers["err"] == 0
    if shape.mode == "fan":
        assert numbers["deliv"] == shape.events * shape.subscribers
        assert numbers["acks"] == shape.events
    elif shape.mode == "conn":
        assert numbers["ready"] == shape.subscribers
    else:
        assert numbers["acks"] == shape.events
