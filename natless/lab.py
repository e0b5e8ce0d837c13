"""The lab: relay, VPC and worker, up together and down together."""

from __future__ import annotations

import secrets
import shlex
import socket
import string
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from natless.certificates import Authority, aws_names
from natless.deployed import deploy
from natless.journal import Journal
from natless.lambda_host.host import FunctionSpec, LambdaHost
from natless.progress import Progress
from natless.relay_process import RelayReady, start_relay
from natless.runtimes import Code, find_code
from natless.settings import Settings
from natless.shim_archive import shim_archive
from natless.vpc.model import Role, Topology
from natless.vpc.netns import NetnsVpc, VpcProcess
from natless.vpc.probes import ProbeResult
from natless.worker import LocalFunction, Worker, WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

APP = "natless"
STAGE = "dev"
NAMESPACE = "sst"


@dataclass(frozen=True, slots=True)
class VpcLauncher:
    """Starts execution environments inside the VPC, for the ``lambda_host``."""

    vpc: NetnsVpc

    async def listen(self) -> socket.socket:
        """A listening socket on the loopback of the function's namespace."""
        return await self.vpc.listen(Role.FUNCTION)

    async def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """A process in the function's namespace."""
        return await self.vpc.run(Role.FUNCTION, argv, environment=environment, directory=directory)


@dataclass(frozen=True, slots=True)
class Lab:
    """Everything that is up. Made by :func:`open_lab`."""

    settings: Settings
    relay: RelayReady
    vpc: NetnsVpc
    journal: Journal
    deployed: Code

    async def show(self, topology: Topology) -> tuple[ProbeResult, ...]:
        """Applies a topology and proves its promise by probes.

        Raises:
            PromiseBroken: the network does not fail as promised.
        """
        return await self.vpc.verify(topology)

    def function(self, *, environments: int) -> LambdaHost:
        """The function, hosting the shim, in up to so many execution environments at once."""
        function = self.settings.function
        spec = FunctionSpec(
            name=function.name,
            handler=function.handler,
            task_root=self.deployed.folder,
            bootstrap=(sys.executable, "-I", str(shim_archive())),
            timeout=function.timeout,
            memory=function.memory,
            region=self.settings.region,
            environment=dict(function.environment)
            | {
                "NATLESS_REALTIME": self.relay.realtime_host,
                "NATLESS_HTTP": self.relay.http_host,
                "NATLESS_API_KEY": self.relay.api_key,
                "NATLESS_CA": str(self.relay.ca),
                "NATLESS_APP": APP,
                "NATLESS_STAGE": STAGE,
                "NATLESS_NAMESPACE": NAMESPACE,
                "NATLESS_FUNCTION_ID": function.name,
                "NATLESS_FALLBACKS": ",".join(function.fallbacks),
                "NATLESS_DEPLOYED_COMMAND": shlex.join(
                    self.deployed.runtime.command(self.deployed.folder)
                ),
            },
        )
        return LambdaHost(
            spec,
            launcher=VpcLauncher(self.vpc),
            journal=self.journal,
            concurrency=environments,
        )


@asynccontextmanager
async def open_lab(
    settings: Settings, *, journal: Journal, progress: Progress, directory: Path
) -> AsyncIterator[Lab]:
    """Brings relay, VPC and worker up, and down again when the block ends.

    Args:
        settings: what to build.
        journal: takes every fact.
        progress: is told what is being done.
        directory: a folder of this run for certificates, sockets and the deployed code; its path
            must be short, as a Unix socket's path has at most 107 bytes.

    Raises:
        UsageError: the function's folder or handler is not there.
        EnvironmentLacks: this machine has no namespaces to offer.
        ComponentFailed: a part did not come up.
    """
    function = settings.function
    code = find_code(
        function.folder,
        function.handler,
        runtime=function.runtime,
        interpreter=function.interpreter,
    )
    authority = Authority.for_user()
    served = authority.issue(
        [*aws_names(settings.region), "localhost", "127.0.0.1", "198.51.100.10"],
        directory=directory,
    )
    label = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(26))
    async with AsyncExitStack() as stack:
        with progress.step("network: namespaces, router, resolver, endpoint"):
            vpc = await stack.enter_async_context(
                NetnsVpc.open(
                    label=label,
                    region=settings.region,
                    certificate=served,
                    ca=authority.ca_path,
                    journal=journal,
                    directory=directory,
                )
            )
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
                    listening=[vpc.relay_socket],
                    journal=journal,
                )
            )
        with progress.step("worker: your handler, outside the VPC"):
            await stack.enter_async_context(
                Worker(
                    WorkerConfig(
                        url=f"wss://localhost:{relay.port}/event/realtime",
                        host=relay.http_host,
                        api_key=relay.api_key,
                        ca=relay.ca,
                        app=APP,
                        stage=STAGE,
                        namespace=NAMESPACE,
                        functions={function.name: LocalFunction(code, memory=function.memory)},
                    ),
                    journal,
                )
            )
        yield Lab(settings, relay, vpc, journal, deploy(code, directory / "task"))
