"""Ctrl-C is answered in one line, whatever the command is at."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

import natless.cli.__main__ as command_line

WHILE_IMPORTING = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "natless.cli.__main__":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from natless.cli.entry import main
main()
"""


def test_while_the_command_line_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", WHILE_IMPORTING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "natless: interrupted; nothing is left running\n"


def test_while_a_command_prepares_what_it_does(monkeypatch, capsys):
    app = typer.Typer()

    @app.command()
    def prepare() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "make_command", lambda: typer.main.get_command(app))
    monkeypatch.setattr(sys, "argv", ["natless"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "natless: interrupted; nothing is left running\n"
