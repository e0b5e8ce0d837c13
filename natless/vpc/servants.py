"""The servants of a lab (resolver, endpoint, proxy), as the supervisor sees them: processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from natless.vpc import wire
from natless.vpc.launch import Program, launch, python_environment, python_program
from natless.vpc.model import PROXY_PORT, TLS_PORT, Role
from natless.vpc.network import Network

CONFIRM_BUDGET = 5.0
"""Seconds until a servant must confirm what it is told. Its start falls into it, too."""

BACKLOG = 512
"""Connections that may wait to be accepted, on every socket that the lab listens on."""

_DNS_PORT = 53


def listen_on(address: str, port: int) -> socket.socket:
    """A listening socket on an address of either family."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=BACKLOG)


OnFact = Callable[[Mapping[str, Any]], None]


class ServantEnded(Exception):
    """A servant ended, or did not confirm in time; its errors are in the supervisor's stderr."""


@dataclass(frozen=True, slots=True)
class Servant:
    """One process that serves the lab.

    Attributes:
        role: who it is, and so where it lives.
        pid: its process id, as seen inside.
        control: our end of its control socket.
    """

    role: Role
    pid: int
    control: socket.socket

    def tell(self, packet: Mapping[str, Any], *, on_fact: OnFact) -> None:
        """Sends an instruction and waits until the servant has taken it.

        Raises:
            ServantEnded: it did not.
        """
        try:
            wire.send(self.control, packet)
            self.control.settimeout(CONFIRM_BUDGET)
            while not (packet := self.read()).get("is_ready"):
                on_fact(packet)
        except OSError as error:
            raise ServantEnded(f"the {self.role} does not answer: {error}") from error
        finally:
            self.control.settimeout(None)

    def read(self) -> Mapping[str, Any]:
        """One packet of the servant."""
        received = wire.receive(self.control)
        if received is None:
            raise ServantEnded(f"the {self.role} has ended")
        return received[0]


def start_resolver(network: Network) -> Servant:
    """Starts the resolver on port 53 of its namespace."""
    with network.inside(Role.RESOLVER):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", _DNS_PORT))
        tcp = listen_on("", _DNS_PORT)
    return _start(
        Role.RESOLVER, network, module="natless.vpc.resolver", sockets={"udp": udp, "tcp": tcp}
    )


def start_endpoint(network: Network, *, certificate: str, key: str) -> Servant:
    """Starts the endpoint on port 443 of its namespace."""
    with network.inside(Role.ENDPOINT):
        listener = listen_on("", TLS_PORT)
    return _start(
        Role.ENDPOINT,
        network,
        module="natless.vpc.endpoint",
        sockets={"listener": listener},
        arguments=("--certificate", certificate, "--key", key),
    )


def start_proxy(network: Network) -> Servant:
    """Starts the egress proxy, whether or not a topology lets anybody near it."""
    with network.inside(Role.PROXY):
        listener = listen_on("", PROXY_PORT)
    return _start(Role.PROXY, network, module="natless.vpc.proxy", sockets={"listener": listener})


def _start(
    role: Role,
    network: Network,
    *,
    module: str,
    sockets: Mapping[str, socket.socket],
    arguments: tuple[str, ...] = (),
) -> Servant:
    ours, theirs = wire.pair()
    handed = {**sockets, "control": theirs}
    flags = [part for name, each in handed.items() for part in (f"--{name}", str(each.fileno()))]
    pid = launch(
        Program(
            argv=python_program(module, *flags, *arguments),
            environment=python_environment(os.environ),
            directory="/",
            network=network.of(role),
            stdout=2,
            stderr=2,
            inherited=tuple(each.fileno() for each in handed.values()),
        )
    )
    for each in handed.values():
        each.close()
    return Servant(role, pid, ours)
