"""Where unmodified clients meet the relay.

    function namespace                      internet namespace            host
    client ── resolver 10.0.0.2 ── router ── 198.51.100.10:443 ──────── relay (inherits the socket)
                                              └── when recording: tap ── relay (loopback)

The client runs where it has no uplink and no name but those of AWS, which mean our relay; it trusts
our authority and needs port 443. Nothing about it is changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from natless.certificates import Authority, CertificatePair, aws_names
from natless.journal import Journal
from natless.vpc.model import ADDRESSES, Role
from natless.vpc.netns import NetnsVpc, VpcProcess, can_use_namespaces
from natless.vpc.topologies import find
from tests.golden.relay import (
    ACCESS_KEY_ID,
    API_KEY,
    LABEL,
    REGION,
    SECRET,
    WRONG_API_KEY,
    RunningRelay,
    start_relay,
)
from tests.golden.tap import tap
from tests.golden.transcript import Transcript

RECORDING = os.environ.get("NATLESS_RECORD", "") not in {"", "0"}
SUBSCRIPTIONS_BUDGET = 20.0  # seconds; SST tries to connect every five
CLIENT_BUDGET = 90.0  # seconds for one client's whole script
GOLDEN = Path(__file__).parent.parent / "golden"


@dataclass(slots=True)
class Field:
    """A running relay and the network that its clients live in. Made by :func:`open_field`.

    Attributes:
        vpc: the network.
        relay: the running relay; another one after :meth:`restart_relay`.
        ca: what clients must trust.
        directory: of this test.
        certificate: what whoever answers to the API's names shows.
    """

    vpc: NetnsVpc
    relay: RunningRelay
    ca: Path
    directory: Path
    certificate: CertificatePair
    _options: Sequence[str]
    _config: str
    _transcript: Transcript | None
    _stack: AsyncExitStack
    _local: socket.socket
    _also: Sequence[socket.socket] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def local_port(self) -> int:
        """The port on the host's loopback for whoever stands on the developer's side."""
        port: int = self._local.getsockname()[1]
        return port

    def environment(self, **more: str) -> dict[str, str]:
        """What every client gets: where to go, whom to trust, and nothing of this machine."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "NODE_EXTRA_CA_CERTS": str(self.ca),
            "SSL_CERT_FILE": str(self.ca),
            "AWS_CA_BUNDLE": str(self.ca),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NATLESS_CONFORMANCE": json.dumps(
                {
                    "httpHost": self.vpc.api.http_host,
                    "realtimeHost": self.vpc.api.realtime_host,
                    "region": REGION,
                    "apiKey": API_KEY,
                    "wrongApiKey": WRONG_API_KEY,
                    "accessKeyId": ACCESS_KEY_ID,
                    "secretAccessKey": SECRET,
                }
                | self.settings
            ),
        } | more

    async def start(self, argv: Sequence[str], **environment: str) -> VpcProcess:
        """Starts a client in the function's namespace."""
        return await self.vpc.run(
            Role.FUNCTION,
            argv,
            environment=self.environment(**environment),
            directory=self.directory,
        )

    async def checks(self, argv: Sequence[str], **environment: str) -> list[str]:
        """Runs a client's script to its end and returns the checks that held.

        Fails the test with what the script said when it did not end well.
        """
        return await _checks_of(await self.start(argv, **environment), argv)

    async def checks_outside(self, argv: Sequence[str], **environment: str) -> list[str]:
        """The same on the host, where the relay is localhost and a port."""
        program = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(**environment),
            cwd=self.directory,
        )
        return await _checks_of(program, argv)

    async def health(self) -> dict[str, Any]:
        """What the relay says of itself, asked past the tap."""
        return await self.relay.ask("GET /_natless/health")

    async def delivers_to(self, count: int) -> None:
        """Returns when so many subscriptions get what is published."""
        async with asyncio.timeout(SUBSCRIPTIONS_BUDGET):
            while (await self.health())["subscriptions"] < count:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)

    async def restart_relay(self) -> None:
        """Ends the relay as an operator would, and starts another on the same addresses."""
        if self._transcript is not None:
            self._transcript.note("stops")
        await self.relay.stop()
        if self._transcript is not None:
            self._transcript.note("starts")
        await self._start_relay()

    async def _start_relay(self) -> None:
        recording = self._transcript is not None
        self.relay = await self._stack.enter_async_context(
            start_relay(
                certificate=self.certificate,
                ca=self.ca,
                listening=() if recording else (self.vpc.relay_socket, self._local, *self._also),
                options=self._options,
                config=self._config,
                directory=self.directory,
            )
        )


