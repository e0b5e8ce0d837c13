"""Python websockets at the limits of the service; too much to keep as a transcript."""

import asyncio
import json

from checks import check
from websockets_frames import (
    AUTHORIZATION,
    connect,
    header_protocol,
    hear,
    init,
    publish,
    say,
    subscribe,
)


async def main() -> None:
    async with connect("aws-appsync-event-ws", header_protocol(AUTHORIZATION)) as socket:
        await init(socket)
        with check("an event above 240 KB fails alone, beside one that succeeds"):
            large = json.dumps("x" * (240 * 1024))
            await say(socket, publish("large", "/default/none", large, "1"))
            answer = await hear(socket)
            assert answer["type"] == "publish_success", answer
            (failed,) = answer["failed"]
            assert (failed["index"], failed["code"], failed["message"]) == (
                0,
                "EventTooLargeException",
                "Transformed event is larger than 240KB",
            )
            assert [each["index"] for each in answer["successful"]] == [1]
        with check("200 subscriptions on a connection, and the next is refused"):
            for number in range(200):
                await say(socket, subscribe(f"n{number}", "/default/many"))
                assert (await hear(socket))["type"] == "subscribe_success", number
            await say(socket, subscribe("n200", "/default/many"))
            answer = await hear(socket)
            assert answer["errors"][0]["errorType"] == "MaxSubscriptionsReachedError", answer


asyncio.run(main())
