"""A lab of containers for one run: what ``NetnsVpc.open`` does with namespaces.

::

    this process ── switchboard.sock, in the run's own folder, mounted into every container
      │                ├── router, resolver, endpoint, internet-net
      │                └── function-net ── function (no powers, in the other's network)
      └── the relay's listening socket, made in internet-net and handed out to us
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

from natless.errors import ComponentFailed, EnvironmentLacks
from natless.journal import Journal
from natless.shim_archive import shim_archive
from natless.vpc.capability import check_host_routes
from natless.vpc.docker_engine import Engine, Place
from natless.vpc.docker_seats import POWERFUL, Seat, gateway_address, router_address
from natless.vpc.docker_switchboard import Switchboard, record_into
from natless.vpc.docker_vpc import DockerVpc
from natless.vpc.model import ADDRESSES, TLS_PORT, Addresses, Api, Role
from natless.vpc.netns import Certificate
from natless.vpc.network import SETTINGS_VARIABLE
from natless.vpc.routes import find_overlap

READY_BUDGET = 20.0
"""Seconds until every agent must have reported; it takes about two."""

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("event_protocol", "natless", "docker/Dockerfile", "docker/requirements.lock")
_SANDBOX = "sandbox"
_SWITCHBOARD = "switchboard.sock"
_SETTINGS = "/run/net-settings"
"""Where owners of networks find ``/proc/sys/net`` once more: their own /proc is read-only."""

_SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
_ALONE = {
    Seat.FUNCTION_NET: Role.FUNCTION,
    Seat.RESOLVER: Role.RESOLVER,
    Seat.ENDPOINT: Role.ENDPOINT,
    Seat.PROXY: Role.PROXY,
    Seat.INTERNET_NET: Role.INTERNET,
}
"""Who is in one network only, the owner of the function's network first."""

_ASKING = frozenset({Seat.FUNCTION_NET, Seat.PROXY})
"""Who asks the lab's resolver; with ``dns`` the engine's own would stand between."""


class DockerLab(DockerVpc):
    """One lab. Made by :meth:`open`.

    Attributes:
        relay_socket: listens on 198.51.100.10:443 in the lab's internet. A process of the machine
            that inherits it accepts there, without being there. Closed with the lab.
        relay_sockets: that one, and where containers can have IPv6 another on 2001:db8:100::10.
    """

    relay_socket: socket.socket
    relay_sockets: tuple[socket.socket, ...]

    async def listen_for_relay(self, stack: contextlib.AsyncExitStack) -> tuple[socket.socket, ...]:
        """Listens in the lab's internet until the stack ends; on IPv6 only where there is any."""
        own = await self.listen(Role.INTERNET, ADDRESSES.internet.address, port=TLS_PORT)
        sockets = [stack.enter_context(own)]
        with contextlib.suppress(ComponentFailed):  # two topologies will say so
            other = await self.listen(Role.INTERNET, ADDRESSES.relay_ipv6, port=TLS_PORT)
            sockets.append(stack.enter_context(other))
        return tuple(sockets)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        *,
        label: str,
        region: str,
        certificate: Certificate,
        ca: Path,
        journal: Journal,
        directory: Path,
    ) -> AsyncIterator[DockerLab]:
        """Builds a lab in which everything is closed until a topology is applied.

        Args:
            label: the label of the Event API, 26 word characters.
            region: its region.
            certificate: for the interface endpoint; it must cover the API's names.
            ca: the certificate of its authority, which probes trust.
            journal: takes what happens in the lab.
            directory: the run's own folder; programs in the lab find it under the same path.

        Raises:
            EnvironmentLacks: this machine cannot hold a lab; the hint says what to do.
            ComponentFailed: the lab did not come up.
        """
        check_host_routes()
        started = time.monotonic()
        engine = await asyncio.to_thread(Engine.connect, lab=secrets.token_hex(4))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(engine.close)
            for lab in await asyncio.to_thread(engine.remove_leftovers):
                journal.record("vpc.leftover.removed", source="vpc", lab=lab)
            mounts = share(directory, ca=ca, certificate=certificate)
            switchboard = await stack.enter_async_context(
                Switchboard.open(directory / _SWITCHBOARD, on_fact=record_into(journal))
            )
            await _build(
                engine,
                stack,
                switchboard=switchboard,
                mounts=mounts,
                certificate=certificate,
                journal=journal,
            )
            vpc = cls(switchboard, api=Api(label=label, region=region), ca=ca, journal=journal)
            stack.callback(vpc.close)
            vpc.relay_sockets = await vpc.listen_for_relay(stack)
            vpc.relay_socket = vpc.relay_sockets[0]
            journal.record("vpc.opened", source="vpc", seconds=time.monotonic() - started)
            yield vpc
        journal.record("vpc.closed", source="vpc")


