"""The Docker engine, as far as a lab needs it. The only file that imports the SDK. Blocking.

Whoever calls goes through ``asyncio.to_thread``. Everything that is made carries the lab's name and
its owner as labels, so :meth:`Engine.remove_lab` finds it all, whatever was made half-way.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool, Mount

from natless.errors import ComponentFailed, EnvironmentLacks
from natless.vpc.docker_owner import LAB, OWNER, Owner

OLDEST_API = (1, 41)
"""Docker Engine 20.10."""

DEFAULT_HOST = "unix:///var/run/docker.sock"
"""Where the engine is when ``DOCKER_HOST`` says nothing."""

CALL_BUDGET = 30.0
"""Seconds that one call of the engine's API may take."""

BUILD_BUDGET = 600.0
"""Seconds that building the image may take; most of it is the first download."""

_NO_HOST_ADDRESS = {"com.docker.network.bridge.inhibit_ipv4": "true"}
_BUILT = "natless.built-for-a-lab"
_COMPOSE_PROJECT = "com.docker.compose.project"


@dataclass(frozen=True, slots=True)
class Place:
    """One container that is to be made.

    Attributes:
        name: its own part of the container's name.
        command: what the image's entry point gets.
        user: who it runs as; empty for the image's own.
        addresses: its address by network. Empty when it lives in another's network.
        lives_in: the container id whose network it shares.
        capabilities: what is added to none.
        sysctls: settings of its network.
        mounts: paths of the machine, by the path that they have inside; read-only.
        writable: the same, and it may write there.
        environment: variables.
    """

    name: str
    command: tuple[str, ...]
    user: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    lives_in: str = ""
    capabilities: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """A connection to the engine, for one lab. Made by :meth:`connect`."""

    def __init__(self, client: docker.DockerClient, *, lab: str) -> None:
        self._client = client
        self._lab = lab
        self._labels = {LAB: lab, OWNER: str(Owner.here())}

    @classmethod
    def connect(cls, *, lab: str) -> Engine:
        """Finds the engine and looks whether it can hold a lab.

        Args:
            lab: the lab's name, unlike any other's.

        Raises:
            EnvironmentLacks: there is none, it may not be used, it is too old, or not on this
                machine; the hint says what to do.
        """
        if getattr(docker, "__file__", None) is None:
            raise EnvironmentLacks(
                "the Docker SDK for Python is not installed: a folder called docker/ hides that",
                hint="Run: python -m pip install docker",
            )
        _knock(os.environ.get("DOCKER_HOST") or DEFAULT_HOST)
        try:
            client = docker.from_env(timeout=int(CALL_BUDGET))
        except DockerException as error:
            raise _no_engine(str(error)) from error
        try:
            _check_engine(client)
        except BaseException:
            client.close()
            raise
        return cls(client, lab=lab)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def has_image(self, tag: str) -> bool:
        """Whether the image is there."""
        try:
            self._client.images.get(tag)
        except ImageNotFound:
            return False
        return True

    def build_image(self, tag: str, *, root: str) -> None:
        """Builds the image from our sources.

        By the command line, as the SDK knows only the engine's older builder.

        Raises:
            ComponentFailed: it could not be built, with the end of what was said.
            EnvironmentLacks: there is no command line.
        """
        argv = ["docker", "build", "--quiet", "--file", f"{root}/docker/Dockerfile", "--tag", tag]
        argv += ["--label", _BUILT]
        try:
            done = subprocess.run(
                [*argv, root],
                env=os.environ | {"DOCKER_BUILDKIT": "1"},  # which 20.10 has, and leaves off
                capture_output=True,
                text=True,
                timeout=BUILD_BUDGET,
                check=False,
            )
        except FileNotFoundError as error:
            raise EnvironmentLacks(
                "the image of the lab is not there, and there is no docker command to build it",
                hint="Install Docker's command line, or name an image with NATLESS_IMAGE.",
            ) from error
        if done.returncode:
            raise ComponentFailed(
                f"the image of the lab could not be built: {done.stderr[-2000:].strip()}",
                hint=f"Try it by hand: docker build -f docker/Dockerfile {root}",
            )
        self._remove_older_images(tag)

    def _remove_older_images(self, tag: str) -> None:
        """Images of sources as they were, unless a lab still uses them."""
        for image in self._client.images.list(filters={"label": _BUILT}):
            if tag not in image.tags:
                with contextlib.suppress(APIError):
                    self._client.images.remove(str(image.id))

    def make_network(self, name: str, *, network: str, gateway: str) -> str:
        """A network in which the machine has no address; returns its id.

        Raises:
            EnvironmentLacks: another network has that range.
            ComponentFailed: the engine refused.
        """
        pool = IPAMPool(subnet=network, gateway=gateway)
        with _explained(f"make the network {name}"):
            try:
                made = self._client.networks.create(
                    f"natless-{self._lab}-{name}",
                    driver="bridge",
                    options=dict(_NO_HOST_ADDRESS),
                    ipam=IPAMConfig(pool_configs=[pool]),
                    labels=self._labels,
                )
            except APIError as error:
                if "overlaps" not in str(error):
                    raise
                raise self._explain_overlap(network) from error
        return str(made.id)

    def create(self, place: Place, *, image: str) -> str:
        """A container that is not started yet; returns its id.

        Raises:
            ComponentFailed: the engine refused.
        """
        with _explained(f"create the {place.name}"):
            networks = list(place.addresses)
            container = self._client.containers.create(
                image,
                list(place.command),
                name=f"natless-{self._lab}-{place.name}",
                user=place.user or None,
                init=True,
                read_only=True,
                cap_drop=["ALL"],
                cap_add=list(place.capabilities),
                security_opt=["no-new-privileges:true"],
                sysctls=dict(place.sysctls),
                tmpfs={"/tmp": "mode=1777"},
                environment=dict(place.environment),
                mounts=[
                    Mount(inside, source, type="bind", read_only=paths is place.mounts)
                    for paths in (place.mounts, place.writable)
                    for inside, source in paths.items()
                ],
                labels=self._labels,
                **_first_network(self._client, place),
            )
            for network in networks[1:]:
                self._client.networks.get(network).connect(
                    container, ipv4_address=place.addresses[network]
                )
        return str(container.id)

    def start(self, container: str) -> None:
        """Starts a container.

        Raises:
            ComponentFailed: the engine refused.
        """
        with _explained("start a container"):
            self._client.containers.get(container).start()

    def read_complaints(self) -> str:
        """What the lab's containers that have ended have said, by name."""
        said = []
        for container in self._containers(self._lab):
            if container.status != "running":
                with contextlib.suppress(DockerException):
                    text = container.logs(tail=20).decode(errors="replace").strip()
                    said.append(f"{container.name}: {text}")
        return "\n".join(said)

    def remove_lab(self, lab: str | None = None) -> None:
        """Removes everything of a lab, by default of ours. What is gone already is no trouble."""
        name = lab or self._lab
        for container in self._containers(name):
            with contextlib.suppress(NotFound):
                container.remove(force=True, v=True)
        for network in self._client.networks.list(filters={"label": f"{LAB}={name}"}):
            with contextlib.suppress(NotFound):
                network.remove()

    def remove_container(self, container: str) -> None:
        """Ends and removes one container; nothing happens when it is gone."""
        with contextlib.suppress(NotFound):
            self._client.api.remove_container(container, force=True, v=True)

    def find_leftovers(self) -> tuple[str, ...]:
        """The names of the labs whose owner has ended without removing them.

        Raises:
            ComponentFailed: the engine refused.
        """
        dead = set()
        with _explained("look for what ended runs have left"):
            found: list[Any] = self._containers(None)
            found += self._client.networks.list(filters={"label": LAB})
            for each in found:
                labels = _labels_of(each)
                owner = Owner.parse(labels.get(OWNER, ""))
                if owner is not None and owner.is_dead():
                    dead.add(labels[LAB])
        return tuple(sorted(dead))

    def remove_leftovers(self) -> tuple[str, ...]:
        """Removes the labs whose owner has ended without doing so; returns their names.

        Raises:
            ComponentFailed: the engine refused.
        """
        dead = self.find_leftovers()
        with _explained("remove what ended runs have left"):
            for lab in dead:
                self.remove_lab(lab)
        return dead

    def _containers(self, lab: str | None) -> list[Any]:
        label = LAB if lab is None else f"{LAB}={lab}"
        found: list[Any] = self._client.containers.list(
            all=True, filters={"label": label}, ignore_removed=True
        )
        return found

    def _explain_overlap(self, network: str) -> EnvironmentLacks:
        """Two networks of one engine cannot have the same range: say whose it is."""
        wanted = ipaddress.ip_network(network)
        for each in self._client.networks.list():
            for pool in (each.attrs.get("IPAM") or {}).get("Config") or ():
                if wanted.overlaps(ipaddress.ip_network(pool.get("Subnet", "255.255.255.255/32"))):
                    return _describe_holder(str(each.name), _labels_of(each), network=network)
        return EnvironmentLacks(
            f"the engine says that {network} is taken", hint="See: docker network ls"
        )


