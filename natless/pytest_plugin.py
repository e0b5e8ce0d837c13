"""The pytest plugin: ``natless_lab`` is a function in a network that fails on purpose.

::

    @pytest.mark.natless("no-nat")
    def test_without_a_way_out_the_deployed_code_answers(natless_lab):
        call = natless_lab.invoke({"id": 1})
        assert call.by == "deployed"
        assert call.verdict.cause == "no-route-out"

The lab is brought up once for a session, when the first test asks for it, and nothing of natless is
imported before. Each test begins on ``nat``, or on the network that its marker names. When a test
fails, its calls are in the report.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from natless.testing import Call, FunctionLab

_NETWORKS = ("auto", "netns", "docker")
_REPORT: pytest.StashKey[Path] = pytest.StashKey()
_CALLS: pytest.StashKey[Recording] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line and ``pytest.ini``."""
    group = parser.getgroup("natless")
    group.addoption(
        "--natless-network",
        choices=_NETWORKS,
        default=None,
        help="what networks are built of: netns (Linux namespaces), docker, or auto (the default)",
    )
    group.addoption(
        "--natless-missing",
        choices=("fail", "skip"),
        default=None,
        help="what to do with tests of natless_lab where no network can be built (default: fail)",
    )
    group.addoption(
        "--natless-report",
        metavar="DIR",
        default=None,
        help="write report.html and report.json of all calls there, when the tests are over",
    )
    parser.addini("natless_missing", "fail or skip: see --natless-missing", default="fail")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", "natless(topology): the network that natless_lab is on when the test begins"
    )


@pytest.fixture(scope="session")
def natless_settings() -> Mapping[str, Any]:
    """Settings of the lab, nested as in ``natless.toml``; override it to name your function.

    Without it, the settings are those of ``natless.toml`` in pytest's root folder.
    """
    return {}


@pytest.fixture(scope="session")
def natless_session(
    natless_settings: Mapping[str, Any], pytestconfig: pytest.Config
) -> Iterator[FunctionLab]:
    """The lab of the session, whatever network it is on. ``natless_lab`` is what tests want."""
    from natless.errors import EnvironmentLacks, NatlessError, UsageError
    from natless.testing import open_lab

    file = pytestconfig.rootpath / "natless.toml"
    lab = open_lab(
        settings=natless_settings,
        network=pytestconfig.getoption("--natless-network"),
        config=file if file.is_file() else None,
    )
    try:
        opened = lab.__enter__()
    except EnvironmentLacks as error:
        if _find_missing(pytestconfig) == "skip":
            pytest.skip(f"natless: {error}")
        pytest.fail(f"natless: {error}\nnext: {error.hint}", pytrace=False)
    except NatlessError as error:
        kind = "settings" if isinstance(error, UsageError) else "lab"
        pytest.fail(f"natless {kind}: {error}\nnext: {error.hint}", pytrace=False)
    try:
        yield opened
        if folder := pytestconfig.getoption("--natless-report"):
            pytestconfig.stash[_REPORT] = opened.write_report(folder)
    finally:
        lab.__exit__(None, None, None)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says where the report is."""
    if (page := config.stash.get(_REPORT, None)) is not None:
        terminalreporter.write_line(f"natless: {page}")


@pytest.fixture
def natless_lab(
    natless_session: FunctionLab, request: pytest.FixtureRequest
) -> Iterator[FunctionLab]:
    """Your function in a network: ``use("no-nat")`` changes it, ``invoke({…})`` calls the function.

    The test begins on ``nat``, or on the network of its marker ``natless``.
    """
    from natless.errors import NatlessError
    from natless.testing.stage import FIRST_TOPOLOGY

    marker = request.node.get_closest_marker("natless")
    topology = _read_marker(marker) if marker is not None else FIRST_TOPOLOGY
    recording = Recording(natless_session)
    request.node.stash[_CALLS] = recording
    natless_session.listen(recording.take)
    try:
        natless_session.use(topology)
    except NatlessError as error:
        pytest.fail(f"natless: {error}\nnext: {error.hint}", pytrace=False)
    yield natless_session
    natless_session.listen(None)


class Recording:
    """The calls of one test, for its report."""

    def __init__(self, lab: FunctionLab) -> None:
        self._lab = lab
        self._calls: list[Call] = []

    def take(self, call: Call) -> None:
        """One more."""
        self._calls.append(call)

    def render(self) -> str:
        """Every call, and what the handler printed."""
        lines = []
        for number, call in enumerate(self._calls, 1):
            lines.append(f"{number}. {call}")
            lines += [f"  handler: {line}" for line in self._lab.output_of(call)]
        return "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Puts the calls of a failed test into its report."""
    report = yield
    recording = item.stash.get(_CALLS, None)
    if report.failed and recording is not None and (text := recording.render()):
        report.sections.append(("natless calls", text))
    return report


def _find_missing(config: pytest.Config) -> str:
    return str(config.getoption("--natless-missing") or config.getini("natless_missing"))


def _read_marker(marker: pytest.Mark) -> str:
    named = [*marker.args, *marker.kwargs.values()]
    if len(named) != 1 or not isinstance(named[0], str) or {*marker.kwargs} - {"topology"}:
        pytest.fail('the marker names one network: @pytest.mark.natless("no-nat")', pytrace=False)
    return named[0]
