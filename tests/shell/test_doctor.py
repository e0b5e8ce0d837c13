"""The doctor's own eyes: what it tries on loopback, and what is left of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, CertificatePair
from natless.doctor import State, handlers, machine, network, trust
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


def test_handlers_of_every_language_answer(scratch: Path) -> None:
    seen = handlers.check_handlers()
    assert seen.state is State.OK
    assert "answer in Python" in seen.said
    assert ("Python, Node.js, a bootstrap" in seen.said) is (shutil.which("node") is not None)
    assert list(scratch.iterdir()) == []


def test_without_node_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    seen = handlers.check_handlers()
    assert seen.state is State.OK
    assert "in Node.js not: node: no such program" in seen.said


@pytest.mark.parametrize(
    ("language", "code", "state"),
    [
        ("Python", "import nothing_like_it\n", State.LACKS),
        ("Python", "def handler(event, context):\n    return 1\n", State.LACKS),
        ("Node.js", "export const handler = async () => nothing;\n", State.WARNING),
        ("a bootstrap", "#!/nowhere/interpreter\n", State.WARNING),
    ],
)
def test_a_handler_that_does_not_answer_is_found(
    monkeypatch: pytest.MonkeyPatch, language: str, code: str, state: State
) -> None:
    if language == "Node.js" and shutil.which("node") is None:
        pytest.skip("there is no Node here")
    runtime, file, _ = handlers.LANGUAGES[language]
    monkeypatch.setitem(handlers.LANGUAGES, language, (runtime, file, code))
    seen = handlers.check_handlers()
    assert seen.state is state
    assert "does not answer" in seen.said
    assert seen.fix
