"""What the guest talks to, scripted: a Runtime API, a relay, a developer's side, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from event_protocol.codec import decode, encode
from event_protocol.frames import (
    Accepted,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    Frame,
    KeepAlive,
    Publish,
    PublishSuccess,
    Subscribe,
    SubscribeSuccess,
    WireError,
)
from event_protocol.handshake import SUBPROTOCOL, read_offer
from event_protocol.live import (
    InitBody,
    Message,
    MessageCode,
    NextEvent,
    Reassembler,
    decode_init,
    decode_next,
    decode_packet,
    encode_packet,
    split,
    worker_channel,
)
from event_protocol.phases import InvocationRecord, Outcome, Span, decode_record
from natless.shim_archive import shim_archive

API_KEY = "da2-zzzzzzzzzzzzzzzzzzzzzzzzzz"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
WORKER = "0123456789abcdef0123456789abcdef"
PATIENCE = 20.0  # seconds after which a test gives up; nothing here is expected to take so long


# --- certificates ---------------------------------------------------------------------------------


def make_certificate(directory: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """A fresh authority's PEM file, and a server's context with a certificate of it."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
    certificate = (
        _builder(subject, ca_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, hashes.SHA256())
    )
    ca_path, pair_path = directory / "ca.pem", directory / "server.pem"
    ca_path.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    pair_path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair_path)
    return ca_path, context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# --- the Runtime API ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Posted:
    """What a runtime posted."""

    kind: str  # response, error, init
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedRuntimeApi:
    """Lambda's side: events go in by ``put``, answers come out by ``answer``."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[tuple[str, bytes, dict[str, str]]] = asyncio.Queue()
        self._current: tuple[str, bytes, dict[str, str]] | None = None
        self.waits = 0  # requests for an event
        self.on_posted: Callable[[], Any] | None = None  # after an answer was taken, before 202
        self.given = 0  # events handed out, the same one twice counted twice
        self._waiting: dict[str, asyncio.Future[Posted]] = {}
        self.posted: list[tuple[str, Posted]] = []
        self.init_error: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
        self.status = 202  # of the next posts
        self.address = ""

    def put(self, event: Any, *, timeout: float = 10.0, **headers: str) -> str:
        request_id = headers.pop("request_id", "") or secrets.token_hex(8)
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        deadline = str(int((time.time() + timeout) * 1000))
        all_headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": deadline,
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Content-Type": "application/json",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        self._waiting[request_id] = asyncio.get_running_loop().create_future()
        self._events.put_nowait((request_id, body, all_headers))
        return request_id

    async def answer(self, request_id: str) -> Posted:
        async with asyncio.timeout(PATIENCE):
            return await self._waiting[request_id]

    async def ask(self, event: Any, **options: Any) -> Posted:
        return await self.answer(self.put(event, **options))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedRuntimeApi]:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        root = "/2018-06-01/runtime"
        app.router.add_get(f"{root}/invocation/next", self._next)
        app.router.add_post(f"{root}/invocation/{{id}}/{{kind}}", self._take)
        app.router.add_post(f"{root}/init/error", self._take_init_error)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _next(self, _: web.Request) -> web.Response:
        """The next event; the same one again while nobody has answered it, as Lambda does."""
        self.waits += 1
        if self._current is None or self._waiting[self._current[0]].done():
            self._current = await self._events.get()
        _, body, headers = self._current
        self.given += 1
        return web.Response(body=body, headers=headers)

    async def _take(self, request: web.Request) -> web.Response:
        request_id = request.match_info["id"]
        posted = Posted(request.match_info["kind"], request.headers, await request.read())
        self.posted.append((request_id, posted))
        waiting = self._waiting[request_id]
        if waiting.done():
            return web.json_response({"errorType": "InvalidStateTransition"}, status=403)
        waiting.set_result(posted)
        if self.on_posted is not None:
            await self.on_posted()
        return web.json_response({"status": "OK"}, status=self.status)

    async def _take_init_error(self, request: web.Request) -> web.Response:
        self.init_error.set_result(Posted("init", request.headers, await request.read()))
        return web.json_response({"status": "OK"}, status=202)


# --- the relay and the developer's side -----------------------------------------------------------


Send = Callable[[Frame], Any]


class Developer:
    """The developer's side: knows environments by their INIT, answers events with a function.

    A test replaces ``on_next`` to misbehave.
    """

    def __init__(self, handler: Callable[[Any], Any] = lambda event: {"echo": event}) -> None:
        self.handler = handler
        self.inits: list[InitBody] = []
        self.events: list[NextEvent] = []
        self.reassembler = Reassembler()
        self.on_next: Callable[[Message, Say], Any] = self.answer

    async def take(self, text: str, say: Say) -> None:
        message = self.reassembler.receive(decode_packet(text))
        if message is None:
            return
        if message.code == MessageCode.INIT:
            self.inits.append(decode_init(message.body))
        elif message.code == MessageCode.NEXT:
            self.events.append(decode_next(message.body))
            await self.on_next(message, say)

    async def answer(self, message: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")
        event = decode_next(message.body)
        body = json.dumps(self.handler(json.loads(event.body))).encode()
        await say(MessageCode.RESPONSE, body, request_id(event))


def request_id(event: NextEvent) -> str:
    return event.headers["lambda-runtime-aws-request-id"]


@dataclass
class Say:
    """Publishes a message to the guest."""

    deliver: Callable[[str], Any]

    async def __call__(self, code: int, body: bytes, id_: str = "") -> None:
        name = id_ or secrets.token_hex(12)
        for packet in split(code, source="dev", id=name, body=body):
            await self.deliver(encode_packet(packet))


class ScriptedRelay:
    """The channel for one guest. A test replaces the ``on_…`` functions to misbehave."""

    def __init__(self, developer: Developer | None) -> None:
        self.developer = developer
        self.connections: list[ServerConnection] = []
        self.publishes: list[Publish] = []  # to the developer's side
        self.probes: list[Publish] = []  # of the guest to itself
        self.subscribed: list[Subscribe] = []
        self.offers: list[dict[str, str] | None] = []
        self.on_request: Callable[[ServerConnection, Request], Response | None] = (
            lambda _connection, _request: None
        )
        self.on_open: Callable[[Send], Any] = _nothing
        self.on_init: Callable[[Send], Any] = _ack
        self.on_subscribe: Callable[[Send, Subscribe], Any] = _accept_subscription
        self.on_publish: Callable[[Send, Publish], Any] = accept_publication
        self.on_probe: Callable[[Send, Publish], Any] = self.deliver_back
        self.port = 0
        self._subscription = "none"

    @contextlib.asynccontextmanager
    async def serving(self, context: ssl.SSLContext, port: int = 0) -> AsyncIterator[ScriptedRelay]:
        async with serve(
            self._handle,
            "127.0.0.1",
            port,
            ssl=context,
            select_subprotocol=lambda _connection, _offered: SUBPROTOCOL,
            process_request=lambda connection, request: self.on_request(connection, request),
            compression=None,
            max_size=4 * 1024 * 1024,
        ) as server:
            self.port = _port(server)
            yield self

    async def _handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        assert connection.request is not None
        offered = connection.request.headers.get_all("Sec-WebSocket-Protocol")
        self.offers.append(read_offer(offered).authorization)

        async def send(frame: Frame) -> None:
            await connection.send(encode(frame))

        try:
            await self.on_open(send)
            async for text in connection:
                assert isinstance(text, str)
                await self._take(decode(text), send)
        except ConnectionClosed:
            pass

    async def _take(self, frame: Frame, send: Send) -> None:
        if isinstance(frame, ConnectionInit):
            await self.on_init(send)
        elif isinstance(frame, Subscribe):
            self.subscribed.append(frame)
            self._subscription = frame.id
            await self.on_subscribe(send, frame)
        elif isinstance(frame, Publish) and frame.channel == worker_channel("app", "dev", WORKER):
            self.probes.append(frame)
            await self.on_probe(send, frame)
        elif isinstance(frame, Publish):
            self.publishes.append(frame)
            accepted = await self.on_publish(send, frame)
            if accepted and self.developer is not None:
                for event in frame.events:
                    await self.developer.take(event, self.say(send))

    async def deliver_back(self, send: Send, frame: Publish) -> None:
        """What a guest publishes to its own channel."""
        await accept_publication(send, frame)
        for event in frame.events:
            await send(Data(self._subscription, event))

    async def deliver(self, event: str) -> None:
        """The developer's voice on the latest connection."""
        await self.connections[-1].send(encode(Data(self._subscription, event)))

    def say(self, send: Send) -> Say:
        """The developer's voice on this connection."""
        return Say(lambda event: send(Data(self._subscription, event)))


