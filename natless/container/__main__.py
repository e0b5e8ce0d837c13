"""The command of a container: takes its place in the lab."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path

from natless.container.shared import Identity, SharedFolder
from natless.errors import NatlessError
from natless.vpc.docker_seats import Seat
from natless.vpc.servants import listen_on

_TLS_PORT = "443"


def main() -> int:
    """Runs one part until it is ended; what went wrong becomes one message and a code."""
    parser = argparse.ArgumentParser(prog="natless.container", description=__doc__)
    parser.add_argument("part", choices=[*Seat, "control", "relay", "worker"])
    parser.add_argument("--copy", nargs=2, metavar=("FROM", "TO"), help="before anything else")
    parser.add_argument("--once", action="store_true", help="an agent ends with who asks it")
    options = parser.parse_args()
    shared = SharedFolder.here()
    try:
        if options.copy:
            _copy(*map(Path, options.copy))
        _run(options.part, shared, is_for_one=options.once)
    except NatlessError as error:
        print(f"natless: {error}", file=sys.stderr)
        if error.hint:
            print(f"   next: {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        pass
    return 0


def _run(part: str, shared: SharedFolder, *, is_for_one: bool) -> None:
    if part == "control":
        from natless.container.control import run_control  # each part loads what it needs

        asyncio.run(run_control(shared))
    elif part == "worker":
        from natless.container.worker import run_worker

        asyncio.run(run_worker(shared))
    elif part == "relay":
        _become_relay(shared, shared.wait_identity())
    else:
        _run_agent(Seat(part), shared, is_for_one=is_for_one)


def _run_agent(seat: Seat, shared: SharedFolder, *, is_for_one: bool) -> None:
    from natless.container.agent import Agent
    from natless.container.duties import duties_of

    if seat is Seat.ENDPOINT and not shared.certificate.exists():
        shared.wait_identity()
    duties = duties_of(seat, certificate=shared.certificate, key=shared.key)
    Agent(seat, duties, switchboard=shared.switchboard, is_for_one=is_for_one).run()


def _become_relay(shared: SharedFolder, identity: Identity) -> None:
    argv = [sys.executable, "-P", "-m", "relay", "--host", "0.0.0.0", "--port", _TLS_PORT]
    argv += ["--certificate", str(shared.certificate), "--key", str(shared.key)]
    argv += ["--ca", str(shared.ca), "--label", identity.label, "--region", identity.region]
    argv += ["--api-key", identity.api_key, "--namespace", identity.namespace]
    with contextlib.suppress(OSError):  # no IPv6 here: two topologies will say so
        other = listen_on("::", int(_TLS_PORT))
        other.set_inheritable(True)
        argv += ["--listen-fd", str(other.detach())]
    os.execv(sys.executable, argv)


def _copy(source: Path, target: Path) -> None:
    """The code as it is now: what was deployed stays what it was while the developer goes on."""
    ignored = shutil.ignore_patterns("__pycache__", ".*", "node_modules")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
