"""Names to addresses, asked of the operating system's resolver in threads of our own."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from event_protocol.phases import Outcome
from runtime_shim.errors import Obstacle
from runtime_shim.routes import Endpoint

# Not asyncio's own pool: the end of the process would wait for a resolver that nobody answers.
_RESOLVER = ThreadPoolExecutor(max_workers=4, thread_name_prefix="resolve")


async def resolve(endpoint: Endpoint, family: int = socket.AF_UNSPEC) -> list[Any]:
    """The addresses as ``socket.getaddrinfo`` gives them, in its order; never none.

    Raises:
        Obstacle: this cannot be the name of a host.
        OSError: there is no such name, or no resolver answers.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_RESOLVER, _ask, endpoint, family)


def _ask(endpoint: Endpoint, family: int) -> list[Any]:
    try:
        return socket.getaddrinfo(
            endpoint.host, endpoint.port, family=family, type=socket.SOCK_STREAM
        )
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise Obstacle(Outcome.NAME_NOT_FOUND, message="the name cannot be a host's") from error
