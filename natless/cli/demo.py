"""``natless demo``: the same function on several networks, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with the handler's code, or the handler's file.  [default: the example "
            "that comes along]"
        ),
    ] = None,
    handler: Annotated[
        str | None,
        typer.Option(help="module.function.  [default: handler.handler, or what the folder has]"),
    ] = None,
    topology: Annotated[
        list[str] | None,
        typer.Option(help="Only this network; may be repeated.  [default: all four]"),
    ] = None,
    invocations: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Per network.  [default: 20]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Makes the same events again.  [default: 1]")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Of what it is built: netns (Linux namespaces), docker, or auto: docker where "
            "namespaces cannot be used.  [default: auto]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, report.json and journal.jsonl.  [default: natless-report]"
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also JUnit XML, which CI systems show."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.  [default: natless.toml, if there is one]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, for machines.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Show the same function on four networks: no VPC, NAT, no NAT, and a PrivateLink endpoint.

    Everything is real packets between Linux network namespaces, or Docker containers: no root, no
    AWS account. Probes prove each network's promise before anything is measured. Exits 0 only when
    every network showed what it promises.
    """
    from natless.cli.demo_run import run_demo  # what it needs takes a moment to import

    run_demo(
        {
            "function": {"folder": folder, "handler": handler},
            "demo": {
                "topologies": topology or None,
                "invocations": invocations,
                "seed": seed,
                "network": network,
                "out": out,
            },
        },
        config=config,
        junit=junit,
        as_json=as_json,
        quiet=quiet,
    )
