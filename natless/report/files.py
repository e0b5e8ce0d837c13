"""The report of a run as files in a folder."""

from __future__ import annotations

from pathlib import Path

from natless.errors import UsageError
from natless.report.document import RunDocument
from natless.report.html_page import render_html
from natless.report.json_doc import render_json
from natless.report.junit_xml import render_junit


def write_report(document: RunDocument, folder: Path) -> Path:
    """Writes ``report.json`` and ``report.html``; returns the path of the page.

    Raises:
        UsageError: the folder cannot be made or written to.
    """
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(render_json(document), encoding="utf-8")
        page.write_text(render_html(document), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder}: {error.strerror}", hint="choose a folder you may write to"
        ) from error
    return page


def write_junit(document: RunDocument, path: Path) -> None:
    """Writes JUnit XML.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.write_text(render_junit(document), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="choose a file you may write to with --junit"
        ) from error
