"""The development loop: relay, workers and functions, up together and down together.

::

    Invoke API, URL ─▶ LambdaHost ─▶ shim ──TLS──▶ relay ◀──TLS── worker ─▶ your handler, reloaded
                       └ this machine's network, or a VPC of namespaces ┘

One worker answers for all functions; each introduces itself by its name.
"""

from __future__ import annotations

import secrets
import shlex
import socket
import string
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from natless.certificates import Authority, CertificatePair, aws_names
from natless.deployed import deploy, locate
from natless.dev_network import DevNetwork
from natless.errors import UsageError
from natless.function_place import find_handler
from natless.journal import Journal
from natless.lab import VpcLauncher
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.destinations import EventConfig
from natless.lambda_host.door import listen_on_loopback, open_door
from natless.lambda_host.function_url import make_function_url
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost, Launcher
from natless.lambda_host.invoke_api import make_invoke_api
from natless.lambda_host.service import EventBudgets, LambdaService
from natless.progress import Progress
from natless.relay_process import RelayReady, start_relay
from natless.runtimes import Code
from natless.settings import FunctionSettings, Settings
from natless.shim_archive import shim_archive
from natless.topology_door import add_topology_routes
from natless.vpc.netns import NetnsVpc
from natless.vpc.topologies import find
from natless.worker import LocalFunction, Worker, WorkerConfig

APP = "natless"
STAGE = "dev"
NAMESPACE = "sst"


@dataclass(frozen=True, slots=True)
class DevFunction:
    """One function that can be called.

    Attributes:
        name: its name.
        arn: its ARN.
        url: where any HTTP client calls it.
        code: its handler, to be edited.
        topology: the network it is in; empty for this machine's own.
        debug_port: where debuggers attach; 0 where none can.
    """

    name: str
    arn: str
    url: str
    code: Code
    topology: str
    debug_port: int = 0

    def describe(self) -> dict[str, str | int | None]:
        """What a program needs to know, as JSON."""
        return {
            "name": self.name,
            "arn": self.arn,
            "url": self.url,
            "handler": self.code.handler,
            "runtime": self.code.runtime.name,
            "topology": self.topology or None,
            **({"debug": self.debug_port} if self.debug_port else {}),
        }


@dataclass(frozen=True, slots=True)
class Dev:
    """A loop that is up. Made by :func:`open_dev`.

    Attributes:
        invoke: the endpoint of the Invoke API, without a slash at its end.
        functions: the functions, at least one.
        topology: the network they run in; empty for this machine's own.
        service: what calls them.
    """

    invoke: str
    functions: tuple[DevFunction, ...]
    topology: str
    service: LambdaService

    def describe(self) -> dict[str, Any]:
        """What a program needs to know, as JSON."""
        return {
            "event": "ready",
            "invoke": self.invoke,
            "url": self.functions[0].url,
            "functions": [each.describe() for each in self.functions],
            "topology": self.topology or None,
        }


@dataclass(frozen=True, slots=True)
class _Ground:
    """What functions stand on.

    Attributes:
        relay: the channel.
        launchers: what starts their processes, by the network they are in; that of this machine
            has no name.
        network: all that are not this machine's, to be changed.
    """

    relay: RelayReady
    launchers: Mapping[str, Launcher]
    network: DevNetwork

    def hosts(self, topology: str) -> tuple[str, str]:
        """The channel's realtime and HTTP host, as a function in a network reaches them."""
        here = f"localhost:{self.relay.port}"
        return (self.relay.realtime_host, self.relay.http_host) if topology else (here, here)


