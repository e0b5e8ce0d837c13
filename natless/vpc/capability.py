"""Whether this machine can hold a lab of namespaces, and if not, why and what to do about it."""

from __future__ import annotations

import errno
import functools
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from natless.errors import EnvironmentLacks
from natless.vpc import wire
from natless.vpc.launch import python_environment, python_program
from natless.vpc.model import ADDRESSES
from natless.vpc.routes import find_overlap

CHECK_BUDGET = 15.0
"""Seconds for building a network once, to see whether it can be done."""

_DOCKER = "or use --network docker."
_TOGGLES = (
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "user.max_user_namespaces",
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why namespaces cannot be used, and the next step."""

    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a failure is explained from.

    Attributes:
        settings: ``sysctl`` values by name, of those that exist.
        is_root: whether the user is root.
        has_seccomp: whether a filter of system calls is on, as in containers.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    is_root: bool = False
    has_seccomp: bool = False


def explain_failure(step: str, number: int, message: str, *, around: Circumstances) -> Cause:
    """The cause behind a step of the set-up that failed with an errno.

    Args:
        step: the word by which the supervisor names it.
        number: the kernel's errno, 0 when there is none.
        message: what was said.
        around: how the machine is set.
    """
    said = f"the step {step!r} failed: {message}"
    if number in (errno.EPERM, errno.EACCES):
        return _explain_permission(said, around)
    if number == errno.ENOSPC:
        return Cause(
            f"this user may make no more namespaces (ENOSPC; {said}).",
            "Run: sudo sysctl -w user.max_user_namespaces=10000 user.max_net_namespaces=10000",
        )
    if step == "namespaces" and number in (errno.EINVAL, errno.ENOSYS):
        return Cause(
            f"this kernel has no user or network namespaces ({said}).",
            f"Use a kernel with CONFIG_USER_NS and CONFIG_NET_NS, {_DOCKER}",
        )
    if step == "veth":
        return Cause(f"this kernel makes no veth pairs ({said}).", "Run: sudo modprobe veth")
    if step == "nft":
        return Cause(
            f"this kernel has no nftables ({said}).",
            "Run: sudo modprobe -a nf_tables nft_chain_nat nft_ct nft_reject_inet",
        )
    if step == "name lookup":
        return Cause(
            f"names cannot be looked up in the lab ({said}).", "Run: sudo touch /etc/resolv.conf"
        )
    return Cause(f"the lab cannot be built: {said}.", f"Please report it, {_DOCKER}")


def _explain_permission(said: str, around: Circumstances) -> Cause:
    settings = around.settings
    if settings.get("kernel.unprivileged_userns_clone") == "0" and not around.is_root:
        return Cause(
            f"plain users may not make user namespaces here (EPERM; {said}).",
            "Run: sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if settings.get("kernel.apparmor_restrict_unprivileged_userns") == "1" and not around.is_root:
        return Cause(
            f"AppArmor takes all powers from user namespaces of plain users (EPERM; {said}).",
            "Run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if around.has_seccomp:
        return Cause(
            f"a filter of system calls forbids namespaces, as in most containers (EPERM; {said}).",
            "Start the container with: --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
            " --cap-add NET_ADMIN",
        )
    return Cause(f"namespaces are forbidden here (EPERM; {said}).", f"Run it as root, {_DOCKER}")


def read_circumstances() -> Circumstances:
    """How this machine is set."""
    settings = {}
    for name in _TOGGLES:
        path = Path("/proc/sys", *name.split("."))
        if path.exists():
            settings[name] = path.read_text().strip()
    status = Path("/proc/self/status").read_text()
    has_seccomp = any(line.split() == ["Seccomp:", "2"] for line in status.splitlines())
    return Circumstances(settings, is_root=os.geteuid() == 0, has_seccomp=has_seccomp)


@functools.cache
def find_cause() -> Cause | None:
    """Tries in a child process; None when a lab can be built. Asked once per process."""
    if sys.platform != "linux":
        return Cause(f"namespaces exist on Linux only, this is {sys.platform}.", "Use Docker.")
    ours, theirs = wire.pair()
    with ours, theirs:
        child = subprocess.Popen(
            python_program("natless.vpc.supervisor", "--check", "--control", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            env=python_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        with child:
            cause = _read_verdict(ours)
            ours.close()  # which ends the child, should it hang
            _, complaint = child.communicate(timeout=CHECK_BUDGET)
    if cause is not None and not cause.message and complaint:
        return explain_failure("start", 0, complaint.strip(), around=read_circumstances())
    return cause


def _read_verdict(ours: socket.socket) -> Cause | None:
    ours.settimeout(CHECK_BUDGET)
    try:
        received = wire.receive(ours)
    except TimeoutError:
        return Cause(f"building a network took more than {CHECK_BUDGET:.0f} s.", "Try again.")
    return cause_of(received[0]) if received is not None else Cause("", "")


def cause_of(packet: Mapping[str, Any]) -> Cause | None:
    """The cause in the supervisor's first packet; None when that says ``ready``."""
    if packet["event"] == "ready":
        return None
    return explain_failure(
        packet.get("step", ""),
        packet.get("errno", 0),
        packet["message"],
        around=read_circumstances(),
    )


def can_use_namespaces() -> str | None:
    """None when this machine can hold a lab, else the reason and the next step in one text."""
    cause = find_cause()
    return None if cause is None else str(cause)


def check_host_routes() -> None:
    """Refuses a machine that uses the lab's internet for something real.

    Inside its namespaces the lab would not mind; but an address in a report must mean one thing
    only. The VPC's range is not checked: many machines live in 10.0.0.0/8, and its addresses are
    private by definition.

    Raises:
        EnvironmentLacks: with the route that is in the way.
    """
    network = ADDRESSES.internet.network
    overlap = find_overlap(Path("/proc/net/route").read_text(), network=network)
    if overlap is not None:
        raise EnvironmentLacks(
            f"the lab's internet {network} overlaps this machine's route {overlap}",
            hint=f"Remove that route ({network} is reserved for documentation), {_DOCKER}",
        )
