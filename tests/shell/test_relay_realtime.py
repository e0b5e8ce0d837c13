"""What the realtime door says, to the character."""

import asyncio
import json
from dataclasses import replace

import pytest
import websockets

from event_protocol.handshake import offer
from event_protocol.limits import Limits
from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.config import NamespaceConfig
from tests.shell.relay_stage import DENIED, HTTP_HOST, KEY, api_config, masked, start, upgrade

WRONG = {"x-api-key": "da2-wrong"}
DENIED_ERROR = {"error_type": DENIED["errorType"], "message": DENIED["message"]}


@pytest.fixture
async def stage(tmp_path):
    async with start(tmp_path) as stage:
        yield stage


def error(name, kind, error_type, message=None):
    said = {"errorType": error_type} | ({} if message is None else {"message": message})
    return json.dumps({"id": name, "type": kind, "errors": [said]}, separators=(",", ":"))


async def test_a_whole_conversation_over_tls_reads_as_on_aws(stage):
    async with stage.socket({"host": HTTP_HOST, **KEY}, is_plain=False) as socket:
        assert socket.connection.subprotocol == "aws-appsync-event-ws"
        ack = await socket.ask(type="connection_init")
        assert ack == '{"type":"connection_ack","connectionTimeoutMs":300000}'
        assert await socket.hear() == '{"type":"ka"}'
        success = await socket.subscribe("/default/greetings", "s-1")
        assert success == '{"id":"s-1","type":"subscribe_success"}'
        answer = await socket.publish("default/greetings", '{"qty":3}', name="p-1")
        identifier = json.loads(answer)["successful"][0]["identifier"]
        assert answer == (
            '{"id":"p-1","type":"publish_success",'
            f'"successful":[{{"identifier":"{identifier}","index":0}}],"failed":[]}}'
        )
        assert await socket.hear() == r'{"id":"s-1","type":"data","event":"{\"qty\":3}"}'
        gone = await socket.ask(type="unsubscribe", id="s-1")
        assert gone == '{"id":"s-1","type":"unsubscribe_success"}'


async def test_a_client_that_never_asks_for_an_ack_is_served_too(stage):
    async with stage.socket() as socket:
        assert "subscribe_success" in await socket.subscribe("/default/x")
        assert "publish_success" in await socket.publish("/default/x", "1")
        assert '"event":"1"' in await socket.hear()


async def test_credentials_in_plain_headers_open_the_door(stage):
    headers = {"x-api-key": KEY["x-api-key"], "x-amz-date": "20270101T000000Z"}
    async with stage.socket(None, additional_headers=headers) as socket:
        assert "connection_ack" in await socket.ask(type="connection_init")


async def test_offers_in_headers_of_their_own_are_read_in_any_order(stage):
    name, token = offer(KEY)
    for protocols in ((name, token), (token, name), (f"{token}, {name}",)):
        reader, writer = await upgrade(stage, *protocols)
        writer.write(masked(1, b'{"type":"connection_init"}'))
        assert b"connection_ack" in await reader.readuntil(b"}")
        writer.transport.abort()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"authorization": WRONG}, DENIED | {"errorCode": 401}),
        ({"authorization": None}, {"errorType": "UnauthorizedException", "errorCode": 401}),
        (
            {"authorization": KEY, "subprotocols": ["graphql-ws"]},
            {
                "errorType": "SubProtocolNotSupportedError",
                "errorCode": 400,
                "message": "SubProtocolNotSupportedError",
            },
        ),
        (
            {"authorization": KEY, "subprotocols": ["aws-appsync-event-ws", "header-garbage"]},
            {
                "errorType": "BadRequestException",
                "errorCode": 400,
                "message": "The header- subprotocol is not base64url JSON.",
            },
        ),
    ],
)
async def test_a_refused_connection_gets_a_101_one_frame_and_a_normal_close(
    stage, options, expected
):
    async with stage.socket(**options) as socket:
        await socket.say(type="connection_init")
        text = await socket.hear()
        assert json.loads(text) == {"type": "connection_error", "errors": [expected]}
        assert text.startswith('{"type":"connection_error","errors":[{"errorType":"')
        assert await socket.ended() == (1000, "")
    await stage.relay.drain()
    assert [fact["error_type"] for fact in stage.journal.of("relay.connection.denied")] == [
        expected["errorType"]
    ]
    assert stage.journal.of("relay.connection.closed")[-1]["reason"] == "denied"


