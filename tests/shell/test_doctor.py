"""The doctor's own eyes: what it tries on loopback, and what is left of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, CertificatePair
from natless.doctor import State, machine, network, trust
from natless.vpc import zone


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scratch = tmp_path / "t"
    scratch.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return scratch


def issue_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    issue = Authority.issue

    def for_another(self: Authority, names: Any, *, directory: Path) -> CertificatePair:
        return issue(self, ["elsewhere.example"], directory=directory)

    monkeypatch.setattr(Authority, "issue", for_another)


def test_a_certificate_of_our_own_is_accepted_and_removed(scratch: Path) -> None:
    seen = trust.check_certificates()
    assert seen.state is State.OK, seen
    assert list(scratch.iterdir()) == []


def test_a_certificate_for_another_name_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    issue_for_another(monkeypatch)
    seen = trust.check_certificates()
    assert seen.state is State.LACKS
    assert "mismatch" in seen.said
    assert seen.fix


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")
def test_node_accepts_it_by_the_variable_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = trust.check_node()
    assert seen.state is State.OK, seen
    assert "NODE_EXTRA_CA_CERTS=" in seen.said
    issue_for_another(monkeypatch)
    seen = trust.check_node()
    assert seen.state is State.WARNING
    assert "altnames" in seen.said


def test_our_resolver_answers_over_both_transports() -> None:
    assert network.check_names().state is State.OK


def test_a_resolver_that_knows_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone, "render_zone", lambda *_, **__: zone.Zone())
    assert "'udp': [], 'tcp': []" in network.check_names().said


def test_localhost_and_the_clock_are_fine_here() -> None:
    assert machine.check_localhost().state is State.OK
    assert machine.check_clock().state is State.OK


def test_every_part_loads_and_the_relay_starts() -> None:
    assert machine.check_python().state is State.OK
