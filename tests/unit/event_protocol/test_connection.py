from __future__ import annotations

import pytest

from event_protocol.codec import decode, encode
from event_protocol.connection import CloseReason, EventConnection, Side, Subscription, refusal
from event_protocol.errors import LocalProtocolError, RemoteProtocolError
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
    Subscribe,
    SubscribeError,
    SubscribeSuccess,
    Unsubscribe,
    UnsubscribeError,
    UnsubscribeSuccess,
    WireError,
)
from event_protocol.limits import Limits
from event_protocol.states import ConnectionState, SubscriptionState

ERRORS = (WireError("UnauthorizedException"),)
CLIENT_FRAMES = [
    ConnectionInit(),
    Subscribe("a", "/a"),
    Unsubscribe("a"),
    Publish("p", "/a", ("1",)),
]
SERVER_FRAMES = [
    ConnectionAck(300.0),
    SubscribeSuccess("a"),
    SubscribeError("a", ERRORS),
    UnsubscribeSuccess("a"),
    UnsubscribeError("a", ERRORS),
    PublishSuccess("p", ()),
    PublishError("p", ERRORS),
    Data("a", "1"),
    BroadcastError("a", ERRORS),
    OperationError(ERRORS),
    ConnectionRefused(ERRORS),
]


def server(**limits):
    return EventConnection(Side.SERVER, limits=Limits(**limits), now=1000.0)


def client(**limits):
    return EventConnection(Side.CLIENT, limits=Limits(**limits), now=1000.0)


def hear(connection, *frames, now=1000.0):
    return [heard for frame in frames for heard in connection.receive_text(encode(frame), now=now)]


def sent(connection):
    return [decode(text) for text in connection.texts_to_send()]


def ready_server(now=1000.0, **limits):
    connection = server(**limits)
    hear(connection, ConnectionInit(), now=now)
    connection.send(ConnectionAck(300.0))
    connection.texts_to_send()
    return connection


def ready_client(now=1000.0, timeout=300.0):
    connection = client()
    connection.send(ConnectionInit())
    hear(connection, ConnectionAck(timeout), now=now)
    connection.texts_to_send()
    return connection


def subscribed(connection, *, state=SubscriptionState.LIVE):
    hear(connection, Subscribe("a", "/a"))
    if state is not SubscriptionState.REQUESTED:
        connection.send(SubscribeSuccess("a"))
    if state in {SubscriptionState.LIVE, SubscriptionState.ENDING}:
        connection.send(Data("a", "1"))
    if state is SubscriptionState.ENDING:
        hear(connection, Unsubscribe("a"))
    connection.texts_to_send()
    return connection


def breaks(connection, text, *, now=1000.0):
    with pytest.raises(RemoteProtocolError) as caught:
        connection.receive_text(text if isinstance(text, str) else encode(text), now=now)
    return caught.value


# The handshake


def test_an_init_is_handed_to_the_server_and_its_ack_makes_the_connection_ready():
    connection = server()
    assert hear(connection, ConnectionInit()) == [ConnectionInit()]
    assert connection.state is ConnectionState.STARTING
    connection.send(ConnectionAck(300.0))
    assert connection.state is ConnectionState.READY


def test_the_first_keep_alive_follows_the_ack_at_once_as_on_aws():
    connection = server()
    hear(connection, ConnectionInit())
    connection.send(ConnectionAck(300.0))
    assert sent(connection) == [ConnectionAck(300.0), KeepAlive()]
    assert connection.deadline == 1060.0


def test_the_first_keep_alive_can_wait_its_turn_for_a_client_that_cannot_bear_it():
    connection = server(keep_alive_after_ack=False)
    hear(connection, ConnectionInit())
    connection.send(ConnectionAck(300.0))
    assert sent(connection) == [ConnectionAck(300.0)]
    assert connection.deadline == 1060.0


