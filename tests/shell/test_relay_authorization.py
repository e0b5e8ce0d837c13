"""Every mode but API keys, over real sockets: signatures, policies, tokens, a Lambda authorizer."""

from __future__ import annotations

import itertools
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from event_protocol.handshake import offer
from relay.auth.iam_policy import Policies
from relay.auth.issuer import Issuer
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider
from relay.config import (
    ApiConfig,
    Budgets,
    IamCredential,
    Listen,
    NamespaceConfig,
    RelayConfig,
)
from relay.config_file import load_config_file
from relay.service import Relay

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LABEL = "abcdefghijklmnopqrstuvwxyz"
POOL = "us-east-1_AbCdEfGhI"


@asynccontextmanager
async def opened(lambda_endpoint=None, **api):
    """A relay with one API, on a plain port."""
    config = RelayConfig(
        listen=Listen(port=None, plain_port=0),
        apis=(ApiConfig(label=LABEL, namespaces=(NamespaceConfig(name="default"),), **api),),
        budgets=Budgets(refusal=0.05),
        lambda_endpoint=lambda_endpoint,
    )
    async with Relay(config) as relay, aiohttp.ClientSession() as session:
        yield Caller(relay, session)


class Caller:
    """A client of a relay, which signs or presents what it is given."""

    def __init__(self, relay, session):
        self.relay = relay
        self.session = session
        self.host = relay.config.apis[0].http_host
        self.url = f"http://127.0.0.1:{relay.plain_port}"
        self._ids = itertools.count(1)

    @asynccontextmanager
    async def connected(self, credentials):
        """A socket and the first answer to its init."""
        async with self.session.ws_connect(
            f"{self.url}/event/realtime", protocols=offer(credentials)
        ) as socket:
            await socket.send_json({"type": "connection_init"})
            yield socket, await socket.receive_json()

    async def try_connect(self, credentials):
        async with self.connected(credentials) as (_, answer):
            return kind_of(answer)

    async def operate(self, socket, kind, credentials, **members):
        """Sends an operation and returns its answer, past keep-alives and data."""
        frame_id = f"o{next(self._ids)}"
        await socket.send_json(
            {"type": kind, "id": frame_id, "authorization": credentials} | members
        )
        while True:
            answer = await socket.receive_json()
            if answer.get("id") == frame_id:
                return kind_of(answer)

    async def publish(self, headers, body=b'{"channel":"default/x","events":["1"]}'):
        async with self.session.post(f"{self.url}/event", data=body, headers=headers) as answer:
            document = await answer.json()
            errors = document.get("errors")
            return answer.status if errors is None else (answer.status, errors[0]["errorType"])

    def sign(self, body, *, secret=SECRET, key=KEY, token=None, headers=None):
        """What botocore's signer makes of an operation with this body."""
        request = AWSRequest(
            method="POST",
            url=f"https://{self.host}/event",
            headers={
                "accept": "application/json, text/javascript",
                "content-encoding": "amz-1.0",
                "content-type": "application/json; charset=UTF-8",
            }
            if headers is None
            else headers,
            data=body,
        )
        SigV4Auth(Credentials(key, secret, token), "appsync", "us-east-1").add_auth(request)
        return dict(request.headers.items()) | {"host": self.host}

    async def mint(self, document):
        async with self.session.post(f"{self.url}/_natless/tokens", json=document) as answer:
            return answer.status, await answer.json()


def kind_of(answer):
    """The type of a frame, and the type of its error if it has one."""
    errors = answer.get("errors")
    return (answer["type"], errors[0]["errorType"]) if errors else answer["type"]


IAM = (IamCredential(access_key_id=KEY, secret_access_key=SECRET),)
EVENTS = ['{"a": "<b> & ü"}']


