"""A model of namespaces, connections, subscriptions and publishes, beside the real relay.

Hypothesis makes up what clients do, on real sockets and through the control plane. The model says
what each of them must be answered and must have heard: every event at most once per subscription,
in order, and nothing else. At the end each connection's line in the journal must count the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from event_protocol.limits import Limits
from tests.shell.relay_stage import KEY, Socket, api_config, start

CHANNELS = ("/default/a", "/default/a/b", "/other/x", "/late/y/z", "/default")
PATTERNS = (*CHANNELS, "/default/*", "/default/a/*", "/other/*", "/late/*")
NEAR, NEAR_PATTERNS = CHANNELS[:2], (*CHANNELS[:2], "/default/*")  # where they meet more often
IDS = ("s", "t", "u", "v")
WRONG = {"x-api-key": "da2-wrong"}
MOST_SUBSCRIPTIONS = 3
EVENT_BYTES = 60
LARGE = 100  # letters of an event that is too large
CLOSED = "relay.connection.closed"
SYNC = "sync"  # an id that no subscription has


SEVERAL = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(NEAR)),
        st.tuples(st.just("publish"), st.sampled_from(NEAR)),
        st.tuples(st.just("subscribe"), st.sampled_from(IDS[:3]), st.sampled_from(NEAR_PATTERNS)),
        st.tuples(st.just("unsubscribe"), st.sampled_from(IDS[:3])),
    ),
    min_size=3,
    max_size=10,
)


def namespace_of(channel: str) -> str:
    return channel.split("/")[1]


def matches(pattern: str, channel: str) -> bool:
    if pattern.endswith("/*"):
        return channel.startswith(pattern[:-1])
    return pattern == channel


@dataclass(eq=False)
class Client:
    """One connection: the real one, and what the model knows of it."""

    name: str
    socket: Socket
    stack: AsyncExitStack
    port: int
    subscriptions: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=dict)  # events by subscription id
    heard: dict[str, list[str]] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    newest: int = -1
    accepted: int = 0
    is_closed: bool = False

    async def ask(self, **frame: object) -> dict:
        """Sends an operation and waits for its answer, past events."""
        (answer,) = await self.ask_all([frame])
        return answer

    async def ask_all(self, frames: list[dict]) -> list[dict]:
        """Sends operations before the relay reads any, and waits for their answers."""
        await asyncio.gather(*(self.socket.say(**frame) for frame in frames))
        answers = []
        while len(answers) < len(frames):
            answer = json.loads(await self.socket.hear())
            if answer["type"] != "data":
                answers.append(answer)
                self.note(answer)
                continue
            assert answer["id"] in self.live
            self.heard.setdefault(answer["id"], []).append(answer["event"])
            number = json.loads(answer["event"])["n"]
            assert number >= self.newest  # whatever the channel, in the order of publishing
            self.newest = number
        return answers

    def note(self, answer: dict) -> None:
        """Between these two answers, and only there, an id may have events."""
        if answer["type"] == "subscribe_success":
            self.live.add(answer["id"])
        elif answer["type"] == "unsubscribe_success":
            self.live.remove(answer["id"])

    async def sync(self) -> None:
        """Returns when everything that was sent to it before has come."""
        assert (await self.ask(type="unsubscribe", id=SYNC))["type"] == "unsubscribe_error"


class RelayModel(RuleBasedStateMachine):
    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.namespaces = {"default", "other"}
        self.everybody: list[Client] = []
        self.numbers = itertools.count()
        self.posted = 0

    def run(self, coroutine):
        async def within_budget():
            async with asyncio.timeout(20):
                return await coroutine

        return self.loop.run_until_complete(within_budget())

    @initialize(
        target=clients,
        subscribed=st.lists(
            st.lists(st.sampled_from(PATTERNS[-5:] + PATTERNS[:2]), max_size=2),
            min_size=3,
            max_size=3,
        ),
    )
    def open_relay(self, subscribed: list[list[str]]):
        """Some listen already, or most of the steps would be spent on getting there."""
        self.stack = AsyncExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        limits = Limits(subscriptions_per_connection=MOST_SUBSCRIPTIONS, event_bytes=EVENT_BYTES)
        api = api_config(namespaces=(), verify="off")
        self.stage = self.run(
            self.stack.enter_async_context(start(Path(folder), api=api, limits=limits))
        )
        self.api_id = next(iter(self.stage.relay.registry)).config.api_id
        for name in self.namespaces:
            self.run(self.ask_control_plane("POST", "", {"name": name}))
        found = []
        for patterns in subscribed:
            client = self.connect_one()
            for name, pattern in zip(IDS, patterns, strict=False):
                self.subscribe_one(client, name, pattern, KEY)
            found.append(client)
        return multiple(*found)

    async def ask_control_plane(self, method: str, path: str, body: object = None) -> int:
        path = f"/v2/apis/{self.api_id}/channelNamespaces{path}"
        async with self.stage.request(method, path, json=body) as answer:
            return answer.status

    @rule(name=st.sampled_from(["other", "late", "default"]))
    def create_namespace(self, name: str) -> None:
        status = self.run(self.ask_control_plane("POST", "", {"name": name}))
        assert status == (409 if name in self.namespaces else 200)
        self.namespaces.add(name)

    @rule(name=st.sampled_from(["other", "late", "default"]))
    def delete_namespace(self, name: str) -> None:
        status = self.run(self.ask_control_plane("DELETE", f"/{name}"))
        assert status == (200 if name in self.namespaces else 404)
        self.namespaces.discard(name)

    @rule(target=clients)
    def connect(self):
        return self.connect_one()

    def connect_one(self) -> Client:
        async def dial() -> Client:
            stack = AsyncExitStack()
            socket = await stack.enter_async_context(self.stage.socket())
            port = socket.connection.local_address[1]
            return Client(f"c{next(self.numbers)}", socket, stack, port)

        client = self.run(dial())
        self.everybody.append(client)
        return client

    @precondition(lambda self: sum(not one.is_closed for one in self.everybody) > 2)
    @rule(client=consumes(clients), how=st.sampled_from(["close", "abort"]))
    def leave(self, client: Client, how: str) -> None:
        async def go() -> None:
            await client.sync()
            if how == "abort":
                client.socket.connection.transport.abort()
            await client.stack.aclose()
            await self.stage.journal.fact(
                "relay.connection.closed", connection=self.line_of(client)
            )

        self.run(go())
        client.is_closed = True
        client.subscriptions.clear()

    def line_of(self, client: Client) -> str:
        """The name that the relay's journal gives a connection."""
        (line,) = [
            fact["connection"]
            for fact in self.stage.journal.of("relay.connection.opened")
            if fact["peer_port"] == client.port and fact["transport"] == "realtime"
        ][-1:]
        return line

    @rule(
        client=clients,
        name=st.sampled_from(IDS),
        pattern=st.sampled_from(PATTERNS),
        authorization=st.sampled_from([KEY, KEY, KEY, WRONG]),
    )
    def subscribe(self, client: Client, name: str, pattern: str, authorization: dict) -> None:
        self.subscribe_one(client, name, pattern, authorization)

    def subscribe_one(self, client: Client, name: str, pattern: str, authorization: dict) -> None:
        frame = {"type": "subscribe", "id": name, "channel": pattern}
        answer = self.run(client.ask(**frame, authorization=authorization))
        self.check_subscribe(client, name, pattern, authorization, answer)

    def check_subscribe(
        self, client: Client, name: str, pattern: str, authorization: dict, answer: dict
    ) -> None:
        refusal = None
        if namespace_of(pattern) not in self.namespaces or authorization is WRONG:
            refusal = "UnauthorizedException"
        elif name in client.subscriptions:
            refusal = "DuplicatedOperationError"
        elif len(client.subscriptions) >= MOST_SUBSCRIPTIONS:
            refusal = "MaxSubscriptionsReachedError"
        self.check(answer, "subscribe", name, refusal)
        if refusal is None:
            client.subscriptions[name] = pattern

    @rule(client=clients, name=st.sampled_from(IDS))
    def unsubscribe(self, client: Client, name: str) -> None:
        self.check_unsubscribe(client, name, self.run(client.ask(type="unsubscribe", id=name)))

    def check_unsubscribe(self, client: Client, name: str, answer: dict) -> None:
        known = name in client.subscriptions
        self.check(answer, "unsubscribe", name, None if known else "UnknownOperationError")
        client.subscriptions.pop(name, None)

    @rule(
        client=clients,
        channel=st.sampled_from(CHANNELS),
        sizes=st.lists(st.sampled_from([1, 1, 1, LARGE]), min_size=1, max_size=6),
        authorization=st.sampled_from([KEY, KEY, KEY, WRONG]),
    )
    def publish(self, client: Client, channel: str, sizes: list[int], authorization: dict) -> None:
        events = [self.make_event(size) for size in sizes]
        frame = {"type": "publish", "id": "p", "channel": channel, "events": events}
        answer = self.run(client.ask(**frame, authorization=authorization))
        self.check_publish(client, channel, events, authorization, answer)

    def check_publish(
        self, client: Client, channel: str, events: list[str], authorization: dict, answer: dict
    ) -> None:
        refusal = None
        if namespace_of(channel) not in self.namespaces or authorization is WRONG:
            refusal = "UnauthorizedException"
        elif len(events) > 5:
            refusal = "InvalidInputError"
        self.check(answer, "publish", "p", refusal)
        if refusal is None:
            client.accepted += self.deliver(channel, events, answer)

    @rule(
        channel=st.sampled_from(CHANNELS),
        sizes=st.lists(st.sampled_from([1, 1, 1, LARGE]), min_size=1, max_size=6),
    )
    def post(self, channel: str, sizes: list[int]) -> None:
        events = [self.make_event(size) for size in sizes]
        status, text = self.run(self.stage.post(channel, *events))
        if namespace_of(channel) not in self.namespaces:
            assert status == 401
        elif len(events) > 5:
            assert status == 400
        else:
            assert status == 200
            self.posted += self.deliver(channel, events, json.loads(text))

    @rule(client=clients, operations=SEVERAL)
    def do_several_at_once(self, client: Client, operations: list[tuple[str, ...]]) -> None:
        """What comes in one packet is done in its order, each with what went before in force."""
        frames = []
        for kind, first, *more in operations:
            if kind == "publish":
                frame = {"id": "p", "channel": first, "events": [self.make_event(1)]}
            else:
                frame = {"id": first} | ({"channel": more[0]} if more else {})
            frames.append({"type": kind, **frame, "authorization": KEY})
        for frame, answer in zip(frames, self.run(client.ask_all(frames)), strict=True):
            match frame["type"]:
                case "publish":
                    self.check_publish(client, frame["channel"], frame["events"], KEY, answer)
                case "subscribe":
                    self.check_subscribe(client, frame["id"], frame["channel"], KEY, answer)
                case "unsubscribe":
                    self.check_unsubscribe(client, frame["id"], answer)

    do_more_at_once = rule(client=clients, operations=SEVERAL)(do_several_at_once.__wrapped__)

    def make_event(self, size: int) -> str:
        return json.dumps({"n": next(self.numbers), "x": "x" * size})

    def check(self, answer: dict, kind: str, name: str, refusal: str | None) -> None:
        wanted = f"{kind}_success" if refusal is None else f"{kind}_error"
        assert (answer["type"], answer["id"]) == (wanted, name)
        if refusal is not None:
            assert [one["errorType"] for one in answer["errors"]] == [refusal]

    def deliver(self, channel: str, events: list[str], answer: dict) -> int:
        """What the model expects everybody to hear; how many events were accepted."""
        fits = [len(event) <= EVENT_BYTES for event in events]
        for said, is_fine in (("successful", True), ("failed", False)):
            wanted = [index for index, each in enumerate(fits) if each is is_fine]
            assert [one["index"] for one in answer[said]] == wanted
        accepted = [event for event, each in zip(events, fits, strict=True) if each]
        for client in self.everybody:
            for name, pattern in client.subscriptions.items():
                if matches(pattern, channel):
                    client.wanted.setdefault(name, []).extend(accepted)
        return len(accepted)

    @invariant()
    def everybody_heard_what_they_had_to(self) -> None:
        for client in self.everybody:
            if not client.is_closed:
                self.run(client.sync())
            assert client.heard == {name: each for name, each in client.wanted.items() if each}

    def teardown(self) -> None:
        try:
            if hasattr(self, "stage"):
                self.run(self.end())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def end(self) -> None:
        lines = {client: self.line_of(client) for client in self.everybody}
        for client in self.everybody:
            if not client.is_closed:
                await client.stack.aclose()
        await self.stage.relay.drain()
        with contextlib.suppress(StopAsyncIteration):
            await self.stack.aclose()
        closed = {fact["connection"]: fact for fact in self.stage.journal.of(CLOSED)}
        for client, line in lines.items():
            heard = sum(map(len, client.heard.values()))
            assert (closed[line]["received"], closed[line]["delivered"]) == (client.accepted, heard)
            assert closed[line]["lost"] == 0
        assert sum(one["received"] for one in closed.values()) == self.posted + sum(
            client.accepted for client in self.everybody
        )
        assert not len(next(iter(self.stage.relay.registry)).channels)
        assert not self.stage.relay.connections


TestRelayModel = RelayModel.TestCase
# Each example starts a relay: fewer of them than of others. What fails is not made smaller, which
# would take minutes; take Phase.shrink in to find out why.
TestRelayModel.settings = settings(
    max_examples=max(50, settings().max_examples // 10),
    stateful_step_count=30,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