async def test_a_refused_connection_does_nothing_it_is_asked(stage):
    async with stage.socket(WRONG) as refused, stage.socket() as watching:
        await watching.subscribe("/default/x")
        await refused.say(type="connection_init")
        await refused.say(type="subscribe", id="s", channel="/default/x", authorization=KEY)
        await refused.say(
            type="publish", id="p", channel="/default/x", events=["1"], authorization=KEY
        )
        assert "connection_error" in await refused.hear()
        assert await refused.ended() == (1000, "")
        await stage.post("/default/x", '"after"')
        assert r'"event":"\"after\""' in await watching.hear()


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            {"channel": "/nowhere/x"},
            error("p", "publish_error", "UnauthorizedException"),
        ),
        (
            {"authorization": WRONG},
            error("p", "publish_error", DENIED["errorType"], DENIED["message"]),
        ),
        ({"authorization": {}}, error("p", "publish_error", "UnauthorizedException")),
        ({"authorization": None}, error("p", "publish_error", "UnauthorizedException")),
        (
            {"events": ["1"] * 6},
            error("p", "publish_error", "InvalidInputError", "input exceeded 5 event limit"),
        ),
        (
            {"events": []},
            error(
                "p",
                "publish_error",
                "BadRequestException",
                "Events must hold at least one event.",
            ),
        ),
        (
            {"events": ["1", "{"]},
            error(
                "p",
                "publish_error",
                "BadRequestException",
                "The event at index 1 is not valid JSON.",
            ),
        ),
        (
            {"events": [{"a": 1}]},
            error("p", "publish_error", "BadRequestException", "Each event must be a string."),
        ),
        (
            {"events": "1"},
            error("p", "publish_error", "BadRequestException", "Events must be a list of strings."),
        ),
        (
            {"channel": 1},
            error("p", "publish_error", "BadRequestException", "Channel must be a string."),
        ),
        (
            {"authorization": "x"},
            error("p", "publish_error", "BadRequestException", "Authorization must be an object."),
        ),
    ],
)
async def test_a_publish_that_is_refused_has_one_error_under_its_id(stage, frame, expected):
    whole = {
        "type": "publish",
        "id": "p",
        "channel": "/default/x",
        "events": ["1"],
        "authorization": KEY,
    }
    async with stage.socket() as socket:
        assert await socket.ask(**(whole | frame)) == expected
        assert "publish_success" in await socket.ask(**whole)
        assert await socket.ask(**(whole | frame)) == expected  # also once it is known


@pytest.mark.parametrize("channel", ["/default/*", "*", "", "/default//x", "/a/b/c/d/e/f"])
async def test_publishing_needs_a_channel_and_not_a_pattern(stage, channel):
    async with stage.socket() as socket:
        answer = json.loads(await socket.publish(channel, "1"))
        assert answer["type"] == "publish_error"
        assert answer["errors"][0]["errorType"] == "BadRequestException"


@pytest.mark.parametrize(
    ("channel", "authorization", "error_type"),
    [
        ("/nowhere/x", KEY, "UnauthorizedException"),
        ("/default/x", WRONG, "UnauthorizedException"),
        ("/default/x", {}, "UnauthorizedException"),
        ("/default/" + "x" * 51, KEY, "BadRequestException"),
        ("/default/a/b/c/d/e", KEY, "BadRequestException"),
        ("/default/a_b", KEY, "BadRequestException"),
        ("*", KEY, "BadRequestException"),
        ("/*", KEY, "BadRequestException"),
    ],
)
async def test_a_subscribe_that_is_refused_says_why(stage, channel, authorization, error_type):
    async with stage.socket() as socket:
        answer = json.loads(
            await socket.ask(type="subscribe", id="s", channel=channel, authorization=authorization)
        )
        assert (answer["id"], answer["type"]) == ("s", "subscribe_error")
        assert [one["errorType"] for one in answer["errors"]] == [error_type]
        assert "subscribe_success" in await socket.subscribe("/default/x", "s")


async def test_an_id_in_use_is_refused_and_its_subscription_lives_on(stage):
    async with stage.socket() as socket:
        await socket.subscribe("/default/x", "s")
        assert await socket.subscribe("/default/y", "s") == error(
            "s", "subscribe_error", "DuplicatedOperationError", "Duplicated operation id s"
        )
        await socket.publish("/default/y", '"no"')
        await socket.publish("/default/x", '"yes"', name="p2")
        assert r"\"yes\"" in await socket.hear()


