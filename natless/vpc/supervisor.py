"""The process that holds the namespaces of one lab, and everything in them, until it ends.

::

    natless ── socket pair ──┐
      └─ keeper: new user, network, mount and process namespaces; waits
           └─ supervisor (process 1 in there; its network is the router)
                ├─ resolver, endpoint   in network namespaces of their own
                └─ programs             started on request, in the function's and others

Whoever ends first takes the rest along: keeper and supervisor die with their parents, the
supervisor ends when the socket pair does, and the kernel ends all processes of a process namespace
with its first one. Nothing of a lab is in the file system.

Requests and replies are packets of :mod:`natless.vpc.wire` with the same ``id``; what happens
unasked is a packet with ``event``: ``ready`` or ``failed`` at first, then ``fact``, ``exited`` and
``broken``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from natless.vpc import kernel, wire
from natless.vpc.lab import REQUESTS, Lab
from natless.vpc.launch import LaunchFailed
from natless.vpc.model import ADDRESSES, TLS_PORT, Role
from natless.vpc.name_lookup import cover_name_lookup
from natless.vpc.network import Network, make_network, write_setting
from natless.vpc.plan import Plan
from natless.vpc.rules import RuleSet
from natless.vpc.servants import (
    ServantEnded,
    listen_on,
    start_endpoint,
    start_proxy,
    start_resolver,
)


class SetupFailed(Exception):
    """A step of the set-up failed.

    Attributes:
        step: a word for it, which :mod:`natless.vpc.capability` explains.
        number: the kernel's errno, 0 when there is none.
    """

    def __init__(self, step: str, *, number: int, message: str) -> None:
        super().__init__(message)
        self.step = step
        self.number = number


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Names what is being tried, so that a failure can be explained."""
    try:
        yield
    except Exception as error:
        # pyroute2's errors carry the errno as ``code``.
        number = getattr(error, "errno", None) or getattr(error, "code", None) or 0
        raise SetupFailed(name, number=int(number), message=str(error)) from error


