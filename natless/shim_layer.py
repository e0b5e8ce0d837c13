"""Builds the Lambda layer that puts the guest into a function without a change of its code.

::

    /opt/natless/natless-shim.pyz    the guest
    /opt/natless/wrapper             AWS_LAMBDA_EXEC_WRAPPER of a managed runtime
    /opt/bootstrap                   of an OS-only runtime, which knows no wrapper

Both scripts need a Python of 3.11 or newer in the container, and nothing else: no other program is
called, for the images have few. Without one, or without a channel configured, they start what they
would have replaced: a layer must not be what breaks a function. Everything is Python and shell, so
one layer serves x86-64 and arm64.

A wrapper is given the interpreter and all its arguments: AWS Lambda developer guide, "Modifying the
runtime environment". Where a bootstrap is looked for: "Building a custom runtime".
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from natless.errors import ComponentFailed
from natless.shim_archive import EPOCH, NAME, shim_archive, write_atomically

LAYER_NAME = "natless-layer.zip"
WRAPPER = "natless/wrapper"
BOOTSTRAP = "bootstrap"

_FUNCTIONS = r"""
say() {
    echo "natless-shim: $1" >&2
}

# Sets $python to the first candidate that is Python 3.11 or newer; fails if none is.
find_python() {
    for python in "${NATLESS_PYTHON:-}" "$@" python3 /var/lang/bin/python3 \
        /opt/bin/python3 /opt/python/bin/python3; do
        [ -n "$python" ] || continue
        "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return 0
    done
    return 1
}

# Sets $quoted to one word of a command line, whatever is in it.
quote() {
    q="'"
    rest=$1
    quoted=$q
    while :; do
        case $rest in
            *"$q"*) quoted="$quoted${rest%%"$q"*}'\\''" rest=${rest#*"$q"} ;;
            *) break ;;
        esac
    done
    quoted="$quoted$rest$q"
}
"""

_WRAPPER = rf"""#!/bin/sh
# AWS_LAMBDA_EXEC_WRAPPER=/opt/natless/wrapper
# Lambda hands its own command line to this script. The guest takes its place, and starts it when
# the code in the container is to answer.
{_FUNCTIONS}
if [ -z "${{NATLESS_REALTIME:-}}" ]; then
    say "NATLESS_REALTIME is not set: the function runs as it is deployed"
    exec "$@"
fi
interpreter=
case ${{1##*/}} in
    python*) interpreter=$1 ;;
esac
if ! find_python "$interpreter"; then
    say "no Python 3.11 or newer here: the function runs as it is deployed"
    exec "$@"
fi
command=
for word in "$@"; do
    quote "$word"
    command="$command$quoted "
done
NATLESS_DEPLOYED_COMMAND=$command
export NATLESS_DEPLOYED_COMMAND
exec "$python" -I "${{0%/*}}/{NAME}"
"""

_BOOTSTRAP = rf"""#!/bin/sh
# The bootstrap of an OS-only runtime, from a layer. Lambda prefers the function's own: rename that
# to bootstrap.deployed, or name another command in NATLESS_DEPLOYED_COMMAND.
{_FUNCTIONS}
own=${{LAMBDA_TASK_ROOT:-/var/task}}/bootstrap.deployed
problem=
if [ -z "${{NATLESS_REALTIME:-}}" ]; then
    problem="NATLESS_REALTIME is not set"
elif ! find_python; then
    problem="no Python 3.11 or newer here"
fi
if [ -n "$problem" ]; then
    if [ -x "$own" ]; then
        say "$problem: the function runs as it is deployed"
        exec "$own"
    fi
    say "$problem, and $own cannot be started either"
    exit 1
fi
if [ -z "${{NATLESS_DEPLOYED_COMMAND:-}}" ] && [ -x "$own" ]; then
    quote "$own"
    NATLESS_DEPLOYED_COMMAND=$quoted
    export NATLESS_DEPLOYED_COMMAND
fi
exec "$python" -I "${{0%/*}}/natless/{NAME}"
"""


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A file that was written.

    Attributes:
        path: where.
        size_bytes: how large.
        sha256: its digest, 64 hexadecimal digits.
    """

    path: Path
    size_bytes: int
    sha256: str


def build_shim(directory: Path) -> tuple[BuiltFile, BuiltFile]:
    """Writes the guest and the layer into a directory, which is made when it is not there.

    Equal sources and an equal interpreter give equal bytes. The guest holds bytecode for that
    interpreter: any other from 3.11 on runs it as well and starts more slowly.

    Raises:
        ComponentFailed: the directory cannot be written.
    """
    archive = shim_archive().read_bytes()
    return (
        _write(directory / NAME, archive),
        _write(directory / LAYER_NAME, layer(archive)),
    )


def layer(archive: bytes) -> bytes:
    """The layer around a guest, as the bytes of a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        _add(file, BOOTSTRAP, _BOOTSTRAP.encode(), mode=0o755)
        _add(file, f"natless/{NAME}", archive, mode=0o644)
        _add(file, WRAPPER, _WRAPPER.encode(), mode=0o755)
    return buffer.getvalue()


def _add(file: zipfile.ZipFile, name: str, content: bytes, *, mode: int) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix: without it the mode below means nothing to who unpacks
    entry.external_attr = (0o100000 | mode) << 16
    file.writestr(entry, content)  # stored: the guest is a zip file already


def _write(path: Path, content: bytes) -> BuiltFile:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ComponentFailed(
            f"cannot write {path}: {error.strerror}",
            hint="name a directory that you may write to with --out",
        ) from error
    return BuiltFile(path, len(content), hashlib.sha256(content).hexdigest())
