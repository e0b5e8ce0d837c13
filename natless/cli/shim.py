"""``natless shim``: the guest as files that can be put into a function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

shim = typer.Typer(
    help="The guest that runs in the function's container.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@shim.callback()
def _root() -> None:
    """The guest that runs in the function's container."""


@shim.command()
def build(
    out: Annotated[
        Path, typer.Option(help="Folder for both files; made when it is not there.")
    ] = Path("dist"),
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, for machines.")
    ] = False,
) -> None:
    """Write the guest as one file, and as a Lambda layer.

    The layer serves x86-64 and arm64 alike. On a managed Python runtime from 3.11 on, add it and
    set `AWS_LAMBDA_EXEC_WRAPPER=/opt/natless/wrapper`; on an OS-only runtime its bootstrap is found
    by itself, unless the function brings one.
    """
    from natless.shim_layer import build_shim

    files = build_shim(out)
    if as_json:
        listed = [
            {"path": str(each.path), "bytes": each.size_bytes, "sha256": each.sha256}
            for each in files
        ]
        typer.echo(json.dumps({"files": listed}))
        return
    for each in files:
        typer.echo(f"{each.path}  {each.size_bytes / 1024:.0f} KiB  sha256 {each.sha256[:16]}…")
