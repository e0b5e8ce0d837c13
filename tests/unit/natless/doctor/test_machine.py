"""Checks that find what is wrong when it is wrong."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from natless.doctor import machine, network
from natless.doctor.finding import State
from natless.errors import EnvironmentLacks
from natless.vpc import capability


@pytest.mark.parametrize("said", [None, "0.0", "1e12"])
def test_a_clock_of_another_kind_is_found(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    monkeypatch.setattr(machine, "_run", lambda *_, **__: said)
    seen = machine.check_clock()
    assert seen.state is State.LACKS
    assert "time namespace" in seen.fix


def test_a_clock_that_is_shared_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_run", lambda *_, **__: str(time.monotonic()))
    assert machine.check_clock().state is State.OK


def test_a_calendar_before_the_installation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_run", lambda *_, **__: str(time.monotonic()))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    seen = machine.check_clock()
    assert seen.state is State.LACKS
    assert "calendar" in seen.said
    assert "timedatectl" in seen.fix


def test_a_calendar_that_jumps_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter([time.time(), time.time() + 3600])
    monkeypatch.setattr(machine, "_run", lambda *_, **__: str(time.monotonic()))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    assert machine.check_clock().state is State.WARNING


def test_a_relay_that_does_not_start_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "shim_archive", lambda: Path())
    monkeypatch.setattr(machine, "_run", lambda *_, **__: None)
    assert machine.check_python().state is State.LACKS


def test_a_part_that_cannot_be_imported_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'aiohttp'")

    monkeypatch.setattr(machine.importlib, "import_module", fail)
    seen = machine.check_python()
    assert seen.state is State.LACKS
    assert "aiohttp" in seen.said
    assert sys.executable in seen.fix


def test_localhost_that_is_another_machine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def listens(_: tuple[str, int]) -> Iterator[Listener]:
        yield Listener()

    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return ("127.0.0.1", 1)

    def refuse(address: tuple[str, int], **_: float) -> None:
        assert address == ("localhost", 1)
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(socket, "create_server", listens)
    monkeypatch.setattr(socket, "create_connection", refuse)
    seen = machine.check_localhost()
    assert seen.state is State.LACKS
    assert "/etc/hosts" in seen.fix


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({}, State.OK),
        ({"http_proxy": "http://proxy.example:3128"}, State.WARNING),
        ({"http_proxy": "http://proxy.example:3128", "no_proxy": "localhost"}, State.OK),
        ({"https_proxy": "http://proxy.example:3128"}, State.OK),
    ],
)
def test_a_proxy_between_curl_and_natless_is_found(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], state: State
) -> None:
    for scheme in ("http", "https", "no", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert machine.check_proxy().state is state


def test_a_taken_port_is_a_warning_with_who_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_free", lambda port: port != 9400)
    seen = machine.check_ports()
    assert seen.state is State.WARNING
    assert "9400 (default of natless dev" in seen.said
    assert "8443" not in seen.said
    assert "NATLESS_PORT" in seen.fix


def test_free_ports_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_free", lambda _: True)
    assert machine.check_ports().state is State.OK


def test_a_route_into_the_lab_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EnvironmentLacks("overlaps", hint="remove it")

    monkeypatch.setattr(capability, "check_host_routes", refuse)
    seen = network.check_addresses()
    assert (seen.state, seen.said, seen.fix) == (State.LACKS, "overlaps", "remove it")


@pytest.mark.parametrize("found", [{"udp": []}, {"udp": ["192.0.2.1"]}])
def test_a_resolver_that_says_something_else_is_found(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, list[str]]
) -> None:
    monkeypatch.setattr(network, "_resolve", lambda _: found)
    assert network.check_names().state is State.LACKS


def test_a_resolver_that_says_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(network, "_resolve", fail)
    assert "timed out" in network.check_names().said


def test_where_there_are_no_namespaces_there_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    cause = capability.Cause("forbidden.", "Run: sudo sysctl")
    monkeypatch.setattr(capability, "find_cause", lambda: cause)
    seen = network.check_namespaces()
    assert (seen.state, seen.said, seen.fix) == (State.LACKS, "forbidden", "Run: sudo sysctl")
    assert network.check_lab().state is State.SKIPPED


def test_on_another_system_the_engine_sees_to_names_and_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network.sys, "platform", "darwin")
    assert network.check_names().state is State.OK
    assert network.check_addresses().state is State.OK
