"""What ``natless demo`` does once its flags are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from natless.cli.running import Interrupted, Terminated, run_until_done
from natless.deployed import locate
from natless.errors import EnvironmentLacks, NatlessError, PromiseBroken, UsageError
from natless.function_place import find_handler, read_place
from natless.journal import Journal
from natless.progress import choose_progress
from natless.report.document import RunDocument
from natless.report.files import write_junit, write_report
from natless.report.json_doc import render_json
from natless.report.terminal import print_run
from natless.run_directory import open_run_directory
from natless.scenario.side_by_side import run_side_by_side
from natless.settings import load_settings
from natless.vpc.backend import choose_network
from natless.vpc.model import Topology
from natless.vpc.topologies import find

_JOURNAL = "journal.jsonl"
_UNFINISHED = "journal-unfinished.jsonl"


def run_demo(
    overrides: Mapping[str, Any],
    *,
    config: Path | None,
    junit: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Runs the demonstration, writes its report and prints the result.

    Nothing of an earlier report is touched before this run has its own.

    Raises:
        NatlessError: it could not be run, or a network did not show what it promises.
    """
    said = {**overrides, "function": read_place(overrides["function"])}
    settings = load_settings(said, file=config)
    settings = settings.model_copy(update={"function": find_handler(settings.function)})
    topologies = _find_topologies(settings.demo.topologies)
    locate(settings.function)
    network = choose_network(settings.demo.network)
    out = _make_folder(settings.demo.out, flag="--out")
    if junit is not None:
        _make_folder(junit.parent, flag="--junit")
    progress = choose_progress(json_lines=as_json and not quiet, silent=quiet)
    if network == "docker" and settings.demo.network == "auto":
        progress.warn("no namespaces here (natless doctor says why): made of Docker containers")
    with open_run_directory() as scratch, _record(out) as journal:
        document = run_until_done(
            run_side_by_side(
                settings,
                topologies,
                journal=journal,
                progress=progress,
                directory=scratch,
                network=network,
            )
        )
    page = write_report(document, out)
    if junit is not None:
        write_junit(document, junit)
    if as_json:
        sys.stdout.write(render_json(document))
    else:
        print_run(document, report=page)
    _check_promises(document, page)


def _find_topologies(names: list[str]) -> list[Topology]:
    topologies = [find(name) for name in names]
    if len({topology.name for topology in topologies}) < len(topologies):
        raise UsageError("a topology is named twice", hint="name each one once")
    return topologies


def _make_folder(folder: Path, *, flag: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}", hint=f"choose a folder you may write to with {flag}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{folder}: you may not write there",
            hint=f"choose a folder you may write to with {flag}",
        )
    return folder


@contextmanager
def _record(out: Path) -> Iterator[Journal]:
    """The facts of a run, in a file beside those of the last one, which it replaces at its end.

    What a run that broke has left says why; one that was refused or stopped leaves nothing.
    """
    path = out / _UNFINISHED
    try:
        with Journal.to_file(path) as journal:
            yield journal
    except (UsageError, EnvironmentLacks, Interrupted, Terminated):
        path.unlink(missing_ok=True)
        raise
    except NatlessError as error:
        error.hint = error.hint or f"everything that happened is in {path}"
        raise
    path.replace(out / _JOURNAL)


def _check_promises(document: RunDocument, page: Path) -> None:
    broken = [run for run in document.topologies if not run.kept]
    if broken:
        names = ", ".join(run.name for run in broken)
        step = next((run.verdict.next_steps[0] for run in broken if run.verdict.next_steps), "")
        raise PromiseBroken(
            f"{names}: what was seen is not what the network promises",
            hint=f"{step} The phases of every call are in {page}.".lstrip(),
        )