async def test_the_subscription_above_the_limit_is_refused_until_one_ends(tmp_path):
    async with (
        start(tmp_path, limits=Limits(subscriptions_per_connection=3)) as stage,
        stage.socket() as socket,
        stage.socket() as other,
    ):
        for number in range(3):
            assert "success" in await socket.subscribe("/default/x", f"s{number}")
        refused = json.loads(await socket.subscribe("/default/x", "s3"))
        assert refused["errors"][0]["errorType"] == "MaxSubscriptionsReachedError"
        assert "success" in await other.subscribe("/default/x", "s3")
        await socket.ask(type="unsubscribe", id="s1")
        assert "success" in await socket.subscribe("/default/x", "s3")


async def test_an_unknown_subscription_cannot_end(stage):
    async with stage.socket() as socket:
        expected = error(
            "s-9", "unsubscribe_error", "UnknownOperationError", "Unknown operation id s-9"
        )
        assert await socket.ask(type="unsubscribe", id="s-9") == expected
        await socket.subscribe("/default/x", "s-9")
        await socket.ask(type="unsubscribe", id="s-9")
        assert await socket.ask(type="unsubscribe", id="s-9") == expected


UNSUPPORTED = "Operation not supported through the realtime channel"


@pytest.mark.parametrize(
    ("text", "error_type", "name"),
    [
        ("", "BadRequestException", None),
        ("nonsense", "BadRequestException", None),
        ("[]", "BadRequestException", None),
        ('"text"', "BadRequestException", None),
        ("{}", "BadRequestException", None),
        ('{"type":1,"id":"a"}', "BadRequestException", "a"),
        ('{"type":"start","id":"a"}', "UnsupportedOperation", "a"),
        ('{"type":"start","id":"a b"}', "UnsupportedOperation", None),
        ('{"type":"connection_ack","connectionTimeoutMs":1}', "UnsupportedOperation", None),
        ('{"type":"data","id":"a","event":"1"}', "UnsupportedOperation", None),
        ('{"type":"subscribe"}', "BadRequestException", None),
        ('{"type":"publish","channel":"/default/x","events":["1"]}', "BadRequestException", None),
        ('{"type":"unsubscribe","id":""}', "BadRequestException", None),
        ("[" * 100_000, "BadRequestException", None),
        ('{"type":"publish","id":"p","events":' + "[" * 100_000, "BadRequestException", None),
    ],
)
async def test_an_odd_frame_is_answered_and_the_connection_lives_on(stage, text, error_type, name):
    async with stage.socket() as socket:
        await socket.connection.send(text)
        answer = json.loads(await socket.hear())
        assert (answer["type"], answer.get("id")) == ("error", name)
        assert [one["errorType"] for one in answer["errors"]] == [error_type]
        if error_type == "UnsupportedOperation":
            assert answer["errors"][0]["message"] == UNSUPPORTED
        assert "connection_ack" in await socket.ask(type="connection_init")


async def test_a_binary_frame_is_answered_and_the_connection_lives_on(stage):
    async with stage.socket() as socket:
        await socket.connection.send(b'{"type":"connection_init"}')
        assert "BadRequestException" in await socket.hear()
        assert "connection_ack" in await socket.ask(type="connection_init")


async def test_what_clients_send_beyond_the_protocol_is_ignored(stage):
    async with stage.socket() as socket:
        await socket.say(type="ka")
        ack = await socket.ask(type="connection_init", payload={"x": 1})
        assert "connection_ack" in ack
        await socket.hear()
        answer = await socket.ask(
            type="subscribe",
            id="s",
            channel="/default/x",
            authorization=KEY | {"x-amz-user-agent": "aws-amplify"},
            payload={"extensions": {"authorization": {}}},
            unknown=[1, {}],
        )
        assert "subscribe_success" in answer


async def test_a_repeated_init_is_acked_again_without_another_stream_of_ka(stage):
    async with stage.socket() as socket:
        await socket.ask(type="connection_init")
        assert await socket.hear() == '{"type":"ka"}'
        assert "connection_ack" in await socket.ask(type="connection_init")
        assert "subscribe_success" in await socket.subscribe("/default/x")


async def test_the_ka_behind_the_ack_can_be_switched_off(tmp_path):
    async with (
        start(tmp_path, limits=Limits(keep_alive_after_ack=False)) as stage,
        stage.socket() as socket,
    ):
        await socket.ask(type="connection_init")
        assert "subscribe_success" in await socket.subscribe("/default/x")


async def test_compression_is_declined(stage):
    async with stage.socket(compression="deflate") as socket:
        assert socket.connection.protocol.extensions == []


