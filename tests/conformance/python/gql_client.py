"""gql: AppSyncWebsocketsTransport and AIOHTTPTransport, with API key, IAM and JWT."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from checks import SETTINGS, check
from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.appsync_auth import (
    AppSyncApiKeyAuthentication,
    AppSyncAuthentication,
    AppSyncIAMAuthentication,
    AppSyncJWTAuthentication,
)
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport
from gql.transport.exceptions import (
    TransportQueryError,
)

HOST = SETTINGS["httpHost"]
URL = f"https://{HOST}/graphql"
PUBLISH = "mutation P($name: String!, $data: AWSJSON!) { publish(name: $name, data: $data) %s }"
SUBSCRIBE = "subscription S($name: String!) { subscribe(name: $name) { name data } }"

MODES: dict[str, AppSyncAuthentication] = {
    "an API key": AppSyncApiKeyAuthentication(host=HOST, api_key=SETTINGS["apiKey"]),
    "IAM": AppSyncIAMAuthentication(host=HOST),
    "a JWT": AppSyncJWTAuthentication(host=HOST, jwt=SETTINGS["jwt"]),
}


async def publish(
    auth: AppSyncAuthentication, name: str, data: Any, fields: str = "{ name data }"
) -> dict[str, Any]:
    # Schemes of the transport sign what it sends, and a new transport is needed for each session.
    transport = AIOHTTPTransport(url=URL, auth=auth, ssl=True)
    async with Client(transport=transport) as session:
        query = gql(PUBLISH % fields)
        query.variable_values = {"name": name, "data": json.dumps(data)}
        return await session.execute(query)


@contextlib.asynccontextmanager
async def subscribed(auth: AppSyncAuthentication, name: str) -> AsyncIterator[Any]:
    async with Client(transport=AppSyncWebsocketsTransport(url=URL, auth=auth)) as session:
        query = gql(SUBSCRIBE)
        query.variable_values = {"name": name}
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        listening = session.subscribe(query)

        async def listen() -> None:
            async for result in listening:
                heard.put_nowait(result)

        task = asyncio.create_task(listen())
        # gql does not tell when start_ack has come; events published before it are not ours.
        await asyncio.sleep(SETTINGS.get("settle", 0.5))
        try:
            yield heard
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await listening.aclose()


async def main() -> None:
    for mode, auth in MODES.items():
        with check(f"publishes over HTTP and hears it on the WebSocket with {mode}"):
            async with subscribed(auth, "room") as heard, asyncio.timeout(10):
                answer = await publish(auth, "room", {"mode": mode})
                expected = {"name": "room", "data": json.dumps({"mode": mode})}
                assert answer == {"publish": expected}, answer
                assert await heard.get() == {"subscribe": expected}
    key = MODES["an API key"]
    with check("hears only its own name, and null for what the mutation did not select"):
        async with subscribed(key, "mine") as heard, asyncio.timeout(10):
            await publish(key, "theirs", 1)
            await publish(key, "mine", 2, "{ name }")
            assert await heard.get() == {"subscribe": {"name": "mine", "data": None}}
            assert heard.empty()
    wrong = AppSyncApiKeyAuthentication(host=HOST, api_key=SETTINGS["wrongApiKey"])
    with check("a wrong key is refused over HTTP and on the WebSocket"):
        error = await refused(publish(wrong, "room", 1))
        assert isinstance(error, TransportQueryError), repr(error)
        assert error.errors
        assert error.errors[0]["errorType"] == "UnauthorizedException"
        error = await refused(connect(wrong))
        assert "UnauthorizedException" in str(error), repr(error)
    with check("a query that does not fit the schema is answered with errors"):
        error = await refused(ask(key, "query { nothing }"))
        assert isinstance(error, TransportQueryError)
        assert error.errors
    with check("a subscription that does not fit the schema is an error of that subscription"):
        error = await refused(listen_to(key, "subscription { nothing }"))
        assert isinstance(error, TransportQueryError), repr(error)
        assert error.errors


async def refused(attempt: Awaitable[Any]) -> Exception:
    try:
        result = await attempt
    except Exception as error:
        return error
    raise AssertionError(f"it was expected to be refused: {result}")


async def connect(auth: AppSyncAuthentication) -> None:
    async with Client(transport=AppSyncWebsocketsTransport(url=URL, auth=auth)):
        pass


async def ask(auth: AppSyncAuthentication, query: str) -> dict[str, Any]:
    async with Client(transport=AIOHTTPTransport(url=URL, auth=auth, ssl=True)) as session:
        return await session.execute(gql(query))


async def listen_to(auth: AppSyncAuthentication, query: str) -> None:
    async with Client(transport=AppSyncWebsocketsTransport(url=URL, auth=auth)) as session:
        async for _ in session.subscribe(gql(query)):
            return


asyncio.run(main())