def _describe_holder(name: str, labels: Mapping[str, str], *, network: str) -> EnvironmentLacks:
    said = f"the lab's range {network} is taken by the Docker network {name}"
    if project := labels.get(_COMPOSE_PROJECT):
        return EnvironmentLacks(said, hint=f"Run: docker compose -p {project} down")
    owner = Owner.parse(labels.get(OWNER, ""))
    if owner is not None and owner.is_dead():
        return EnvironmentLacks(f"{said}, of a run that was killed", hint="natless doctor --sweep")
    if owner is not None:
        return EnvironmentLacks(
            f"{said}, another lab that runs now (process {owner.pid})",
            hint="One engine holds one lab at a time: wait, or use --network netns, which holds"
            " any number.",
        )
    return EnvironmentLacks(said, hint=f"If nobody needs it: docker network rm {name}")


def _labels_of(each: Any) -> Mapping[str, str]:  # noqa: ANN401  a container or a network
    labels = each.labels if hasattr(each, "labels") else each.attrs.get("Labels")
    return labels or {}


def _first_network(client: docker.DockerClient, place: Place) -> dict[str, Any]:
    """A container is made in its first network; older engines take no more than one."""
    if place.lives_in:
        return {"network_mode": f"container:{place.lives_in}"}
    first = next(iter(place.addresses))
    endpoint = client.api.create_endpoint_config(ipv4_address=place.addresses[first])
    return {"network": first, "networking_config": {first: endpoint}}


