"""Subscriptions that are fetched: the hub's frames become events, whatever their length."""

from __future__ import annotations

import json

import pytest

from event_protocol.channels import ChannelPattern
from relay.clock import HandMovedClock
from relay.config import ApiConfig, NamespaceConfig
from relay.errors import Refusal
from relay.hub import Hub
from relay.journal import MemoryJournal
from relay.namespaces import Api
from relay.poll_sessions import ANSWER_BYTES, SESSIONS_COUNT, PollSessions, Session

PATH = "/default/a"


@pytest.fixture
def api() -> Api:
    config = ApiConfig(label="a" * 26, namespaces=(NamespaceConfig(name="default"),))
    return Api(config, authorizers=lambda _: ())


@pytest.fixture
def sessions() -> PollSessions:
    hub = Hub(lambda _: None, unsent_bytes=4 << 20)
    return PollSessions(hub, HandMovedClock(), MemoryJournal())


def opened(sessions: PollSessions, api: Api, path: str = PATH) -> Session:
    return sessions.open(api, ChannelPattern.parse(path), connection="c1")


def publish(sessions: PollSessions, api: Api, *texts: str, path: str = PATH) -> None:
    tails = [json.dumps(text).encode() + b"}" for text in texts]
    sessions._hub.publish(api.channels.route(path), tails, size=sum(map(len, tails)))
    sessions._hub.flush()


@pytest.mark.parametrize("length", [0, 1, 122, 123, 124, 125, 126, 65_532, 65_533, 65_534, 70_000])
def test_events_of_any_length_are_taken_as_they_were_sent(
    sessions: PollSessions, api: Api, length: int
) -> None:
    session = opened(sessions, api)
    publish(sessions, api, "x" * length, "y")
    assert json.loads(session.render()) == ["x" * length, "y"]


def test_an_answer_holds_so_many_bytes_and_at_least_one_event(
    sessions: PollSessions, api: Api
) -> None:
    session = opened(sessions, api)
    large = "x" * (ANSWER_BYTES // 2)
    publish(sessions, api, large, large, large)
    assert len(json.loads(session.render())) == 1
    session.confirm(2)
    assert len(json.loads(session.render())) == 1
    session.confirm(3)
    assert session.render() == b"[]"
    publish(sessions, api, "x" * (ANSWER_BYTES + 1))
    assert len(json.loads(session.render())) == 1


def test_numbers_go_on_where_confirmed_events_end(sessions: PollSessions, api: Api) -> None:
    session = opened(sessions, api)
    publish(sessions, api, "a", "b")
    session.confirm(2)
    publish(sessions, api, "c")
    assert (session.first, json.loads(session.render()), session.delivered) == (3, ["c"], 2)
    for wrong in (1, 4):
        with pytest.raises(Refusal):
            session.confirm(wrong)


def test_sessions_do_not_share_what_they_hold(sessions: PollSessions, api: Api) -> None:
    first, second = opened(sessions, api), opened(sessions, api)
    publish(sessions, api, "a")
    first.confirm(1)
    assert (first.held, second.held) == (0, 1)
    assert first.id != second.id


def test_one_that_ended_gets_nothing_and_leaves_nothing(sessions: PollSessions, api: Api) -> None:
    session = opened(sessions, api)
    sessions.end(session, "asked")
    sessions.end(session, "idle")
    assert len(api.channels) == 0
    publish(sessions, api, "a")
    assert session.held == 0
    with pytest.raises(Refusal) as caught:
        sessions.find(session.id, api=api, path=PATH)
    assert caught.value.status == 404


def test_a_relay_keeps_so_many_and_no_more(sessions: PollSessions, api: Api) -> None:
    for _ in range(SESSIONS_COUNT):
        opened(sessions, api)
    with pytest.raises(Refusal) as caught:
        opened(sessions, api)
    assert caught.value.status == 429
    sessions.close()
    assert (len(sessions), len(api.channels)) == (0, 0)
    opened(sessions, api)
