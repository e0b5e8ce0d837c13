"""A loop whose four parts are processes that can be killed, and a door that holds one frame.

::

    caller ─ Lambda (this process) ─ guest ══ door ══ relay ══ door ══ worker ─ handler
                                              holds the frame that a step names, until it is let go

The door is a WebSocket relay of its own before the real one: it hands every text on, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from event_protocol.errors import RemoteProtocolError
from event_protocol.handshake import SUBPROTOCOL
from event_protocol.live import decode_packet
from natless.certificates import Authority, aws_names
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.shim_archive import shim_archive
from tests.shell.worker_channel import Facts

ROOT = Path(__file__).parents[2]
LABEL = "abcdefghijklmnopqrstuvwxyz"
API_KEY = "da2-0123456789abcdefghijklmnop"
UP, DOWN = "up", "down"  # to the relay, from the relay
HANDLER = """
import json, pathlib, sys
HERE = pathlib.Path(__file__).parent
def handler(event, context):
    if event.get("waits"):
        (HERE / "begun").touch()
        with open(HERE / "gate") as gate:   # a FIFO: opened as soon as the test opens it, too
            gate.read()
    return {"developer": event["n"]}
"""
WORKER = """
import asyncio, json, sys
from dataclasses import replace
from pathlib import Path
from natless.journal import Journal
from natless.worker import Worker, WorkerBudgets, WorkerConfig

async def main():
    told = json.loads(sys.argv[1])
    print("{}", flush=True)
    journal = Journal()
    journal.listen(lambda fact: print(fact.to_json(), flush=True))
    config = WorkerConfig(
        url=told["url"], host=told["host"], api_key=told["api_key"], app="app", stage="dev",
        folder=Path(told["folder"]), handler="handler.handler", ca=Path(told["ca"]),
        budgets=WorkerBudgets(beat=0.1, publish=0.5, reconnect_first=0.05, reconnect_max=0.1),
    )
    async with Worker(config, journal):
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


