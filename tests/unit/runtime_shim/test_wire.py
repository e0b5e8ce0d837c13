"""The wire against a server's framing in memory: bytes in, bytes out, no socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from event_protocol.phases import Outcome
from runtime_shim.errors import Obstacle
from runtime_shim.wire import Wire


class Pipe(asyncio.Transport):
    """Keeps what is written; remembers how it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data


class Pair:
    """A wire whose upgrade a server's framing answers."""

    def __init__(self) -> None:
        self.wire = Wire("wss://h:8443/event/realtime", ["aws-appsync-event-ws", "header-x"])
        self.pipe = Pipe()
        self.server = ServerProtocol(subprotocols=["aws-appsync-event-ws"])  # type: ignore[list-item]
        self.texts: list[str] = []
        self.ends: list[Obstacle] = []
        self.wire.on_text = self.texts.append
        self.wire.on_end = self.ends.append
        self.wire.connection_made(self.pipe)
        self.upgrade = asyncio.ensure_future(self.wire.upgrade())

    async def open(self) -> Pair:
        await asyncio.sleep(0)  # the request is written when the upgrade first runs
        self.to_server()
        (request,) = self.server.events_received()
        self.request = request
        self.server.send_response(self.server.accept(request))  # type: ignore[arg-type]
        self.to_wire()
        await self.upgrade
        return self

    def to_server(self) -> list[Any]:
        self.server.receive_data(self.pipe.take())
        return self.server.events_received() if self.server.state.name != "CONNECTING" else []

    def to_wire(self) -> None:
        for data in self.server.data_to_send():
            if data:
                self.wire.data_received(data)


async def test_an_upgrade_offers_its_subprotocols_under_the_targets_host() -> None:
    pair = await Pair().open()
    headers = pair.request.headers
    assert pair.request.path == "/event/realtime"
    assert headers["Host"] == "h:8443"
    assert headers["Sec-WebSocket-Protocol"] == "aws-appsync-event-ws, header-x"
    assert "Sec-WebSocket-Extensions" not in headers
    assert pair.wire.is_open


async def test_texts_arrive_whole_also_from_pieces() -> None:
    pair = await Pair().open()
    pair.server.send_text("whole ö".encode())
    pair.server.send_text(b"in ", fin=False)
    pair.server.send_continuation("pieces ö".encode(), fin=True)
    for data in pair.server.data_to_send():
        for byte in data:  # and byte by byte
            pair.wire.data_received(bytes([byte]))
    assert pair.texts == ["whole ö", "in pieces ö"]


async def test_texts_are_sent_masked_and_as_text() -> None:
    pair = await Pair().open()
    pair.wire.send_text("ö" * 3)
    (frame,) = pair.to_server()
    assert isinstance(frame, Frame)
    assert (frame.opcode, bytes(frame.data)) == (Opcode.TEXT, "ööö".encode())


async def test_pings_are_answered_and_binary_is_ignored() -> None:
    pair = await Pair().open()
    pair.server.send_ping(b"p")
    pair.server.send_binary(b"\x00")
    pair.to_wire()
    (frame,) = pair.to_server()
    assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, b"p")
    assert pair.texts == []


async def test_a_close_of_the_peer_ends_the_wire_once_with_its_code() -> None:
    pair = await Pair().open()
    pair.server.send_close(1011, "overload")
    pair.to_wire()
    pair.wire.connection_lost(None)
    (end,) = pair.ends
    assert end.outcome is Outcome.CLOSED
    assert end.facts == {"code": 1011, "message": "overload"}
    assert not pair.wire.is_open
    pair.pipe.take()
    pair.wire.send_text("too late")
    assert pair.pipe.take() == b""


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionResetError(104, "reset"), Outcome.RESET),
        (BrokenPipeError(32, "pipe"), Outcome.RESET),
        (TimeoutError(110, "timed out"), Outcome.TIMEOUT),
        (None, Outcome.CLOSED),
    ],
)
async def test_a_lost_connection_says_how(error: Exception | None, outcome: Outcome) -> None:
    pair = await Pair().open()
    pair.wire.eof_received()
    pair.wire.connection_lost(error)
    assert [end.outcome for end in pair.ends] == [outcome]


async def test_a_frame_that_breaks_the_framing_closes_the_wire() -> None:
    pair = await Pair().open()
    pair.wire.data_received(b"\x83\x00")  # an opcode that nobody defined
    assert [end.outcome for end in pair.ends] == [Outcome.CLOSED]
    assert not pair.wire.is_open


@pytest.mark.parametrize(
    ("answer", "facts"),
    [
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden",
            {"status": 403, "body": "Forbidden"},
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", {"status": 502}),
    ],
)
async def test_another_status_is_an_http_error(answer: bytes, facts: dict[str, Any]) -> None:
    pair = Pair()
    await asyncio.sleep(0)
    pair.wire.data_received(answer)
    with pytest.raises(Obstacle) as caught:
        await pair.upgrade
    assert caught.value.outcome is Outcome.HTTP_ERROR
    assert caught.value.facts == facts


async def test_a_refusals_body_is_shown_short_and_without_what_it_repeats_of_a_key() -> None:
    pair = Pair()
    await asyncio.sleep(0)
    body = b"bad key da2-zzzzzzzzzzzzzzzzzzzzzzzzzz " + b"x" * 5000
    head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    pair.wire.data_received(head + body)
    with pytest.raises(Obstacle) as caught:
        await pair.upgrade
    assert "da2-" not in caught.value.facts["body"]
    assert len(caught.value.facts["body"]) <= 200


async def test_a_101_that_is_not_ours_is_an_http_error() -> None:
    pair = Pair()
    await asyncio.sleep(0)
    pair.wire.data_received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    with pytest.raises(Obstacle) as caught:
        await pair.upgrade
    assert caught.value.outcome is Outcome.HTTP_ERROR
    assert caught.value.facts["status"] == 101


async def test_a_refusal_without_an_end_is_known_by_its_head() -> None:
    pair = Pair()
    await asyncio.sleep(0)
    assert pair.wire.unfinished_refusal() is None
    pair.wire.data_received(b"HTTP/1.1 429 Too Many\r\n\r\nand so on")
    refusal = pair.wire.unfinished_refusal()
    assert refusal is not None
    assert (refusal.facts["status"], refusal.facts["body"]) == (429, "and so on")
    pair.upgrade.cancel()


async def test_an_upgrade_whose_connection_ends_is_closed() -> None:
    pair = Pair()
    await asyncio.sleep(0)
    pair.wire.eof_received()
    pair.wire.connection_lost(None)
    with pytest.raises(Obstacle) as caught:
        await pair.upgrade
    assert caught.value.outcome is Outcome.CLOSED


async def test_a_farewell_waits_for_the_peer_no_longer_than_told() -> None:
    pair = await Pair().open()
    await pair.wire.close(0.0)
    (frame,) = pair.to_server()
    assert frame.opcode is Opcode.CLOSE
    assert pair.pipe.is_aborted
    pair.wire.connection_lost(None)


async def test_a_farewell_that_is_answered_ends_at_once() -> None:
    pair = await Pair().open()
    closing = asyncio.ensure_future(pair.wire.close(3600.0))
    await asyncio.sleep(0)
    pair.to_server()
    pair.to_wire()
    pair.wire.connection_lost(None)
    await closing
    assert pair.pipe.is_aborted