def compact(value) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("token", [None, "session-token"])
async def test_signatures_open_everything(token):
    async with opened(iam=IAM) as caller:
        async with caller.connected(caller.sign("{}", token=token)) as (socket, answer):
            assert answer["type"] == "connection_ack"
            channel = "default/x/*"
            signed = caller.sign(compact({"channel": channel}), token=token)
            answer = await caller.operate(socket, "subscribe", signed, channel=channel)
            assert answer == "subscribe_success"
            body = {"channel": "/default/x/y", "events": EVENTS}
            signed = caller.sign(compact(body).encode(), token=token)
            assert await caller.operate(socket, "publish", signed, **body) == "publish_success"
        content = compact(body).encode()
        headers = caller.sign(content, token=token, headers={"content-type": "application/json"})
        assert await caller.publish(headers, content) == 200


async def test_a_wrong_signature_opens_nothing():
    async with opened(iam=IAM) as caller:
        wrong = caller.sign("{}", secret="wrong")
        assert await caller.try_connect(wrong) == ("connection_error", "BadRequestException")
        async with caller.connected(caller.sign("{}")) as (socket, _):
            for kind, members in (
                ("subscribe", {"channel": "default/x"}),
                ("publish", {"channel": "default/x", "events": EVENTS}),
            ):
                signed = caller.sign(compact(members).encode(), secret="wrong")
                answer = await caller.operate(socket, kind, signed, **members)
                assert answer == (f"{kind}_error", "UnauthorizedException")
        assert await caller.publish(caller.sign(b"{}")) == (401, "UnauthorizedException")


async def test_a_signature_is_good_for_its_own_channel_only():
    async with opened(iam=IAM) as caller, caller.connected(caller.sign("{}")) as (socket, _):
        signed = caller.sign(compact({"channel": "default/x"}))
        answer = await caller.operate(socket, "subscribe", signed, channel="default/y")
        assert answer == ("subscribe_error", "UnauthorizedException")


async def test_policies_tell_publishers_from_subscribers():
    arn = f"arn:aws:appsync:us-east-1:000000000000:apis/{ApiConfig(label=LABEL).api_id}"
    policies = Policies.parse(
        [
            {
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": ["appsync:EventConnect", "appsync:EventPublish"],
                        "Resource": [arn, f"{arn}/channelNamespace/default"],
                    }
                ]
            }
        ]
    )
    limited = (IamCredential(access_key_id=KEY, secret_access_key=SECRET, policies=policies),)
    async with opened(iam=limited) as caller, caller.connected(caller.sign("{}")) as (socket, _):
        body = {"channel": "default/x", "events": EVENTS}
        answer = await caller.operate(
            socket, "publish", caller.sign(compact(body).encode()), **body
        )
        assert answer == "publish_success"
        signed = caller.sign(compact({"channel": "default/x"}))
        answer = await caller.operate(socket, "subscribe", signed, channel="default/x")
        assert answer == ("subscribe_error", "UnauthorizedException")


@pytest.mark.parametrize(
    ("verify", "dummy", "nonsense"),
    [
        ("strict", "connection_error", "connection_error"),
        ("parse-only", "connection_ack", "connection_error"),
        ("off", "connection_ack", "connection_ack"),
    ],
)
async def test_dummy_credentials_pass_where_signatures_are_not_proved(verify, dummy, nonsense):
    async with opened(verify=verify, iam=IAM) as caller:
        for credentials, expected in (
            (caller.sign("{}", key="test", secret="test"), dummy),
            ({"Authorization": "AWS4-HMAC-SHA256 nonsense", "host": caller.host}, nonsense),
        ):
            async with caller.connected(credentials) as (_, answer):
                assert answer["type"] == expected


