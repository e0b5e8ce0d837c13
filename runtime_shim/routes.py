"""The ways to the channel: a host, perhaps through a proxy, perhaps by one address family."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from runtime_shim.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port, as in ``host`` or ``host:port``; 443 unless said."""

    host: str
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Raises ``ValueError`` for what is not a bare host with an optional port."""
        match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s/:@\[\]]+)(?::(\d{1,5}))?", text)
        if match is None:
            raise ValueError("not a bare host")
        port = int(match[2] or 443)
        if not 0 < port < 65536:
            raise ValueError("not a port")
        return cls(match[1].strip("[]"), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that opens tunnels with CONNECT.

    Attributes:
        endpoint: where it listens.
        authorization: the value of ``Proxy-Authorization``, or empty; never printed.
    """

    endpoint: Endpoint
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """One way to the channel.

    Attributes:
        target: the realtime host.
        http_host: the API's HTTP host as the authorization names it there.
        proxy: through whom, or None.
        family: the only address family to be tried, or ``AF_UNSPEC``.
        is_poll: over the HTTP host alone, without a WebSocket.
    """

    target: Endpoint
    http_host: str
    proxy: Proxy | None = None
    family: int = socket.AF_UNSPEC
    is_poll: bool = False

    def __str__(self) -> str:
        if self.is_poll:
            return f"{self.http_host} over HTTPS alone"
        if self.proxy is not None:
            return f"{self.target} through the proxy {self.proxy.endpoint}"
        families: dict[int, str] = {socket.AF_INET: " over IPv4", socket.AF_INET6: " over IPv6"}
        return f"{self.target}{families.get(self.family, '')}"


def parse_routes(text: str, *, http_host: str) -> tuple[Route, ...]:
    """``NATLESS_ROUTES``: other realtime hosts, separated by commas.

    Each is ``host`` or ``host:port``, with ``=http-host`` behind it where the authorization has to
    name another HTTP host, as a custom domain does.

    Raises:
        ConfigError: one is neither.
    """
    routes = []
    for entry in (each.strip() for each in text.split(",")):
        if not entry:
            continue
        realtime, _, http = entry.partition("=")
        try:
            Endpoint.parse(http or http_host)
            routes.append(Route(Endpoint.parse(realtime), http or http_host))
        except ValueError as error:
            raise ConfigError(
                f"NATLESS_ROUTES: {entry!r} is {error}: expected host, host:port or host=http-host"
            ) from error
    return tuple(routes)


def proxy_for(host: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy of ``HTTPS_PROXY`` or ``https_proxy``, unless ``NO_PROXY`` names the host.

    Raises:
        ConfigError: it is not ``http://[user:password@]host:port``.
    """
    text = environment.get("HTTPS_PROXY") or environment.get("https_proxy") or ""
    if not text or _is_exempt(host, environment):
        return None
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        if url.scheme != "http" or not url.hostname:
            raise ValueError("another scheme, or no host")
        return Proxy(Endpoint(url.hostname, url.port or 80), _proxy_authorization(url))
    except ValueError as error:  # not shown: it may hold a password
        raise ConfigError(
            "HTTPS_PROXY cannot be used: expected http://host:port, with user:password@ or without"
        ) from error


def _proxy_authorization(url: SplitResult) -> str:
    if url.username is None:
        return ""
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _is_exempt(host: str, environment: Mapping[str, str]) -> bool:
    text = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    for entry in (each.strip().lower().lstrip(".") for each in text.split(",")):
        if entry == "*" or (
            entry and (host.lower() == entry or host.lower().endswith(f".{entry}"))
        ):
            return True
    return False


def other_families(address: str) -> tuple[int, ...]:
    """The address family that a failed address does not belong to."""
    if not address:
        return ()
    return (socket.AF_INET,) if ":" in address else (socket.AF_INET6,)
