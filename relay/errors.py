"""What can go wrong in the relay itself, as opposed to what it answers its clients.

::

    RelayError                  exit 1   .hint = the next step, .exit_code
    ├── ConfigInvalid           exit 2   a flag or the configuration file is wrong
    ├── CertificateUnusable     exit 2   the certificate or its key cannot be used
    ├── CannotListen            exit 3   an address is in use or not this machine's
    └── StateUnusable           exit 3   the state file is another's (relay.control.state)

What a client did wrong is a :class:`Refusal`: it knows how it reads on either transport.
"""

from __future__ import annotations


class RelayError(Exception):
    """The root of what the person who started the relay may see.

    Attributes:
        hint: one sentence with the next step.
        exit_code: what the process exits with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigInvalid(RelayError):
    """A flag or the configuration file is wrong."""

    exit_code = 2


class CertificateUnusable(RelayError):
    """The certificate or its key cannot be used."""

    exit_code = 2


class CannotListen(RelayError):
    """An address is in use, or is not this machine's."""

    exit_code = 3


class Refusal(Exception):
    """An operation that a client asked for and does not get.

    Attributes:
        error_type: AWS's name of the error.
        message: what the client reads, None where AWS sends none.
        status: the HTTP status of the answer, where there is one.
    """

    def __init__(self, error_type: str, message: str | None = None, *, status: int = 400) -> None:
        super().__init__(message or error_type)
        self.error_type = error_type
        self.message = message
        self.status = status
