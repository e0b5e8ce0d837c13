"""A lab from inside: what the supervisor does when it is asked. Blocking, in a single thread.

Every public method that takes ``request`` is one request of the protocol: it gets the packet and
the descriptors that came along, and returns the reply and the descriptors that go with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from natless.vpc import wire
from natless.vpc.launch import Program, launch
from natless.vpc.model import ADDRESSES, Role
from natless.vpc.network import Network, write_setting
from natless.vpc.plan import Plan, decode_plan, is_forgotten
from natless.vpc.servants import OnFact, Servant, listen_on
from natless.vpc.tcp_table import read_tcp_table

Reply = tuple[dict[str, Any], Sequence[int]]
"""What is answered, and the descriptors that go with it."""


@dataclass(slots=True)
class Lab:
    """The namespaces, the servants and the programs of one lab.

    Attributes:
        network: the namespaces, with their cables laid.
        servants: the resolver, the endpoint and the proxy.
        on_fact: takes what the servants report.
        programs: the number by which the outside knows a program, by its process id.
    """

    network: Network
    servants: Mapping[Role, Servant]
    on_fact: OnFact
    programs: dict[int, int] = field(default_factory=dict)
    _plan: Plan = field(default_factory=Plan)
    _nat: str | None = None

    def apply(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Makes the lab into what a plan says; the rules decide about running connections."""
        self.apply_plan(decode_plan(request["plan"]))
        return {}, ()

    def apply_plan(self, plan: Plan) -> None:
        """Likewise, and waits until the resolver and the endpoint have taken it."""
        from natless.vpc import conntrack, links, nft  # late: they take long to import

        nft.replace_rules(plan.rules)
        conntrack.set_idle_limit(plan.nat_idle)
        if is_forgotten(self._nat, plan):
            conntrack.forget_connections()
        self._nat = plan.nat if plan.nat is not None else self._nat
        self.servants[Role.RESOLVER].tell({"zone": asdict(plan.zone)}, on_fact=self.on_fact)
        self.servants[Role.ENDPOINT].tell({"endpoint": asdict(plan.endpoint)}, on_fact=self.on_fact)
        with self.network.inside(Role.FUNCTION):
            write_setting("ipv4/tcp_syn_retries", str(plan.syn_retries))
            if plan.default_route != self._plan.default_route:
                links.set_default_route(ADDRESSES.function, is_present=plan.default_route)
            links.set_dual_stack(ADDRESSES.function_ipv6, is_on=plan.ipv6)
        self._plan = plan

    def listen(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Makes a listening socket in somebody's namespace and gives it away."""
        with self.network.inside(Role(request["role"])):
            made = listen_on(request["address"], request["port"])
        # The descriptor must outlive this call; whoever sends the reply closes it.
        return {}, (made.detach(),)

    def run(self, request: wire.Packet, descriptors: Sequence[int]) -> Reply:
        """Starts a program; its standard output and error are the descriptors that came along."""
        stdout, stderr = descriptors
        role = Role(request["role"])
        program = Program(
            argv=tuple(request["argv"]),
            environment=request["environment"],
            directory=request["directory"],
            network=self.network.of(role),
            stdout=stdout,
            stderr=stderr,
            keeps_powers=role is Role.ROUTER,
        )
        pid = launch(program)
        self.programs[pid] = request["process"]
        return {"pid": pid}, ()

    def signal(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """Sends a signal to a program and to what it has started; nothing happens if it ended."""
        for pid, number in self.programs.items():
            if number == request["process"]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, request["signal"])
        return {}, ()

    def counters(self, _: wire.Packet, __: Sequence[int]) -> Reply:
        """How many packets each rule of the router has matched since the last switch."""
        from natless.vpc import nft  # late: it takes long to import

        return {"counters": nft.read_counters(self._plan.rules)}, ()

    def connections(self, request: wire.Packet, _: Sequence[int]) -> Reply:
        """The TCP sockets of somebody's namespace, but for those that listen."""
        with self.network.inside(Role(request["role"])):
            table = read_tcp_table()
        return {"connections": [asdict(each) for each in table]}, ()

    def routes(self, _: wire.Packet, __: Sequence[int]) -> Reply:
        """The router's IPv4 routes, as the kernel prints them."""
        return {"routes": Path("/proc/thread-self/net/route").read_text()}, ()

    def reap(self) -> list[dict[str, Any]]:
        """Collects what has ended; returns how the programs among it did, as events.

        Raises:
            ChildProcessError: never; no child at all is an empty list.
        """
        events = []
        while (pid := _ended_child()) is not None:
            if pid in self.programs:
                # What a program leaves behind would hold its pipes open, and Lambda ends an
                # environment as a whole. The group keeps its number while its leader is a zombie.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if (number := self.programs.pop(pid, None)) is not None:
                code = os.waitstatus_to_exitcode(status)
                events.append({"event": "exited", "process": number, "code": code})
        return events


def _ended_child() -> int | None:
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended is not None else None


REQUESTS = {
    "apply": Lab.apply,
    "listen": Lab.listen,
    "run": Lab.run,
    "signal": Lab.signal,
    "counters": Lab.counters,
    "connections": Lab.connections,
    "routes": Lab.routes,
}
"""What may be asked for, by the packet's member ``do``."""
