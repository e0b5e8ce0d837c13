"""``natless topology``: the networks there are, what they look like, and which one holds."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from natless.vpc.model import Topology

DEFAULT_CONTROL = "http://127.0.0.1:9400"
"""Where ``docker compose up`` publishes the control port, and ``natless dev`` its Invoke API."""

REQUEST_BUDGET = 30.0
"""Seconds until the control port must have answered; a change takes milliseconds, a proof some."""

topology_app = typer.Typer(
    no_args_is_help=True,
    help="The networks there are, and the one that `docker compose up` or `natless dev` has now.",
)

Control = Annotated[
    str | None,
    typer.Option(
        "--control", metavar="URL", help="The control port.  [default: http://127.0.0.1:9400]"
    ),
]


@topology_app.command("list")
def list_topologies(
    control: Control = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Every network, and what it promises; the one that holds now is marked."""
    from natless.vpc.topologies import TOPOLOGIES

    current = _find_current(control)
    if as_json:
        rows = [
            {"name": each.name, "title": each.title, "promise": each.promise.text}
            for each in TOPOLOGIES.values()
        ]
        typer.echo(json.dumps({"current": current, "topologies": rows}, indent=2))
        return
    width = get_terminal_size(fallback=(200, 24)).columns  # a pipe takes any line
    for line in render_list(TOPOLOGIES.values(), current=current, width=width):
        typer.echo(line)


def render_list(
    topologies: Iterable[Topology], *, current: str | None, width: int
) -> Iterator[str]:
    """One line each; a narrow terminal has no room for what they are."""
    rows = list(topologies)
    names = max(len(each.name) for each in rows)
    promises = max(len(each.promise.text) for each in rows)
    titles = max(len(each.title) for each in rows)
    has_room = width >= names + promises + titles + 6
    for each in rows:
        mark = "*" if each.name == current else " "
        line = f"{mark} {each.name:<{names}}  {each.promise.text:<{promises}}"
        yield f"{line}  {each.title}" if has_room else line.rstrip()


@topology_app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Which.  [default: the current one]")] = None,
    control: Control = None,
) -> None:
    """Draw a network: who can reach whom, how it fails, and what each part is on AWS."""
    from natless.errors import UsageError
    from natless.vpc.drawing import draw_topology
    from natless.vpc.topologies import find

    name = name or _find_current(control)
    if name is None:
        raise UsageError(
            "no lab with a network answers, so there is no current one",
            hint="Name one, such as no-nat, or start a lab: docker compose up, or natless dev"
            " --topology nat",
        )
    typer.echo(draw_topology(find(name)), nl=False)


@topology_app.command("set")
def change(
    name: Annotated[str, typer.Argument(help="Which, as `natless topology list` names it.")],
    control: Control = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Go on with running execution environments and their connections."
        ),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove by probes that it shows what it promises.")
    ] = False,
) -> None:
    """Change the network of the lab that is up, while it runs."""
    from natless.errors import PromiseBroken
    from natless.vpc.topologies import find

    find(name)  # a wrong name is told with the list, whether or not a lab is up
    flags = [word for word, wanted in (("keep", keep), ("verify", verify)) if wanted]
    query = "?" + "&".join(flags) if flags else ""
    said = _ask(control, f"/topology/{name}{query}", method="PUT")
    typer.echo(f"{said['name']}: {said['title']} (after {said['seconds'] * 1000:.0f} ms)")
    typer.echo(f"promised: {said['promise']}")
    for probe in said.get("probes", ()):
        typer.echo(f"  {'ok  ' if probe['kept'] else 'NOT '} {probe['name']}: {probe['seen']}")
    if not said.get("kept", True):
        raise PromiseBroken(f"{name} does not show what it promises")


def _find_current(control: str | None) -> str | None:
    from natless.errors import NatlessError

    try:
        current = _ask(control, "/topology")["current"]
        return None if current is None else str(current)
    except NatlessError:
        return None


def _ask(control: str | None, path: str, *, method: str = "GET") -> Any:  # noqa: ANN401  any JSON
    from natless.errors import ComponentFailed, EnvironmentLacks

    base = control or os.environ.get("NATLESS_CONTROL") or DEFAULT_CONTROL
    request = urllib.request.Request(f"{base.rstrip('/')}{path}", method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=REQUEST_BUDGET) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            said, hint = _read_error(error.read())
        raise ComponentFailed(said, hint=hint) from error
    except (OSError, ValueError) as error:
        raise EnvironmentLacks(
            f"no control port answers at {base}",
            hint="Start a lab: docker compose up, or natless dev --topology nat; --control or"
            " NATLESS_CONTROL names another address.",
        ) from error


def _read_error(body: bytes) -> tuple[str, str]:
    """What was said, and the next step."""
    try:
        said = json.loads(body)
        return str(said["error"]), str(said["next"] or "")
    except (ValueError, KeyError, TypeError):
        words = body.decode(errors="replace").strip()
        return words, "does another program listen there? --control names the lab's address"
