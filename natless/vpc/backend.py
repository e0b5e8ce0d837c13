"""The two ways to build a VPC, behind one interface: namespaces, or containers.

Whoever uses a lab need not know which it is. Neither is imported before it is wanted.
"""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, Protocol, TypedDict

from natless.errors import EnvironmentLacks
from natless.journal import Journal
from natless.vpc.capability import find_cause
from natless.vpc.judgement import ProbeResult
from natless.vpc.model import Role, Topology
from natless.vpc.netns import Certificate, NetnsVpc
from natless.vpc.probes import Vpc

Network = Literal["netns", "docker"]


class _Options(TypedDict):
    label: str
    region: str
    certificate: Certificate
    ca: Path
    journal: Journal
    directory: Path


class LabVpc(Vpc, Protocol):
    """A VPC that a relay, a function and a worker can be built around."""

    @property
    def relay_socket(self) -> socket.socket:
        """Listens on 198.51.100.10:443 in the lab's internet."""

    @property
    def relay_sockets(self) -> tuple[socket.socket, ...]:
        """That one and, where the kernel knows IPv6, another for IPv6: the relay takes both."""

    async def listen(
        self, role: Role, address: str = "127.0.0.1", *, port: int = 0
    ) -> socket.socket:
        """A listening socket in somebody's network."""

    async def probe(self, topology: Topology) -> tuple[ProbeResult, ...]:
        """Looks whether a topology shows what it promises."""

    async def verify(self, topology: Topology) -> tuple[ProbeResult, ...]:
        """Likewise, and accepts nothing else."""


def choose_network(wanted: Literal["auto", "netns", "docker"]) -> Network:
    """How the VPC is built: namespaces where they can be used, unless somebody wants containers.

    Looks whether it can be built, so that nothing has been begun when it cannot. Blocks for up to
    half a second.

    Raises:
        EnvironmentLacks: what was wanted cannot be used, or nothing can; the hint says what to do.
    """
    if wanted == "docker":
        _check_engine()
        return "docker"
    cause = find_cause()
    if cause is None:
        return "netns"
    if wanted == "netns":
        raise EnvironmentLacks(
            f"this machine cannot build the network of namespaces: {cause.message}",
            hint=cause.hint,
        )
    try:
        _check_engine()
    except EnvironmentLacks as lacking:
        raise EnvironmentLacks(
            f"this machine can build the network neither of namespaces nor of containers:"
            f" {cause.message} And {lacking}.",
            hint=f"For namespaces: {cause.hint} For containers: {lacking.hint}",
        ) from lacking
    return "docker"


def _check_engine() -> None:
    """Whether an engine answers that can hold a lab; see ``Engine.connect``."""
    from natless.vpc.docker_engine import Engine  # the SDK takes long to import

    Engine.connect(lab="none").close()


def open_vpc(
    network: Network,
    *,
    label: str,
    region: str,
    certificate: Certificate,
    ca: Path,
    journal: Journal,
    directory: Path,
) -> AbstractAsyncContextManager[LabVpc]:
    """A lab in which everything is closed until a topology is applied; see ``NetnsVpc.open``.

    Raises:
        EnvironmentLacks: this machine cannot hold it; the hint says what to do.
        ComponentFailed: it did not come up.
    """
    options = _Options(
        label=label,
        region=region,
        certificate=certificate,
        ca=ca,
        journal=journal,
        directory=directory,
    )
    if network == "docker":
        from natless.vpc.docker_lab import DockerLab  # the SDK takes long to import

        return DockerLab.open(**options)
    return NetnsVpc.open(**options)
