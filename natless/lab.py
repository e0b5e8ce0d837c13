"""The lab: relay, VPC and worker, up together and down together."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import shlex
import shutil
import socket
import string
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from natless.certificates import Authority, CertificatePair, aws_names
from natless.deployed import deploy, locate
from natless.errors import ComponentFailed, UsageError
from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, InvokeResult, LambdaHost
from natless.lambda_host.output import Redactor
from natless.measure.function_error import MESSAGE_LENGTH, blot
from natless.measure.recorder import CallerResult
from natless.progress import Progress, Step
from natless.relay_process import RelayReady, start_relay
from natless.runtimes import Code, Family
from natless.settings import FunctionSettings, Settings
from natless.shim_archive import shim_archive
from natless.vpc.backend import LabVpc, Network, choose_network, open_vpc
from natless.vpc.judgement import ProbeResult
from natless.vpc.launch import as_os_error
from natless.vpc.model import ADDRESSES, Role, Topology
from natless.vpc.process import VpcProcess
from natless.worker import LocalFunction, Worker, WorkerConfig

APP = "natless"
STAGE = "dev"
NAMESPACE = "sst"

_KEPT_CALLS = 1000  # whose last line is kept

_BUILDING: Mapping[Network, str] = {
    "netns": "network: namespaces, router, resolver, endpoint",
    "docker": "network: containers for router, resolver, endpoint and function",
}


@dataclass(frozen=True, slots=True)
class VpcLauncher:
    """Starts execution environments inside the VPC, for the ``lambda_host``."""

    vpc: LabVpc

    async def listen(self) -> socket.socket:
        """A listening socket on the loopback of the function's network."""
        return await self.vpc.listen(Role.FUNCTION)

    async def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
    ) -> VpcProcess:
        """A process in the function's network.

        Raises:
            OSError: there is no such program or folder.
            ComponentFailed: the lab is broken.
        """
        try:
            return await self.vpc.run(
                Role.FUNCTION, argv, environment=environment, directory=directory
            )
        except ComponentFailed as error:
            if (plain := as_os_error(str(error))) is None:
                raise
            raise plain from error


