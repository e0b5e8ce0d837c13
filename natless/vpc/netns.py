"""A VPC of Linux namespaces, held from outside by asyncio.

::

    async with NetnsVpc.open(label=…, region=…, certificate=…, ca=…, journal=…, directory=…) as vpc:
        start_the_relay(vpc.relay_socket)       # it accepts inside, and runs outside
        await vpc.apply(topology)
        await vpc.verify(topology)
        program = await vpc.run(Role.FUNCTION, ["python3", "-c", "…"], environment={…})

The namespaces belong to the supervisor (:mod:`natless.vpc.supervisor`), a process of its own that
ends with ours, whatever ends ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from natless.errors import ComponentFailed, EnvironmentLacks
from natless.journal import Journal
from natless.vpc import wire
from natless.vpc.capability import can_use_namespaces, cause_of, check_host_routes
from natless.vpc.launch import python_environment, python_program
from natless.vpc.model import Api, Role, Topology
from natless.vpc.plan import encode_plan, render_plan
from natless.vpc.process import VpcProcess, open_outputs
from natless.vpc.proved import ProvedVpc
from natless.vpc.tcp_table import TcpSocket, TcpState

__all__ = ["NetnsVpc", "Role", "VpcProcess", "can_use_namespaces"]

READY_BUDGET = 15.0
"""Seconds until a new lab must be ready; it takes about half a second."""

REQUEST_BUDGET = 10.0
"""Seconds until the supervisor must have done what it was asked for; it takes milliseconds."""

CLOSE_BUDGET = 2.0
"""Seconds until a closed lab must be gone before it is killed; it takes milliseconds."""

_STDERR_LINES = 20
_BUSY_PAUSE = 0.001


class Certificate(Protocol):
    """A certificate with its key, by path."""

    @property
    def certificate(self) -> Path:
        """The certificate chain in PEM form."""

    @property
    def key(self) -> Path:
        """The private key in PEM form."""


class NetnsVpc(ProvedVpc):
    """One lab. Made by :meth:`open`.

    Attributes:
        relay_socket: listens on 198.51.100.10:443 in the lab's internet. A process on the host
            that inherits it accepts there, without being there. Closed with the lab.
        relay_sockets: that one, and where the kernel knows IPv6 another on 2001:db8:100::10.
        api: the names of the Event API that the lab knows.
    """

    relay_socket: socket.socket
    relay_sockets: tuple[socket.socket, ...]

    def __init__(self, *, api: Api, ca: Path, journal: Journal, control: socket.socket) -> None:
        super().__init__(api=api, ca=ca, journal=journal)
        self._control = control
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[tuple[wire.Packet, list[int]]]] = {}
        self._endings: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[wire.Packet] = asyncio.get_running_loop().create_future()
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._broken: ComponentFailed | None = None

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
    ) -> AsyncIterator[NetnsVpc]:
        """Builds a lab in which everything is closed until a topology is applied.

        Args:
            label: the label of the Event API, 26 word characters.
            region: its region.
            certificate: for the interface endpoint; it must cover the API's names.
            ca: the certificate of its authority, which probes trust.
            journal: takes what happens in the lab.
            directory: where files may be for a moment while the lab is built.

        Raises:
            EnvironmentLacks: this machine cannot hold a lab; the hint says what to do.
            ComponentFailed: the lab did not come up.
        """
        if sys.platform != "linux":
            raise EnvironmentLacks(
                "namespaces exist on Linux only", hint="Use --network docker there."
            )
        check_host_routes()
        started = time.monotonic()
        ours, theirs = wire.pair()
        ours.setblocking(False)
        with ours:
            vpc = cls(api=Api(label=label, region=region), ca=ca, journal=journal, control=ours)
            async with vpc._supervised(theirs, certificate=certificate, directory=directory):
                ready = vpc._ready.result()
                journal.record(
                    "vpc.opened",
                    source="vpc",
                    seconds=time.monotonic() - started,
                    has_user_namespace=ready["has_user_namespace"],
                    has_own_proc=ready["has_own_proc"],
                )
                yield vpc
            journal.record("vpc.closed", source="vpc")

    @contextlib.asynccontextmanager
    async def _supervised(
        self, theirs: socket.socket, *, certificate: Certificate, directory: Path
    ) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        with theirs:
            keeper = await asyncio.create_subprocess_exec(
                *python_program("natless.vpc.supervisor", "--control", str(theirs.fileno())),
                *("--directory", str(directory)),
                *("--certificate", str(certificate.certificate), "--key", str(certificate.key)),
                pass_fds=(theirs.fileno(),),
                env=python_environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us; the lab ends when we do
            )
        complaints = loop.create_task(self._read_stderr(keeper))
        loop.add_reader(self._control, self._read_control)
        try:
            await self._wait_ready(keeper, complaints)
            with contextlib.ExitStack() as stack:
                for each in self.relay_sockets:
                    stack.enter_context(each)
                yield
        finally:
            loop.remove_reader(self._control)
            self._control.close()  # which ends the supervisor and everything in the lab
            await self._wait_end(keeper)
            await complaints
            self._fail(ComponentFailed("the lab has been closed"))
            self._close_programs()
            await asyncio.sleep(0)  # in which the closed pipes let go of their descriptors

    async def _wait_ready(
        self, keeper: asyncio.subprocess.Process, complaints: asyncio.Task[None]
    ) -> None:
        try:
            async with asyncio.timeout(READY_BUDGET):
                packet = await self._ready
        except TimeoutError as error:
            raise ComponentFailed(f"the lab was not ready after {READY_BUDGET:.0f} s") from error
        except ComponentFailed as error:
            await self._wait_end(keeper)
            await complaints
            raise ComponentFailed(f"{error}\n{''.join(self._stderr)}".rstrip()) from error
        if packet.get("step") == "servants":  # ours to answer for, not the machine's
            await self._wait_end(keeper)
            await complaints
            raise ComponentFailed(f"{packet['message']}\n{''.join(self._stderr)}".rstrip())
        if (cause := cause_of(packet)) is not None:
            raise EnvironmentLacks(cause.message, hint=cause.hint)

    async def _wait_end(self, keeper: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(CLOSE_BUDGET):
                await keeper.wait()
        except TimeoutError:
            keeper.kill()  # the supervisor dies with it
            await keeper.wait()

    async def _read_stderr(self, keeper: asyncio.subprocess.Process) -> None:
        assert keeper.stderr is not None
        async for line in keeper.stderr:
            self._stderr.append(line.decode(errors="replace"))

    async def apply(self, topology: Topology) -> None:
        """See :meth:`ProvedVpc.apply`."""
        started = time.monotonic()
        plan = render_plan(topology, api=self.api)
        await self._ask("apply", plan=encode_plan(plan))
        self._note_applied(topology, started=started)

    async def listen(
        self, role: Role, address: str = "127.0.0.1", *, port: int = 0
    ) -> socket.socket:
        """A listening socket in somebody's namespace; the caller closes it.

        Raises:
            ComponentFailed: the port is taken there, or the lab is broken.
        """
        _, descriptors = await self._ask("listen", role=role, address=address, port=port)
        return socket.socket(fileno=descriptors[0])

    async def run(
        self,
        role: Role,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """See :meth:`ProvedVpc.run`."""
        number = next(self._numbers)
        ended = self._endings[number] = asyncio.get_running_loop().create_future()
        async with open_outputs() as outputs:
            try:
                reply, _ = await self._ask(
                    "run",
                    descriptors=outputs.descriptors,
                    process=number,
                    role=role,
                    argv=[*argv],
                    environment=self._environment_of(role, environment),
                    directory=str(directory or "/"),
                )
            except BaseException:
                self._endings.pop(number)
                raise
        return self._keep(
            VpcProcess(
                pid=reply["pid"],
                stdout=outputs.stdout,
                stderr=outputs.stderr,
                ended=ended,
                send_signal=lambda each: self._signal(number, each),
            )
        )

    async def counters(self) -> dict[str, int]:
        """See :meth:`ProvedVpc.counters`."""
        reply, _ = await self._ask("counters")
        found: dict[str, int] = reply["counters"]
        return found

    async def connections(self, role: Role) -> frozenset[TcpSocket]:
        """See :meth:`ProvedVpc.connections`."""
        reply, _ = await self._ask("connections", role=role)
        return frozenset(
            TcpSocket(**{**each, "state": TcpState(each["state"])}) for each in reply["connections"]
        )

    async def router_routes(self) -> str:
        """See :meth:`ProvedVpc.router_routes`."""
        reply, _ = await self._ask("routes")
        routes: str = reply["routes"]
        return routes

    async def _signal(self, number: int, each: int) -> None:
        with contextlib.suppress(ComponentFailed):  # a broken lab has no programs any more
            await self._ask("signal", process=number, signal=each)

    async def _ask(
        self,
        do: str,
        *,
        descriptors: Sequence[int] = (),
        **members: Any,  # noqa: ANN401  any JSON
    ) -> tuple[wire.Packet, list[int]]:
        if self._broken is not None:
            raise self._broken
        number = next(self._numbers)
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REQUEST_BUDGET):
                await self._send({"id": number, "do": do, **members}, descriptors)
                packet, received = await future
        except TimeoutError as error:
            raise ComponentFailed(f"the lab did not {do} in {REQUEST_BUDGET:.0f} s") from error
        finally:
            self._replies.pop(number, None)
        if "error" in packet:
            raise ComponentFailed(f"the lab could not {do}: {packet['error']}")
        return packet, received

    async def _send(self, packet: wire.Packet, descriptors: Sequence[int]) -> None:
        while True:
            try:
                return wire.send(self._control, packet, descriptors=descriptors, wait=False)
            except BlockingIOError:
                await asyncio.sleep(_BUSY_PAUSE)
            except OSError as error:
                raise self._fail(ComponentFailed(f"the lab has ended: {error}")) from error
            except wire.PacketTooLong as error:
                raise ComponentFailed(
                    f"a program's arguments and environment are too long: {error}",
                    hint="Start it with fewer environment variables.",
                ) from error

    def _read_control(self) -> None:
        while True:
            try:
                received = wire.receive(self._control)
            except BlockingIOError:
                return
            if received is None:
                asyncio.get_running_loop().remove_reader(self._control)
                self._fail(ComponentFailed("the lab has ended"))
                return
            self._take(*received)

    def _take(self, packet: wire.Packet, descriptors: list[int]) -> None:
        match packet.get("event"):
            case None:
                future = self._replies.get(packet["id"])
                if future is None or future.done():
                    for descriptor in descriptors:
                        os.close(descriptor)
                else:
                    future.set_result((packet, descriptors))
            case "fact":
                self._record(packet)
            case "exited":
                self._endings.pop(packet["process"]).set_result(packet["code"])
            case "ready" | "failed":
                if descriptors:
                    self.relay_sockets = tuple(socket.socket(fileno=each) for each in descriptors)
                    self.relay_socket = self.relay_sockets[0]
                self._ready.set_result(packet)
            case "broken":
                self._fail(ComponentFailed(f"the lab broke: {packet['message']}"))

    def _record(self, packet: wire.Packet) -> None:
        kind, at = packet.pop("fact"), packet.pop("at")
        del packet["event"]
        self._journal.record(kind, source="vpc", at=at, **packet)

    def _fail(self, error: ComponentFailed) -> ComponentFailed:
        self._broken = self._broken or error
        waiting: list[asyncio.Future[Any]] = [self._ready]
        waiting += [*self._replies.values(), *self._endings.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(self._broken)
                future.exception()  # nobody has to fetch it
        return self._broken