def test_a_repeated_init_is_answered_with_another_ack():
    connection = ready_server()
    assert hear(connection, ConnectionInit(), now=1010.0) == [ConnectionInit()]
    connection.send(ConnectionAck(300.0))
    assert sent(connection) == [ConnectionAck(300.0)]
    assert connection.state is ConnectionState.READY
    assert connection.deadline == 1060.0


def test_an_init_repeated_before_the_ack_gets_two_acks():
    connection = server()
    hear(connection, ConnectionInit(), ConnectionInit())
    connection.send(ConnectionAck(300.0))
    connection.send(ConnectionAck(300.0))
    assert sent(connection).count(ConnectionAck(300.0)) == 2


def test_an_ack_that_nobody_asked_for_is_not_sent():
    connection = server()
    with pytest.raises(LocalProtocolError, match="connection_ack is not legal"):
        connection.send(ConnectionAck(300.0))
    assert connection.texts_to_send() == []


def test_an_ack_that_nobody_asked_for_is_a_violation():
    connection = client()
    error = breaks(connection, ConnectionAck(300.0))
    assert (error.frame_type, error.frame_id) == ("connection_ack", None)
    assert connection.state is ConnectionState.NEW


def test_a_keep_alive_before_the_ack_is_neither_sent_nor_accepted():
    connection = server()
    with pytest.raises(LocalProtocolError, match="ka is not legal while the connection is new"):
        connection.send(KeepAlive())
    hear(connection, ConnectionInit())
    with pytest.raises(LocalProtocolError):
        connection.send(KeepAlive())
    assert breaks(client(), KeepAlive()).frame_type == "ka"


@pytest.mark.parametrize("connection", [server(), ready_server()])
def test_a_keep_alive_from_a_client_is_accepted_at_any_time(connection):
    state = connection.state
    assert hear(connection, KeepAlive()) == [KeepAlive()]
    assert connection.state is state


def test_a_client_that_never_sends_an_init_can_do_everything():
    connection = server()
    assert hear(connection, Subscribe("a", "/a"), Publish("p", "/a", ("1",))) == [
        Subscribe("a", "/a"),
        Publish("p", "/a", ("1",)),
    ]
    connection.send(SubscribeSuccess("a"))
    connection.send(Data("a", "1"))
    connection.send(PublishSuccess("p", (Accepted("i", 0),)))
    hear(connection, Unsubscribe("a"))
    connection.send(UnsubscribeSuccess("a"))
    assert connection.state is ConnectionState.NEW
    assert connection.subscriptions == {}


def test_a_refused_connection_is_over():
    connection = server()
    connection.send(ConnectionRefused(ERRORS))
    assert connection.state is ConnectionState.CLOSED
    assert connection.close_reason is CloseReason.REFUSED
    assert sent(connection) == [ConnectionRefused(ERRORS)]
    assert connection.deadline is None


def test_a_client_reads_why_it_was_refused():
    connection = client()
    connection.send(ConnectionInit())
    assert hear(connection, ConnectionRefused(ERRORS)) == [ConnectionRefused(ERRORS)]
    assert connection.close_reason is CloseReason.REFUSED


# Subscriptions


def test_acknowledged_is_not_yet_live():
    connection = subscribed(ready_server(), state=SubscriptionState.ACKED)
    assert connection.subscriptions["a"] == Subscription("a", "/a", SubscriptionState.ACKED)
    connection.prove_live("a")
    assert connection.subscriptions["a"].state is SubscriptionState.LIVE
    connection.prove_live("a")


@pytest.mark.parametrize(
    "state", [SubscriptionState.UNUSED, SubscriptionState.REQUESTED, SubscriptionState.ENDING]
)
def test_only_an_acknowledged_subscription_can_be_live(state):
    connection = ready_server()
    if state is not SubscriptionState.UNUSED:
        subscribed(connection, state=state)
    with pytest.raises(LocalProtocolError):
        connection.prove_live("a")