class Door:
    """Hands WebSocket texts on between clients and the relay, and may hold one of them.

    Attributes:
        reached: set when the frame that is looked for has come.
        gate: lets it go.
    """

    def __init__(self, relay_port: int, trust: ssl.SSLContext) -> None:
        self._relay_port = relay_port
        self._trust = trust
        self._wanted: Callable[[str, dict[str, Any]], bool] = lambda _way, _frame: False
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.port = 0

    def hold(self, wanted: Callable[[str, dict[str, Any]], bool]) -> None:
        """Holds the first frame like this."""
        self.reached.clear()
        self.gate.clear()
        self._wanted = wanted

    @asynccontextmanager
    async def serving(self, certificate: ssl.SSLContext) -> AsyncIterator[Door]:
        async with websockets.serve(
            self._serve,
            "127.0.0.1",
            0,
            ssl=certificate,
            select_subprotocol=lambda _connection, _offered: SUBPROTOCOL,
            compression=None,
            max_size=None,
            close_timeout=0.1,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self

    async def _serve(self, client: ServerConnection) -> None:
        assert client.request is not None
        offered = client.request.headers.get_all("Sec-WebSocket-Protocol")
        names = [name.strip() for each in offered for name in each.split(",")]
        try:
            async with websockets.connect(
                f"wss://localhost:{self._relay_port}{client.request.path}",
                subprotocols=names,
                ssl=self._trust,
                compression=None,
                max_size=None,
                close_timeout=0.1,
            ) as relay:
                await self._pump_both(client, relay)
        except (OSError, websockets.WebSocketException):
            await client.close(1011)

    async def _pump_both(self, client: ServerConnection, relay: ClientConnection) -> None:
        """Hands on until one side ends; the frame that is held here is handed on even then."""
        handed: list[asyncio.Event] = []
        up = asyncio.create_task(self._pump(UP, client, relay, handed))
        down = asyncio.create_task(self._pump(DOWN, relay, client, handed))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for each in handed:
                await each.wait()
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _pump(self, way: str, source: Any, target: Any, handed: list[asyncio.Event]) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in source:
                frame = json.loads(text)
                if self.reached.is_set() or not self._wanted(way, frame):
                    await target.send(text)
                    continue
                handed.append(asyncio.Event())
                self.reached.set()
                await self.gate.wait()
                try:
                    await target.send(text)
                finally:
                    handed[-1].set()


def packet_type(frame: dict[str, Any]) -> int | None:
    """Which message a frame carries a packet of."""
    texts = frame["events"] if frame.get("type") == "publish" else [frame.get("event", "")]
    try:
        return decode_packet(texts[0]).type
    except (RemoteProtocolError, IndexError):
        return None


class Program:
    """A process of the loop, which can be killed and started again.

    Args:
        argv: behind the interpreter.
        facts: take its lines.
    """

    def __init__(self, facts: Facts, *argv: str) -> None:
        self.argv = argv
        self.ready: dict[str, Any] = {}
        self._facts = facts
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> dict[str, Any]:
        """Starts it; its first line."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self.argv,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        assert self._process.stdout is not None
        first: dict[str, Any] = json.loads(await self._process.stdout.readline())
        self._reader = asyncio.create_task(self._take(self._process.stdout))
        return first

    async def kill(self) -> None:
        """Kills it, and returns when it has gone and all it said was taken."""
        if self._process is None or self._reader is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader
        # asyncio keeps the pipes' transports until it is told.
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _take(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            fact = json.loads(line)
            kind, source, at = fact.pop("kind"), fact.pop("source"), float(fact.pop("at"))
            self._facts.journal.record(kind, source=source, at=at, **fact)


@dataclass
class KillStage:
    """The loop without its function, for many tests.

    Attributes:
        folder: the handler's.
        facts: of all parts, the killed ones' included.
        environment: the guest's variables.
    """

    folder: Path
    door: Door
    facts: Facts
    relay: Program
    worker: Program
    environment: dict[str, str]

    @property
    def begun(self) -> Path:
        """There while the handler runs that waits."""
        return self.folder / "begun"

    def open_gate(self) -> None:
        """Lets a handler that waits go on; harmless when none does."""
        with contextlib.suppress(OSError):
            os.close(os.open(self.folder / "gate", os.O_WRONLY | os.O_NONBLOCK))

    async def heal(self) -> None:
        """Starts what was killed, and waits until the worker is subscribed."""
        self.door.gate.set()
        self.begun.unlink(missing_ok=True)
        if self.relay.is_running and self.worker.is_running:
            return
        connected = len(self.facts.of("worker.connect.complete"))
        if not self.relay.is_running:
            await self.relay.start()
        if not self.worker.is_running:
            await self.worker.start()
        await self.facts.wait("worker.connect.complete", count=connected + 1)

    @asynccontextmanager
    async def function(self) -> AsyncIterator[LambdaHost]:
        """The function, without an environment yet."""
        spec = FunctionSpec(
            "hello",
            "handler.handler",
            self.folder,
            (sys.executable, "-I", str(shim_archive())),
            timeout=20.0,
            environment=self.environment,
        )
        host = LambdaHost(spec, launcher=HostLauncher(), journal=self.facts.journal)
        async with host:
            yield host

    async def kill(self, victim: str) -> None:
        """Kills one part, and returns when it has gone."""
        if victim == "relay":
            await self.relay.kill()
        elif victim == "worker":
            await self.worker.kill()
        else:
            kind = {"guest": "lambda.environment.started", "handler": "worker.process.started"}
            pid = int(self.facts.of(kind[victim])[-1].data["pid"])
            os.kill(pid, signal.SIGKILL)
            while _is_there(pid):  # noqa: ASYNC110  another's child, nothing tells
                await asyncio.sleep(0.005)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def open_kill_stage(
    folder: Path, authority: Authority, **budgets: str
) -> AsyncIterator[KillStage]:
    """Starts relay, door and worker; ``budgets`` are the guest's."""
    code = folder / "code"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)
    os.mkfifo(code / "gate")
    served = authority.issue([*aws_names("us-east-1"), "localhost"], directory=folder)
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.load_cert_chain(served.certificate, served.key)
    trust = ssl.create_default_context(cafile=authority.ca_path)
    facts = Facts()
    argv = ["-P", "-m", "relay", "--json", "--journal", "-", "--until-eof"]
    argv += ["--certificate", str(served.certificate), "--key", str(served.key)]
    argv += ["--ca", str(authority.ca_path), "--api-key", API_KEY, "--label", LABEL]
    argv += ["--region", "us-east-1", "--namespace", "sst"]
    relay = Program(facts, *argv, "--port", "0")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(relay.kill)
        ready = await relay.start()
        port = ready["http"].split(":")[2].split("/")[0]
        relay.argv = (*argv, "--port", port)  # when it is started again
        door = await stack.enter_async_context(Door(int(port), trust).serving(certificate))
        told = {
            "url": f"wss://localhost:{door.port}/event/realtime",
            "host": ready["hosts"]["HTTP"],
            "api_key": API_KEY,
            "folder": str(code),
            "ca": str(authority.ca_path),
        }
        worker = Program(facts, "-P", "-c", WORKER, json.dumps(told))
        stack.push_async_callback(worker.kill)
        environment = {
            "NATLESS_REALTIME": f"localhost:{door.port}",
            "NATLESS_HTTP": ready["hosts"]["HTTP"],
            "NATLESS_API_KEY": API_KEY,
            "NATLESS_CA": str(authority.ca_path),
            "NATLESS_APP": "app",
            "NATLESS_STAGE": "dev",
            "NATLESS_FUNCTION_ID": "hello",
            "NATLESS_FALLBACKS": "error",
        } | {f"NATLESS_BUDGET_{name}": value for name, value in budgets.items()}
        stage = KillStage(code, door, facts, relay, worker, environment)
        await stage.heal()
        yield stage
