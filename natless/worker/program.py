"""What a handler's process is: a command, its variables, and whether it can wait for its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from natless.worker.config import LocalFunction
from natless.worker.variables import handler_variables

_HELD = "NATLESS_HELD"
_DEBUG = "NATLESS_DEBUG"


@dataclass(frozen=True, slots=True)
class Program:
    """How a handler's process is started.

    Attributes:
        argv: the command.
        environment: all its variables.
        folder: its working directory.
        can_be_held: whether it waits for its release before it loads the handler.
        debug: whether it lets a debugger attach.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    can_be_held: bool = False
    debug: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The variables with what tells our runtime clients to wait, and for whom."""
        told = {_HELD: self.can_be_held, _DEBUG: self.debug}
        return {**self.environment, **{name: "1" for name, is_so in told.items() if is_so}}


def make_program(
    function: LocalFunction, environment: Mapping[str, str], *, worker_id: str
) -> Program:
    """The program for one execution environment.

    Args:
        function: whose code.
        environment: what its INIT brought.
        worker_id: the environment, 32 characters.
    """
    return Program(
        argv=function.command,
        environment=handler_variables(
            environment,
            worker_id=worker_id,
            handler=function.code.handler,
            folder=function.code.folder,
            memory=function.memory,
            overrides=function.environment,
        ),
        folder=function.code.folder,
        can_be_held=function.can_be_held,
        debug=function.debug and function.can_be_held,
    )