def test_an_event_proves_a_subscription_live_on_both_sides():
    connection = ready_client()
    connection.send(Subscribe("a", "/a"))
    hear(connection, SubscribeSuccess("a"))
    assert connection.subscriptions["a"].state is SubscriptionState.ACKED
    assert hear(connection, Data("a", "1")) == [Data("a", "1")]
    assert connection.subscriptions["a"].state is SubscriptionState.LIVE


def test_no_event_is_sent_before_the_subscription_is_acknowledged():
    connection = subscribed(ready_server(), state=SubscriptionState.REQUESTED)
    with pytest.raises(LocalProtocolError, match="data is not legal while the subscription is req"):
        connection.send(Data("a", "1"))
    assert connection.texts_to_send() == []


def test_an_event_before_the_acknowledgement_is_a_violation():
    connection = ready_client()
    connection.send(Subscribe("a", "/a"))
    error = breaks(connection, Data("a", "1"))
    assert (error.frame_id, error.frame_type) == ("a", "data")
    assert connection.subscriptions["a"].state is SubscriptionState.REQUESTED


def test_a_duplicate_is_reported_and_the_live_subscription_survives():
    connection = subscribed(ready_server())
    error = breaks(connection, Subscribe("a", "/other"))
    assert error.error_type == "DuplicatedOperationError"
    connection.refuse(error)
    assert connection.subscriptions["a"] == Subscription("a", "/a", SubscriptionState.LIVE)
    assert connection.texts_to_send() == [
        '{"id":"a","type":"subscribe_error","errors":[{"errorType":"DuplicatedOperationError",'
        '"message":"Operation id a is already in use"}]}'
    ]
    connection.send(Data("a", "2"))


def test_a_duplicate_refused_before_the_first_was_answered_does_not_answer_the_first():
    connection = subscribed(ready_server(), state=SubscriptionState.REQUESTED)
    connection.refuse(breaks(connection, Subscribe("a", "/a")))
    connection.send(SubscribeSuccess("a"))
    assert [type(frame) for frame in sent(connection)] == [SubscribeError, SubscribeSuccess]


def test_a_client_keeps_its_live_subscription_when_a_second_with_its_id_is_refused():
    connection = ready_client()
    connection.send(Subscribe("a", "/a"))
    hear(connection, SubscribeSuccess("a"), SubscribeError("a", ERRORS))
    assert connection.subscriptions["a"].state is SubscriptionState.ACKED


def test_unsubscribing_an_unknown_id_is_reported_in_the_words_of_aws():
    connection = ready_server()
    connection.refuse(breaks(connection, Unsubscribe("s-9")))
    assert connection.texts_to_send() == [
        '{"id":"s-9","type":"unsubscribe_error","errors":[{"errorType":"UnknownOperationError",'
        '"message":"Unknown operation id s-9"}]}'
    ]


def test_an_id_can_be_used_again_when_its_subscription_is_over():
    connection = subscribed(ready_server(), state=SubscriptionState.ENDING)
    connection.send(Data("a", "in flight"))
    connection.send(UnsubscribeSuccess("a"))
    assert connection.subscriptions == {}
    with pytest.raises(LocalProtocolError):
        connection.send(Data("a", "late"))
    subscribed(connection)
    assert connection.subscriptions["a"].state is SubscriptionState.LIVE


def test_a_subscribe_withdrawn_before_its_answer_is_answered_in_order():
    connection = ready_server()
    hear(connection, Subscribe("a", "/a"), Unsubscribe("a"))
    assert connection.subscriptions["a"].state is SubscriptionState.WITHDRAWN
    connection.send(SubscribeSuccess("a"))
    connection.send(UnsubscribeSuccess("a"))
    with pytest.raises(LocalProtocolError):
        connection.send(SubscribeSuccess("a"))