@asynccontextmanager
async def open_dev(
    settings: Settings, *, journal: Journal, progress: Progress, directory: Path
) -> AsyncIterator[Dev]:
    """Brings the loop up, and down again when the block ends.

    Args:
        settings: the functions and ``[dev]``.
        journal: takes every fact; those of a worker name its function.
        progress: is told what is being done.
        directory: a folder of this run for certificates, sockets and the deployed code; its path
            must be short, as a Unix socket's path has at most 107 bytes.

    Raises:
        UsageError: a folder or a handler is not there, a port is taken, no such topology.
        EnvironmentLacks: this machine has no namespaces to offer.
        ComponentFailed: a part did not come up.
    """
    functions = tuple(find_handler(each) for each in settings.registry())
    codes = {each.name: locate(each) for each in functions}
    debugged = find_debugged(settings, codes)
    async with AsyncExitStack() as stack:
        doors = [stack.enter_context(sock) for sock in _listen(settings.dev.port, functions)]
        ground = await _open_ground(
            settings, stack, journal=journal, progress=progress, directory=directory
        )
        with progress.step(f"worker: {_list_handlers(codes)}"):
            worker = _make_worker(settings, codes, ground.relay, debugged=debugged, journal=journal)
            await stack.enter_async_context(worker)
        hosts = []
        for number, function in enumerate(functions):
            code = deploy(codes[function.name], directory / f"task-{number}")
            reserved = function.reserved_concurrency
            host = LambdaHost(
                _specify(function, ground, code=code, settings=settings),
                launcher=ground.launchers[find_topology(function, settings)],
                journal=journal,
                concurrency=settings.dev.environments if reserved is None else reserved,
                budgets=HostBudgets(idle=settings.dev.idle or None),
                is_debugged=partial(worker.is_debugged, function.name)
                if function.name in debugged
                else None,
            )
            hosts.append(await stack.enter_async_context(host))
            if find_topology(function, settings):
                ground.network.add_host(host)
        service = await stack.enter_async_context(
            LambdaService(
                hosts,
                journal=journal,
                budgets=EventBudgets(retries=tuple(settings.dev.retries)),
                configs={each.name: _configure_events(each) for each in functions},
            )
        )
        for door, function in zip(doors[1:], functions, strict=True):
            app = make_function_url(service, function.name, hosts=settings.dev.hosts)
            port = await stack.enter_async_context(open_door(app, door))
            service.urls[function.name] = f"http://127.0.0.1:{port}/"
        app = make_invoke_api(service)
        add_topology_routes(app, ground.network)
        port = await stack.enter_async_context(open_door(app, doors[0]))
        yield Dev(
            invoke=f"http://127.0.0.1:{port}",
            functions=tuple(
                DevFunction(
                    name=host.spec.name,
                    arn=host.spec.arn,
                    url=service.urls[host.spec.name],
                    code=codes[host.spec.name],
                    debug_port=worker.debug_ports.get(host.spec.name, 0),
                    topology=find_topology(function, settings),
                )
                for host, function in zip(hosts, functions, strict=True)
            ),
            topology=settings.dev.topology,
            service=service,
        )


def find_topology(function: FunctionSettings, settings: Settings) -> str:
    """The network that a function is in; empty for this machine's own."""
    return settings.dev.topology if function.topology is None else function.topology


def _configure_events(function: FunctionSettings) -> EventConfig:
    return EventConfig(
        on_success=function.on_success,
        on_failure=function.on_failure,
        retries=function.retry_attempts,
        event_age=function.event_age,
    )


def find_debugged(settings: Settings, codes: Mapping[str, Code]) -> frozenset[str]:
    """The names of the functions that debuggers may attach to.

    Raises:
        UsageError: a function is to be debugged, and its runtime has no debugger of ours.
        EnvironmentLacks: what its debugger needs is missing.
    """
    found = set()
    for function in settings.registry():
        runtime = codes[function.name].runtime
        if function.debug and not runtime.debugger:
            raise UsageError(
                f"{function.name}: a bootstrap cannot be debugged from here",
                hint="leave debug out, and let the bootstrap start its own debugger",
            )
        if runtime.debugger and (function.debug or settings.dev.debug):
            runtime.check_debugger()
            found.add(function.name)
    return frozenset(found)


def _list_handlers(codes: Mapping[str, Code]) -> str:
    names = [f"{name}, {code.handler}" for name, code in codes.items()]
    return "; ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _listen(port: int, functions: tuple[FunctionSettings, ...]) -> list[socket.socket]:
    """A door for the Invoke API and one for each URL, taken before anything is started."""
    doors: list[socket.socket] = []
    purposes = ["the Invoke API", *(f"the URL of {each.name}" for each in functions)]
    try:
        for number, purpose in enumerate(purposes):
            doors.append(listen_on_loopback(port and port + number, purpose=purpose))
    except BaseException:
        for door in doors:
            door.close()
        raise
    return doors