async def test_the_relay_mints_tokens_that_open_its_user_pools():
    pool = CognitoProvider(user_pool_id=POOL, region="us-east-1", client_id="app")
    async with opened(providers=(pool,)) as caller:
        claims = {"token_use": "access", "client_id": "app", "username": "ada"}
        status, document = await caller.mint({"userPoolId": POOL, "claims": claims})
        assert status == 200
        token = document["token"]
        for authorization in (token, f"Bearer {token}"):
            async with caller.connected({"Authorization": authorization}) as (socket, answer):
                assert answer["type"] == "connection_ack"
                credentials = {"authorization": authorization}
                answer = await caller.operate(socket, "subscribe", credentials, channel="default/*")
                assert answer == "subscribe_success"
            assert await caller.publish({"Authorization": authorization}) == 200
        _, document = await caller.mint({"userPoolId": POOL, "claims": claims | {"client_id": "x"}})
        refused = await caller.try_connect({"Authorization": document["token"]})
        assert refused == ("connection_error", "UnauthorizedException")


async def test_an_expired_token_is_refused_in_the_words_that_amplify_knows():
    pool = CognitoProvider(user_pool_id=POOL, region="us-east-1")
    async with opened(providers=(pool,)) as caller:
        asked = {"userPoolId": POOL, "claims": {"token_use": "id"}, "lifetime": -1}
        _, document = await caller.mint(asked)
        async with caller.connected({"Authorization": document["token"]}) as (_, answer):
            assert answer["errors"][0]["errorType"] == "UnauthorizedException"
            assert "Token expired" in answer["errors"][0]["message"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"issuer": 1}, 400),
        ({"issuer": "x", "claims": []}, 400),
        ({"issuer": "x", "lifetime": "1"}, 400),
        ({"issuer": "x", "lifetime": 1e400}, 400),
        ({"issuer": "x"}, 200),
    ],
)
async def test_the_mint_says_what_it_wants(document, status):
    async with opened() as caller:
        found, answer = await caller.mint(document)
        assert found == status
        assert set(answer) == ({"token"} if status == 200 else {"message"})


async def test_no_web_page_can_mint():
    async with (
        opened() as caller,
        caller.session.post(
            f"{caller.url}/_natless/tokens",
            data='{"issuer":"x"}',
            headers={"content-type": "text/plain"},
        ) as answer,
    ):
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_tokens_of_an_issuer_are_proved_with_the_keys_it_publishes(served):
    made = {}

    async def discovery(request):
        return web.json_response(made["issuer"].discovery(made["url"] + "/keys"))

    async def keys(request):
        return web.json_response(made["issuer"].jwks())

    url = await served({"/.well-known/openid-configuration": discovery, "/keys": keys})
    made |= {"url": url, "issuer": Issuer.generate(url, algorithm="ES256")}
    async with opened(providers=(OidcProvider(issuer=url),)) as caller:
        now = caller.relay.clock.wall()
        for issuer, expected in (
            (made["issuer"], "connection_ack"),
            (Issuer.generate(url, algorithm="ES256"), "connection_error"),
        ):
            async with caller.connected({"Authorization": issuer.mint({}, now=now)}) as (_, answer):
                assert answer["type"] == expected