def test_a_subscription_too_many_is_refused_and_the_others_go_on():
    connection = ready_server(subscriptions_per_connection=1)
    subscribed(connection)
    error = breaks(connection, Subscribe("b", "/a"))
    assert error.error_type == "MaxSubscriptionsReachedError"
    connection.refuse(error)
    assert sent(connection)[0].id == "b"
    assert list(connection.subscriptions) == ["a"]


def test_a_client_does_not_use_an_id_twice():
    connection = client()
    connection.send(Subscribe("a", "/a"))
    with pytest.raises(LocalProtocolError, match="already in use"):
        connection.send(Subscribe("a", "/b"))
    assert len(connection.texts_to_send()) == 1


# Publications


def test_a_publish_waits_for_exactly_one_answer():
    connection = ready_server()
    hear(connection, Publish("p", "/a", ("1",)))
    assert connection.publishes_in_flight == 1
    connection.send(PublishSuccess("p", (Accepted("i", 0),)))
    assert connection.publishes_in_flight == 0
    with pytest.raises(LocalProtocolError):
        connection.send(PublishError("p", ERRORS))


def test_six_events_are_answered_with_a_publish_error_in_the_words_of_aws():
    connection = ready_server()
    connection.refuse(breaks(connection, Publish("p", "/a", ("1",) * 6)))
    assert connection.texts_to_send() == [
        '{"id":"p","type":"publish_error","errors":[{"errorType":"InvalidInputError",'
        '"message":"input exceeded 5 event limit"}]}'
    ]
    assert connection.publishes_in_flight == 0


def test_an_error_with_the_id_of_a_publish_rejects_it():
    connection = ready_client()
    connection.send(Publish("p", "/a", ("1",)))
    hear(connection, OperationError(ERRORS, "p"))
    assert connection.publishes_in_flight == 0
    breaks(connection, PublishSuccess("p", ()))


def test_an_error_with_the_id_of_a_waiting_subscribe_ends_it():
    connection = ready_client()
    connection.send(Subscribe("a", "/a"))
    hear(connection, OperationError(ERRORS, "a"))
    assert connection.subscriptions == {}


@pytest.mark.parametrize("id_", [None, "nobody"])
def test_an_error_that_names_nothing_that_waits_is_only_a_notice(id_):
    connection = ready_client()
    connection.send(Publish("p", "/a", ("1",)))
    assert hear(connection, OperationError(ERRORS, id_)) == [OperationError(ERRORS, id_)]
    assert connection.publishes_in_flight == 1


# Violations


@pytest.mark.parametrize("frame", SERVER_FRAMES, ids=lambda frame: frame.TYPE)
def test_what_only_a_server_says_is_not_supported_from_a_client(frame):
    connection = subscribed(ready_server())
    hear(connection, Publish("p", "/a", ("1",)))
    before = repr(connection)
    error = breaks(connection, frame)
    assert error.error_type == "UnsupportedOperation"
    assert str(error) == "Operation not supported through the realtime channel"
    assert repr(connection) == before
    with pytest.raises(LocalProtocolError):
        client().send(frame)


@pytest.mark.parametrize("frame", CLIENT_FRAMES, ids=lambda frame: frame.TYPE)
def test_what_only_a_client_says_is_not_supported_from_a_server(frame):
    assert breaks(ready_client(), frame).error_type == "UnsupportedOperation"
    with pytest.raises(LocalProtocolError, match="not supported"):
        ready_server().send(frame)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"type":"start","id":"x"}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","id":"b","channel":7}',
        '{"type":"publish","id":"q","channel":"/a","events":[]}',
        '{"type":"unsubscribe","id":"b"}',
        '{"type":"data","id":"a","event":"1"}',
    ],
)
def test_a_connection_stays_usable_after_a_violation(text):
    connection = subscribed(ready_server())
    error = breaks(connection, text)
    connection.refuse(error)
    answer = sent(connection)
    assert len(answer) == 1
    assert answer[0].errors == (WireError(error.error_type, str(error)),)
    connection.send(Data("a", "2"))
    assert hear(connection, Publish("p", "/a", ("1",))) == [Publish("p", "/a", ("1",))]


