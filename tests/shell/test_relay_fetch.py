"""Questions of the relay to other servers, over real loopback sockets."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.auth import fetch
from relay.auth.base import AccessRequest, Operation
from relay.auth.fetch import Fetcher, FetchFailed
from relay.auth.issuer import Issuer
from relay.auth.jwks import FetchedKeys
from relay.auth.jwt import JwtAuthorizer, OidcRules
from relay.auth.lambda_authorizer import HttpFunction, LambdaAuthorizer


@pytest.fixture
async def served():
    """Starts servers with the given handlers by path and closes them afterwards."""
    servers = []

    async def serve(**handlers) -> str:
        app = web.Application()
        for name, handler in handlers.items():
            app.router.add_route("*", f"/{name}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        await server.close()


async def test_a_body_is_fetched(served):
    async def hello(request):
        return web.Response(body=b"x" * 300_000)

    url = await served(hello=hello)
    async with Fetcher(budget=10.0) as fetcher:
        assert await fetcher.get(f"{url}/hello") == b"x" * 300_000


async def test_a_payload_is_posted_as_json(served):
    async def echo(request):
        return web.json_response({"got": await request.json(), "type": request.content_type})

    url = await served(echo=echo)
    async with Fetcher(budget=10.0) as fetcher:
        answer = json.loads(await fetcher.post(f"{url}/echo", {"a": 1}))
    assert answer == {"got": {"a": 1}, "type": "application/json"}


async def test_failures_are_of_one_kind(served, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_ANSWER_BYTES", 100)

    async def large(request):
        return web.Response(body=b"x" * 101)

    url = await served(large=large)
    async with Fetcher(budget=10.0) as fetcher:
        for address, reason in [
            (f"{url}/nowhere", "status 404"),
            (f"{url}/large", "more than 100"),
            ("file:///etc/passwd", "not an HTTP address"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
            ("http://[/", "http://"),
        ]:
            with pytest.raises(FetchFailed, match=reason):
                await fetcher.get(address)


async def test_a_server_that_never_answers_costs_the_budget(served):
    gate = asyncio.Event()

    async def never(request):
        await gate.wait()
        return web.Response()

    url = await served(never=never)
    async with Fetcher(budget=0.05) as fetcher:
        with pytest.raises(FetchFailed, match=r"within 0.05 s"):
            await fetcher.get(f"{url}/never")
    gate.set()


async def test_an_issuer_is_discovered_and_its_token_proved(served):
    app = {}

    async def discovery(request):
        return web.json_response(app["issuer"].discovery(f"{app['url']}/keys"))

    async def keys(request):
        return web.json_response(app["issuer"].jwks())

    url = await served(**{".well-known/openid-configuration": discovery, "keys": keys})
    app |= {"issuer": Issuer.generate(url, algorithm="ES256"), "url": url}
    async with Fetcher(budget=10.0) as fetcher:
        source = FetchedKeys(url, get=fetcher.get, clock=lambda: 0.0, is_issuer=True)
        authorizer = JwtAuthorizer(OidcRules(url), keys=source, clock=lambda: 1000.0)
        credentials = {"authorization": app["issuer"].mint({"sub": "ada"}, now=1000.0)}
        identity = await authorizer.authorize(
            AccessRequest(Operation.CONNECT, credentials, api_id="a" * 26, host="h")
        )
    assert identity.claims["sub"] == "ada"


async def test_a_function_url_decides(served):
    async def function(request):
        payload = await request.json()
        return web.json_response({"isAuthorized": payload["authorizationToken"] == "good"})

    url = await served(function=function)
    async with Fetcher(budget=10.0) as fetcher:
        authorizer = LambdaAuthorizer(HttpFunction(f"{url}/function", fetcher=fetcher))
        good, bad = (
            AccessRequest(Operation.CONNECT, {"authorization": token}, api_id="a" * 26, host="h")
            for token in ("good", "bad")
        )
        await authorizer.authorize(good)
        with pytest.raises(Exception, match="not authorized"):
            await authorizer.authorize(bad)