async def _open_ground(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    journal: Journal,
    progress: Progress,
    directory: Path,
) -> _Ground:
    authority = Authority.for_user()
    names = [*aws_names(settings.region), "localhost", "127.0.0.1", "198.51.100.10"]
    served = authority.issue(names, directory=directory)
    label = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(26))
    launchers: dict[str, Launcher] = {"": HostLauncher()}
    listening: list[socket.socket] = []
    names_of_networks = {find_topology(each, settings) for each in settings.registry()} - {""}
    network = _make_network(settings.dev.topology, names_of_networks, journal=journal)
    for number, name in enumerate(sorted(names_of_networks)):
        # each has a folder of its own for its sockets
        (place := directory / f"n{number}").mkdir()
        vpc = await _open_network(
            name,
            settings,
            stack,
            label=label,
            certificate=served,
            ca=authority.ca_path,
            journal=journal,
            progress=progress,
            directory=place,
        )
        launchers[name] = VpcLauncher(vpc)
        network.add_vpc(vpc)
        listening.extend(vpc.relay_sockets)
    with progress.step("relay: the AppSync Events channel"):
        relay = await stack.enter_async_context(
            start_relay(
                certificate=served.certificate,
                key=served.key,
                ca=authority.ca_path,
                api_key="da2-" + secrets.token_hex(13),
                label=label,
                region=settings.region,
                namespaces=[NAMESPACE],
                listening=listening,
                journal=journal,
                subscription_lag=settings.relay.subscription_lag,
            )
        )
    return _Ground(relay, launchers, network)


def _make_network(default: str, names: Collection[str], *, journal: Journal) -> DevNetwork:
    """What is changed by ``natless topology set``; nothing at first."""
    first = default if default in names else min(names, default="")
    return DevNetwork(topology=find(first) if first else None, journal=journal)


async def _open_network(
    name: str,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    label: str,
    certificate: CertificatePair,
    ca: Path,
    journal: Journal,
    progress: Progress,
    directory: Path,
) -> NetnsVpc:
    """The VPC with its topology."""
    topology = find(name)
    with progress.step(f"network: {topology.name}, {topology.title}"):
        vpc = await stack.enter_async_context(
            NetnsVpc.open(
                label=label,
                region=settings.region,
                certificate=certificate,
                ca=ca,
                journal=journal,
                directory=directory,
            )
        )
        await vpc.apply(topology)
    return vpc


def _make_worker(
    settings: Settings,
    codes: Mapping[str, Code],
    relay: RelayReady,
    *,
    debugged: frozenset[str],
    journal: Journal,
) -> Worker:
    config = WorkerConfig(
        url=f"wss://localhost:{relay.port}/event/realtime",
        host=relay.http_host,
        api_key=relay.api_key,
        ca=relay.ca,
        app=APP,
        stage=STAGE,
        namespace=NAMESPACE,
        functions={
            each.name: LocalFunction(
                codes[each.name], memory=each.memory, debug=each.name in debugged
            )
            for each in settings.registry()
        },
        max_reserves=settings.dev.reserves,
    )
    return Worker(config, journal)


def _specify(
    function: FunctionSettings, ground: _Ground, *, code: Code, settings: Settings
) -> FunctionSpec:
    """The function as it is deployed: the guest is its runtime."""
    realtime, http = ground.hosts(find_topology(function, settings))
    return FunctionSpec(
        name=function.name,
        handler=code.handler,
        task_root=code.folder,
        bootstrap=(sys.executable, "-I", str(shim_archive())),
        timeout=function.timeout,
        memory=function.memory,
        region=settings.region,
        extensions=function.extensions,
        freeze=function.freeze,
        streams_url=function.url_mode == "RESPONSE_STREAM",
        aliases=tuple(function.aliases),
        environment=dict(function.environment)
        | {
            "NATLESS_REALTIME": realtime,
            "NATLESS_HTTP": http,
            "NATLESS_API_KEY": ground.relay.api_key,
            "NATLESS_CA": str(ground.relay.ca),
            "NATLESS_APP": APP,
            "NATLESS_STAGE": STAGE,
            "NATLESS_NAMESPACE": NAMESPACE,
            "NATLESS_FUNCTION_ID": function.name,
            "NATLESS_FALLBACKS": ",".join(function.fallbacks),
            "NATLESS_DEPLOYED_COMMAND": shlex.join(code.runtime.command(code.folder)),
        },
    )