@pytest.mark.parametrize(
    ("frame_type", "frame_id", "answer"),
    [
        ("subscribe", "a", SubscribeError),
        ("unsubscribe", "a", UnsubscribeError),
        ("publish", "a", PublishError),
        ("subscribe", None, OperationError),
        ("data", "a", OperationError),
        (None, "a", OperationError),
        (None, None, OperationError),
    ],
)
def test_a_violation_is_answered_with_the_type_that_its_frame_allows(frame_type, frame_id, answer):
    error = RemoteProtocolError("m", error_type="T", frame_id=frame_id, frame_type=frame_type)
    frame = refusal(error)
    assert type(frame) is answer
    assert (frame.id, frame.errors) == (frame_id, (WireError("T", "m"),))


def test_a_client_does_not_answer_violations():
    with pytest.raises(LocalProtocolError, match="a client does not answer"):
        ready_client().refuse(RemoteProtocolError("m"))


def test_what_could_not_be_sent_changed_nothing():
    connection = subscribed(ready_server())
    before = repr(connection)
    for frame in (
        SubscribeSuccess("a"),
        Data("b", "1"),
        UnsubscribeSuccess("a"),
        PublishSuccess("p", ()),
    ):
        with pytest.raises(LocalProtocolError):
            connection.send(frame)
    assert repr(connection) == before
    assert connection.texts_to_send() == []


def test_frames_that_were_decoded_elsewhere_are_judged_alike():
    connection = ready_server()
    assert connection.receive_frame(Subscribe("a", "/a"), now=1001.0) == [Subscribe("a", "/a")]
    with pytest.raises(RemoteProtocolError):
        connection.receive_frame(Subscribe("a", "/a"), now=1001.0)
    connection.close()
    assert connection.receive_frame(Subscribe("b", "/a"), now=1001.0) == []


def test_frames_that_were_decoded_elsewhere_are_signs_of_life_too():
    connection = ready_client(timeout=5.0)
    connection.receive_frame(KeepAlive(), now=1004.0)
    assert connection.deadline == 1009.0


# Time


def test_a_server_says_that_it_is_there_every_sixty_seconds():
    connection = ready_server()
    said = []
    while len(said) < 5:
        now = connection.deadline
        connection.tick(now=now)
        said += [(now, frame) for frame in sent(connection)]
    assert said == [(1000.0 + 60.0 * n, KeepAlive()) for n in range(1, 6)]


def test_the_rhythm_begins_with_the_ack_and_not_with_the_connection():
    connection = ready_server(now=1007.0)
    assert connection.deadline == 1067.0


def test_a_tick_that_comes_exactly_one_interval_late_says_so_once():
    connection = ready_server()
    connection.tick(now=1120.0)
    assert sent(connection) == [KeepAlive()]
    assert connection.deadline == 1180.0


def test_a_tick_that_comes_early_does_nothing():
    connection = ready_server()
    connection.tick(now=1059.9)
    assert connection.texts_to_send() == []
    assert connection.deadline == 1060.0


def test_a_tick_that_comes_a_little_late_keeps_the_rhythm():
    connection = ready_server()
    connection.tick(now=1062.0)
    assert connection.deadline == 1120.0


def test_after_a_long_pause_one_keep_alive_is_said_and_not_many():
    connection = ready_server()
    connection.tick(now=1500.0)
    assert sent(connection) == [KeepAlive()]
    assert connection.deadline == 1560.0


def test_a_client_that_never_sends_an_init_hears_no_keep_alive():
    connection = server()
    assert connection.deadline == 1000.0 + 86_400.0
    connection.tick(now=1060.0)
    assert connection.texts_to_send() == []