class HttpDoor:
    """``POST /event`` of a scripted relay. A test replaces ``on_post`` to misbehave."""

    def __init__(self, relay: ScriptedRelay) -> None:
        self._relay = relay
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[Any] = []
        self.on_post: Callable[[Any], Any] = self.accept
        self.port = 0

    async def accept(self, _: Any) -> web.Response:
        return web.json_response({"failed": [], "successful": [{"identifier": "e-1", "index": 0}]})

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.headers.append(request.headers)
        self.bodies.append(body)
        response: web.Response = await self.on_post(body)
        if response.status == 200 and self._relay.developer is not None:
            for event in body["events"]:
                await self._relay.developer.take(event, Say(self._relay.deliver))
        return response

    @contextlib.asynccontextmanager
    async def serving(self, context: ssl.SSLContext) -> AsyncIterator[HttpDoor]:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_post("/event", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


class ScriptedProxy:
    """An HTTP proxy that opens every tunnel to one port, whatever host was asked for."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.heads: list[str] = []
        self.reply = "200 Connection established"
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.reply}\r\n\r\n".encode())
        if self.reply.startswith("200"):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _nothing(_: Send) -> None:
    """Says nothing."""


async def _ack(send: Send) -> None:
    await send(ConnectionAck(300.0))
    await send(KeepAlive())


async def _accept_subscription(send: Send, frame: Subscribe) -> None:
    expected = worker_channel("app", "dev", WORKER)
    assert frame.channel == expected
    await send(SubscribeSuccess(frame.id))


async def accept_publication(send: Send, frame: Publish) -> bool:
    await send(PublishSuccess(frame.id, (Accepted("e-1", 0),)))
    return True


async def refuse_connection(send: Send) -> None:
    error = WireError("UnauthorizedException", "You are not authorized to make this call.", 401)
    await send(ConnectionRefused((error,)))


def respond(status: int, body: bytes = b"") -> Callable[[ServerConnection, Request], Response]:
    """A door that answers every upgrade with this status."""

    def answer(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus(status), body.decode())

    return answer


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def failure_of(record: InvocationRecord) -> Span | None:
    """The first phase that did not end well."""
    return next((span for span in record.spans if span.outcome is not Outcome.OK), None)


# --- the guest ------------------------------------------------------------------------------------


@dataclass
class Guest:
    """A running guest: the real archive in a process of its own."""

    process: asyncio.subprocess.Process
    records: asyncio.Queue[InvocationRecord] = field(default_factory=asyncio.Queue)
    lines: list[str] = field(default_factory=list)

    async def record(self) -> InvocationRecord:
        async with asyncio.timeout(PATIENCE):
            return await self.records.get()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode().rstrip("\n")
            self.lines.append(line)
            if (record := decode_record(line)) is not None:
                self.records.put_nowait(record)

    async def end(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def run_guest(
    environment: Mapping[str, str], *, directory: Path | None = None, argv: Sequence[str] = ()
) -> AsyncIterator[Guest]:
    process = await asyncio.create_subprocess_exec(
        *(argv or (sys.executable, "-I", os.fspath(shim_archive()))),
        env=dict(environment),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**20,
    )
    guest = Guest(process)
    reader = asyncio.create_task(guest.read())
    try:
        yield guest
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader
        # asyncio keeps the pipe's transport until it is told.
        process._transport.close()  # type: ignore[attr-defined]


def guest_environment(
    api: ScriptedRuntimeApi, *, host: str, ca: Path, task_root: Path, **more: str
) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/11/24/[$LATEST]{WORKER}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_SESSION_TOKEN": "role-token",
        "LAMBDA_TASK_ROOT": os.fspath(task_root),
        "_HANDLER": "app.handler",
        "NATLESS_REALTIME": host,
        "NATLESS_HTTP": "abcdefghijklmnopqrstuvwxyz.appsync-api.us-east-1.amazonaws.com",
        "NATLESS_API_KEY": API_KEY,
        "NATLESS_CA": os.fspath(ca),
        "NATLESS_APP": "app",
        "NATLESS_STAGE": "dev",
        "NATLESS_FUNCTION_ID": "fn",
        # Most tests look at a channel that is opened for an event; test_shim_begin.py at the other.
        "NATLESS_BUDGET_INIT_SHARE": "0",
    } | more


@dataclass
class Bench:
    """Everything of one test."""

    api: ScriptedRuntimeApi
    relay: ScriptedRelay
    developer: Developer
    guest: Guest
    task_root: Path
    door: HttpDoor
    environment: Mapping[str, str]
    background: list[asyncio.Task[None]] = field(default_factory=list)

    async def ask(self, event: Any, **options: Any) -> tuple[Posted, InvocationRecord]:
        posted = await self.api.ask(event, **options)
        return posted, await self.guest.record()


@contextlib.asynccontextmanager
async def bench(
    tmp_path: Path,
    *,
    set_up: Callable[[ScriptedRelay], Any] = lambda _: None,
    set_up_door: Callable[[HttpDoor], Any] = lambda _: None,
    handler: Callable[[Any], Any] = lambda event: {"echo": event},
    code: str = "def handler(event, context): return {'deployed': event}",
    certificate_names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    port: int = 0,
    **environment: str,
) -> AsyncIterator[Bench]:
    """A guest between a scripted Runtime API and a scripted relay, all on loopback.

    ``set_up`` changes the relay before the guest starts.
    """
    ca, context = make_certificate(tmp_path / "tls", *certificate_names)
    task_root = tmp_path / "task"
    task_root.mkdir(exist_ok=True)
    (task_root / "app.py").write_text(code)
    developer = Developer(handler)
    relay = ScriptedRelay(developer)
    set_up(relay)
    door = HttpDoor(relay)
    set_up_door(door)
    async with (
        ScriptedRuntimeApi().serving() as api,
        relay.serving(context, port),
        door.serving(context),
    ):
        if environment.get("NATLESS_PROFILE") == "sst":
            environment.setdefault("NATLESS_HTTP", f"localhost:{door.port}")
        host = environment.pop("host", f"localhost:{relay.port}")
        variables = guest_environment(api, host=host, ca=ca, task_root=task_root, **environment)
        async with run_guest(variables, directory=task_root) as guest:
            yield Bench(api, relay, developer, guest, task_root, door, variables)
