"""The command line: one command per file beside this one, errors and exit codes here."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from natless.cli.demo import demo
from natless.cli.dev import dev
from natless.cli.doctor import doctor
from natless.cli.help_words import name_values
from natless.cli.invoke import invoke
from natless.cli.relay import relay
from natless.cli.running import INTERRUPTED, Interrupted, Terminated
from natless.cli.shim import shim
from natless.cli.topology import topology_app
from natless.errors import NatlessError

app = typer.Typer(
    name="natless",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(dev)
app.command()(doctor)
app.command()(invoke)
app.command()(relay)
app.add_typer(shim, name="shim")
app.add_typer(topology_app, name="topology")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"natless {version('natless')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """My Lambda is in a VPC and Live mode hangs: why, for how long, and what would help?

    Start with `natless demo`: the same function on four networks, side by side, on this machine.
    """


def make_command() -> Any:  # noqa: ANN401  a class of typer's own
    """The whole command line, as it is run and as it is documented."""
    return name_values(typer.main.get_command(app))


def main() -> None:
    """Runs the command line; what went wrong becomes one message, its next step and a code."""
    try:
        make_command()(prog_name="natless")
    except NatlessError as error:
        _say(f"natless: {error}")
        if error.hint:
            _say(f"   next: {error.hint}")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, Interrupted):
        _say(INTERRUPTED)
        sys.exit(130)
    except SystemExit as ended:
        if ended.code == 130:  # what typer makes of Ctrl-C, without a word
            _say(INTERRUPTED)
        raise
    except Terminated as ended:
        _say(f"natless: {ended}; nothing is left running")
        sys.exit(128 + ended.number)


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone, which is why we end
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
