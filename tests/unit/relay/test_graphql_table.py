from __future__ import annotations

import json

from relay.graphql_realtime import token_in_query
from relay.graphql_schema import Publication, Selection
from relay.graphql_table import Listener, ListenerTable
from relay.hub import Hub, Outlet

BOTH = (("name", "name"), ("data", "data"))


class Wire:
    """What one connection was sent."""

    def __init__(self):
        self.written = b""
        self.outlet = Outlet(write=self.write, unsent=lambda: 0, cut=lambda: None)

    def write(self, data):
        self.written += data

    @property
    def frames(self):
        found, rest = [], self.written
        while rest:
            length = rest[1]
            start = 2
            if length == 126:
                length, start = int.from_bytes(rest[2:4]), 4
            found.append(json.loads(rest[start : start + length]))
            rest = rest[start + length :]
        return found


class Room:
    """A table, a hub that is flushed by hand, and wires."""

    def __init__(self):
        self.table = ListenerTable()
        self.hub = Hub(lambda action: None, unsent_bytes=1 << 20)

    def listen(self, wire, name="x", *, frame_id="1", fields=BOTH):
        listener = Listener(frame_id, Selection(name, "subscribe", fields), outlet=wire.outlet)
        self.hub.flush()
        self.table.add(listener)
        return listener

    def publish(self, name="x", data="1", selected=("name", "data")):
        self.table.publish([Publication(name, data, set(selected))], hub=self.hub)
        self.hub.flush()


def test_who_listens_to_a_name_gets_what_is_published_there():
    room, here, there = Room(), Wire(), Wire()
    room.listen(here)
    room.listen(there, name="y")
    room.publish()
    assert here.frames == [
        {
            "id": "1",
            "type": "data",
            "payload": {"data": {"subscribe": {"name": "x", "data": "1"}}},
        }
    ]
    assert there.frames == []
    room.publish("X")
    assert len(here.frames) == 1


def test_each_gets_what_it_asked_for():
    room, first, second = Room(), Wire(), Wire()
    room.listen(first)
    room.listen(second, fields=(("d", "data"),))
    room.publish(selected=("name",))
    assert first.frames[0]["payload"]["data"]["subscribe"] == {"name": "x", "data": None}
    assert second.frames[0]["payload"]["data"]["subscribe"] == {"d": None}


def test_a_connection_with_several_keeps_the_order():
    room, wire = Room(), Wire()
    room.listen(wire, frame_id="1")
    room.listen(wire, frame_id="2", fields=(("data", "data"),))
    room.listen(wire, frame_id="3", name="y")
    for name, data in [("x", "1"), ("y", "2"), ("x", "3")]:
        room.table.publish([Publication(name, data, {"data"})], hub=room.hub)
    room.hub.flush()
    seen = [(frame["id"], frame["payload"]["data"]["subscribe"]["data"]) for frame in wire.frames]
    assert [data for number, data in seen if number in "13"] == ["1", "2", "3"]
    assert sorted(seen) == [("1", "1"), ("1", "3"), ("2", "1"), ("2", "3"), ("3", "2")]


def test_who_left_gets_nothing_and_the_others_still_do():
    room, first, second = Room(), Wire(), Wire()
    leaving = room.listen(first)
    room.listen(second)
    room.publish()
    room.hub.flush()
    room.table.remove(leaving)
    room.publish()
    assert len(first.frames) == 1
    assert len(second.frames) == 2


def test_nothing_is_left_behind():
    room, wire = Room(), Wire()
    listeners = [room.listen(wire, name=name, frame_id=name) for name in ("a", "b", "b2")]
    room.publish("a")
    assert len(room.table) == 3
    for listener in listeners:
        room.table.remove(listener)
    assert len(room.table) == 0
    assert vars(room.table) == {"_by_name": {}, "_routes": {}}


def test_a_subscriber_that_comes_later_is_in_the_next_route():
    room, first, second = Room(), Wire(), Wire()
    room.listen(first)
    room.publish()
    room.listen(second)
    room.publish()
    assert (len(first.frames), len(second.frames)) == (2, 1)


def test_the_token_of_a_query_may_be_raw_encoded_or_formed():
    assert token_in_query("header=eyJ+/w==&payload=e30=") == "header-eyJ+/w=="
    assert token_in_query("payload=e30=&header=eyJ%2B%2Fw%3D%3D") == "header-eyJ+/w=="
    assert token_in_query("header=eyJ /w==") == "header-eyJ+/w=="
    assert token_in_query("x=1&other") is None
    assert token_in_query("") is None
