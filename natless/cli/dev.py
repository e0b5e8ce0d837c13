"""``natless dev``: your function, callable, answered by the code on your screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dev(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with the handler's code, or the handler's file: Python, Node.js, "
            "TypeScript or an executable bootstrap.  [default: natless.toml's functions, else the "
            "example that comes along]"
        ),
    ] = None,
    handler: Annotated[
        str | None,
        typer.Option(help="module.function.  [default: handler.handler, or what the folder has]"),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="Such as python3.12, nodejs20.x or provided.al2023.  [default: what the handler's "
            "file is]"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The function's name.  [default: hello]")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the Invoke API; the URLs of functions follow it. 0 takes free ones.  "
            "[default: 9400]",
        ),
    ] = None,
    topology: Annotated[
        str | None,
        typer.Option(help="Run the function in this network, such as no-nat.  [default: none]"),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Let debuggers attach: debugpy for Python, the inspector of Node.js. Time stands "
            "still while one is attached.",
        ),
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.  [default: natless.toml, if there is one]")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="File for every fact, one JSON object a line.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One line of JSON when it is ready, and nothing else."),
    ] = False,
) -> None:
    """Develop: call your function by a URL, edit it, and call the new code.

    The call takes the way it takes in Live mode: an imitated Lambda runs the shim, which sends it
    over the channel to a worker that runs your handler and reloads it when you save. boto3 and the
    AWS CLI can invoke it, too. Ctrl-C ends everything.
    """
    from natless.cli.dev_run import run_dev  # what it needs takes a moment to import

    run_dev(
        {
            "function": {
                "folder": folder,
                "handler": handler,
                "runtime": runtime,
                "name": name,
            },
            "dev": {"debug": debug or None, "port": port, "topology": topology},
        },
        config=config,
        is_one=not (folder is None and handler is None and name is None),
        journal_file=journal,
        as_json=as_json,
    )