async def _build(
    engine: Engine,
    stack: contextlib.AsyncExitStack,
    *,
    switchboard: Switchboard,
    mounts: dict[str, str],
    certificate: Certificate,
    journal: Journal,
) -> None:
    """Makes the containers, until the stack ends; returns when each of them has reported."""
    loop = asyncio.get_running_loop()

    def tell(tag: str) -> None:
        fact = functools.partial(journal.record, source="vpc", tag=tag)
        loop.call_soon_threadsafe(fact, "vpc.image.building")

    image = await asyncio.to_thread(ensure_image, engine, on_build=tell)
    await stack.enter_async_context(
        _containers(engine, image=image, mounts=mounts, certificate=certificate)
    )
    await _wait(engine, switchboard)
    check_isolation()


def ensure_image(engine: Engine, *, on_build: Callable[[str], None]) -> str:
    """The tag of an image with our code as it is, built now if it is not there.

    Args:
        engine: where it is.
        on_build: is called with the tag before it is built, which may take minutes.

    Raises:
        EnvironmentLacks: there is nothing to build it from.
        ComponentFailed: it could not be built.
    """
    if named := os.environ.get("NATLESS_IMAGE"):
        return named
    if not (_ROOT / "docker" / "Dockerfile").exists():
        raise EnvironmentLacks(
            "the image of the lab is built from natless's own sources, which are not here",
            hint="Name an image with NATLESS_IMAGE, or work in a clone of the repository.",
        )
    tag = f"natless:{fingerprint(_ROOT)}"
    if not engine.has_image(tag):
        on_build(tag)
        engine.build_image(tag, root=str(_ROOT))
    return tag


