"""What can go wrong between the worker and the channel.

::

    WorkerError
    ├── LinkLost        no connection, or it ended; another attempt may help
    ├── LinkRefused     the other side answered, and said no
    └── PublishFailed   an event was not taken; .error_type = AppSync's name for why
"""

from __future__ import annotations


class WorkerError(Exception):
    """The root."""


class LinkLost(WorkerError):
    """There is no connection, or it ended."""


class LinkRefused(WorkerError):
    """The other side does not want us: a wrong key, a namespace that does not exist."""


class PublishFailed(WorkerError):
    """An event was not taken."""

    def __init__(self, message: str, *, error_type: str = "") -> None:
        super().__init__(message)
        self.error_type = error_type