@pytest.mark.parametrize("build", [server, ready_server])
def test_a_server_ends_every_connection_after_a_day(build):
    connection = build(connection_life=100.0)
    connection.tick(now=1099.9)
    assert connection.state is not ConnectionState.CLOSED
    connection.tick(now=1100.0)
    assert connection.state is ConnectionState.CLOSED
    assert connection.close_reason is CloseReason.LIFE_OVER
    connection.tick(now=9999.0)
    assert connection.close_reason is CloseReason.LIFE_OVER


def test_a_client_gives_up_after_the_silence_that_the_ack_allows():
    connection = ready_client(timeout=5.0)
    assert connection.deadline == 1005.0
    connection.tick(now=1004.9)
    assert connection.state is ConnectionState.READY
    connection.tick(now=1005.0)
    assert connection.state is ConnectionState.CLOSED
    assert connection.close_reason is CloseReason.PEER_SILENT


@pytest.mark.parametrize(
    "text", ['{"type":"ka"}', '{"id":"a","type":"data","event":"1"}', "nonsense"]
)
def test_any_text_is_a_sign_of_life(text):
    connection = ready_client(timeout=5.0)
    connection.send(Subscribe("a", "/a"))
    hear(connection, SubscribeSuccess("a"))
    try:
        connection.receive_text(text, now=1004.0)
    except RemoteProtocolError:
        assert text == "nonsense"
    assert connection.deadline == 1009.0


def test_a_client_without_an_ack_has_no_deadline_of_its_own():
    connection = client()
    assert connection.deadline is None
    connection.send(ConnectionInit())
    assert connection.deadline is None
    connection.tick(now=99_999.0)
    assert connection.state is ConnectionState.STARTING


def test_a_second_ack_may_change_the_patience_of_a_client():
    connection = ready_client(timeout=5.0)
    connection.send(ConnectionInit())
    hear(connection, ConnectionAck(50.0), now=1001.0)
    assert connection.deadline == 1051.0


# The end


@pytest.mark.parametrize("build", [server, ready_server, client, ready_client])
def test_closing_is_final_and_can_be_repeated(build):
    connection = build()
    connection.close()
    connection.close()
    assert connection.state is ConnectionState.CLOSED
    assert connection.close_reason is CloseReason.CLOSED_HERE
    assert connection.deadline is None
    connection.tick(now=99_999.0)
    assert connection.texts_to_send() == []


def test_after_the_end_nothing_is_sent_and_what_comes_is_ignored():
    connection = subscribed(ready_server())
    connection.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        connection.send(Data("a", "1"))
    with pytest.raises(LocalProtocolError, match="closed"):
        connection.refuse(RemoteProtocolError("m"))
    assert connection.receive_text("nonsense", now=1001.0) == []
    assert hear(connection, Subscribe("b", "/a")) == []
    assert list(connection.subscriptions) == ["a"]


def test_what_was_queued_before_the_end_can_still_be_collected():
    connection = ready_server()
    hear(connection, Publish("p", "/a", ("1",)))
    connection.send(PublishSuccess("p", ()))
    connection.close()
    assert sent(connection) == [PublishSuccess("p", ())]


def test_closing_does_not_replace_the_reason_of_a_refusal():
    connection = server()
    connection.send(ConnectionRefused(ERRORS))
    connection.close()
    assert connection.close_reason is CloseReason.REFUSED


def test_texts_are_handed_out_once_and_in_order():
    connection = client()
    connection.send(ConnectionInit())
    connection.send(Subscribe("a", "/a"))
    assert sent(connection) == [ConnectionInit(), Subscribe("a", "/a")]
    assert connection.texts_to_send() == []


def test_a_connection_prints_as_what_it_holds():
    connection = subscribed(ready_server())
    hear(connection, Publish("p", "/a", ("1",)))
    assert repr(connection) == "<server ready [a live] 1 publishing>"


def test_the_view_of_the_subscriptions_cannot_be_written():
    with pytest.raises(TypeError):
        server().subscriptions["a"] = Subscription("a", "/a", SubscriptionState.LIVE)
