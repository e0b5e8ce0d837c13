"""The relay as a process: how it starts, what it says, how it fails, how it ends."""

import asyncio
import json
import os
import pty
import signal
import socket
import ssl
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
import websockets

from event_protocol.handshake import offer
from natless.certificates import Authority, aws_names

LABEL = "abcdefghijklmnopqrstuvwxyz"
BUDGET = 15.0  # seconds; a start takes less than one
KEY = {"x-api-key": "key"}


class Process:
    """``python -P -m relay`` and what it says."""

    def __init__(self, process, ca):
        self.process = process
        self.pid = process.pid
        self._ca = ca

    @property
    def tls(self):
        return ssl.create_default_context(cafile=self._ca)

    async def line(self):
        async with asyncio.timeout(BUDGET):
            return json.loads(await self.process.stdout.readline())

    async def ready(self):
        self.said = await self.line()
        return self

    async def fact(self, kind):
        while (fact := await self.line())["kind"] != kind:
            pass
        return fact

    async def end(self, number=signal.SIGTERM):
        """Sends a signal; the exit code, and the rest of both outputs."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self):
        async with asyncio.timeout(BUDGET):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()

    @asynccontextmanager
    async def open(self, url=None, **options):
        url = url or self.said["realtime"]
        if url.startswith("wss"):
            options = {"ssl": self.tls} | options
        async with websockets.connect(url, subprotocols=offer(KEY), **options) as connection:
            yield connection

    async def post(self, url, document, **options):
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=document, **options) as answer,
        ):
            return answer.status


@pytest.fixture
def served(tmp_path):
    authority = Authority.for_user(tmp_path / "ca")
    pair = authority.issue([*aws_names("us-east-1"), "localhost"], directory=tmp_path)
    return ["--certificate", str(pair.certificate), "--key", str(pair.key)]


@pytest.fixture
async def run(tmp_path):
    processes = []

    async def run(*flags, **options):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "relay", *flags),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            **{"stdin": asyncio.subprocess.DEVNULL} | options,
        )
        processes.append(process)
        return Process(process, tmp_path / "ca" / "ca.pem")

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_ready_line_says_all_that_a_program_needs(run, served, tmp_path):
    ca = str(tmp_path / "ca" / "ca.pem")
    flags = ("--json", "--ca", ca, "--label", LABEL, "--region", "us-east-1")
    relay = await run(*flags, *served, "--api-key", "key", "--namespace", "a", "--namespace", "b")
    await relay.ready()
    said = relay.said
    port = said["http"].split(":")[2].split("/")[0]
    assert said["event"] == "ready"
    assert said["http"] == f"https://localhost:{port}/event"
    assert said["realtime"] == f"wss://localhost:{port}/event/realtime"
    assert (said["ca"], said["api_key"], said["pid"]) == (ca, "key", relay.pid)
    assert (said["namespaces"], said["label"]) == (["a", "b"], LABEL)
    assert said["hosts"] == {
        "HTTP": f"{LABEL}.appsync-api.us-east-1.amazonaws.com",
        "REALTIME": f"{LABEL}.appsync-realtime-api.us-east-1.amazonaws.com",
    }
    async with relay.open() as connection:
        await connection.send('{"type":"connection_init"}')
        assert "connection_ack" in await connection.recv()
    assert await relay.end() == (0, "", "")


async def test_people_are_told_in_words(run):
    relay = await run("--plain-port", "0", "--api-key", "key")
    async with asyncio.timeout(BUDGET):
        text = (await relay.process.stdout.readuntil(b"ends it.\n")).decode()
    assert "http://localhost:" in text
    assert "ws://localhost:" in text
    assert "key" in text
    code, _, err = await relay.end(signal.SIGINT)
    assert (code, err) == (0, "")


async def test_facts_follow_the_ready_line(run):
    relay = await (
        await run("--json", "--journal", "-", "--plain-port", "0", "--api-key", "key")
    ).ready()
    ready = await relay.line()
    assert (ready["kind"], ready["source"]) == ("relay.ready", "relay")
    async with relay.open(relay.said["plain_realtime"]) as connection:
        opened = await relay.fact("relay.connection.opened")
        assert (opened["transport"], opened["peer"], opened["tls"]) == (
            "realtime",
            "127.0.0.1",
            False,
        )
        await connection.close(1001)
    closed = await relay.fact("relay.connection.closed")
    assert (closed["connection"], closed["code"]) == (opened["connection"], 1001)
    assert ready["at"] <= opened["at"] <= closed["at"]
    _, out, _ = await relay.end()
    drained = json.loads(out)
    assert (drained["kind"], drained["connections"]) == ("relay.drained", 0)


async def test_a_reader_that_leaves_does_not_end_the_relay(run):
    relay = await (
        await run("--json", "--journal", "-", "--plain-port", "0", "--api-key", "key")
    ).ready()
    relay.process._transport.get_pipe_transport(1).close()
    for _ in range(20):
        async with relay.open(relay.said["plain_realtime"]) as connection:
            await connection.send('{"type":"connection_init"}')
            assert "connection_ack" in await connection.recv()
    relay.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(BUDGET):
        err = await relay.process.stderr.read()
        assert (await relay.process.wait(), err) == (0, b"")


async def test_facts_can_go_into_a_file(run, tmp_path):
    path = tmp_path / "facts.jsonl"
    relay = await (await run("--json", "--journal", str(path), "--plain-port", "0")).ready()
    assert await relay.end() == (0, "", "")
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds == ["relay.ready", "relay.drained"]


async def test_sigterm_sends_what_is_queued_says_goodbye_and_stops_accepting(run, served):
    relay = await (await run("--json", "--journal", "-", *served, "--api-key", "key")).ready()
    async with relay.open() as one, relay.open() as two:
        for connection in (one, two):
            await connection.send(
                json.dumps(
                    {"type": "subscribe", "id": "s", "channel": "/default/x", "authorization": KEY}
                )
            )
            assert "subscribe_success" in await connection.recv()
        frame = {"type": "publish", "channel": "/default/x", "authorization": KEY, "events": ["1"]}
        for number in range(5):
            await one.send(json.dumps(frame | {"id": f"p{number}"}))
        for _ in range(10):
            await one.recv()
        relay.process.send_signal(signal.SIGTERM)
        heard = [text async for text in two]
        assert len(heard) == 5
        for connection in (one, two):
            await connection.wait_closed()
            assert connection.close_code == 1001
    code, out, _ = await relay.ended()
    facts = [json.loads(line) for line in out.splitlines()]
    drained = next(fact for fact in facts if fact["kind"] == "relay.drained")
    assert code == 0
    assert (drained["connections"], drained["aborted"]) == (2, 0)
    assert [fact["reason"] for fact in facts if fact["kind"].endswith("closed")] == ["drain"] * 2
    port = int(relay.said["http"].split(":")[2].split("/")[0])
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("localhost", port)


async def test_who_does_not_answer_the_goodbye_is_cut_within_the_budget(run, tmp_path):
    config = tmp_path / "relay.toml"
    config.write_text("[listen]\nplain_port = 0\n[budgets]\ndrain = 0.2\nclose = 60\n")
    relay = await (await run("--json", "--journal", "-", "--config", str(config))).ready()
    port = int(relay.said["plain_http"].split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("localhost", port)
    token = offer({"x-api-key": relay.said["api_key"]})[1]
    writer.write(
        b"GET /event/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: aws-appsync-event-ws, " + token.encode() + b"\r\n\r\n"
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    await relay.fact("relay.connection.opened")
    code, out, _ = await relay.end()
    drained = [json.loads(line) for line in out.splitlines()][-1]
    assert (code, drained["kind"]) == (0, "relay.drained")
    assert (drained["connections"], drained["aborted"]) == (1, 1)
    writer.close()


async def test_a_port_in_use_is_one_clear_error(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        relay = await run("--plain-port", port)
        code, out, err = await relay.ended()
    assert (code, out) == (3, "")
    assert err == (
        f"relay: cannot listen on 127.0.0.1:{port}: address already in use\n"
        "       stop what uses it, choose another port, or --port 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("flags", "code", "complaint"),
    [
        (["--host", "192.168.255.254", "--plain-port", "0"], 3, "cannot listen on"),
        (["--host", "no.such.invalid", "--plain-port", "0"], 3, "no such host name"),
        (["--certificate", "/none.pem", "--key", "/none.pem"], 2, "/none.pem cannot be read"),
        (["--port", "0"], 2, "a TLS port needs a certificate"),
        (["--config", "/none.toml"], 2, "/none.toml cannot be read"),
        (["--plain-port", "70000"], 2, "70000 is not a port"),
        (["--plain-port", "0", "--label", "short"], 2, "the label 'short'"),
        (["--plain-port", "0", "--namespace", "a_b"], 2, "cannot be a channel namespace"),
        (["--plain-port", "0", "--iam", "x"], 2, "--iam needs"),
        (["--plain-port", "0", "--time-scale", "0"], 2, "time_scale must be positive"),
        (["--plain-port", "0", "--journal", "/none/x"], 3, "the journal /none/x"),
    ],
)
async def test_what_cannot_work_is_one_clear_error(run, flags, code, complaint):
    relay = await run(*flags)
    returned, out, err = await relay.ended()
    assert (returned, out) == (code, "")
    assert complaint in err
    assert "Traceback" not in err
    assert 1 <= len(err.splitlines()) <= 2


@pytest.mark.parametrize("broken", ["certificate", "key", "both"])
async def test_a_certificate_that_cannot_be_used_is_one_clear_error(run, served, tmp_path, broken):
    other = Authority.for_user(tmp_path / "other").issue(["x"], directory=tmp_path, stem="other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not PEM")
    _, certificate, _, key = served
    pair = {
        "certificate": (str(garbage), key),
        "key": (certificate, str(garbage)),
        "both": (certificate, str(other.key)),
    }[broken]
    relay = await run("--certificate", pair[0], "--key", pair[1])
    code, out, err = await relay.ended()
    assert (code, out) == (2, "")
    assert "cannot be used" in err
    assert "Traceback" not in err


async def test_a_socket_that_listens_already_is_inherited(run, served):
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        port = inherited.getsockname()[1]
        flags = ("--json", *served, "--api-key", "key", "--listen-fd", str(inherited.fileno()))
        relay = await (await run(*flags, pass_fds=[inherited.fileno()])).ready()
    assert not relay.said["http"].startswith(f"https://localhost:{port}/")
    for url in (relay.said["realtime"], f"wss://localhost:{port}/event/realtime"):
        async with relay.open(url) as connection:
            await connection.send('{"type":"connection_init"}')
            assert "connection_ack" in await connection.recv()
    assert (await relay.end())[0] == 0


async def test_what_is_no_listening_socket_cannot_be_inherited(run, served):
    first, second = socket.socketpair()
    with first, second:
        relay = await run(*served, "--listen-fd", str(first.fileno()), pass_fds=[first.fileno()])
        code, _, err = await relay.ended()
    assert code == 2
    assert "is not a listening socket" in err
    relay = await run(*served, "--listen-fd", "77")
    code, _, err = await relay.ended()
    assert code == 2
    assert "descriptor 77 is not a listening socket: bad file descriptor" in err


async def test_sighup_reads_the_configuration_again_and_keeps_connections(run, tmp_path):
    config = tmp_path / "relay.toml"
    text = '[listen]\nplain_port = 0\n[[api]]\n[[api.key]]\nid = "key"\n[[api.namespace]]\nname = '
    config.write_text(text + '"default"\n')
    relay = await (await run("--json", "--journal", "-", "--config", str(config))).ready()
    url = relay.said["plain_http"]
    there = {"channel": "/default/x", "events": ["1"]}
    new = {"channel": "/new/x", "events": ["1"]}
    async with relay.open(relay.said["plain_realtime"]) as connection:
        await connection.send(
            json.dumps({"type": "subscribe", "id": "s", "channel": "/default/*"})[:-1]
            + ',"authorization":{"x-api-key":"key"}}'
        )
        assert "subscribe_success" in await connection.recv()
        assert await relay.post(url, new, headers=KEY) == 401

        config.write_text(text + '"default"\n[[api.namespace]]\nname = "new"\n')
        relay.process.send_signal(signal.SIGHUP)
        await relay.fact("relay.reload.complete")
        assert await relay.post(url, new, headers=KEY) == 200
        assert await relay.post(url, there, headers=KEY) == 200
        assert '"event":"1"' in await connection.recv()

        config.write_text("nonsense")
        relay.process.send_signal(signal.SIGHUP)
        failed = await relay.fact("relay.reload.failed")
        assert "is not TOML" in failed["message"]
        assert await relay.post(url, new, headers=KEY) == 200

        config.write_text(text.replace('"key"', '"other"') + '"default"\n')
        relay.process.send_signal(signal.SIGHUP)
        await relay.fact("relay.reload.complete")
        assert await relay.post(url, there, headers=KEY) == 401
        assert await relay.post(url, there, headers={"x-api-key": "other"}) == 200
        assert '"event":"1"' in await connection.recv()
    code, _, err = await relay.end()
    assert code == 0
    assert "Traceback" not in err


async def test_sighup_shows_a_renewed_certificate(run, served, tmp_path):
    relay = await (await run("--json", "--journal", "-", *served)).ready()
    port = int(relay.said["http"].split(":")[2].split("/")[0])

    async def shown():
        _, writer = await asyncio.open_connection("localhost", port, ssl=relay.tls)
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        await writer.wait_closed()
        return certificate["serialNumber"]

    before = await shown()
    assert await shown() == before
    Authority.for_user(tmp_path / "ca").issue(["localhost"], directory=tmp_path)
    relay.process.send_signal(signal.SIGHUP)
    await relay.fact("relay.reload.complete")
    assert await shown() != before


async def test_natless_relay_makes_certificates_and_leaves_no_key_behind(tmp_path):
    environment = os.environ | {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "TMPDIR": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "natless.cli", "relay", "--json", "--port", "0"),
        *("--api-key", "key", "--namespace", "n"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    relay = None
    try:
        async with asyncio.timeout(BUDGET):
            said = json.loads(await process.stdout.readline())
        relay = Process(process, said["ca"])
        assert said["ca"] == str(tmp_path / "data" / "natless" / "ca" / "ca.pem")
        assert said["pid"] == process.pid
        relay.said = said
        async with relay.open() as connection:
            await connection.send('{"type":"connection_init"}')
            assert "connection_ack" in await connection.recv()
        host = said["hosts"]["REALTIME"]
        port = int(said["http"].split(":")[2].split("/")[0])
        url = f"wss://{host}:{port}/event/realtime"
        async with relay.open(url, host="127.0.0.1", port=port, server_hostname=host):
            pass
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
        assert (await relay.end())[0] == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_ends_with_whoever_holds_its_standard_input(run, served):
    ours, theirs = os.pipe()
    try:
        relay = await (
            await run(*served, "--json", "--api-key", "key", "--until-eof", stdin=ours)
        ).ready()
    finally:
        os.close(ours)
    async with relay.open() as connection:
        os.write(theirs, b"what is written there is thrown away")
        os.close(theirs)
        async with asyncio.timeout(BUDGET):
            await connection.wait_closed()
        assert connection.close_code == 1001
    assert (await relay.ended())[0] == 0


@pytest.mark.usefixtures("terminal_signals")
@pytest.mark.parametrize("prefix", [(), ("nohup",)])
async def test_it_ends_with_its_terminal_unless_nohup_keeps_it(served, tmp_path, prefix):
    terminal, theirs = pty.openpty()
    log = tmp_path / "journal.jsonl"
    try:
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *prefix, sys.executable, "-P", "-m", "relay", *served),
            *("--journal", str(log), "--api-key", "key"),
            **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
            cwd=tmp_path,
        )
    finally:
        os.close(theirs)

    async def wait_for(kind):
        async with asyncio.timeout(BUDGET):
            while not (log.exists() and kind in log.read_text()):  # noqa: ASYNC110  nobody tells us
                await asyncio.sleep(0.01)

    try:
        await wait_for("relay.ready")
        os.close(terminal)
        if prefix:
            await wait_for("relay.reload.complete")  # it lives, and took the signal for what it is
            process.terminate()
        async with asyncio.timeout(BUDGET):
            assert await process.wait() == 0
        assert ("relay.reload.complete" in log.read_text()) is bool(prefix)
        assert "relay.drained" in log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
