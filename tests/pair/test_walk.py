"""A walk over every row of the tables, step by step; and the walk itself, put to the test.

Where the machine beside this file tries what comes to its mind, the walk is written down: each step
says who does what and where that leads, from the protocol's prose. So a row that is missing, or
that leads elsewhere, is found without any luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from event_protocol import states
from event_protocol.codec import encode
from event_protocol.connection import EventConnection, Side
from event_protocol.errors import EventProtocolError
from event_protocol.frames import (
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
from event_protocol.operations import Violation

ERRORS = (WireError("SubscriptionProcessingError"),)
INIT, ACK, KA, REFUSED = (
    ConnectionInit(),
    ConnectionAck(300.0),
    KeepAlive(),
    ConnectionRefused(ERRORS),
)
SUBSCRIBE, UNSUBSCRIBE = Subscribe("a", "/a"), Unsubscribe("a")
SUCCESS, REFUSAL = SubscribeSuccess("a"), SubscribeError("a", ERRORS)
ENDED, UNKNOWN = UnsubscribeSuccess("a"), UnsubscribeError("a", ERRORS)
DATA, TROUBLE, NOTICE = Data("a", "1"), BroadcastError("a", ERRORS), OperationError(ERRORS, "a")
PROVED, CLIENT_KA, CLOSE = "proved live", "ka from a client", "close"

PUBLISH, PUBLISHED = Publish("p", "/a", ("1",)), PublishSuccess("p", ())
NOT_PUBLISHED, PUBLISH_FAILED = PublishError("p", ERRORS), OperationError(ERRORS, "p")

# Each walk begins with a new connection: (what happens, the state after it).
CONNECTION_WALKS = [
    [(CLIENT_KA, "new"), (SUBSCRIBE, "new"), (SUCCESS, "new"), (CLOSE, "closed")],
    [(REFUSED, "closed")],
    [(INIT, "starting"), (REFUSED, "closed")],
    [
        (INIT, "starting"), (INIT, "starting"), (CLIENT_KA, "starting"), (SUBSCRIBE, "starting"),
        (SUCCESS, "starting"), (CLOSE, "closed"),
    ],
    [
        (INIT, "starting"), (ACK, "ready"), (KA, "ready"), (CLIENT_KA, "ready"), (INIT, "ready"),
        (ACK, "ready"), (SUBSCRIBE, "ready"), (SUCCESS, "ready"), (CLOSE, "closed"),
    ],
    [(INIT, "starting"), (ACK, "ready"), (REFUSED, "closed")],
]  # fmt: skip

SUBSCRIPTION_WALKS = [
    [(NOTICE, "unused"), (UNKNOWN, "unused"), (SUBSCRIBE, "requested"), (REFUSAL, "unused")],
    [(SUBSCRIBE, "requested"), (NOTICE, "unused"), (SUBSCRIBE, "requested")],
    [
        (SUBSCRIBE, "requested"), (SUCCESS, "acked"), (REFUSAL, "acked"), (NOTICE, "acked"),
        (TROUBLE, "acked"), (DATA, "live"), (DATA, "live"), (TROUBLE, "live"), (REFUSAL, "live"),
        (NOTICE, "live"), (PROVED, "live"), (UNSUBSCRIBE, "ending"), (DATA, "ending"),
        (TROUBLE, "ending"), (REFUSAL, "ending"), (NOTICE, "ending"), (ENDED, "unused"),
    ],
    [
        (SUBSCRIBE, "requested"), (SUCCESS, "acked"), (PROVED, "live"), (UNSUBSCRIBE, "ending"),
        (UNKNOWN, "unused"),
    ],
    [
        (SUBSCRIBE, "requested"), (SUCCESS, "acked"), (UNSUBSCRIBE, "ending"), (ENDED, "unused"),
    ],
    [
        (SUBSCRIBE, "requested"), (UNSUBSCRIBE, "withdrawn"), (REFUSAL, "withdrawn"),
        (NOTICE, "withdrawn"), (ENDED, "unused"),
    ],
    [(SUBSCRIBE, "requested"), (UNSUBSCRIBE, "withdrawn"), (UNKNOWN, "unused")],
    [
        (SUBSCRIBE, "requested"), (UNSUBSCRIBE, "withdrawn"), (SUCCESS, "ending"), (DATA, "ending"),
        (ENDED, "unused"),
    ],
]  # fmt: skip

PUBLICATION_WALKS = [
    [(PUBLISH, 1), (PUBLISHED, 0), (PUBLISH, 1), (NOT_PUBLISHED, 0)],
    [(PUBLISH, 1), (PUBLISH, 2), (PUBLISH_FAILED, 1), (PUBLISHED, 0)],
]


def connection_state(connection):
    return connection.state


def subscription_state(connection):
    held = connection.subscriptions.get("a")
    return "unused" if held is None else held.state


def publications(connection):
    return connection.publishes_in_flight


WALKS = {
    "CONNECTION": (CONNECTION_WALKS, connection_state),
    "SUBSCRIPTION": (SUBSCRIPTION_WALKS, subscription_state),
    "PUBLICATION": (PUBLICATION_WALKS, publications),
}
CLIENT_SENDS = (ConnectionInit, Subscribe, Unsubscribe, Publish)


def step(connection, what):
    """Lets it happen to a connection, whichever side it is."""
    if what == CLOSE:
        connection.close()
    elif what == PROVED:
        connection.prove_live("a")
    else:
        is_from_client = what == CLIENT_KA or isinstance(what, CLIENT_SENDS)
        frame = KA if what == CLIENT_KA else what
        if is_from_client is (connection.side is Side.CLIENT):
            connection.send(frame)
        else:
            assert connection.receive_text(encode(frame), now=0.0) == [frame]


def walk(name, side):
    walks, state_of = WALKS[name]
    for steps in walks:
        connection = EventConnection(side, limits=Limits(keep_alive_after_ack=False), now=0.0)
        for number, (what, expected) in enumerate(steps):
            step(connection, what)
            assert state_of(connection) == expected, f"step {number} of {steps}"


class Recording(Mapping):
    """A table that remembers which of its rows were used."""

    def __init__(self, table):
        self.table = table
        self.used = set()

    def __getitem__(self, row):
        target = self.table[row]
        self.used.add(row)
        return target

    def __iter__(self):
        return iter(self.table)

    def __len__(self):
        return len(self.table)


ROWS = [(name, row) for name in WALKS for row in getattr(states, name)]
IDS = [f"{name}: {state} + {event}" for name, (state, event) in ROWS]
NOTICED = (AssertionError, EventProtocolError, Violation)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", WALKS)
def test_both_sides_walk_every_row_of_a_table(monkeypatch, name, side):
    table = Recording(getattr(states, name))
    monkeypatch.setattr(states, name, table)
    walk(name, side)
    assert table.used == set(table)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=IDS)
@pytest.mark.parametrize("side", Side)
def test_the_walk_notices_a_missing_row(monkeypatch, name, row, side):
    rest = {each: target for each, target in getattr(states, name).items() if each != row}
    monkeypatch.setattr(states, name, MappingProxyType(rest))
    with pytest.raises(NOTICED):
        walk(name, side)


# Of an id without an operation nothing is kept, and of a publication only whether it waits: there
# the target of a row cannot be seen from outside, only whether there is one.
VISIBLE = [
    (name, row)
    for name, row in ROWS
    if name != "PUBLICATION" and (name, row[0]) != ("SUBSCRIPTION", "unused")
]


@pytest.mark.parametrize(("name", "row"), VISIBLE, ids=lambda value: str(value))
def test_the_walk_notices_a_row_that_leads_elsewhere(monkeypatch, name, row):
    table = getattr(states, name)
    for target in set(type(table[row])) - {table[row]}:
        monkeypatch.setattr(states, name, MappingProxyType({**table, row: target}))
        with pytest.raises(NOTICED):
            walk(name, Side.SERVER)
