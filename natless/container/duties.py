"""What an agent can do where it sits. Blocking, in a single thread.

Every method that takes ``request`` is one request of the protocol: it gets the packet and the
descriptors that came along, and returns the reply and the descriptors that go with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from natless.vpc import wire
from natless.vpc.docker_seats import Seat, router_extra_addresses
from natless.vpc.launch import python_program
from natless.vpc.model import ADDRESSES, PROXY_PORT, TLS_PORT, Role
from natless.vpc.network import read_setting, write_setting
from natless.vpc.plan import Plan, decode_plan, is_forgotten
from natless.vpc.rules import RuleSet
from natless.vpc.servants import OnFact, Servant, listen_on
from natless.vpc.tcp_table import read_tcp_table

Reply = tuple[dict[str, Any], Sequence[int]]
Request = Callable[[Any, wire.Packet, Sequence[int]], Reply]

KEEP_ENVIRONMENT = "NATLESS_KEEP_ENVIRONMENT"
"""Set where programs get the container's variables, too."""

_DNS_PORT = 53


class Duties:
    """What every agent can do: make sockets, look at the kernel's tables, run programs.

    Attributes:
        on_fact: takes what happens unasked.
        servant: the process that serves this place, if there is one.
    """

    def __init__(self) -> None:
        self.on_fact: OnFact = lambda _: None
        self.servant: Servant | None = None
        self._programs: dict[int, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Called once, before anything is asked."""

    def handle(self, request: wire.Packet, taken: Sequence[int]) -> Reply:
        """Does what is asked for.

        Raises:
            LookupError: nobody can do that here.
            OSError: the kernel refused.
        """
        return self.REQUESTS[request["do"]](self, request, taken)

    def apply(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Makes this place into what a plan says."""
        self.apply_plan(decode_plan(request["plan"]))
        return {}, ()

    def apply_plan(self, plan: Plan) -> None:
        """Likewise; most places are the same on every topology."""

    def listen(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Makes a listening socket here and gives it away."""
        made = listen_on(request["address"], request["port"])
        # The descriptor must outlive this call; whoever sends the reply closes it.
        return {}, (made.detach(),)

    def run(self, request: wire.Packet, descriptors: Sequence[int]) -> Reply:
        """Starts a program; its standard output and error are the descriptors that came along."""
        stdout, stderr = descriptors
        program = subprocess.Popen(
            request["argv"],
            env=_join(request["environment"]),
            cwd=request["directory"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self._programs[request["process"]] = program
        return {"pid": program.pid}, ()

    def signal(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Sends a signal to a program and to what it has started; nothing happens if it ended."""
        if (program := self._programs.get(request["process"])) is not None:
            _signal(program, request["signal"])
        return {}, ()

    def connections(self, _: wire.Packet, __: Sequence[int]) -> Reply:
        """The TCP sockets of this network, but for those that listen."""
        return {"connections": [asdict(each) for each in read_tcp_table()]}, ()

    def routes(self, _: wire.Packet, __: Sequence[int]) -> Reply:
        """The IPv4 routes of this network, as the kernel prints them."""
        return {"routes": Path("/proc/thread-self/net/route").read_text()}, ()

    def reap(self) -> list[dict[str, Any]]:
        """Collects the programs that have ended; returns how they did, as events."""
        events = []
        for number, program in list(self._programs.items()):
            if _has_ended(program):
                # What a program leaves behind would hold its pipes open, and Lambda ends an
                # environment as a whole. The group keeps its number while its leader is a zombie.
                _signal(program, signal.SIGKILL)
                events.append({"event": "exited", "process": number, "code": program.wait()})
                del self._programs[number]
        return events

    def end_programs(self) -> None:
        """Ends every program."""
        for program in self._programs.values():
            _signal(program, signal.SIGKILL)
            program.wait()
        self._programs.clear()

    REQUESTS: ClassVar[Mapping[str, Request]] = {
        "apply": apply,
        "listen": listen,
        "run": run,
        "signal": signal,
        "connections": connections,
        "routes": routes,
    }
    """What may be asked for, by the packet's member ``do``."""


class RouterDuties(Duties):
    """Takes the gateways' addresses, puts rules in, counts, and keeps the NAT gateway's table."""

    def __init__(self) -> None:
        super().__init__()
        self._rules = RuleSet()
        self._nat: str | None = None

    def prepare(self) -> None:
        """No way out but into the lab, and nothing passes before the first topology."""
        from natless.vpc import docker_links, nft  # late: they take long to import

        nft.replace_rules(self._rules)
        docker_links.remove_default_route()
        for leg in ADDRESSES.legs.values():
            extra = router_extra_addresses(leg)
            docker_links.add_addresses(extra, network=leg.network)
        with _may_lack_ipv6():
            self._prepare_ipv6()

    def _prepare_ipv6(self) -> None:
        from natless.vpc import docker_links, links

        for role, leg in ADDRESSES.legs_ipv6.items():
            interface = docker_links.interface_in(ADDRESSES.legs[role].network)
            links.add_ipv6(leg.router[0], interface=interface, network=leg.network)
        write_setting("ipv6/conf/all/forwarding", "1")

    def apply_plan(self, plan: Plan) -> None:
        """In one step for packets; the rules decide about running connections.

        Raises:
            OSError: the kernel's settings cannot be changed from in here, and they would have to.
        """
        from natless.vpc import conntrack, nft  # late: they take long to import

        nft.replace_rules(plan.rules)
        self._rules = plan.rules
        conntrack.set_idle_limit(plan.nat_idle)
        if is_forgotten(self._nat, plan):
            conntrack.forget_connections()
        self._nat = plan.nat if plan.nat is not None else self._nat

    def counters(self, _: wire.Packet, __: Sequence[int]) -> Reply:
        """How many packets each rule has matched since the last switch."""
        from natless.vpc import nft  # late: it takes long to import

        return {"counters": nft.read_counters(self._rules)}, ()

    REQUESTS: ClassVar[Mapping[str, Request]] = {**Duties.REQUESTS, "counters": counters}


class FunctionNetDuties(Duties):
    """Owns the function's network: its routes, and how long its kernel tries."""

    def prepare(self) -> None:
        """The VPC's local route, which is there even when the default route is not."""
        from natless.vpc import docker_links

        docker_links.set_route(ADDRESSES.vpc, gateway=ADDRESSES.function.router[0])
        # Engine 20.10 takes IPv6 from the loopback as well, and then "no route" looks like "no
        # address". Not by a sysctl of the container: without IPv6 in the kernel it would not start.
        with _may_lack_ipv6():
            write_setting("ipv6/conf/lo/disable_ipv6", "0")

    def apply_plan(self, plan: Plan) -> None:
        """Routes as the plan says.

        Raises:
            OSError: the kernel's settings cannot be changed from in here, and they would have to.
        """
        from natless.vpc import links

        links.set_default_route(ADDRESSES.function, is_present=plan.default_route)
        links.set_dual_stack(ADDRESSES.function_ipv6, is_on=plan.ipv6)
        if read_setting("ipv4/tcp_syn_retries") != str(plan.syn_retries):
            write_setting("ipv4/tcp_syn_retries", str(plan.syn_retries))


class InternetNetDuties(Duties):
    """Owns the network of the relay, which has no way back into a VPC, and none anywhere."""

    def prepare(self) -> None:
        """Nothing that leaves for somewhere else may find a way."""
        from natless.vpc import docker_links, links

        docker_links.remove_default_route()
        leg = ADDRESSES.internet_ipv6
        with _may_lack_ipv6():
            interface = docker_links.interface_in(ADDRESSES.internet.network)
            links.add_ipv6(leg.address, interface=interface, network=leg.network)
            links.set_ipv6_route(ADDRESSES.function_ipv6.network, gateway=leg.router[0])


class ResolverDuties(Duties):
    """Has the VPC's resolver in its place."""

    def prepare(self) -> None:
        """The resolver listens before anybody asks."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", _DNS_PORT))
        tcp = listen_on("", _DNS_PORT)
        self.servant = _start(
            Role.RESOLVER, module="natless.vpc.resolver", sockets={"udp": udp, "tcp": tcp}
        )

    def apply_plan(self, plan: Plan) -> None:
        """Names mean what the plan says as soon as this returns."""
        assert self.servant is not None
        self.servant.tell({"zone": asdict(plan.zone)}, on_fact=self.on_fact)


class EndpointDuties(Duties):
    """Has the interface endpoint in its place.

    Args:
        certificate: it must cover the names of the API.
        key: its private key.
    """

    def __init__(self, *, certificate: Path, key: Path) -> None:
        super().__init__()
        self._arguments = ("--certificate", str(certificate), "--key", str(key))

    def prepare(self) -> None:
        """The endpoint listens, whether or not a topology lets anybody near it."""
        listener = listen_on("", TLS_PORT)
        self.servant = _start(
            Role.ENDPOINT,
            module="natless.vpc.endpoint",
            sockets={"listener": listener},
            arguments=self._arguments,
        )

    def apply_plan(self, plan: Plan) -> None:
        """It answers as the plan says as soon as this returns."""
        assert self.servant is not None
        self.servant.tell({"endpoint": asdict(plan.endpoint)}, on_fact=self.on_fact)


class ProxyDuties(Duties):
    """Has the egress proxy in its place."""

    def prepare(self) -> None:
        """The proxy listens, whether or not a topology lets anybody near it."""
        self.servant = _start(
            Role.PROXY,
            module="natless.vpc.proxy",
            sockets={"listener": listen_on("", PROXY_PORT)},
        )


def duties_of(seat: Seat, *, certificate: Path, key: Path) -> Duties:
    """What somebody in this seat can do."""
    match seat:
        case Seat.ROUTER:
            return RouterDuties()
        case Seat.FUNCTION_NET:
            return FunctionNetDuties()
        case Seat.INTERNET_NET:
            return InternetNetDuties()
        case Seat.RESOLVER:
            return ResolverDuties()
        case Seat.ENDPOINT:
            return EndpointDuties(certificate=certificate, key=key)
        case Seat.PROXY:
            return ProxyDuties()
        case Seat.FUNCTION:
            return Duties()


def _start(
    role: Role,
    *,
    module: str,
    sockets: Mapping[str, socket.socket],
    arguments: tuple[str, ...] = (),
) -> Servant:
    ours, theirs = wire.pair()
    handed = {**sockets, "control": theirs}
    flags = [part for name, each in handed.items() for part in (f"--{name}", str(each.fileno()))]
    process = subprocess.Popen(
        python_program(module, *flags, *arguments),
        pass_fds=[each.fileno() for each in handed.values()],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    for each in handed.values():
        each.close()
    return Servant(role, process.pid, ours)


def _join(environment: Mapping[str, str]) -> Mapping[str, str]:
    """In an image of the user's own, what the image sets counts too: where its interpreter is."""
    if not os.environ.get(KEEP_ENVIRONMENT):
        return environment
    own = {name: value for name, value in os.environ.items() if not name.startswith("NATLESS_")}
    return {**own, **environment, "PATH": own.get("PATH", environment.get("PATH", os.defpath))}


@contextlib.contextmanager
def _may_lack_ipv6() -> Iterator[None]:
    """Without IPv6 the lab lacks two topologies, and says so when one of them is wanted."""
    from pyroute2.netlink.exceptions import NetlinkError  # late: it takes long to import

    try:
        yield
    except (OSError, NetlinkError) as error:
        print(f"no IPv6 here: {error}", file=sys.stderr, flush=True)


def _has_ended(program: subprocess.Popen[bytes]) -> bool:
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, program.pid, flags) is not None


def _signal(program: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, number)