def fingerprint(root: Path) -> str:
    """Twelve characters that change with everything that goes into the image and matters."""
    digest = hashlib.sha256()
    for path in _source_files(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _source_files(root: Path) -> Iterator[Path]:
    for name in _SOURCES:
        path = root / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def share(directory: Path, *, ca: Path, certificate: Certificate) -> dict[str, str]:
    """What every container sees of this machine, read-only and under the same path.

    Programs in the lab run as users of their own, so the folder must let others pass; what is
    secret in it is a file that only its owner may read.
    """
    directory.chmod(0o711)
    resolv = directory / "resolv.conf"
    resolv.write_text(f"nameserver {ADDRESSES.resolver.address}\n")
    resolv.chmod(0o644)  # whatever our umask is
    paths = [directory.resolve(), ca.resolve(), shim_archive().resolve().parent]
    if certificate.certificate.resolve().parent != paths[0]:
        paths += [certificate.certificate.resolve(), certificate.key.resolve()]
    return {str(path): str(path) for path in paths}


@contextlib.asynccontextmanager
async def _containers(
    engine: Engine, *, image: str, mounts: dict[str, str], certificate: Certificate
) -> AsyncIterator[None]:
    """The networks and containers, until the block ends, however it ends."""
    made: list[str] = []
    try:
        networks = await _make_networks(engine)
        environment = {
            "NATLESS_CERTIFICATE": str(certificate.certificate.resolve()),
            "NATLESS_KEY": str(certificate.key.resolve()),
            "NATLESS_SWITCHBOARD": f"{next(iter(mounts))}/{_SWITCHBOARD}",
        }
        places = describe_places(networks, mounts=mounts, environment=environment)

        async def bring_up(place: Place) -> str:
            container = await asyncio.to_thread(engine.create, place, image=image)
            made.append(container)
            await asyncio.to_thread(engine.start, container)
            return container

        async with asyncio.TaskGroup() as group:
            others = [group.create_task(bring_up(place)) for place in places[1:]]
            owner = await bring_up(places[0])
            function = describe_function(owner, mounts=mounts, environment=environment)
            others.append(group.create_task(bring_up(function)))
        yield
    except* ComponentFailed as failed:
        raise _first(failed) from None
    except* EnvironmentLacks as lacking:
        raise _first(lacking) from None
    finally:
        await asyncio.shield(_remove(engine, made))


async def _remove(engine: Engine, made: list[str]) -> None:
    await asyncio.gather(*(asyncio.to_thread(engine.remove_container, each) for each in made))
    await asyncio.to_thread(engine.remove_lab)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Calls that ran side by side failed side by side: the first says enough."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _make_networks(engine: Engine) -> dict[Role, str]:
    made = {}
    for role, leg in ADDRESSES.legs.items():  # one after the other: the engine locks them anyway
        made[role] = await asyncio.to_thread(
            engine.make_network, str(role), network=leg.network, gateway=gateway_address(leg)
        )
    return made


def describe_places(
    networks: dict[Role, str],
    *,
    mounts: dict[str, str],
    environment: dict[str, str],
    addresses: Addresses = ADDRESSES,
) -> tuple[Place, ...]:
    """Every container but the function's, the owner of the function's network first."""
    legs = addresses.legs
    resolv = {"/etc/resolv.conf": f"{next(iter(mounts))}/resolv.conf"}
    homes = {seat: {networks[role]: legs[role].address} for seat, role in _ALONE.items()}
    homes[Seat.ROUTER] = {networks[role]: router_address(leg) for role, leg in legs.items()}
    return tuple(
        _describe_place(
            seat, at, mounts=mounts | (resolv if seat in _ASKING else {}), environment=environment
        )
        for seat, at in homes.items()
    )


def _describe_place(
    seat: Seat, at: dict[str, str], *, mounts: dict[str, str], environment: dict[str, str]
) -> Place:
    plain = Place(
        name=str(seat),
        command=(str(seat), "--once"),
        user=_own_user(),
        addresses=at,
        sysctls=_SYSCTLS if seat is Seat.ROUTER else {},
        mounts=mounts,
        environment=environment,
    )
    if seat not in POWERFUL:
        return plain
    return replace(
        plain,
        user="root",
        capabilities=("NET_ADMIN",),
        writable={_SETTINGS: "/proc/sys/net"},
        environment=environment | {SETTINGS_VARIABLE: _SETTINGS},
    )


def describe_function(owner: str, *, mounts: dict[str, str], environment: dict[str, str]) -> Place:
    """The function's container, in the network of another; it has no powers at all."""
    return Place(
        name=str(Seat.FUNCTION),
        command=(str(Seat.FUNCTION), "--once"),
        user=_own_user() if os.getuid() else _SANDBOX,
        lives_in=owner,
        mounts=mounts,
        environment=environment,
    )


def _own_user() -> str:
    """As ourselves: then files of ours can be read, and nothing else that is not everybody's."""
    return f"{os.getuid()}:{os.getgid()}"


async def _wait(engine: Engine, switchboard: Switchboard) -> None:
    try:
        await switchboard.wait_for(Seat, budget=READY_BUDGET)
    except ComponentFailed as error:
        said = await asyncio.to_thread(engine.read_complaints)
        raise ComponentFailed(f"{error}\n{said}".rstrip(), hint=error.hint) from error


def check_isolation() -> None:
    """Nothing of this machine may lead into the lab, nor out of it.

    Raises:
        ComponentFailed: the engine gave this machine a route into a network of the lab.
    """
    if sys.platform != "linux":
        return
    routes = Path("/proc/net/route").read_text()
    for leg in ADDRESSES.legs.values():
        overlap = find_overlap(routes, network=leg.network)
        if overlap is not None and "dev br-" in overlap:
            raise ComponentFailed(f"the engine gave this machine a route into the lab: {overlap}")