@pytest.fixture
async def served():
    """Starts servers with handlers by path and closes them afterwards."""
    servers = []

    async def serve(handlers) -> str:
        app = web.Application()
        for path, handler in handlers.items():
            app.router.add_route("*", path, handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        await server.close()


async def test_a_lambda_function_decides_for_each_operation_and_is_remembered(served):
    asked = []

    async def invoke(request):
        payload = await request.json()
        asked.append(payload)
        context = payload["requestContext"]
        return web.json_response(
            {
                "isAuthorized": context["channel"] != "/default/secret",
                "ttlOverride": 300 if context["operation"] == "EVENT_PUBLISH" else 0,
            }
        )

    arn = "arn:aws:lambda:us-east-1:000000000000:function:auth:live"
    url = await served({"/2015-03-31/functions/auth/invocations": invoke})
    provider = LambdaProvider(uri=arn, expression="custom-.+")
    async with opened(lambda_endpoint=url, providers=(provider,)) as caller:
        credentials = {"Authorization": "custom-token"}
        async with caller.connected(credentials) as (socket, answer):
            assert answer["type"] == "connection_ack"
            for channel, expected in (
                ("default/open", "subscribe_success"),
                ("default/secret", ("subscribe_error", "UnauthorizedException")),
            ):
                answer = await caller.operate(socket, "subscribe", credentials, channel=channel)
                assert answer == expected
            for _ in range(3):
                answer = await caller.operate(
                    socket, "publish", credentials, channel="default/open", events=["1"]
                )
                assert answer == "publish_success"
        told = [one["requestContext"]["operation"] for one in asked]
        assert told == ["EVENT_CONNECT", "EVENT_SUBSCRIBE", "EVENT_SUBSCRIBE", "EVENT_PUBLISH"]
        assert asked[1]["requestContext"]["channel"] == "/default/open"
        assert asked[1]["requestContext"]["channelNamespaceName"] == "default"
        assert asked[0]["authorizationToken"] == "custom-token"
        refused = await caller.try_connect({"Authorization": "other"})
        assert refused == ("connection_error", "UnauthorizedException")
        assert len(asked) == 4


QUERY = {
    "publish": 'mutation M { publish(name: "room", data: "1") { name data } }',
    "subscribe": 'subscription S { subscribe(name: "room") { name data } }',
}


@asynccontextmanager
async def graphql_opened(caller, credentials):
    """A GraphQL WebSocket and the first answer to its init."""
    async with caller.session.ws_connect(
        f"{caller.url}/graphql/realtime", protocols=["graphql-ws", offer(credentials)[1]]
    ) as socket:
        await socket.send_json({"type": "connection_init"})
        yield socket, await socket.receive_json()


async def graphql_subscribe(socket, credentials, name="s"):
    """Starts a subscription; the answer, past keep-alives."""
    extensions = {"authorization": credentials}
    data = json.dumps({"query": QUERY["subscribe"], "operationName": "S"})
    await socket.send_json(
        {"id": name, "type": "start", "payload": {"data": data, "extensions": extensions}}
    )
    while (answer := await socket.receive_json())["type"] == "ka":
        pass
    return answer


async def graphql_publish(caller, credentials):
    document = {"query": QUERY["publish"]}
    async with caller.session.post(
        f"{caller.url}/graphql", json=document, headers=credentials
    ) as answer:
        return answer.status, await answer.json()


async def test_a_lambda_function_decides_for_graphql_by_the_question(served):
    asked = []

    async def invoke(request):
        payload = await request.json()
        asked.append(payload)
        token, context = payload["authorizationToken"], payload["requestContext"]
        denied = {"dumb": ["Mutation.publish"], "blind": ["Channel.data"]}.get(token, [])
        is_authorized = token != "stranger" or context["operationName"] == "Deepdish:Connect"
        return web.json_response({"isAuthorized": is_authorized, "deniedFields": denied})

    provider = LambdaProvider(uri=await served({"/": invoke}))
    async with opened(providers=(provider,)) as caller:
        who = {name: {"Authorization": name} for name in ("friend", "dumb", "blind", "stranger")}
        async with graphql_opened(caller, who["friend"]) as (socket, answer):
            assert answer["type"] == "connection_ack"
            assert (await graphql_subscribe(socket, who["friend"]))["type"] == "start_ack"
            refused = await graphql_subscribe(socket, who["stranger"], "t")
            assert refused["payload"]["errors"][0]["errorType"] == "UnauthorizedException"
            refused = await graphql_subscribe(socket, who["blind"], "u")
            assert refused["payload"]["errors"] == [
                {
                    "errorType": "UnauthorizedException",
                    "message": "Not Authorized to access data on type Channel",
                }
            ]
            for name, field in (("dumb", "publish"), ("blind", "data")):
                status, answer = await graphql_publish(caller, who[name])
                assert (status, answer["data"]) == (200, {"publish": None})
                assert answer["errors"][0]["errorType"] == "Unauthorized"
                assert field in answer["errors"][0]["path"]
            assert (await graphql_publish(caller, who["stranger"]))[0] == 401
            assert (await graphql_publish(caller, who["friend"]))[1]["data"]["publish"]
            data = await socket.receive_json()  # the first: what was denied was not published
            assert data["payload"] == {"data": {"subscribe": {"name": "room", "data": "1"}}}
            assert (await graphql_publish(caller, who["friend"]))[0] == 200
            assert (await socket.receive_json())["type"] == "data"
        first, second, *_, last = (one["requestContext"] for one in asked)
        assert (first["queryString"], first["variables"]) == ("", {})
        assert (second["queryString"], second["operationName"]) == (QUERY["subscribe"], "S")
        assert (last["queryString"], last["operationName"]) == (QUERY["publish"], None)


async def test_who_has_nothing_of_an_apis_modes_opens_no_graphql(served):
    async def invoke(_):
        return web.json_response({"isAuthorized": False})

    provider = LambdaProvider(uri=await served({"/": invoke}))
    async with opened(providers=(provider,)) as caller:
        async with graphql_opened(caller, {"Authorization": "x"}) as (_, answer):
            assert answer["type"] == "connection_error"
        assert (await graphql_publish(caller, {}))[0] == 401
        assert (await graphql_publish(caller, {"Authorization": "x"}))[0] == 401


async def test_a_session_token_is_asked_for_on_every_door_once_it_is_configured():
    temporary = IamCredential(
        access_key_id=KEY, secret_access_key=SECRET, session_token="the-token"
    )
    async with opened(iam=(temporary,)) as caller:
        body = b'{"channel":"default/x","events":["1"]}'
        for token, connects, publishes in (
            ("the-token", "connection_ack", 200),
            ("another", ("connection_error", "BadRequestException"), 401),
            (None, ("connection_error", "BadRequestException"), 401),
        ):
            assert await caller.try_connect(caller.sign(b"{}", token=token)) == connects
            answer = await caller.publish(caller.sign(body, token=token), body)
            assert (answer if answer == 200 else answer[0]) == publishes


async def test_all_of_it_can_be_written_into_a_file(tmp_path):
    (tmp_path / "policy.json").write_text(
        json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    )
    (tmp_path / "keys.json").write_text(
        json.dumps(Issuer.generate("https://i", algorithm="ES256").jwks())
    )
    (tmp_path / "relay.toml").write_text(
        f"""
        state = "relay.db"
        lambda_endpoint = "http://localhost:9001"
        [[api]]
        label = "{LABEL}"
        [[api.iam]]
        access_key_id = "{KEY}"
        secret_access_key = "{SECRET}"
        policies = ["policy.json"]
        [[api.cognito]]
        user_pool_id = "eu-west-1_X"
        [[api.oidc]]
        issuer = "https://i"
        client_id = "app"
        iat_ttl = 60
        jwks = "keys.json"
        [api.lambda]
        uri = "auth"
        ttl = 5
        expression = "custom-.+"
        """
    )
    said = load_config_file(tmp_path / "relay.toml")
    assert said.others == {
        "state": tmp_path / "relay.db",
        "lambda_endpoint": "http://localhost:9001",
    }
    config = RelayConfig(
        listen=Listen(port=None, plain_port=0),
        apis=tuple(ApiConfig(**api) for api in said.apis),
        **said.others,
    )
    (api,) = config.apis
    assert api.providers == (
        CognitoProvider(user_pool_id="eu-west-1_X", region="eu-west-1"),
        OidcProvider(
            issuer="https://i", client_id="app", iat_ttl=60.0, jwks=str(tmp_path / "keys.json")
        ),
        LambdaProvider(uri="auth", ttl=5.0, expression="custom-.+"),
    )
    assert api.iam[0].policies.allow("appsync:EventConnect", ["arn"])
    async with Relay(config) as relay:
        assert relay.registry.get(api.api_id).modes.connect == api.configured_modes
    assert (tmp_path / "relay.db").exists()
