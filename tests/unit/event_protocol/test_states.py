from __future__ import annotations

import pytest

from event_protocol import states
from event_protocol.states import (
    CONNECTION,
    PUBLICATION,
    SUBSCRIPTION,
    ConnectionEvent,
    ConnectionState,
    PublicationEvent,
    PublicationState,
    Side,
    SubscriptionEvent,
    SubscriptionState,
    render_diagram,
)

C, CE = ConnectionState, ConnectionEvent
S, SE = SubscriptionState, SubscriptionEvent
P, PE = PublicationState, PublicationEvent

TABLES = [
    pytest.param(CONNECTION, C, CE, id="connection"),
    pytest.param(SUBSCRIPTION, S, SE, id="subscription"),
    pytest.param(PUBLICATION, P, PE, id="publication"),
]


@pytest.mark.parametrize(("table", "state_type", "event_type"), TABLES)
def test_every_state_and_every_event_has_its_place(table, state_type, event_type):
    assert {event for _, event in table} == set(event_type)
    assert {state for state, _ in table} | set(table.values()) == set(state_type)


@pytest.mark.parametrize(("table", "state_type", "event_type"), TABLES)
def test_every_state_can_be_reached_from_the_first(table, state_type, event_type):
    reached = {next(iter(state_type))}
    while more := {t for (s, _), t in table.items() if s in reached} - reached:
        reached |= more
    assert reached == set(state_type)


@pytest.mark.parametrize(("table", "state_type", "event_type"), TABLES)
def test_a_table_cannot_be_changed_in_passing(table, state_type, event_type):
    with pytest.raises(TypeError):
        table[next(iter(table))] = next(iter(state_type))


def test_nothing_leaves_a_closed_connection():
    assert not [state for state, _ in CONNECTION if state is C.CLOSED]


@pytest.mark.parametrize(
    "event", [CE.CLOSE, CE.REFUSE, CE.OPERATION, CE.ANSWER, CE.CLIENT_KEEP_ALIVE]
)
def test_what_an_open_connection_allows_before_the_ack_it_allows_after(event):
    assert {s for s, e in CONNECTION if e is event} == {C.NEW, C.STARTING, C.READY}


def test_a_keep_alive_comes_only_after_the_ack():
    assert [s for s, e in CONNECTION if e is CE.KEEP_ALIVE] == [C.READY]


def test_an_ack_answers_an_init():
    assert [s for s, e in CONNECTION if e is CE.ACK] == [C.STARTING, C.READY]


def test_events_arrive_only_after_the_subscription_was_acknowledged():
    assert {s for s, e in SUBSCRIPTION if e is SE.DATA} == {S.ACKED, S.LIVE, S.ENDING}


def test_acknowledged_is_not_live():
    assert SUBSCRIPTION[S.REQUESTED, SE.SUBSCRIBE_SUCCESS] is S.ACKED
    assert SUBSCRIPTION[S.ACKED, SE.PROVED_LIVE] is S.LIVE


def test_a_subscription_is_acknowledged_once():
    assert {s for s, e in SUBSCRIPTION if e is SE.SUBSCRIBE_SUCCESS} == {S.REQUESTED, S.WITHDRAWN}


def test_a_publication_is_answered_once():
    assert {s for s, e in PUBLICATION if e is not PE.PUBLISH} == {P.REQUESTED}


def test_each_side_has_the_other_as_its_peer():
    assert Side.CLIENT.peer is Side.SERVER
    assert Side.SERVER.peer is Side.CLIENT


def test_a_table_can_be_drawn():
    assert render_diagram(PUBLICATION) == (
        "stateDiagram-v2\n"
        "    [*] --> unused\n"
        "    unused --> requested: publish\n"
        "    requested --> accepted: publish_success\n"
        "    requested --> rejected: publish_error / error\n"
    )


@pytest.mark.parametrize(("table", "state_type", "event_type"), TABLES)
def test_a_drawing_shows_every_row_once(table, state_type, event_type):
    arrows = [line.strip() for line in render_diagram(table).splitlines()[2:]]
    shown = [
        (ends, event)
        for ends, _, events in (arrow.partition(": ") for arrow in arrows)
        for event in events.split(" / ")
    ]
    assert sorted(shown) == sorted((f"{s} --> {t}", e.value) for (s, e), t in table.items())


def test_this_module_is_data_and_knows_no_frame():
    assert not [name for name in vars(states) if name in {"frames", "Frame", "Subscribe", "decode"}]
