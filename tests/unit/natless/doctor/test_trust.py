"""What makes certificates of our own unacceptable is found, with its fix."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, CertificatePair
from natless.doctor import trust
from natless.doctor.finding import State


@pytest.fixture(autouse=True)
def _own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Lets whoever verifies say no, as it would to what is on the wire."""

    async def refuse(_: CertificatePair, *, ca: Path) -> str:
        assert ca.name == "ca.pem"
        raise error

    monkeypatch.setattr(trust, "_greet_with_python", refuse)
    monkeypatch.setattr(trust, "_greet_with_node", refuse)


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("certificate is not yet valid", "timedatectl"),
        ("certificate has expired", "timedatectl"),
        ("unable to get local issuer certificate", "rm -r "),
    ],
)
def test_a_certificate_that_is_refused_is_told_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str, fix: str
) -> None:
    error = ssl.SSLCertVerificationError(1, reason)
    error.verify_message = reason
    fail_with(monkeypatch, error)
    seen = trust.check_certificates()
    assert seen.state is State.LACKS
    assert reason in seen.said
    assert fix in seen.fix
    assert str(tmp_path / "natless" / "ca") in seen.fix


def test_a_damaged_authority_is_told_with_its_own_fix(tmp_path: Path) -> None:
    (tmp_path / "natless" / "ca").mkdir(parents=True, mode=0o700)
    for name in ("ca.pem", "ca-key.pem"):
        (tmp_path / "natless" / "ca" / name).write_text("nothing")
    seen = trust.check_certificates()
    assert seen.state is State.LACKS
    assert "damaged" in seen.said
    assert seen.fix
    assert trust.check_node().state is State.SKIPPED


def test_a_data_folder_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    seen = trust.check_certificates()
    assert seen.state is State.LACKS
    assert "XDG_DATA_HOME" in seen.fix


def test_who_does_not_answer_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, TimeoutError())
    assert trust.check_certificates().state is State.LACKS
    assert trust.check_node().state is State.WARNING


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (FileNotFoundError("node"), State.SKIPPED, "there is no Node"),
        (trust._Refused("self-signed certificate"), State.WARNING, "self-signed certificate"),
    ],
)
def test_node_is_nobodys_need(
    monkeypatch: pytest.MonkeyPatch, error: Exception, state: State, words: str
) -> None:
    fail_with(monkeypatch, error)
    seen = trust.check_node()
    assert seen.state is state
    assert words in seen.said


def test_the_end_of_the_authority_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def accept(*_: Any, **__: Any) -> None:
        pass

    monkeypatch.setattr(trust, "_greet_with_python", accept)
    authority = Authority.for_user()
    seen = trust.check_certificates()
    assert seen.state is State.OK
    assert str(authority.ca_path) in seen.said
    assert trust._read_end(authority.ca_path) in seen.said
