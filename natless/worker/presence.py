"""Two developers on one stage: each worker says that it is there, and is told of the others.

Both would answer every call, and the faster one would win. A worker that comes, or comes back, says
HELLO on the channel that all workers of the stage listen to; one that hears it for the first time
says it, too, so that the newcomer also knows. Guests do not listen there, and SST's own side drops
whatever a developer's side has sent.
"""

from __future__ import annotations

import getpass
import json
import socket

from event_protocol.extension import Hello

_KEPT = 16  # other workers that are kept in mind
_NAME_LENGTH = 100


class Presence:
    """Who else is on the stage.

    Args:
        instance: this worker's own name among them.
    """

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._others: set[str] = set()

    def announcement(self, *, now: float) -> bytes:
        """The body of a HELLO that says who is here; ``now`` is in seconds since 1970."""
        said = json.loads(Hello(frozenset(), self._instance, now).encode())
        return json.dumps({**said, "developer": _who()}, separators=(",", ":")).encode()

    def hear(self, body: bytes) -> str | None:
        """Who says HELLO there.

        Returns:
            The name of a developer who was not known yet; None for one who was, and for ourselves.

        Raises:
            RemoteProtocolError: it is no HELLO.
        """
        hello = Hello.decode(body)
        is_known = hello.instance in (self._instance, "") or hello.instance in self._others
        if is_known or len(self._others) >= _KEPT:
            return None
        self._others.add(hello.instance)
        name = json.loads(body).get("developer")
        return name[:_NAME_LENGTH] if isinstance(name, str) and name else "somebody"


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
