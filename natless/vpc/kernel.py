"""The system calls that Python 3.11 does not offer: namespaces, mounts, and how a process ends."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x2, 0x4, 0x8
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21
_FILE_CAPABILITIES = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 10))
"""chown, dac_override, dac_read_search, fowner, fsetid, kill, setgid, setuid, net_bind_service."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(flags: int) -> None:
    """Leaves the namespaces named by ``flags`` for new ones, as in the manual page of unshare.

    Raises:
        OSError: with the kernel's errno.
    """
    _check(_libc.unshare(flags))


def enter(namespace: int, *, flags: int) -> None:
    """Enters the namespace behind an open descriptor; see setns(2).

    Raises:
        OSError: with the kernel's errno.
    """
    _check(_libc.setns(namespace, flags))


def new_network() -> int:
    """Enters a new, empty network namespace and returns a descriptor that keeps it alive."""
    unshare(CLONE_NEWNET)
    return current_network()


def current_network() -> int:
    """A descriptor of the network namespace that this thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def map_user(*, uid: int, gid: int) -> None:
    """Makes ``uid`` and ``gid`` of the outside the root of the user namespace just entered."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def make_mounts_private() -> None:
    """Keeps all later mounts to this mount namespace."""
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))


def mount_proc() -> None:
    """Mounts a /proc that shows this process namespace only.

    Raises:
        OSError: EPERM where the outer /proc is covered in part, as in most containers.
    """
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _check(_libc.mount(b"proc", b"/proc", b"proc", flags, None))


def bind(source: str, target: str) -> None:
    """Covers ``target``, or what it links to, with ``source``."""
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None))


def die_with_parent() -> None:
    """Ends this process by SIGKILL when the thread that started it ends.

    It must be called again after a fork, and after anything that changes credentials: both clear
    it (prctl(2)).
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def give_up_powers() -> None:
    """Leaves what is executed next without a way to change networks or mounts, even as root.

    What a program needs to read and write files and to bind ports below 1024 stays.
    """
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        if capability not in _FILE_CAPABILITIES:
            _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def can_administer() -> bool:
    """Whether this process may make namespaces without a user namespace around them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return bool(held >> _CAP_SYS_ADMIN & 1 and held >> _CAP_NET_ADMIN & 1)
    return False
