"""What the program ``natless`` runs: the command line, whose parts take a moment to import."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C is answered in one line also while it is being imported."""
    try:
        from natless.cli.__main__ import main as run
    except KeyboardInterrupt:
        print("natless: interrupted; nothing is left running", file=sys.stderr)
        sys.exit(130)
    run()
