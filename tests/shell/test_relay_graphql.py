"""Python's gql, unchanged, against a relay on loopback; and what gql never does, by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from contextlib import asynccontextmanager

import aiohttp
import pytest
from botocore.credentials import Credentials
from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.appsync_auth import (
    AppSyncApiKeyAuthentication,
    AppSyncIAMAuthentication,
    AppSyncJWTAuthentication,
)
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport
from gql.transport.exceptions import TransportQueryError, TransportServerError

from event_protocol.handshake import encode_header
from event_protocol.limits import Limits
from relay.auth.api_key import ApiKey
from relay.auth.issuer import Issuer
from relay.auth.providers import OidcProvider
from relay.config import ApiConfig, Budgets, IamCredential, Listen, RelayConfig
from relay.graphql_table import ListenerTable
from relay.service import Relay

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LABEL = "abcdefghijklmnopqrstuvwxyz"
HOST = f"{LABEL}.appsync-api.us-east-1.amazonaws.com"
API_KEY = "da2-graphqlgraphqlgraphqlgraph"
ISSUER = Issuer.generate("https://issuer.example", algorithm="ES256")
SUBSCRIBE = "subscription S($name: String!) { subscribe(name: $name) { name data } }"
PUBLISH = "mutation P($name: String!, $data: AWSJSON!) { publish(name: $name, data: $data) %s }"


@pytest.fixture(scope="module", autouse=True)
def _no_profile_of_this_machine():
    """botocore must not look for credentials anywhere but in what it is given."""
    before = dict(os.environ)
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    yield
    os.environ.clear()
    os.environ |= before


class WatchedTable(ListenerTable):
    """Tells when it has changed."""

    def __init__(self):
        super().__init__()
        self._changed = asyncio.Event()

    def add(self, listener):
        super().add(listener)
        self._changed.set()

    def remove(self, listener):
        super().remove(listener)
        self._changed.set()

    async def holds(self, count):
        while len(self) != count:
            self._changed.clear()
            await self._changed.wait()


class Facts:
    """A journal that keeps everything."""

    def __init__(self):
        self.facts = []

    def record(self, kind, **data):
        self.facts.append({"kind": kind} | data)


def table_of(relay) -> WatchedTable:
    return relay._tables.of(next(iter(relay.registry)))


@pytest.fixture
async def relay(tmp_path, monkeypatch):
    monkeypatch.setattr("relay.graphql.ListenerTable", WatchedTable)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(ISSUER.jwks()))
    api = ApiConfig(
        label=LABEL,
        api_keys=(ApiKey(API_KEY),),
        iam=(IamCredential(access_key_id=KEY, secret_access_key=SECRET),),
        providers=(OidcProvider(issuer=ISSUER.issuer, jwks=str(keys)),),
    )
    config = RelayConfig(
        listen=Listen(port=None, plain_port=0),
        apis=(api,),
        limits=Limits(subscriptions_per_connection=3, event_bytes=1000),
        budgets=Budgets(refusal=0.05),
    )
    async with Relay(config, journal=Facts()) as relay:
        yield relay


def authentication(mode: str, relay: Relay):
    match mode:
        case "API key":
            return AppSyncApiKeyAuthentication(host=HOST, api_key=API_KEY)
        case "IAM":
            return AppSyncIAMAuthentication(host=HOST, credentials=Credentials(KEY, SECRET))
        case _:
            token = ISSUER.mint({"sub": "ada"}, now=relay.clock.wall())
            return AppSyncJWTAuthentication(host=HOST, jwt=token)


@asynccontextmanager
async def subscribed(relay, auth, *names, path="/graphql"):
    """Sessions of gql that listen, one queue of results for each name."""
    url = f"ws://127.0.0.1:{relay.plain_port}{path}"
    async with Client(transport=AppSyncWebsocketsTransport(url=url, auth=auth)) as session:
        queues, tasks = [], []
        for name in names:
            queue = asyncio.Queue()
            request = gql(SUBSCRIBE)
            request.variable_values = {"name": name}

            async def listen(request=request, queue=queue):
                async for result in session.subscribe(request):
                    queue.put_nowait(result)

            queues.append(queue)
            tasks.append(asyncio.create_task(listen()))
        await table_of(relay).holds(len(names))  # gql does not tell when they are there
        yield queues
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def publish(relay, auth, name="room", data="1", fields="{ name data }"):
    transport = AIOHTTPTransport(url=f"http://127.0.0.1:{relay.plain_port}/graphql", auth=auth)
    async with Client(transport=transport) as session:
        request = gql(PUBLISH % fields)
        request.variable_values = {"name": name, "data": data}
        return (await session.execute(request))["publish"]


@pytest.mark.parametrize("path", ["/graphql", "/graphql/realtime"])
@pytest.mark.parametrize("mode", ["API key", "IAM", "JWT"])
async def test_gql_subscribes_and_publishes(relay, mode, path):
    auth = authentication(mode, relay)
    async with subscribed(relay, auth, "room", "other", path=path) as (room, other):
        sent = await publish(relay, authentication(mode, relay), data='{"a": "ü"}')
        assert sent == {"name": "room", "data": '{"a": "ü"}'}
        assert await room.get() == {"subscribe": sent}
        await publish(relay, authentication(mode, relay), "other", "2")
        assert (await other.get())["subscribe"]["data"] == "2"
        assert room.empty()


async def test_gql_gets_only_the_fields_that_the_mutation_selected(relay):
    auth = authentication("API key", relay)
    async with subscribed(relay, auth, "room") as (room,):
        assert await publish(relay, auth, fields="{ name }") == {"name": "room"}
        assert await room.get() == {"subscribe": {"name": "room", "data": None}}


async def test_events_and_graphql_share_keys_but_not_channels(relay):
    auth = authentication("API key", relay)
    async with subscribed(relay, auth, "default") as (room,):
        table = next(iter(relay.registry)).channels
        assert len(table) == 0
        await publish(relay, auth, "default", "1")
        await room.get()


async def test_gql_is_told_why_it_is_refused(relay):
    wrong = [
        AppSyncApiKeyAuthentication(host=HOST, api_key="da2-wrong"),
        AppSyncIAMAuthentication(host=HOST, credentials=Credentials(KEY, "wrong")),
        AppSyncJWTAuthentication(host=HOST, jwt=ISSUER.mint({}, now=0)),
    ]
    for auth, said in zip(
        wrong, ["UnauthorizedException", "BadRequestException", "Token expired"], strict=True
    ):
        with pytest.raises(TransportServerError, match=said):
            async with subscribed(relay, auth, "room"):
                pass
        with pytest.raises(TransportQueryError, match="errorType"):
            await publish(relay, auth)


async def test_gql_is_told_what_is_wrong_with_a_subscription(relay):
    url = f"ws://127.0.0.1:{relay.plain_port}/graphql"
    transport = AppSyncWebsocketsTransport(url=url, auth=authentication("API key", relay))
    async with Client(transport=transport) as session:
        request = gql('subscription { subscribe(name: "x") { nothing } }')
        with pytest.raises(TransportQueryError, match="nothing"):
            async for _ in session.subscribe(request):
                pass


async def test_gql_hears_of_too_many_subscriptions_and_the_others_go_on(relay):
    auth = authentication("API key", relay)
    async with (
        subscribed(relay, auth, "a", "b", "c") as queues,
        aiohttp.ClientSession() as session,
        connected(relay, session) as socket,
    ):
        for number in range(4):
            await start(socket, str(number), name="z")
        answers = [await socket.receive_json() for _ in range(4)]
        assert [answer["type"] for answer in answers] == ["start_ack"] * 3 + ["error"]
        error = answers[3]["payload"]["errors"][0]
        assert error["errorType"] == "MaxSubscriptionsReachedError"
        await publish(relay, auth, "b")
        await queues[1].get()


# By hand.


@asynccontextmanager
async def connected(relay, session, *, query="", protocols=("graphql-ws",), headers=None):
    """A socket, acknowledged unless it is refused."""
    if headers is None and not query:
        query = "?header=" + in_query({"host": HOST, "x-api-key": API_KEY})
    async with session.ws_connect(
        f"http://127.0.0.1:{relay.plain_port}/graphql{query}",
        protocols=protocols,
        headers=headers,
    ) as socket:
        await socket.send_json({"type": "connection_init", "payload": {}})
        first = await socket.receive_json()
        if first["type"] == "connection_ack":
            assert first["payload"] == {"connectionTimeoutMs": 300_000}
            assert await socket.receive_json() == {"type": "ka"}
            first = None
        socket.refusal = first
        yield socket


def in_query(credentials) -> str:
    return base64.b64encode(json.dumps(credentials).encode()).decode()


async def start(socket, frame_id, *, name="room", query=SUBSCRIBE, credentials=None):
    data = json.dumps({"query": query, "variables": {"name": name}})
    authorization = {"host": HOST, "x-api-key": API_KEY} if credentials is None else credentials
    await socket.send_json(
        {
            "id": frame_id,
            "type": "start",
            "payload": {"data": data, "extensions": {"authorization": authorization}},
        }
    )


async def test_credentials_of_the_upgrade_have_three_carriers(relay):
    credentials = {"host": HOST, "x-api-key": API_KEY}
    ways = [
        {"query": "?payload=e30=&header=" + in_query(credentials)},
        {"query": "?x=1", "protocols": ("graphql-ws", encode_header(credentials))},
        {"query": "?x=1", "headers": credentials},
    ]
    async with aiohttp.ClientSession() as session:
        for way in ways:
            async with connected(relay, session, **way) as socket:
                assert socket.refusal is None
                assert socket.protocol == "graphql-ws"


@pytest.mark.parametrize(
    ("way", "error_type", "code"),
    [
        ({"query": "?x=1"}, "UnauthorizedException", 401),
        ({"query": "?header=%%%"}, "BadRequestException", 400),
        ({"query": "?header=" + in_query([])}, "BadRequestException", 400),
        ({"protocols": ("aws-appsync-event-ws",)}, "SubProtocolNotSupportedError", 400),
    ],
)
async def test_who_is_refused_reads_why_before_the_close(relay, way, error_type, code):
    async with aiohttp.ClientSession() as session, connected(relay, session, **way) as socket:
        assert socket.refusal["type"] == "connection_error"
        (error,) = socket.refusal["payload"]["errors"]
        assert (error["errorType"], error["errorCode"]) == (error_type, code)
        assert (await socket.receive()).data == 1000


async def test_nothing_is_done_before_the_ack(relay):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://127.0.0.1:{relay.plain_port}/graphql",
            protocols=("graphql-ws",),
            headers={"x-api-key": API_KEY},
        ) as socket,
    ):
        await start(socket, "1")
        await socket.send_json({"type": "stop", "id": "1"})
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"


async def test_each_operation_is_authorized_for_itself(relay):
    async with aiohttp.ClientSession() as session, connected(relay, session) as socket:
        for number, credentials in enumerate([{}, {"x-api-key": "da2-wrong"}]):
            await start(socket, str(number), credentials=credentials)
            answer = await socket.receive_json()
            assert (answer["id"], answer["type"]) == (str(number), "error")
            assert answer["payload"]["errors"][0]["errorType"] == "UnauthorizedException"
        await start(socket, "0")
        assert await socket.receive_json() == {"id": "0", "type": "start_ack"}


@pytest.mark.parametrize(
    ("query", "error_type"),
    [
        ("{ getChannel { name } }", "UnsupportedOperation"),
        (PUBLISH % "{ name }", "UnsupportedOperation"),
        ("subscription {", "BadRequestException"),
    ],
)
async def test_only_subscriptions_go_through_the_socket(relay, query, error_type):
    async with aiohttp.ClientSession() as session, connected(relay, session) as socket:
        await start(socket, "1", query=query)
        answer = await socket.receive_json()
        assert answer["payload"]["errors"][0]["errorType"] == error_type


async def test_an_id_in_use_is_refused_and_its_subscription_survives(relay):
    async with aiohttp.ClientSession() as session, connected(relay, session) as socket:
        await start(socket, "1")
        await start(socket, "1", name="other")
        assert (await socket.receive_json())["type"] == "start_ack"
        answer = await socket.receive_json()
        assert answer["payload"]["errors"][0]["errorType"] == "DuplicatedOperationError"
        await publish(relay, authentication("API key", relay))
        assert (await socket.receive_json())["type"] == "data"


async def test_what_is_stopped_is_complete_and_its_id_free_again(relay):
    auth = authentication("API key", relay)
    async with aiohttp.ClientSession() as session, connected(relay, session) as socket:
        for _ in range(2):
            await start(socket, "1")
            assert (await socket.receive_json())["type"] == "start_ack"
            await socket.send_json({"type": "stop", "id": "1"})
            assert await socket.receive_json() == {"id": "1", "type": "complete"}
        await publish(relay, auth)
        await socket.send_json({"type": "stop", "id": "9"})
        assert await socket.receive_json() == {"id": "9", "type": "complete"}


async def test_what_is_no_frame_is_answered_and_the_socket_stays(relay):
    async with aiohttp.ClientSession() as session, connected(relay, session) as socket:
        for text, error_type in [
            ("{", "BadRequestException"),
            ('{"type":"subscribe","id":"a"}', "UnsupportedOperation"),
        ]:
            await socket.send_str(text)
            answer = await socket.receive_json()
            assert answer["payload"]["errors"][0]["errorType"] == error_type
        await socket.send_bytes(b"{}")
        assert (await socket.receive_json())["type"] == "error"
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"


async def test_the_operator_sees_what_it_listens_to_and_nothing_is_left_behind(relay):
    async with aiohttp.ClientSession() as session:
        async with connected(relay, session) as socket:
            await start(socket, "1")
            await socket.receive_json()
            async with session.get(
                f"http://127.0.0.1:{relay.plain_port}/_natless/connections"
            ) as answer:
                (shown,) = (await answer.json())["connections"]
            assert shown["subscriptions"] == [{"id": "1", "channel": "graphql:room"}]
        await table_of(relay).holds(0)
    opened = [one for one in relay.journal.facts if one["kind"] == "relay.connection.opened"]
    assert [one["transport"] for one in opened] == ["realtime", "http"]


async def ask(relay, body, *, key=API_KEY, method="POST"):
    headers = {} if key is None else {"x-api-key": key}
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"http://127.0.0.1:{relay.plain_port}/graphql", data=body, headers=headers
        ) as answer,
    ):
        content = await answer.read()
        return answer.status, json.loads(content) if content else None, answer.headers


@pytest.mark.parametrize(
    ("body", "status", "error_type", "message"),
    [
        (b"", 400, "MalformedHttpRequestException", "Request body is empty."),
        (b"{", 400, "MalformedHttpRequestException", "Request body is not JSON."),
        (b'{"query":"{"}', 400, "MalformedHttpRequestException", "Unable to parse GraphQL query."),
    ],
)
async def test_a_body_that_is_no_request_is_refused(relay, body, status, error_type, message):
    answer = await ask(relay, body)
    assert answer[0] == status
    assert answer[1] == {"errors": [{"errorType": error_type, "message": message}]}
    assert answer[2]["x-amzn-ErrorType"] == error_type
    assert answer[2]["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("body", [b'{"query":"{getChannel{name}}"}', b"", b"{"])
async def test_who_may_not_ask_is_told_only_that(relay, body):
    status, answer, _ = await ask(relay, body, key=None)
    assert status == 401
    (error,) = answer["errors"]
    assert error == {
        "errorType": "UnauthorizedException",
        "message": "Valid authorization header not provided.",
    }
    assert (await ask(relay, body, key="da2-wrong"))[0] == 401


async def test_an_invalid_query_is_answered_with_200(relay):
    status, answer, _ = await ask(relay, b'{"query":"{nothing}"}')
    assert (status, answer["data"]) == (200, None)
    assert "nothing" in answer["errors"][0]["message"]


async def test_a_payload_that_no_subscriber_may_get_is_refused(relay):
    body = {
        "query": PUBLISH % "{ name }",
        "variables": {"name": "x", "data": '"' + "x" * 999 + '"'},
    }
    status, answer, _ = await ask(relay, json.dumps(body))
    assert (status, answer["data"]) == (200, None)
    assert "1000 bytes" in answer["errors"][0]["message"]


async def test_other_methods_are_not_served_and_a_preflight_is(relay):
    assert (await ask(relay, None, method="GET"))[0] == 404
    status, _, headers = await ask(relay, None, method="OPTIONS", key=None)
    assert status == 200
    assert headers["Access-Control-Allow-Methods"] == "POST,OPTIONS"