async def test_a_frame_above_the_limit_ends_the_connection_with_1009(tmp_path):
    async with (
        start(tmp_path, limits=Limits(frame_bytes=10_000)) as stage,
        stage.socket() as socket,
    ):
        await socket.connection.send("x" * 20_000)
        assert (await socket.ended())[0] == 1009


async def test_a_publish_above_the_size_of_a_request_is_refused(tmp_path):
    async with (
        start(tmp_path, limits=Limits(request_bytes=5_000)) as stage,
        stage.socket() as socket,
    ):
        answer = json.loads(await socket.publish("/default/x", *['"' + "x" * 2000 + '"'] * 3))
        assert answer["errors"][0]["errorType"] == "InvalidInputError"
        assert answer["errors"][0]["message"] == "input exceeded 5000 byte limit"


async def test_each_namespace_has_its_own_modes_for_each_operation(tmp_path):
    api = api_config(
        namespaces=(
            NamespaceConfig(name="readable", publish_modes=frozenset({AuthMode.LAMBDA})),
            NamespaceConfig(name="writable", subscribe_modes=frozenset({AuthMode.AWS_IAM})),
        )
    )
    async with start(tmp_path, api=api) as stage, stage.socket() as socket:
        assert "subscribe_success" in await socket.subscribe("/readable/x", "1")
        assert "UnauthorizedException" in await socket.publish("/readable/x", "1")
        assert "UnauthorizedException" in await socket.subscribe("/writable/x", "2")
        assert "publish_success" in await socket.publish("/writable/x", "1")


async def test_a_mode_that_may_not_connect_may_still_be_used_per_operation(tmp_path):
    async with start(tmp_path, api=api_config(connect_modes=frozenset())) as stage:
        async with stage.socket() as socket:
            await socket.say(type="connection_init")
            assert '"errorCode":403' in await socket.hear()
            assert await socket.ended() == (1000, "")
        assert (await stage.post("/default/x", "1"))[0] == 200


async def test_the_path_decides_and_not_the_query(stage):
    url = f"ws://localhost:{stage.relay.plain_port}/event/realtime?x=1&header=garbage&payload=e30="
    async with websockets.connect(
        url, subprotocols=["aws-appsync-event-ws"], additional_headers=KEY
    ) as connection:
        await connection.send('{"type":"connection_init"}')
        async with asyncio.timeout(10):
            assert "connection_ack" in await connection.recv()


async def test_credentials_that_name_the_host_of_another_api_are_refused(tmp_path):
    second = replace(api_config(), label="b" * 26, api_id="", domains=("two.example.com",))
    async with start(tmp_path) as stage:
        stage.relay.registry.put(second)
        for host in (second.http_host, f"{second.realtime_host}:443", "two.example.com"):
            foreign = {**KEY, "host": host}
            async with stage.socket(foreign) as socket:
                await socket.say(type="connection_init")
                assert "connection_error" in await socket.hear()
            async with stage.socket() as socket:
                frame = {"channel": "/default/x", "authorization": foreign}
                for kind, more in (("subscribe", {}), ("publish", {"events": ["1"]})):
                    answer = await socket.ask(type=kind, id="1", **frame, **more)
                    assert answer == error("1", f"{kind}_error", **DENIED_ERROR)
        for host in (HTTP_HOST, "localhost", "nobody.example.com", "c" * 26):
            async with stage.socket({**KEY, "host": host}) as socket:
                await socket.say(type="connection_init")
                assert "connection_ack" in await socket.hear()


async def test_several_apis_are_reached_by_host_by_path_and_not_by_each_others_keys(tmp_path):
    second = replace(api_config(), label="b" * 26, api_id="", api_keys=(ApiKey("second"),))
    async with start(tmp_path) as stage:
        stage.relay.registry.put(second)
        hosts = {"Host": second.http_host}
        status, _ = await stage.post("/default/x", "1", headers=hosts | {"x-api-key": "second"})
        assert status == 200
        assert (await stage.post("/default/x", "1", headers=hosts | KEY))[0] == 401
        assert (await stage.post("/default/x", "1", headers={"x-api-key": "second"}))[0] == 401
        path = f"/_natless/apis/{second.api_id}/event"
        headers = {"x-api-key": "second"}
        assert (await stage.post("/default/x", "1", headers=headers, path=path))[0] == 200
        path = f"/_natless/apis/{'b' * 26}/event"
        assert (await stage.post("/default/x", "1", headers=headers, path=path))[0] == 200
        assert (await stage.post("/default/x", "1", path="/_natless/apis/none/event"))[0] == 404