class Supervisor:
    """Builds the lab, says that it is ready, then answers requests until the control ends."""

    def __init__(self, control: socket.socket, options: argparse.Namespace) -> None:
        self._control = control
        self._options = options
        self._started = time.monotonic()

    def run(self) -> None:
        """Returns when the outside has ended."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes the loop up
        waker, wakes = socket.socketpair()
        wakes.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        has_own_proc = _own_mounts()
        if self._options.check:
            _lay_network(_make_network())
            self._ready(has_own_proc=has_own_proc)
            return
        lab, relays = self._build()
        self._ready(has_own_proc=has_own_proc, descriptors=tuple(each.fileno() for each in relays))
        for relay in relays:
            relay.close()
        self._serve(lab, waker)

    def _build(self) -> tuple[Lab, list[socket.socket]]:
        options = self._options
        network = _make_network()
        with step("name lookup"):
            cover_name_lookup(
                resolver=ADDRESSES.resolver.address, directory=Path(options.directory)
            )
        # The servants start while we import pyroute2, which takes a quarter of a second.
        with step("servants"):
            resolver = start_resolver(network)
            endpoint = start_endpoint(network, certificate=options.certificate, key=options.key)
            proxy = start_proxy(network)
        _lay_network(network)
        lab = Lab(
            network=network,
            servants={Role.RESOLVER: resolver, Role.ENDPOINT: endpoint, Role.PROXY: proxy},
            on_fact=self._forward_fact,
        )
        with step("servants"):
            lab.apply_plan(Plan())
        with step("relay"), network.inside(Role.INTERNET):
            return lab, [listen_on(address, TLS_PORT) for address in relay_addresses()]

    def _ready(self, *, has_own_proc: bool, descriptors: tuple[int, ...] = ()) -> None:
        packet = {
            "event": "ready",
            "seconds": time.monotonic() - self._started,
            "has_user_namespace": self._options.has_user_namespace,
            "has_own_proc": has_own_proc,
        }
        wire.send(self._control, packet, descriptors=descriptors)

    def _serve(self, lab: Lab, waker: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            for servant in lab.servants.values():
                selector.register(servant.control, selectors.EVENT_READ, servant)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is waker:
                        waker.recv(4096)
                    elif key.data is not None:
                        self._forward_fact(key.data.read())
                    elif not self._handle_request(lab):
                        return
                for event in lab.reap():
                    wire.send(self._control, event)

    def _handle_request(self, lab: Lab) -> bool:
        received = wire.receive(self._control)
        if received is None:
            return False
        request, taken = received
        given: tuple[int, ...] = ()
        try:
            reply, offered = REQUESTS[request["do"]](lab, request, taken)
            given = tuple(offered)
        except ServantEnded:
            raise  # the lab is broken
        except Exception as error:  # whatever it was, whoever asked must learn of it
            number = getattr(error, "errno", None) or getattr(error, "code", None)
            is_plain = isinstance(error, (LaunchFailed, OSError))
            said = str(error) if is_plain else f"{type(error).__name__}: {error}"
            reply = {"error": said, "errno": number}
        wire.send(self._control, {"id": request["id"], **reply}, descriptors=given)
        for descriptor in (*taken, *given):
            os.close(descriptor)
        return True

    def _forward_fact(self, fact: Mapping[str, Any]) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads: a fact is not worth a stall
            wire.send(self._control, {"event": "fact", **fact}, wait=False)


def _own_mounts() -> bool:
    with step("mounts"):
        kernel.make_mounts_private()
    try:
        kernel.mount_proc()
    except PermissionError:  # the outer /proc is covered in part, as in most containers
        return False
    return True


def _make_network() -> Network:
    with step("network namespaces"):
        return make_network()


def _lay_network(network: Network) -> None:
    with step("pyroute2"):
        from natless.vpc import links, nft  # late: see above
    with step("veth"):
        links.lay_cables(network)
    with step("nft"):
        nft.replace_rules(RuleSet())
    with step("forwarding"):
        write_setting("ipv4/ip_forward", "1")
    if links.has_ipv6():
        with step("ipv6"):
            links.lay_ipv6(network)


def relay_addresses() -> tuple[str, ...]:
    """Where the relay listens: the IPv4 address, and the other where the kernel knows IPv6."""
    from natless.vpc import links  # late: see above

    own = ADDRESSES.internet.address
    return (own, ADDRESSES.relay_ipv6) if links.has_ipv6() else (own,)


def _complain(control: socket.socket, error: Exception) -> None:
    packet = {
        "event": "failed",
        "step": getattr(error, "step", ""),
        "errno": getattr(error, "number", 0),
        "message": str(error),
    }
    with contextlib.suppress(OSError):  # nobody is left to hear it
        wire.send(control, packet)


def keep(control: socket.socket, options: argparse.Namespace) -> int:
    """Enters new namespaces, starts the supervisor in them and waits for its end."""
    options.has_user_namespace = not kernel.can_administer()
    uid, gid = os.getuid(), os.getgid()
    flags = kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID
    with step("namespaces"):
        kernel.unshare(flags | (kernel.CLONE_NEWUSER if options.has_user_namespace else 0))
    if options.has_user_namespace:
        with step("user map"):
            kernel.map_user(uid=uid, gid=gid)
    pid = os.fork()
    if pid == 0:
        _supervise(control, options)
    control.close()
    kernel.die_with_parent()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _supervise(control: socket.socket, options: argparse.Namespace) -> NoReturn:
    code = 1
    try:
        kernel.die_with_parent()
        Supervisor(control, options).run()
        code = 0
    except SetupFailed as error:
        _complain(control, error)
    except ServantEnded as error:
        wire.send(control, {"event": "broken", "message": str(error)})
    except BrokenPipeError:  # the outside has ended
        pass
    except Exception:  # a mistake of ours: say so where the outside reads it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # which ends every process in here


def main() -> None:
    """The process: takes its end of the socket pair by number."""
    parser = argparse.ArgumentParser(prog="natless.vpc.supervisor")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--check", action="store_true", help="build, say how it went, and end")
    for name in ("directory", "certificate", "key"):
        parser.add_argument(f"--{name}", default="")
    options = parser.parse_args()
    control = socket.socket(fileno=options.control)
    control.set_inheritable(False)  # whoever holds it could rule the lab
    try:
        code = keep(control, options)
    except SetupFailed as error:
        _complain(control, error)
        code = 1
    sys.exit(max(code, 0))


if __name__ == "__main__":
    main()
