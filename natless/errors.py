"""What can go wrong on the developer's side, and what to do next.

::

    NatlessError                 exit 1   .hint = the next step
    ├── UsageError               exit 2   a flag or a configuration file is wrong
    ├── EnvironmentLacks         exit 3   this machine cannot do what was asked (no namespaces …)
    ├── PromiseBroken            exit 4   a topology does not show the failure it promises
    └── ComponentFailed          exit 5   a process of ours ended or did not come up
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class NatlessError(Exception):
    """The root of all errors that a user may see.

    Attributes:
        hint: one sentence with the next step, shown below the message.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(NatlessError):
    """A flag or a configuration file is wrong."""

    exit_code = 2


class EnvironmentLacks(NatlessError):
    """This machine cannot do what was asked."""

    exit_code = 3


class PromiseBroken(NatlessError):
    """A topology does not show the failure mode that it promises."""

    exit_code = 4


class ComponentFailed(NatlessError):
    """A process of ours ended, or did not come up in time."""

    exit_code = 5


@contextmanager
def raising_first() -> Iterator[None]:
    """Makes of a group of errors the first one of ours: what ran side by side failed side by side.

    Raises:
        NatlessError: if there is one in the group; it says enough.
        BaseExceptionGroup: the group as it is, if there is none.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error = _find_first(group)
        if error is None:
            raise
        raise error from None


def _find_first(group: BaseExceptionGroup[BaseException]) -> NatlessError | None:
    for each in group.exceptions:
        found = _find_first(each) if isinstance(each, BaseExceptionGroup) else each
        if isinstance(found, NatlessError):
            return found
    return None
