"""``natless relay``: an AppSync Event API on this machine, alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_PORT = 8443


class Verify(StrEnum):
    """How strictly signatures are checked."""

    STRICT = "strict"
    PARSE_ONLY = "parse-only"
    OFF = "off"


def relay(
    port: Annotated[
        int | None, typer.Option(help="TLS port; 0 takes a free one.  [default: 8443]")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
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
        Verify | None, typer.Option(help="How signatures are checked: strict, parse-only or off.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="26 letters or digits its host names begin with.  [default: random]"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Its name in the control plane; SST looks for sst.  [default: natless]"),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="The AWS region in its names.  [default: us-east-1]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="relay.toml, for everything; flags win.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File that keeps what its control plane is told.")
    ] = None,
    public_host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="What its control plane hands out as the host of the channel, in place of AWS's"
            " names; the TLS port is added if it names none.",
        ),
    ] = None,
    lambda_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where named Lambda authorizers are invoked."),
    ] = None,
    time_scale: Annotated[
        float | None, typer.Option(help="Multiplies every duration of the protocol.")
    ] = None,
    subscription_lag: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Acknowledge subscriptions at once and let them deliver so much later, as AWS was"
            " seen to do.  [default: 0]",
        ),
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
    file that it prints. SIGTERM, Ctrl-C and closing the terminal drain it, SIGHUP reads the
    configuration again.
    """
    import os
    import sys

    said = _read(config)
    listen = said.get("listen", {})
    argv = [sys.executable, "-P", "-m", "relay"]
    if "certificate" not in listen:
        hosts = [each for each in (host, public_host) if each]
        argv += _make_certificate(said, region=region or "us-east-1", hosts=hosts)
    if port is None and "port" not in listen:
        port = DEFAULT_PORT
    for flag, values in (("--namespace", namespace), ("--api-key", api_key), ("--iam", iam)):
        for value in values or ():
            argv += [flag, value]
    for flag, one in (
        ("--host", host),
        ("--port", port),
        ("--plain-port", plain_port),
        ("--verify", verify),
        ("--label", label),
        ("--name", name),
        ("--public-host", public_host),
        ("--region", region),
        ("--config", config),
        ("--state", state),
        ("--lambda-endpoint", lambda_endpoint),
        ("--time-scale", time_scale),
        ("--subscription-lag", subscription_lag),
        ("--journal", journal),
    ):
        if one is not None:
            argv += [flag, str(one)]
    if as_json:
        argv.append("--json")
    os.execv(sys.executable, argv)


def _read(config: Path | None) -> Mapping[str, Any]:
    """What the file says; nothing when it is broken, which the relay explains better."""
    import tomllib

    with suppress(OSError, ValueError):
        if config is not None:
            return tomllib.loads(config.read_text(encoding="utf-8"))
    return {}


def _make_certificate(said: Mapping[str, Any], *, region: str, hosts: Sequence[str]) -> list[str]:
    """A certificate for every name that the relay will answer to, as flags.

    Key and certificate lie in anonymous memory that the relay inherits: nothing is left on disk
    however it ends, and it can read them again on SIGHUP.
    """
    from natless.certificates import Authority
    from natless.run_directory import open_run_directory

    authority = Authority.for_user()
    names = list(dict.fromkeys(_names(said, region=region, hosts=hosts)))
    with open_run_directory() as directory:
        pair = authority.issue(names, directory=directory)
        served = [_keep_in_memory(path) for path in (pair.certificate, pair.key)]
    return ["--certificate", served[0], "--key", served[1], "--ca", str(authority.ca_path)]


def _names(said: Mapping[str, Any], *, region: str, hosts: Sequence[str]) -> Iterator[str]:
    from natless.certificates import aws_names

    yield from ("localhost", "*.localhost", "127.0.0.1", "::1")
    yield from aws_names(region)
    in_file = (said.get("listen", {}).get("host", ""), said.get("public_host", ""))
    for each in (*hosts, *map(str, in_file)):
        name = each if each.count(":") > 1 else each.partition(":")[0]
        if name not in ("", "0.0.0.0", "::"):
            yield name
    apis = said.get("api")
    for api in apis if isinstance(apis, list) else ():
        if isinstance(api, dict):
            if isinstance(api.get("region"), str):
                yield from aws_names(api["region"])
            yield from (name for name in api.get("domains", ()) if isinstance(name, str))


def _keep_in_memory(path: Path) -> str:
    """The file's content under a path that this process and the one it becomes can read."""
    import os

    handle = os.memfd_create(path.name, 0)  # no MFD_CLOEXEC: inherited
    os.write(handle, path.read_bytes())
    return f"/proc/self/fd/{handle}"
