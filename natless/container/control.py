"""The control part: makes the lab's identity, waits for the agents, hosts the function, listens.

It is the only part that decides anything. It has no power over networks: the router's and the
owners' agents do what it asks for, over sockets in the folder that the containers share.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import string
import time
from pathlib import Path

from aiohttp import web

from natless.certificates import Authority, aws_names
from natless.container.control_http import make_app
from natless.container.dev_loop import DevLoop
from natless.container.first_screen import render_first_screen
from natless.container.narrator import Narrator
from natless.container.shared import Identity, SharedFolder, mark_lost, mark_ready
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec
from natless.vpc.docker_seats import Seat
from natless.vpc.docker_switchboard import Switchboard, record_into
from natless.vpc.docker_vpc import DockerVpc
from natless.vpc.model import ADDRESSES, Api
from natless.vpc.topologies import find

PORT = 9400
"""Where the control port listens in its container."""

REPORT_BUDGET = 30.0
"""Seconds until every agent must have reported; it takes about one."""

WORKER_BUDGET = 15.0
"""Seconds until the first call may be made though the worker has not subscribed."""

WATCH_INTERVAL = 1.0
"""Seconds between two looks at whether every agent is still there."""

_PAUSE = 0.02
_ARCHIVES = Path("/opt/natless")
_BOOTSTRAP = "/usr/local/bin/python3 -I /opt/natless/natless-shim.pyz"
_TASK_ROOT = Path("/var/task")
_LAB_USER, _ROOT, _SANDBOX = 10001, 0, 1000
_USERS = {
    Seat.ROUTER: frozenset({_ROOT}),
    Seat.FUNCTION_NET: frozenset({_ROOT}),
    Seat.INTERNET_NET: frozenset({_ROOT}),
    Seat.RESOLVER: frozenset({_LAB_USER}),
    Seat.ENDPOINT: frozenset({_LAB_USER}),
    Seat.PROXY: frozenset({_LAB_USER}),
    Seat.FUNCTION: frozenset({_SANDBOX}),
}


async def run_control(shared: SharedFolder) -> None:
    """Serves until SIGTERM.

    Raises:
        ComponentFailed: an agent did not report.
        UsageError: the topology that was asked for does not exist.
    """
    started = time.monotonic()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    topology = find(os.environ.get("NATLESS_TOPOLOGY") or "nat")
    identity = prepare(shared)
    journal = Journal()
    taking = Switchboard.open(shared.switchboard, on_fact=record_into(journal), users=_USERS)
    async with taking as switchboard:
        await switchboard.wait_for(Seat, budget=REPORT_BUDGET)
        api = Api(label=identity.label, region=identity.region)
        vpc = DockerVpc(switchboard, api=api, ca=shared.ca, journal=journal)
        spec = describe_function(identity, shared, api=api)
        async with DevLoop(vpc, spec, topology=topology, journal=journal) as loop:
            journal.listen(Narrator(loop).take)
            runner = web.AppRunner(make_app(loop), access_log=None)
            await runner.setup()
            if not await _wait_worker(shared):
                print("your code does not answer yet: docker compose logs worker", flush=True)
            await web.TCPSite(runner, "0.0.0.0", PORT).start()
            seconds = time.monotonic() - started
            published = os.environ.get("NATLESS_PORT") or str(PORT)
            print(
                render_first_screen(topology, function=identity.function, port=published),
                f"\nup after {seconds:.1f} s",
                flush=True,
            )
            await _watch_over(switchboard, ended)
            await runner.cleanup()
        vpc.close()


async def _watch_over(switchboard: Switchboard, ended: asyncio.Event) -> None:
    """Until the end: our health is that of all agents."""
    while not ended.is_set():
        if switchboard.missing(Seat):
            mark_lost()
        else:
            mark_ready()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_INTERVAL):
                await ended.wait()


async def _wait_worker(shared: SharedFolder) -> bool:
    """Nobody's first call should find that the developer's side is still starting."""
    give_up = time.monotonic() + WORKER_BUDGET
    while not shared.has_worker():
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(_PAUSE)
    return True


def prepare(shared: SharedFolder) -> Identity:
    """Fills the shared folder: an authority for this lab alone, a certificate, the identity."""
    shared.make()
    region = os.environ.get("NATLESS_REGION") or "us-east-1"
    authority = Authority.for_user(shared.path / "authority")
    names = [*aws_names(region), "localhost", "relay", ADDRESSES.internet.address]
    authority.issue(names, directory=shared.path)
    shared.ca.write_bytes(authority.ca_path.read_bytes())
    shared.archives.mkdir(exist_ok=True)
    for archive in _ARCHIVES.glob("*.pyz"):
        shutil.copy(archive, shared.archives)
    alphabet = string.ascii_lowercase + string.digits
    identity = Identity(
        label="".join(secrets.choice(alphabet) for _ in range(26)),
        region=region,
        api_key="da2-" + secrets.token_hex(13),
        handler=os.environ.get("NATLESS_HANDLER") or "handler.handler",
        function=os.environ.get("NATLESS_FUNCTION") or "hello",
    )
    shared.write_identity(identity)
    return identity


def describe_function(identity: Identity, shared: SharedFolder, *, api: Api) -> FunctionSpec:
    """The function with the guest in the place of its runtime."""
    return FunctionSpec(
        name=identity.function,
        handler=identity.handler,
        task_root=_TASK_ROOT,
        bootstrap=tuple(shlex.split(os.environ.get("NATLESS_BOOTSTRAP") or _BOOTSTRAP)),
        timeout=float(os.environ.get("NATLESS_TIMEOUT") or 20),
        region=identity.region,
        environment={
            "NATLESS_REALTIME": api.realtime_host,
            "NATLESS_HTTP": api.http_host,
            "NATLESS_API_KEY": identity.api_key,
            "NATLESS_CA": str(shared.ca),
            "NATLESS_APP": identity.app,
            "NATLESS_STAGE": identity.stage,
            "NATLESS_NAMESPACE": identity.namespace,
            "NATLESS_FUNCTION_ID": identity.function,
            "NATLESS_FALLBACKS": os.environ.get("NATLESS_FALLBACKS") or "deployed,http,error",
            "AWS_LAMBDA_EXEC_WRAPPER": "/opt/natless/wrapper",
            # What only a sandbox of ours has to be told: it may write nowhere else.
            "HOME": "/tmp",
        },
    )
