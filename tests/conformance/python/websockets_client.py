"""Python websockets, by the pages of the AWS AppSync Events developer guide and nothing else."""

import asyncio
import uuid

from checks import SETTINGS, check
from websockets_frames import (
    AUTHORIZATION,
    HTTP_HOST,
    connect,
    header_protocol,
    hear,
    init,
    publish,
    say,
    subscribe,
)


async def main() -> None:
    ours = header_protocol(AUTHORIZATION)
    with check("the 101 names aws-appsync-event-ws and nothing else"):
        async with connect("aws-appsync-event-ws", ours) as socket:
            assert socket.subprotocol == "aws-appsync-event-ws"
            assert socket.response is not None
            assert "sec-websocket-extensions" not in socket.response.headers
    with check("offers in the other order, with a line feed in the token, are the same"):
        async with connect(
            header_protocol(AUTHORIZATION, line_feed=True), "aws-appsync-event-ws"
        ) as socket:
            await init(socket)
    with check("the ack tells 300000 ms and a ka follows"):
        async with connect("aws-appsync-event-ws", ours) as socket:
            await init(socket)
    with check("a query string on the realtime path is ignored"):
        async with connect(
            "aws-appsync-event-ws", ours, path="/event/realtime?x-custom=1"
        ) as socket:
            await init(socket)
    with check("credentials in plain request headers connect as well"):
        headers = {"x-api-key": SETTINGS["apiKey"], "content-encoding": "amz-1.0"}
        async with connect("aws-appsync-event-ws", additional_headers=headers) as socket:
            await init(socket)
    with check("subscribing without connection_init works"):
        async with connect("aws-appsync-event-ws", ours) as socket:
            await say(socket, subscribe("s", "/default/early"))
            assert await hear(socket) == {"id": "s", "type": "subscribe_success"}
            await say(socket, publish("p", "default/early/", '{"a":1}'))
            frames = [await hear(socket), await hear(socket)]
            kinds = sorted(frame["type"] for frame in frames)
            assert kinds == ["data", "publish_success"], frames
    async with connect("aws-appsync-event-ws", ours) as socket:
        await init(socket)
        with check("an event comes back to the character, one frame each, as a string"):
            await say(socket, subscribe("sub-1", "/default/text"))
            assert (await hear(socket))["type"] == "subscribe_success"
            texts = [' { "b" : 1.0,\t"a": "\\u00e9/\\/" } ', "[1e5, 10000000000000000000]", '"x"']
            await say(socket, publish("pub-1", "/default/text", *texts))
            answer = await hear(socket)
            assert answer["type"] == "publish_success", answer
            assert answer["id"] == "pub-1"
            assert answer["failed"] == []
            assert [each["index"] for each in answer["successful"]] == [0, 1, 2]
            for each in answer["successful"]:
                uuid.UUID(each["identifier"])
            for text in texts:
                assert await hear(socket) == {"id": "sub-1", "type": "data", "event": text}
        with check("the ids of SST and Stelvio are legal: 24 hexadecimal digits, a word"):
            for identifier in ("01a20d359d387297c4cc84b6", "request-sub", "A_b+c-1"):
                await say(socket, subscribe(identifier, "/default/ids"))
                assert await hear(socket) == {"id": identifier, "type": "subscribe_success"}
        with check("a second subscribe with an id in use is refused and the first lives on"):
            await say(socket, subscribe("sub-1", "/default/other"))
            answer = await hear(socket)
            assert answer["type"] in {"subscribe_error", "error"}, answer
            assert answer["errors"][0]["errorType"] == "DuplicatedOperationError"
            await say(socket, publish("pub-2", "/default/text", "2"))
            assert (await hear(socket))["type"] == "publish_success"
            assert await hear(socket) == {"id": "sub-1", "type": "data", "event": "2"}
        with check("unsubscribe needs no credentials, frees the id, and is refused when unknown"):
            await say(socket, {"type": "unsubscribe", "id": "sub-1"})
            assert await hear(socket) == {"id": "sub-1", "type": "unsubscribe_success"}
            await say(socket, {"type": "unsubscribe", "id": "sub-1"})
            answer = await hear(socket)
            assert answer["type"] == "unsubscribe_error", answer
            assert answer["errors"][0] == {
                "errorType": "UnknownOperationError",
                "message": "Unknown operation id sub-1",
            }
            await say(socket, subscribe("sub-1", "/default/text"))
            assert await hear(socket) == {"id": "sub-1", "type": "subscribe_success"}
        with check("an unknown type is answered with UnsupportedOperation on a living socket"):
            await say(socket, {"type": "shout", "id": "x-1"})
            answer = await hear(socket)
            assert answer["type"] == "error", answer
            assert answer["errors"][0]["errorType"] == "UnsupportedOperation"
            await say(socket, {"type": "ka"})  # some clients send it
        with check("text that is no JSON is answered on a living socket"):
            await socket.send("this is not JSON")
            answer = await hear(socket)
            assert answer["type"] == "error", answer
            await say(socket, publish("pub-3", "/default/none", "3"))
            assert (await hear(socket))["type"] == "publish_success"
        with check("publish is refused with one error: six events, unknown namespace, wildcard"):
            await say(socket, publish("p6", "/default/text", *"123456"))
            answer = await hear(socket)
            assert answer == {
                "id": "p6",
                "type": "publish_error",
                "errors": [
                    {"errorType": "InvalidInputError", "message": "input exceeded 5 event limit"}
                ],
            }, answer
            await say(socket, publish("pn", "/nowhere/x", "1"))
            assert await hear(socket) == {
                "id": "pn",
                "type": "publish_error",
                "errors": [{"errorType": "UnauthorizedException"}],
            }
            await say(socket, publish("pw", "/default/*", "1"))
            answer = await hear(socket)
            assert answer["type"] == "publish_error"
            assert answer["errors"][0]["errorType"] == "BadRequestException"
        with check("subscribe is refused: six segments, a segment of 51, an underscore, bare *"):
            for channel in ("/default/1/2/3/4/5", "/default/" + "x" * 51, "/default/a_b", "/*"):
                await say(socket, subscribe("bad", channel))
                answer = await hear(socket)
                assert answer["type"] == "subscribe_error", (channel, answer)
                assert len(answer["errors"]) == 1
    with check("a wrong key: 101, then connection_error as the first frame, then close 1000"):
        wrong = header_protocol({"host": HTTP_HOST, "x-api-key": SETTINGS["wrongApiKey"]})
        async with connect("aws-appsync-event-ws", wrong) as socket:
            assert await hear(socket) == {
                "type": "connection_error",
                "errors": [
                    {
                        "errorType": "UnauthorizedException",
                        "errorCode": 401,
                        "message": "You are not authorized to make this call.",
                    }
                ],
            }
            await socket.wait_closed()
            assert socket.close_code == 1000
    with check("no credentials at all: 101, then connection_error"):
        async with connect("aws-appsync-event-ws") as socket:
            answer = await hear(socket)
            assert answer["type"] == "connection_error"
            assert answer["errors"][0]["errorType"] == "UnauthorizedException"
            assert answer["errors"][0]["errorCode"] == 401
    with check("no subprotocol that is known: 101, then SubProtocolNotSupportedError"):
        async with connect("graphql-transport-ws", ours) as socket:
            answer = await hear(socket)
            assert answer["type"] == "connection_error"
            assert answer["errors"][0]["errorType"] == "SubProtocolNotSupportedError"
            assert answer["errors"][0]["errorCode"] == 400


asyncio.run(main())
