"""What every test may count on: no skip goes unnoticed, and Hypothesis runs from a seed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci",
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly", max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# A machine that has everything sets NATLESS_FORBID_SKIPS: there a skip is a failure, unless its
# reason is one of those in tests/allowed_skips.txt (one regular expression a line).
FORBID = os.environ.get("NATLESS_FORBID_SKIPS", "") not in {"", "0"}
_allowed = [
    re.compile(line)
    for line in (Path(__file__).parent / "allowed_skips.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
_forbidden: list[str] = []


@pytest.fixture
def terminal_signals() -> Iterator[None]:
    """What a test starts takes Ctrl-C and a lost terminal to heart.

    A job in a shell's background, or behind ``nohup``, ignores them, and so does all it starts.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if FORBID and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(pattern.search(reason) for pattern in _allowed):
            _forbidden.append(f"{report.nodeid}: {reason}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if FORBID and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(pattern.search(reason) for pattern in _allowed):
            _forbidden.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _forbidden and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _forbidden:
        terminalreporter.section("skips that this machine does not allow", red=True)
        for line in _forbidden:
            terminalreporter.write_line(line)