def _check_engine(client: docker.DockerClient) -> None:
    said = client.version()
    api = tuple(int(part) for part in str(said["ApiVersion"]).split("."))
    if api < OLDEST_API:
        raise EnvironmentLacks(
            f"Docker Engine {said['Version']} is too old for a lab",
            hint="Install 20.10 or newer, or use --network netns on Linux.",
        )
    system = client.info().get("OperatingSystem", "")
    is_here = str(client.api.base_url).startswith(("http+docker://", "http+unix://"))
    if system == "Docker Desktop" or not is_here:
        raise EnvironmentLacks(
            f"the engine runs in another machine ({system or client.api.base_url}), and sockets"
            " do not cross over to this one",
            hint="Run the whole lab there: docker compose up",
        )


def _knock(host: str) -> None:
    """Says plainly what the SDK wraps three times over, and leaves no socket open as it does."""
    scheme, _, path = host.partition("://")
    if scheme != "unix":
        return
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(CALL_BUDGET)
        try:
            door.connect(path)
        except PermissionError as error:
            raise EnvironmentLacks(
                f"this user may not talk to the Docker engine at {path}",
                hint="Run: sudo usermod -aG docker $USER, then log in again; or use"
                " --network netns.",
            ) from error
        except OSError as error:
            raise _no_engine(f"{path}: {error.strerror or error}") from error


def _no_engine(said: str) -> EnvironmentLacks:
    return EnvironmentLacks(
        f"no Docker engine answers: {said}",
        hint="Start it (sudo systemctl start docker), set DOCKER_HOST, or use --network netns.",
    )


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """The SDK's exceptions are ours from here on."""
    try:
        yield
    except DockerException as error:
        said = getattr(error, "explanation", None) or str(error)
        raise ComponentFailed(f"the Docker engine could not {what}: {said}") from error
