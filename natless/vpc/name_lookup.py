"""Makes every program of the lab ask the lab's resolver, and nobody else.

Name lookup is a matter of files, which this covers with its own in the supervisor's mount
namespace; whatever is started from there sees them too. ``/etc/nsswitch.conf`` is among them, as
``nss-resolve`` and ``mymachines`` answer over Unix sockets of the host, which network namespaces do
not cover; so does nscd, whose directory is covered with an empty one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from natless.vpc import kernel

_NSCD = ("/run/nscd", "/var/run/nscd")


def render_files(resolver: str) -> Mapping[str, str]:
    """The contents of the files that settle name lookup, by their paths."""
    return {
        "/etc/resolv.conf": f"nameserver {resolver}\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }


def cover_name_lookup(*, resolver: str, directory: Path) -> None:
    """Covers the machine's files for this mount namespace. What is not there needs no cover.

    Args:
        resolver: the address of the lab's resolver.
        directory: where the covering files are for a moment. They are removed at once: what is
            mounted lives on without its name, and so nothing can be left behind.

    Raises:
        OSError: there is no ``/etc/resolv.conf`` to cover, or the kernel refused.
    """
    if not Path("/etc/resolv.conf").exists():
        raise FileNotFoundError("/etc/resolv.conf is missing, or is a link to nothing")
    with tempfile.TemporaryDirectory(prefix="vpc-", dir=directory) as name:
        home = Path(name)
        for target, content in render_files(resolver).items():
            source = home / Path(target).name
            source.write_text(content)
            _cover(target, source)
        empty = home / "empty"
        empty.mkdir()
        for target in _NSCD:
            _cover(target, empty)


def _cover(target: str, source: Path) -> None:
    if Path(target).exists():
        kernel.bind(str(source), target)
