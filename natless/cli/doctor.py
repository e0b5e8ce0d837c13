"""``natless doctor``: tries everything that natless needs on this machine, and says what to do."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from natless.doctor.finding import Ability

if TYPE_CHECKING:
    from natless.doctor import Conclusion, Finding

_MARKS = {"ok": "ok", "warning": "warning", "lacks": "NO", "skipped": "-"}
_COLOURS = {"ok": "green", "warning": "yellow", "lacks": "red", "skipped": None}
_INDENT = 25
_WIDEST = 110


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    need: Annotated[
        list[Ability] | None,
        typer.Option(help="Exit with 3 unless this works; may be repeated.  [default: any]"),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Remove first what killed runs have left.")
    ] = False,
) -> None:
    """Try everything that natless needs on this machine; each is OK, or comes with the fix.

    Ends with what the machine can do: `natless demo` by namespaces or Docker, `docker compose up`.
    Exits with 0 when one of them works, and all that `--need` names; with 3 otherwise. Leaves
    nothing.
    """
    from natless.doctor import conclude, examine
    from natless.doctor import sweep as remove_leftovers

    for removed in remove_leftovers() if sweep else ():
        typer.echo(f"removed {removed}", err=as_json)
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    conclusion = conclude(findings)
    if as_json:
        _print_document(findings, conclusion)
    else:
        _print_conclusion(conclusion)
    _exit(conclusion, need or [])


def _exit(conclusion: Conclusion, need: list[Ability]) -> None:
    """Ends with the code of ``EnvironmentLacks`` when what is needed does not work."""
    from natless.errors import EnvironmentLacks

    missing = [each.command for each in need if each not in conclusion.works]
    if missing:
        typer.echo(f"natless: needed and not working: {', '.join(missing)}", err=True)
    if missing or not conclusion.works:
        raise typer.Exit(EnvironmentLacks.exit_code)


def _print(finding: Finding) -> None:
    mark = typer.style(f"{_MARKS[finding.state]:<9}", fg=_COLOURS[finding.state])
    first, *rest = _wrap(finding.said, _width()) or [""]
    _echo(f"{mark}{finding.name:<{_INDENT - 9}}{first}")
    for line in rest:
        _echo(f"{'':<{_INDENT}}{line}")
    if finding.fix and finding.state in ("lacks", "warning"):
        # One line, however long: it is there to be copied.
        _echo(f"{'':<{_INDENT}}{typer.style('fix:', bold=True)} {finding.fix}")


def _print_conclusion(conclusion: Conclusion) -> None:
    typer.echo("")
    for line in _wrap(conclusion.sentence, _width() + _INDENT):
        typer.echo(line)
    for word, step in zip(("next", "then"), conclusion.next_steps, strict=False):
        typer.echo(f"{word}: {step}")


def _print_document(findings: list[Finding], conclusion: Conclusion) -> None:
    document = {
        "works": {str(each): each in conclusion.works for each in Ability},
        "sentence": conclusion.sentence,
        "next": list(conclusion.next_steps),
        "findings": [asdict(each) for each in findings],
    }
    typer.echo(json.dumps(document, indent=2))


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _echo(text: str) -> None:
    """In colour on a terminal, unless somebody does not want that (no-color.org)."""
    typer.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def _width() -> int:
    columns = shutil.get_terminal_size().columns
    return max(min(columns, _WIDEST) - _INDENT - 1, 30)
