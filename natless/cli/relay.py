"""``natless relay``: an AppSync Event API on this machine, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def relay(
    port: Annotated[int, typer.Option(help="TLS port; 0 takes a free one.")] = 8443,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    plain_port: Annotated[
        int | None, typer.Option(help="Also listen for http and ws; 0 takes a free port.")
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Channel namespace; may be repeated.  [default: default]"),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help="Key that opens it; may be repeated.  [default: a random one]"),
    ] = None,
    iam: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACCESS_KEY_ID:SECRET", help="Access key that may sign; may be repeated."
        ),
    ] = None,
    verify: Annotated[
        str | None, typer.Option(help="How signatures are checked: strict, parse-only or off.")
    ] = None,
    region: Annotated[str, typer.Option(help="The AWS region in its names.")] = "us-east-1",
    config: Annotated[
        Path | None, typer.Option(help="relay.toml, for everything; flags win.")
    ] = None,
    time_scale: Annotated[
        float | None, typer.Option(help="Multiplies every duration of the protocol.")
    ] = None,
    journal: Annotated[
        str | None, typer.Option(help="Facts as JSON lines into a file; - for standard output.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it listens as one line of JSON.")
    ] = False,
) -> None:
    """An AppSync Event API on this machine, for anybody's integration tests.

    Speaks TLS with a certificate of an authority that is made once for you; clients must trust the
    file that it prints. SIGTERM and Ctrl-C drain it, SIGHUP reads the configuration again.
    """
    import os
    import sys
    import tempfile

    from natless.certificates import Authority, aws_names

    authority = Authority.for_user()
    served = authority.issue(
        [*aws_names(region), "localhost", "127.0.0.1", "::1"],
        directory=Path(tempfile.mkdtemp(prefix="natless-relay-")),
    )
    argv = [sys.executable, "-P", "-m", "relay", "--host", host, "--port", str(port)]
    argv += ["--certificate", str(served.certificate), "--key", str(served.key)]
    argv += ["--ca", str(authority.ca_path), "--region", region]
    for flag, values in (("--namespace", namespace), ("--api-key", api_key), ("--iam", iam)):
        for value in values or ():
            argv += [flag, value]
    for flag, one in (
        ("--plain-port", plain_port),
        ("--verify", verify),
        ("--config", config),
        ("--time-scale", time_scale),
        ("--journal", journal),
    ):
        if one is not None:
            argv += [flag, str(one)]
    if as_json:
        argv.append("--json")
    os.execv(sys.executable, argv)
