"""What ``natless dev`` does once its flags are read."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from natless.cli.dev_screen import DevScreen, Network
from natless.cli.running import run_until_done
from natless.dev import Dev, DevFunction, find_topology, open_dev
from natless.errors import EnvironmentLacks, UsageError
from natless.function_place import find_handler, read_place
from natless.journal import Journal
from natless.progress import choose_progress
from natless.run_directory import open_run_directory
from natless.settings import FunctionSettings, Settings, load_settings


def run_dev(
    overrides: Mapping[str, Any],
    *,
    config: Path | None,
    is_one: bool,
    journal_file: Path | None,
    as_json: bool,
) -> None:
    """Runs the loop until somebody ends it.

    Args:
        overrides: what the command line says, nested like the settings file.
        config: the settings file.
        is_one: whether the command line names the one function that is meant.
        journal_file: where the facts go, if anywhere.
        as_json: one line when ready, for machines, and nothing else.

    Raises:
        NatlessError: it could not be brought up.
    """
    said = {**overrides, "function": read_place(overrides["function"])}
    settings = load_settings(said, file=config)
    if is_one:
        function = _name_by_folder(find_handler(settings.function))
        settings = settings.model_copy(update={"functions": {}, "function": function})
    networks = {
        each.name: _check_topology(find_topology(each, settings)) for each in settings.registry()
    }
    with open_run_directory() as scratch, _open(journal_file) as journal:
        run_until_done(
            _run(
                settings,
                journal=journal,
                directory=scratch,
                networks=networks,
                as_json=as_json,
            )
        )


async def _run(
    settings: Settings,
    *,
    journal: Journal,
    directory: Path,
    networks: Mapping[str, Network],
    as_json: bool,
) -> None:
    progress = choose_progress(silent=as_json)
    async with open_dev(settings, journal=journal, progress=progress, directory=directory) as dev:
        if as_json:
            print(json.dumps(dev.describe(), separators=(",", ":")), flush=True)
        else:
            console = Console(highlight=False)
            screen = DevScreen(
                console,
                clock=lambda: f"{datetime.now().astimezone():%H:%M:%S}",
                later=asyncio.get_running_loop().call_later,
                networks=networks,
            )
            print_ready(dev, console)
            journal.listen(screen.take)
            for host in dev.service.functions.values():
                host.on_record(screen.take_record)
        await asyncio.Event().wait()


def print_ready(dev: Dev, console: Console) -> None:
    """Says where to call, and what to try."""
    first = dev.functions[0]
    source = min(os.path.relpath(first.code.source), str(first.code.source), key=len)
    is_one = len({each.topology for each in dev.functions}) == 1
    where = f" in the network {first.topology}" if is_one and first.topology else ""
    port = _at(dev, "--endpoint")
    console.print(Text(f"\nready{where}: ", style="bold green") + Text(first.url, style="bold"))
    for other in dev.functions[1:]:
        console.print(Text(f"       {other.name}: {other.url}"), soft_wrap=True)
    for each in () if is_one else dev.functions:
        place = each.topology or "of this machine itself"
        console.print(Text(f"  {each.name} is in the network {place}", style="dim"))
    for function in dev.functions:
        if remark := function.code.runtime.remark():
            console.print(Text(f"  {function.name}: {remark}", style="yellow"), soft_wrap=True)
    for step, text in (
        ("call it", f"curl {first.url}"),
        ("edit it", f"{shlex.quote(source)}, save, and call again"),
        ("invoke it", f"natless invoke {first.name}{port} --data '{{\"n\": 1}}'"),
        *((("change it", _tell_change(dev)),) if first.topology else ()),
        *(("debug it", _tell_debugger(each)) for each in dev.functions if each.debug_port),
    ):
        console.print(Text(f"  {step:<11}", style="cyan") + Text(text), soft_wrap=True)
    console.print(Text(f"  AWS SDKs: AWS_ENDPOINT_URL_LAMBDA={dev.invoke}", style="dim"))
    console.print(Text("  Ctrl-C ends it and leaves nothing.\n", style="dim"))


def _at(dev: Dev, flag: str) -> str:
    """What a command must be told of a port that is not the usual one."""
    return "" if dev.invoke.endswith(":9400") else f" {flag} {dev.invoke}"


def _tell_change(dev: Dev) -> str:
    """A network that answers otherwise than the present one."""
    other = "nat" if dev.functions[0].topology == "no-nat" else "no-nat"
    return f"natless topology set {other}{_at(dev, '--control')}"


def _tell_debugger(function: DevFunction) -> str:
    return (
        f"{function.name}: attach to 127.0.0.1:{function.debug_port} "
        f"({function.code.runtime.debugger}); time stands still meanwhile"
    )


def _name_by_folder(function: FunctionSettings) -> FunctionSettings:
    """A function that has no name yet is called as its folder is."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", function.folder.resolve().name).strip("-")[:64]
    if not name or "name" in function.model_fields_set:
        return function
    return function.model_copy(update={"name": name})


def _check_topology(name: str) -> Network:
    """What is known of the network; finds out early that there can be none.

    Raises:
        UsageError: there is no such topology.
        EnvironmentLacks: this machine cannot build it.
    """
    if not name:
        return Network()
    from natless.scenario.network_facts import describe_network
    from natless.vpc.netns import can_use_namespaces
    from natless.vpc.topologies import find

    topology = find(name)
    if (reason := can_use_namespaces()) is not None:
        raise EnvironmentLacks(
            f"this machine cannot build the network: {reason}",
            hint="leave --topology out, run where user namespaces are allowed, or as root;"
            " docker compose up has the same networks in containers",
        )
    return Network(name, describe_network(topology, syns_dropped=None))


@contextmanager
def _open(path: Path | None) -> Iterator[Journal]:
    if path is None:
        yield Journal()
        return
    try:
        path.touch()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="choose a file you may write to with --journal"
        ) from error
    with Journal.to_file(path) as journal:
        yield journal