async def _checks_of(
    program: VpcProcess | asyncio.subprocess.Process, argv: Sequence[str]
) -> list[str]:
    assert program.stdout is not None
    assert program.stderr is not None
    try:
        async with asyncio.timeout(CLIENT_BUDGET):
            out, err, code = await asyncio.gather(
                program.stdout.read(), program.stderr.read(), program.wait()
            )
    except TimeoutError:
        program.kill()
        pytest.fail(f"{argv[-1]} did not end: {(await program.stderr.read()).decode()}")
    if code != 0:
        pytest.fail(f"{argv[-1]} ended with {code}:\n{out.decode()}{err.decode()}", pytrace=False)
    lines = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    return [line["check"] for line in lines if "check" in line]


@asynccontextmanager
async def open_field(
    directory: Path,
    *,
    golden: str | None,
    options: Sequence[str] = (),
    config: str = "",
    ports: Sequence[int] = (),
) -> AsyncIterator[Field]:
    """A field for one test.

    Args:
        directory: for the files of this test.
        golden: the name of the transcript that this test records, None for none.
        options: further options of the relay.
        config: further lines of the relay's configuration file.
        ports: where the relay listens in the lab's internet besides 443.
    """
    if reason := can_use_namespaces():
        pytest.skip(reason)
    authority = Authority.for_user(directory / "ca")
    served = authority.issue([*aws_names(REGION), "localhost", "127.0.0.1"], directory=directory)
    transcript = (
        Transcript(
            known={API_KEY: "api-key"}, secret=SECRET, kept=frozenset({LABEL, WRONG_API_KEY})
        )
        if RECORDING and golden is not None
        else None
    )
    async with AsyncExitStack() as stack:
        vpc = await stack.enter_async_context(
            NetnsVpc.open(
                label=LABEL,
                region=REGION,
                certificate=served,
                ca=authority.ca_path,
                journal=Journal(),
                directory=directory,
            )
        )
        await vpc.apply(find("no-vpc"))
        also = [
            stack.enter_context(
                await vpc.listen(Role.INTERNET, ADDRESSES.internet.address, port=port)
            )
            for port in ports
        ]
        field = Field(
            vpc=vpc,
            relay=None,  # type: ignore[arg-type]  # the next line starts it
            ca=authority.ca_path,
            directory=directory,
            certificate=served,
            _options=options,
            _config=config,
            _transcript=transcript,
            _stack=stack,
            _local=stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            _also=also,
        )
        await field._start_relay()
        if transcript is not None:
            await stack.enter_async_context(_tapped(field, transcript, authority, served))
        yield field
    if transcript is not None:
        transcript.save(GOLDEN / f"{golden}.jsonl")


def _tapped(
    field: Field, transcript: Transcript, authority: Authority, served: CertificatePair
) -> Any:
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(served.certificate, served.key)
    client_tls = ssl.create_default_context(cafile=str(authority.ca_path))

    async def upstream() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", field.relay.port, ssl=client_tls, server_hostname="localhost"
        )

    return tap(
        [field.vpc.relay_socket, field._local],
        server_tls=server_tls,
        upstream=upstream,
        transcript=transcript,
    )


def python_script(name: str, python: str = sys.executable) -> list[str]:
    """The command line of a client script of ours."""
    return [python, str(Path(__file__).parent / "python" / f"{name}.py")]
