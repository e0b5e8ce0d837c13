"""What ``natless demo`` does once its flags are read."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from natless.cli.running import run_until_done
from natless.errors import EnvironmentLacks, PromiseBroken, UsageError
from natless.journal import Journal
from natless.progress import choose_progress
from natless.report.document import RunDocument
from natless.report.html_page import render_html
from natless.report.json_doc import render_json
from natless.report.terminal import print_run
from natless.scenario.side_by_side import run_side_by_side
from natless.settings import load_settings
from natless.vpc.netns import can_use_namespaces
from natless.vpc.topologies import find


def run_demo(
    overrides: Mapping[str, Any], *, config: Path | None, as_json: bool, quiet: bool
) -> None:
    """Runs the demonstration, writes its report and prints the result.

    Raises:
        NatlessError: it could not be run, or a network did not show what it promises.
    """
    settings = load_settings(overrides, file=config)
    topologies = [find(name) for name in settings.demo.topologies]
    if len({topology.name for topology in topologies}) < len(topologies):
        raise UsageError("a topology is named twice", hint="name each one once")
    _check_network(settings.demo.network)
    out = _make_folder(settings.demo.out)
    progress = choose_progress(json_lines=as_json and not quiet, silent=quiet)
    # A short path: the sockets of the lab live here, and a Unix socket's path has 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="natless-") as scratch,
        Journal.to_file(out / "journal.jsonl") as journal,
    ):
        document = run_until_done(
            run_side_by_side(
                settings,
                topologies,
                journal=journal,
                progress=progress,
                directory=Path(scratch),
            )
        )
    _write_report(document, out)
    if as_json:
        sys.stdout.write(render_json(document))
    else:
        print_run(document, report=out / "report.html")
    broken = [run.name for run in document.topologies if not run.kept]
    if broken:
        raise PromiseBroken(
            f"{', '.join(broken)}: what was seen is not what the network promises",
            hint=f"the phases of every call are in {out / 'report.html'}",
        )


def _check_network(network: str) -> None:
    if network == "docker":
        raise UsageError(
            "--network docker is not there yet: only Linux namespaces are",
            hint="leave --network out, or say --network netns",
        )
    reason = can_use_namespaces()
    if reason is not None:
        raise EnvironmentLacks(
            f"this machine cannot build the network: {reason}",
            hint="run on Linux where user namespaces are allowed, or as root",
        )


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "journal.jsonl").touch()
    except OSError as error:
        raise UsageError(
            f"{out}: {error.strerror}", hint="choose a folder you may write to with --out"
        ) from error
    return out


def _write_report(document: RunDocument, out: Path) -> None:
    (out / "report.json").write_text(render_json(document), encoding="utf-8")
    (out / "report.html").write_text(render_html(document), encoding="utf-8")
