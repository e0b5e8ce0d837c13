from __future__ import annotations

import dataclasses
import string

import pytest

from event_protocol import frames
from event_protocol.errors import LocalProtocolError
from event_protocol.frames import (
    Accepted,
    BroadcastError,
    ConnectionAck,
    ConnectionInit,
    ConnectionRefused,
    Data,
    KeepAlive,
    OperationError,
    Publish,
    PublishError,
    PublishSuccess,
    Rejected,
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
    is_id,
)

ERRORS = (WireError("UnauthorizedException"),)

NAMED = [
    lambda id_: Subscribe(id_, "/a"),
    SubscribeSuccess,
    lambda id_: SubscribeError(id_, ERRORS),
    Unsubscribe,
    UnsubscribeSuccess,
    lambda id_: UnsubscribeError(id_, ERRORS),
    lambda id_: Publish(id_, "/a", ("1",)),
    lambda id_: PublishSuccess(id_, ()),
    lambda id_: PublishError(id_, ERRORS),
    lambda id_: Data(id_, "1"),
    lambda id_: BroadcastError(id_, ERRORS),
]


@pytest.mark.parametrize("build", NAMED)
@pytest.mark.parametrize("id_", ["", "a" * 129, "a b", "é", "a\n", "a/b", None, 7, "\ud800"])
def test_a_frame_with_an_illegal_id_cannot_be_built(build, id_):
    with pytest.raises(LocalProtocolError, match="id must be"):
        build(id_)


@pytest.mark.parametrize("build", NAMED)
@pytest.mark.parametrize("id_", ["a", "a" * 128, string.ascii_letters, string.digits, "_+-"])
def test_a_frame_with_a_legal_id_can_be_built(build, id_):
    assert build(id_).id == id_


def test_the_shape_of_an_id_can_be_asked():
    assert is_id("0a2f-_+")
    assert not is_id("")
    assert not is_id(None)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SubscribeError("a", ()),
        lambda: UnsubscribeError("a", ()),
        lambda: PublishError("a", ()),
        lambda: BroadcastError("a", ()),
        lambda: OperationError(()),
        lambda: ConnectionRefused(()),
    ],
)
def test_an_error_frame_says_at_least_one_error(build):
    with pytest.raises(LocalProtocolError, match="errors must not be empty"):
        build()


def test_an_error_that_belongs_to_no_operation_needs_no_id():
    assert OperationError(ERRORS).id is None
    with pytest.raises(LocalProtocolError):
        OperationError(ERRORS, "not an id")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_an_ack_promises_a_positive_number_of_seconds(seconds):
    with pytest.raises(LocalProtocolError, match="connection_timeout"):
        ConnectionAck(seconds)


def test_an_ack_may_promise_under_a_second_as_tests_do():
    assert ConnectionAck(0.25).connection_timeout == 0.25


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
@pytest.mark.parametrize(
    "build",
    [
        lambda text: Subscribe("a", text),
        lambda text: Subscribe("a", "/a", {"x-api-key": text}),
        lambda text: Subscribe("a", "/a", {text: "key"}),
        lambda text: Publish("a", text, ("1",)),
        lambda text: Publish("a", "/a", ("1", text)),
        lambda text: Publish("a", "/a", ("1",), {"x-api-key": text}),
        lambda text: Data("a", text),
        lambda text: WireError(text),
        lambda text: WireError("A", text),
        lambda text: Accepted(text, 0),
        lambda text: Rejected("i", 0, text, ""),
        lambda text: Rejected("i", 0, "", text),
        lambda text: Rejected(text, 0, "", ""),
    ],
)
def test_half_a_surrogate_pair_cannot_be_in_a_frame_because_it_cannot_be_sent(build, text):
    with pytest.raises(LocalProtocolError, match="unpaired surrogate"):
        build(text)


def test_text_beyond_ascii_is_legal():
    assert Data("a", '"é 😀"').event == '"é 😀"'


@pytest.mark.parametrize("value", [None, 1, b"x", ["x"]])
def test_what_is_not_text_cannot_be_a_channel_an_event_or_a_credential(value):
    for build in (
        lambda: Subscribe("a", value),
        lambda: Publish("a", value, ("1",)),
        lambda: Publish("a", "/a", (value,)),
        lambda: Subscribe("a", "/a", {"x-api-key": value}),
        lambda: Data("a", value),
    ):
        with pytest.raises(LocalProtocolError, match="must be a string"):
            build()


def test_a_publish_has_at_least_one_event():
    with pytest.raises(LocalProtocolError, match="at least one"):
        Publish("a", "/a", ())


def test_an_event_is_never_empty_because_amplify_drops_it():
    with pytest.raises(LocalProtocolError, match="must not be empty"):
        Data("a", "")


def test_an_error_type_is_never_empty():
    with pytest.raises(LocalProtocolError, match="errorType"):
        WireError("")


def test_channel_and_events_are_kept_as_they_were_sent():
    frame = Publish("a", "orders/eu/", ('{ "q" : 1 }',))
    assert (frame.channel, frame.events) == ("orders/eu/", ('{ "q" : 1 }',))


@pytest.mark.parametrize(
    "frame",
    [
        Subscribe("a", "/a", {"x-api-key": "da2-secret"}),
        Publish("a", "/a", ("1",), {"authorization": "da2-secret"}),
    ],
)
def test_credentials_do_not_show(frame):
    assert "da2-secret" not in repr(frame)
    assert "da2-secret" not in str(frame)


@pytest.mark.parametrize("frame", [ConnectionInit(), KeepAlive(), Data("a", "1")])
def test_a_frame_cannot_be_changed(frame):
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        frame.id = "b"


def test_every_frame_has_the_type_that_aws_gives_it():
    types = {each.TYPE for each in vars(frames).values() if hasattr(each, "TYPE")}
    assert types == {
        "connection_init",
        "connection_ack",
        "ka",
        "subscribe",
        "subscribe_success",
        "subscribe_error",
        "unsubscribe",
        "unsubscribe_success",
        "unsubscribe_error",
        "publish",
        "publish_success",
        "publish_error",
        "data",
        "broadcast_error",
        "error",
        "connection_error",
    }