@dataclass(frozen=True, slots=True)
class Lab:
    """Everything that is up. Made by :func:`open_lab`.

    Attributes:
        settings: what it was made from.
        network: what its network is made of.
        relay: the channel.
        vpc: the network.
        journal: takes every fact.
        deployed: the code as it was deployed.
        guest: the shim's archive, where the function can read it.
        last_words: the last line of the function's log, by request id.
    """

    settings: Settings
    network: Network
    relay: RelayReady
    vpc: LabVpc
    journal: Journal
    deployed: Code
    guest: Path
    last_words: OrderedDict[str, str] = field(default_factory=OrderedDict)

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
            bootstrap=(sys.executable, "-I", str(self.guest)),
            timeout=function.timeout,
            memory=function.memory,
            region=self.settings.region,
            extensions=function.extensions,
            freeze=function.freeze,
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
                "NATLESS_DEPLOYED_COMMAND": self._deployed_command(),
            },
        )
        return LambdaHost(
            spec,
            launcher=VpcLauncher(self.vpc),
            journal=self.journal,
            concurrency=environments,
        )

    def judge(self, result: InvokeResult) -> CallerResult:
        """What a caller got, with the developer's own lines of an error, without secrets.

        Of a call that got no answer, the last line of the function's log has its reason; it is
        there once the function has settled.

        Raises:
            ComponentFailed: the call was refused, which no call of a lab is.
        """
        if result.status != 200:
            raise ComponentFailed(
                f"an invocation was refused with status {result.status}: {result.payload[:200]!r}",
                hint="this is a fault of natless; please report it with the journal",
            )
        judged = CallerResult.from_reply(
            result.request_id,
            result.payload,
            function_error=result.function_error,
            started=result.started,
            finished=result.finished,
            frozen=result.frozen,
            folders=(self.settings.function.folder.resolve(), self.deployed.folder.resolve()),
            mask=Redactor(os.environ | self.settings.function.environment),
        )
        last = self.last_words.pop(result.request_id, "")
        return judged if judged.answered or not last else replace(judged, error_trace=(last,))

    def listen(self, fact: Fact) -> None:
        """Keeps the last line that the function printed during each call, for those that it lost.

        They are in the journal without their secrets.
        """
        if fact.kind == "lambda.log" and (request_id := str(fact.data.get("request_id", ""))):
            self.last_words[request_id] = blot(str(fact.data["line"]))[:MESSAGE_LENGTH]
            if len(self.last_words) > _KEPT_CALLS:
                self.last_words.popitem(last=False)

    def _deployed_command(self) -> str:
        """What runs the deployed code; empty for the guest's own client with its own interpreter.

        The interpreter of this machine is not in the function's container.
        """
        if self.network == "docker" and self.deployed.runtime.family is Family.PYTHON:
            return ""
        return shlex.join(self.deployed.runtime.command(self.deployed.folder))


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who the channel of one run is.

    Attributes:
        label: the label of its Event API.
        region: its region.
        api_key: the key that opens it.
        ca: the certificate of the authority that signs for it.
        served: what its servers show.
    """

    label: str
    region: str
    api_key: str = field(repr=False)
    ca: Path
    served: CertificatePair

    @classmethod
    def make(cls, *, region: str, directory: Path) -> _Identity:
        """A new one, with a certificate of the user's authority.

        Raises:
            EnvironmentLacks: the authority or the certificate cannot be kept.
        """
        authority = Authority.for_user()
        names = [*aws_names(region), "localhost", "127.0.0.1", ADDRESSES.internet.address]
        alphabet = string.ascii_lowercase + string.digits
        return cls(
            label="".join(secrets.choice(alphabet) for _ in range(26)),
            region=region,
            api_key="da2-" + secrets.token_hex(13),
            ca=authority.ca_path,
            served=authority.issue(names, directory=directory),
        )


@asynccontextmanager
async def open_lab(
    settings: Settings,
    *,
    journal: Journal,
    progress: Progress,
    directory: Path,
    network: Network | None = None,
) -> AsyncIterator[Lab]:
    """Brings relay, VPC and worker up, and down again when the block ends.

    Args:
        settings: what to build.
        journal: takes every fact.
        progress: is told what is being done.
        directory: a folder of this run for certificates, sockets and the deployed code; its path
            must be short, as a Unix socket's path has at most 107 bytes.
        network: what to build the VPC of, where that is decided already.

    Raises:
        UsageError: the function's folder or handler is not there, or cannot run there.
        EnvironmentLacks: this machine can hold no lab.
        ComponentFailed: a part did not come up.
    """
    code = locate(settings.function)
    if network is None:
        chosen = await asyncio.to_thread(choose_network, settings.demo.network)
    else:
        chosen = network
    if chosen == "docker" and settings.function.extensions is not None:
        raise UsageError(
            "the function's container does not have the folder function.extensions",
            hint="leave it out, or use --network netns",
        )
    who, guest = _Identity.make(region=settings.region, directory=directory), shim_archive()
    if chosen == "docker":
        who = replace(who, ca=_share(who.ca, directory))
        guest = _share(guest, directory)
    async with AsyncExitStack() as stack:
        with progress.step(_BUILDING[chosen]) as step:
            journal.listen(functools.partial(_tell_of_image, step))
            vpc = await stack.enter_async_context(
                _open_vpc(chosen, who, journal=journal, directory=directory)
            )
        with progress.step("relay: the AppSync Events channel"):
            relay = await stack.enter_async_context(
                _start_relay(
                    who, vpc, journal=journal, subscription_lag=settings.relay.subscription_lag
                )
            )
        with progress.step("worker: your handler, outside the VPC"):
            config = _describe_worker(settings.function, code, relay)
            await stack.enter_async_context(Worker(config, journal))
        deployed = deploy(code, directory / "task")
        if chosen == "docker":
            _prepare_for_container(deployed, progress)
        lab = Lab(settings, chosen, relay, vpc, journal, deployed, guest)
        journal.listen(lab.listen)
        yield lab


def _open_vpc(
    network: Network, who: _Identity, *, journal: Journal, directory: Path
) -> AbstractAsyncContextManager[LabVpc]:
    return open_vpc(
        network,
        label=who.label,
        region=who.region,
        certificate=who.served,
        ca=who.ca,
        journal=journal,
        directory=directory,
    )


def _start_relay(
    who: _Identity, vpc: LabVpc, *, journal: Journal, subscription_lag: float
) -> AbstractAsyncContextManager[RelayReady]:
    return start_relay(
        certificate=who.served.certificate,
        key=who.served.key,
        ca=who.ca,
        api_key=who.api_key,
        label=who.label,
        region=who.region,
        namespaces=[NAMESPACE],
        listening=vpc.relay_sockets,
        journal=journal,
        subscription_lag=subscription_lag,
    )


def _describe_worker(function: FunctionSettings, code: Code, relay: RelayReady) -> WorkerConfig:
    return WorkerConfig(
        url=f"wss://localhost:{relay.port}/event/realtime",
        host=relay.http_host,
        api_key=relay.api_key,
        ca=relay.ca,
        app=APP,
        stage=STAGE,
        namespace=NAMESPACE,
        functions={function.name: LocalFunction(code, memory=function.memory)},
    )


def _tell_of_image(step: Step, fact: Fact) -> None:
    """The first time, and after an update, the step takes long."""
    if fact.kind == "vpc.image.building":
        step.say("building their image, once for this version of natless")


def _share(path: Path, directory: Path) -> Path:
    """A copy that everybody may read: the function's container has a user of its own."""
    copy = directory / path.name
    shutil.copyfile(path, copy)
    copy.chmod(0o644)
    return copy


def _prepare_for_container(deployed: Code, progress: Progress) -> None:
    """Makes the deployed code readable there, and says what cannot run there.

    In the container it is read by a user of its own, as on Lambda: there, too, code that not
    everybody may read cannot be run.
    """
    if deployed.runtime.family is Family.NODE:
        progress.warn(
            "the function's container has no Node.js: where the channel fails, the fallback after"
            " 'deployed' answers"
        )
    for path in (deployed.folder, *deployed.folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
