from __future__ import annotations

import asyncio
import itertools
import json
from urllib.parse import quote

import pytest

from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.auth.providers import CognitoProvider, LambdaProvider, OidcProvider
from relay.config import ApiConfig, IamCredential, NamespaceConfig
from relay.control.desk import Quotas
from relay.control.signing import ControlRequest, Signatures
from relay.control.state import MemoryStore, StateUnusable
from relay.control_plane import ControlPlane

NOW = 1_800_000_000.0  # on the hour
DAY = 86_400
LABEL = "configuredconfiguredconfig"
TEMPLATE = ApiConfig(
    label=LABEL, iam=(IamCredential(access_key_id="AKID", secret_access_key="secret"),)
)
KEYS = {"authType": "API_KEY"}
IAM = {"authType": "AWS_IAM"}


def event_config(*modes, **more):
    modes = list(modes or (IAM, KEYS))
    return {
        "authProviders": modes,
        "connectionAuthModes": modes,
        "defaultPublishAuthModes": modes,
        "defaultSubscribeAuthModes": modes,
    } | more


class Clock:
    now = NOW

    def __call__(self):
        return self.now


class Driver:
    """A control plane, and the APIs that the data plane would have."""

    def __init__(self, *, store=None, quotas=None, public_host=None):
        self.clock = Clock()
        self.live: dict[str, ApiConfig] = {}
        self.removed: list[str] = []
        self.signatures = Signatures({}, region="us-east-1", verify="off", clock=self.clock)
        numbers = itertools.count(1)
        self.plane = ControlPlane(
            store=store or MemoryStore(),
            signatures=self.signatures,
            put=self._put,
            remove=self._remove,
            template=TEMPLATE,
            clock=self.clock,
            new_id=lambda length: f"{next(numbers):0{length}d}",
            new_request_id=lambda: "r-1",
            quotas=quotas,
            public_host=lambda: public_host,
        )

    def _put(self, config):
        self.live[config.api_id] = config

    def _remove(self, api_id):
        self.live.pop(api_id, None)
        self.removed.append(api_id)

    async def adopt(self, *configs):
        await self.plane.adopt(configs, signatures=self.signatures)

    async def ask(self, method, path, body=None, *, host="localhost", raw=None):
        path, _, query = path.partition("?")
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer = await self.plane.answer(
            ControlRequest(
                method=method,
                raw_path=path,
                raw_query=query,
                headers={"host": host},
                body=content,
            )
        )
        assert answer.headers["x-amzn-RequestId"] == "r-1"
        assert answer.headers["Content-Type"] == "application/json"
        return answer

    async def do(self, method, path, body=None, **more):
        answer = await self.ask(method, path, body, **more)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def refuse(self, method, path, body=None, **more):
        answer = await self.ask(method, path, body, **more)
        assert set(json.loads(answer.body)) == {"message"}
        return answer.status, answer.headers["x-amzn-ErrorType"]

    async def create(self, name="sst", **more):
        created = await self.do(
            "POST", "/v2/apis", {"name": name, "eventConfig": event_config()} | more
        )
        return created["api"]

    async def names(self, path, member):
        return [item["name"] for item in (await self.do("GET", path))[member]]


@pytest.fixture
def driver():
    return Driver()


# Event APIs.


async def test_a_public_host_is_handed_out_in_place_of_awss_names():
    driver = Driver(public_host="localhost:8443")
    await driver.adopt(TEMPLATE)
    first = await driver.do("GET", f"/v2/apis/{TEMPLATE.api_id}")
    assert first["api"]["dns"] == {"HTTP": "localhost:8443", "REALTIME": "localhost:8443"}
    other = await driver.create()
    label = driver.live[other["apiId"]].label
    host = f"{label}.localhost:8443"  # a host whose first part is the label leads to that API
    assert other["dns"] == {"HTTP": host, "REALTIME": host}
    assert driver.live[other["apiId"]].http_host.endswith(".amazonaws.com")


async def test_an_api_is_created_with_all_its_members(driver):
    api = await driver.create(tags={"stage": "dev"}, ownerContact="ada")
    api_id = api["apiId"]
    assert api == {
        "apiId": api_id,
        "name": "sst",
        "ownerContact": "ada",
        "tags": {"stage": "dev"},
        "dns": {
            "HTTP": f"{2:026d}.appsync-api.us-east-1.amazonaws.com",
            "REALTIME": f"{2:026d}.appsync-realtime-api.us-east-1.amazonaws.com",
        },
        "apiArn": f"arn:aws:appsync:us-east-1:000000000000:apis/{api_id}",
        "created": int(NOW),
        "xrayEnabled": False,
        "eventConfig": event_config(),
    }
    assert len(api_id) == 26
    assert (await driver.do("GET", f"/v2/apis/{api_id}"))["api"] == api


async def test_a_created_api_is_live_with_the_identities_of_the_relay(driver):
    api = await driver.create()
    config = driver.live[api["apiId"]]
    assert config.http_host == api["dns"]["HTTP"]
    assert config.realtime_host == api["dns"]["REALTIME"]
    assert config.iam == TEMPLATE.iam
    assert config.connect_modes == {AuthMode.AWS_IAM, AuthMode.API_KEY}
    assert config.namespaces == ()


async def test_two_apis_may_have_one_name(driver):
    first, second = await driver.create(), await driver.create()
    assert first["apiId"] != second["apiId"]
    assert await driver.names("/v2/apis", "apis") == ["sst", "sst"]


async def test_a_listing_shows_names_but_no_dns(driver):
    await driver.create()
    (item,) = (await driver.do("GET", "/v2/apis"))["apis"]
    assert item["name"] == "sst"
    assert "dns" not in item


async def test_listings_come_in_pages(driver):
    for number in range(30):
        await driver.create(f"api-{number:02d}")
    first = await driver.do("GET", "/v2/apis")
    assert len(first["apis"]) == 25
    token = quote(first["nextToken"], safe="")
    second = await driver.do("GET", f"/v2/apis?nextToken={token}")
    assert [one["name"] for one in second["apis"]] == [f"api-{n}" for n in range(25, 30)]
    assert "nextToken" not in second
    third = await driver.do("GET", "/v2/apis?maxResults=2")
    assert len(third["apis"]) == 2
    assert "nextToken" not in await driver.do("GET", "/v2/apis?maxResults=25&nextToken=" + token)
    assert len((await driver.do("GET", "/v2/apis?maxResults=0"))["apis"]) == 25


async def test_a_page_goes_on_where_the_last_one_ended_whatever_was_deleted(driver):
    apis = [await driver.create(f"api-{number}") for number in range(4)]
    first = await driver.do("GET", "/v2/apis?maxResults=2")
    await driver.do("DELETE", f"/v2/apis/{apis[1]['apiId']}")
    rest = await driver.do("GET", f"/v2/apis?nextToken={quote(first['nextToken'], safe='')}")
    assert [one["name"] for one in rest["apis"]] == ["api-2", "api-3"]


@pytest.mark.parametrize("token", ["x", "%00", "W10=", "WyJhcGlzIiwgInh4Il0=", "bnVsbA==", "%F0"])
async def test_a_token_that_is_none_is_refused(driver, token):
    assert await driver.refuse("GET", f"/v2/apis?nextToken={token}") == (
        400,
        "BadRequestException",
    )


async def test_a_token_of_another_listing_is_refused(driver):
    for _ in range(2):
        api = await driver.create()
    token = (await driver.do("GET", "/v2/apis?maxResults=1"))["nextToken"]
    path = f"/v2/apis/{api['apiId']}/channelNamespaces?nextToken={quote(token, safe='')}"
    assert (await driver.refuse("GET", path))[0] == 400


@pytest.mark.parametrize("size", ["26", "-1", "x", "1.5", "9" * 30, "²"])
async def test_a_page_size_out_of_bounds_is_refused(driver, size):
    assert (await driver.refuse("GET", f"/v2/apis?maxResults={quote(size)}"))[0] == 400


async def test_apis_are_listed_where_they_were_created(driver):
    europe = "appsync.eu-west-1.amazonaws.com"
    api = (
        await driver.do(
            "POST", "/v2/apis", {"name": "eu", "eventConfig": event_config()}, host=europe
        )
    )["api"]
    assert api["dns"]["HTTP"].endswith(".appsync-api.eu-west-1.amazonaws.com")
    assert await driver.names("/v2/apis", "apis") == []
    listed = await driver.do("GET", "/v2/apis", host=europe)
    assert [one["name"] for one in listed["apis"]] == ["eu"]


async def test_an_api_is_updated_and_so_is_the_data_plane(driver):
    api = await driver.create(ownerContact="ada")
    body = {"name": "other", "eventConfig": event_config(KEYS)}
    updated = (await driver.do("POST", f"/v2/apis/{api['apiId']}", body))["api"]
    assert updated == api | body
    config = driver.live[api["apiId"]]
    assert config.name == "other"
    assert config.connect_modes == {AuthMode.API_KEY}


async def test_a_deleted_api_takes_everything_along(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}"
    await driver.do("POST", f"{path}/channelNamespaces", {"name": "a"})
    assert await driver.do("DELETE", path) == {}
    assert driver.removed == [api["apiId"]]
    for method, rest in [("GET", ""), ("DELETE", ""), ("GET", "/channelNamespaces")]:
        assert await driver.refuse(method, path + rest) == (404, "NotFoundException")


def _provider(kind, **config):
    return {"authType": kind} | config


LAMBDA = {"authorizerUri": "arn:aws:lambda:us-east-1:000000000000:function:f"}


@pytest.mark.parametrize(
    "config",
    [
        event_config(authProviders=[]),
        event_config(authProviders=[KEYS]),
        event_config(authProviders=[KEYS, IAM, KEYS]),
        event_config(_provider("AMAZON_COGNITO_USER_POOLS")),
        event_config(_provider("OPENID_CONNECT", openIDConnectConfig={"issuer": None})),
        event_config(_provider("AWS_LAMBDA")),
        event_config(*[_provider("AWS_LAMBDA", lambdaAuthorizerConfig=LAMBDA) for _ in range(2)]),
        event_config(
            _provider(
                "AWS_LAMBDA",
                lambdaAuthorizerConfig=LAMBDA | {"identityValidationExpression": "("},
            )
        ),
        event_config(
            _provider(
                "AWS_LAMBDA",
                lambdaAuthorizerConfig=LAMBDA | {"authorizerResultTtlInSeconds": 3601},
            )
        ),
        event_config({"authType": "PASSWORD"}),
        event_config(logConfig={"logLevel": "ALL"}),
        event_config(connectionAuthModes={}),
        {"authProviders": [KEYS]},
        [],
    ],
)
async def test_an_event_config_that_makes_no_sense_is_refused(driver, config):
    body = {"name": "x", "eventConfig": config}
    assert await driver.refuse("POST", "/v2/apis", body) == (400, "BadRequestException")
    assert await driver.names("/v2/apis", "apis") == []


@pytest.mark.parametrize("name", ["", "a" * 51, "é", "a/b", None, 5, "a\n"])
async def test_an_api_needs_a_name(driver, name):
    body = {"name": name, "eventConfig": event_config()}
    assert await driver.refuse("POST", "/v2/apis", body) == (400, "BadRequestException")


async def test_members_that_are_unknown_are_ignored(driver):
    api = await driver.create(visibility="PRIVATE")
    assert "visibility" not in api


@pytest.mark.parametrize("raw", [b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 50_000, b"NaN"])
async def test_a_body_that_is_no_object_is_refused(driver, raw):
    assert await driver.refuse("POST", "/v2/apis", raw=raw) == (400, "BadRequestException")


async def test_a_body_that_is_too_large_is_refused(driver):
    assert (await driver.refuse("POST", "/v2/apis", raw=b" " * (1024 * 1024 + 1)))[0] == 413


async def test_there_are_so_many_apis_and_no_more(driver):
    driver = Driver(quotas=Quotas(apis=1))
    await driver.create()
    body = {"name": "x", "eventConfig": event_config()}
    refused = (402, "ServiceQuotaExceededException")
    assert await driver.refuse("POST", "/v2/apis", body) == refused
    await driver.do("POST", "/v2/apis", body, host="appsync.eu-west-1.amazonaws.com")


async def test_a_custom_id_fixes_api_id_and_label(driver):
    custom = "k3v9x2m1q8k3v9x2m1q8k3v9x2"
    api = await driver.create(tags={"_custom_id_": custom})
    assert api["apiId"] == custom
    assert api["dns"]["HTTP"].startswith(custom + ".")
    body = {"name": "x", "eventConfig": event_config(), "tags": {"_custom_id_": custom}}
    assert (await driver.refuse("POST", "/v2/apis", body))[0] == 400
    body["tags"] = {"_custom_id_": "short"}
    assert (await driver.refuse("POST", "/v2/apis", body))[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v1/apis"),
        ("PUT", "/v2/apis"),
        ("POST", "/v2/apis/"),
        ("GET", "/v2/apis/a/b"),
        ("GET", "/v1/tags"),
        ("GET", "/v1/tags/"),
    ],
)
async def test_what_is_no_operation_is_not_found(driver, method, path):
    assert await driver.refuse(method, path) == (404, "UnknownOperationException")


# Channel namespaces.


async def test_a_namespace_is_created_with_all_its_members_and_is_live(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    body = {"name": "orders", "publishAuthModes": [IAM]}
    created = (await driver.do("POST", path, body))["channelNamespace"]
    assert created == {
        "apiId": api["apiId"],
        "name": "orders",
        "publishAuthModes": [IAM],
        "tags": {},
        "channelNamespaceArn": api["apiArn"] + "/channelNamespace/orders",
        "created": int(NOW),
        "lastModified": int(NOW),
        "handlerConfigs": {},
    }
    assert (await driver.do("GET", f"{path}/orders"))["channelNamespace"] == created
    assert driver.live[api["apiId"]].namespaces == (
        NamespaceConfig(name="orders", publish_modes=frozenset({AuthMode.AWS_IAM})),
    )


async def test_a_namespace_exists_once(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    await driver.do("POST", path, {"name": "orders"})
    assert await driver.refuse("POST", path, {"name": "orders"}) == (409, "ConflictException")
    await driver.do("POST", path, {"name": "Orders"})


async def test_a_namespace_is_updated_as_a_whole(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    first = {"name": "orders", "publishAuthModes": [IAM], "tags": {"a": "b"}}
    await driver.do("POST", path, first)
    driver.clock.now += 60
    body = {"subscribeAuthModes": [KEYS], "codeHandlers": "export function onPublish() {}"}
    updated = (await driver.do("POST", f"{path}/orders", body))["channelNamespace"]
    assert updated["lastModified"] == updated["created"] + 60
    assert "publishAuthModes" not in updated
    assert updated["tags"] == {"a": "b"}
    assert updated | body == updated
    (live,) = driver.live[api["apiId"]].namespaces
    assert live.publish_modes is None
    assert live.subscribe_modes == {AuthMode.API_KEY}


async def test_an_empty_list_of_modes_means_the_modes_of_the_api(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    await driver.do("POST", path, {"name": "orders", "publishAuthModes": []})
    (live,) = driver.live[api["apiId"]].namespaces
    assert live.publish_modes is None


async def test_a_namespace_is_deleted(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    for name in ("a", "b"):
        await driver.do("POST", path, {"name": name})
    await driver.do("DELETE", f"{path}/a")
    assert await driver.names(path, "channelNamespaces") == ["b"]
    assert [one.name for one in driver.live[api["apiId"]].namespaces] == ["b"]
    assert await driver.refuse("DELETE", f"{path}/a") == (404, "NotFoundException")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "-a"},
        {"name": "a_b"},
        {"name": "a" * 51},
        {},
        {"name": "a", "publishAuthModes": [{"authType": "AWS_LAMBDA"}]},
        {"name": "a", "codeHandlers": ""},
        {"name": "a", "codeHandlers": "x" * 32_769},
        {"name": "a", "tags": {"aws:x": "y"}},
        {"name": "a", "tags": {}},
        {"name": "a", "handlerConfigs": {"onPublish": {"behavior": "CODE"}}},
        {
            "name": "a",
            "handlerConfigs": {
                "onPublish": {"behavior": "DIRECT", "integration": {"dataSourceName": "no"}}
            },
        },
    ],
)
async def test_a_namespace_that_makes_no_sense_is_refused(driver, body):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    assert await driver.refuse("POST", path, body) == (400, "BadRequestException")


async def test_there_are_so_many_namespaces_and_no_more():
    driver = Driver(quotas=Quotas(namespaces=1))
    path = f"/v2/apis/{(await driver.create())['apiId']}/channelNamespaces"
    await driver.do("POST", path, {"name": "a"})
    refused = (402, "ServiceQuotaExceededException")
    assert await driver.refuse("POST", path, {"name": "b"}) == refused
    await driver.do("DELETE", f"{path}/a")
    await driver.do("POST", path, {"name": "b"})


# API keys.


async def test_a_key_is_made_for_a_week_and_opens_the_api(driver):
    api = await driver.create()
    key = (await driver.do("POST", f"/v1/apis/{api['apiId']}/apikeys"))["apiKey"]
    assert key["id"].startswith("da2-")
    assert len(key["id"]) == 30
    assert key["expires"] == NOW + 7 * DAY
    assert key["deletes"] == NOW + 67 * DAY
    assert driver.live[api["apiId"]].api_keys == (ApiKey(key["id"], NOW + 7 * DAY),)


async def test_expiry_is_rounded_down_to_the_hour(driver):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/apikeys"
    asked = {"expires": int(NOW) + 2 * DAY + 3599, "description": "for tests"}
    key = (await driver.do("POST", path, asked))["apiKey"]
    assert key["expires"] == NOW + 2 * DAY
    assert key["description"] == "for tests"


@pytest.mark.parametrize(
    ("life", "is_taken"),
    [
        (DAY, True),
        (DAY - 3601, False),
        (365 * DAY, True),
        (365 * DAY + 3599, True),
        (365 * DAY + 3600, False),
        (-(10**12), False),
    ],
)
async def test_a_key_lives_one_to_365_days(driver, life, is_taken):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/apikeys"
    body = {"expires": int(NOW) + life}
    if is_taken:
        await driver.do("POST", path, body)
    else:
        refused = (400, "ApiKeyValidityOutOfBoundsException")
        assert await driver.refuse("POST", path, body) == refused


async def test_a_full_year_is_taken_at_any_minute_of_the_hour(driver):
    api = await driver.create()
    for seconds in (1, 1800, 3599):
        driver.clock.now = NOW + seconds
        body = {"expires": int(driver.clock.now) + 365 * DAY}
        await driver.do("POST", f"/v1/apis/{api['apiId']}/apikeys", body)


async def test_a_key_is_updated_and_an_expired_one_revived(driver):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/apikeys"
    key = (await driver.do("POST", path, {"description": "a"}))["apiKey"]
    driver.clock.now += 20 * DAY
    (listed,) = (await driver.do("GET", path))["apiKeys"]
    assert listed == key
    body = {"expires": int(driver.clock.now) + 30 * DAY}
    updated = (await driver.do("POST", f"{path}/{key['id']}", body))["apiKey"]
    assert updated["expires"] == driver.clock.now + 30 * DAY
    assert updated["description"] == "a"
    assert driver.live[api["apiId"]].api_keys[0].expires == updated["expires"]


async def test_a_key_is_gone_sixty_days_after_its_expiry(driver):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/apikeys"
    key = (await driver.do("POST", path))["apiKey"]
    driver.clock.now = key["deletes"]
    assert (await driver.do("GET", path))["apiKeys"] == []
    for method in ("POST", "DELETE"):
        assert (await driver.refuse(method, f"{path}/{key['id']}"))[0] == 404


async def test_a_key_is_deleted(driver):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/apikeys"
    key = (await driver.do("POST", path))["apiKey"]
    await driver.do("DELETE", f"{path}/{key['id']}")
    assert driver.live[api["apiId"]].api_keys == ()
    assert await driver.refuse("DELETE", f"{path}/{key['id']}") == (404, "NotFoundException")


async def test_there_are_so_many_keys_and_no_more():
    driver = Driver(quotas=Quotas(api_keys=1))
    path = f"/v1/apis/{(await driver.create())['apiId']}/apikeys"
    await driver.do("POST", path)
    assert await driver.refuse("POST", path) == (400, "ApiKeyLimitExceededException")


@pytest.mark.parametrize("expires", ["1800000000", 1.5, True, 10**30, [], -(10**30)])
async def test_an_expiry_that_is_none_is_refused(driver, expires):
    api = await driver.create()
    body = {"expires": expires}
    status, _ = await driver.refuse("POST", f"/v1/apis/{api['apiId']}/apikeys", body)
    assert status == 400


# Data sources, tags, domains.


async def test_a_data_source_lives_and_a_handler_may_name_it(driver):
    api = await driver.create()
    path = f"/v1/apis/{api['apiId']}/datasources"
    config = {"lambdaConfig": {"lambdaFunctionArn": "arn:x"}}
    body = {"name": "fn", "type": "AWS_LAMBDA"} | config
    created = (await driver.do("POST", path, body))["dataSource"]
    assert created == {"dataSourceArn": api["apiArn"] + "/datasources/fn"} | body
    assert (await driver.refuse("POST", path, body))[0] == 400
    handlers = {
        "onPublish": {
            "behavior": "DIRECT",
            "integration": {
                "dataSourceName": "fn",
                "lambdaConfig": {"invokeType": "REQUEST_RESPONSE"},
            },
        }
    }
    namespace = await driver.do(
        "POST",
        f"/v2/apis/{api['apiId']}/channelNamespaces",
        {"name": "a", "handlerConfigs": handlers},
    )
    assert namespace["channelNamespace"]["handlerConfigs"] == handlers
    changed = {"type": "AWS_LAMBDA", "description": "b"} | config
    updated = (await driver.do("POST", f"{path}/fn", changed))["dataSource"]
    assert updated["description"] == "b"
    assert (await driver.do("GET", path))["dataSources"] == [updated]
    assert (await driver.do("GET", f"{path}/fn"))["dataSource"] == updated
    await driver.do("DELETE", f"{path}/fn")
    assert (await driver.refuse("GET", f"{path}/fn"))[0] == 404


async def test_a_data_source_needs_the_configuration_of_its_type(driver):
    path = f"/v1/apis/{(await driver.create())['apiId']}/datasources"
    assert (await driver.refuse("POST", path, {"name": "fn", "type": "AWS_LAMBDA"}))[0] == 400
    await driver.do("POST", path, {"name": "none", "type": "NONE"})


async def test_tags_are_put_over_each_other_and_taken_off(driver):
    api = await driver.create(tags={"a": "1", "b": "2"})
    path = f"/v1/tags/{quote(api['apiArn'], safe='')}"
    await driver.do("POST", path, {"tags": {"b": "3", "c": "4"}})
    assert (await driver.do("GET", path))["tags"] == {"a": "1", "b": "3", "c": "4"}
    await driver.do("DELETE", f"{path}?tagKeys=a&tagKeys=c&tagKeys=x")
    assert (await driver.do("GET", path))["tags"] == {"b": "3"}
    shown = await driver.do("GET", f"/v2/apis/{api['apiId']}")
    assert shown["api"]["tags"] == {"b": "3"}


async def test_an_arn_may_come_with_its_slash_unescaped(driver):
    api = await driver.create(tags={"a": "1"})
    assert (await driver.do("GET", f"/v1/tags/{api['apiArn']}"))["tags"] == {"a": "1"}


async def test_tags_are_bounded(driver):
    api = await driver.create(tags={f"a{letter}": "1" for letter in range(50)})
    path = f"/v1/tags/{quote(api['apiArn'], safe='')}"
    assert (await driver.refuse("POST", path, {"tags": {"b": "1"}}))[0] == 400
    assert (await driver.refuse("DELETE", path))[0] == 400


async def test_tags_of_nothing_are_not_found(driver):
    api = await driver.create()
    other = api["apiArn"].replace("us-east-1", "us-east-2")
    assert (await driver.refuse("GET", f"/v1/tags/{quote(other, safe='')}"))[0] == 404
    assert (await driver.refuse("GET", "/v1/tags/arn"))[0] == 400


CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/x"


async def test_a_domain_leads_to_an_api_while_it_is_associated(driver):
    api = await driver.create()
    body = {"domainName": "api.example.com", "certificateArn": CERTIFICATE}
    created = (await driver.do("POST", "/v1/domainnames", body))["domainNameConfig"]
    assert created["appsyncDomainName"].endswith(".cloudfront.net")
    path = "/v1/domainnames/api.example.com"
    joined = f"{path}/apiassociation"
    assert (await driver.refuse("GET", joined))[0] == 404
    association = {
        "domainName": "api.example.com",
        "apiId": api["apiId"],
        "associationStatus": "SUCCESS",
    }
    asked = {"apiId": api["apiId"]}
    assert (await driver.do("POST", joined, asked))["apiAssociation"] == association
    assert (await driver.do("GET", joined))["apiAssociation"] == association
    assert driver.live[api["apiId"]].domains == ("api.example.com",)
    assert (await driver.do("GET", path))["domainNameConfig"] == created
    assert (await driver.refuse("DELETE", path))[0] == 400
    await driver.do("DELETE", joined)
    assert driver.live[api["apiId"]].domains == ()
    changed = await driver.do("POST", path, {"description": "ours"})
    assert changed["domainNameConfig"] == created | {"description": "ours"}
    listed = (await driver.do("GET", "/v1/domainnames"))["domainNameConfigs"]
    assert listed == [created | {"description": "ours"}]
    await driver.do("DELETE", path)
    assert (await driver.refuse("GET", path))[0] == 404


async def test_a_domain_outlives_its_api_and_leads_to_one_only(driver):
    first, second = await driver.create(), await driver.create()
    body = {"domainName": "api.example.com", "certificateArn": CERTIFICATE}
    await driver.do("POST", "/v1/domainnames", body)
    assert (await driver.refuse("POST", "/v1/domainnames", body))[0] == 400
    joined = "/v1/domainnames/api.example.com/apiassociation"
    await driver.do("POST", joined, {"apiId": first["apiId"]})
    assert (await driver.refuse("POST", joined, {"apiId": second["apiId"]}))[0] == 400
    await driver.do("DELETE", f"/v2/apis/{first['apiId']}")
    assert (await driver.refuse("GET", joined))[0] == 404
    await driver.do("POST", joined, {"apiId": second["apiId"]})


# The configuration.


def configured(**more) -> ApiConfig:
    return ApiConfig(
        **{
            "label": LABEL,
            "namespaces": (NamespaceConfig(name="default"),),
            "api_keys": (ApiKey("da2-configured"),),
            "iam": TEMPLATE.iam,
        }
        | more
    )


async def test_a_configured_api_is_there_like_any_other(driver):
    config = configured()
    await driver.adopt(config)
    api_id = config.api_id
    api = (await driver.do("GET", f"/v2/apis/{api_id}"))["api"]
    assert api["dns"] == {"HTTP": config.http_host, "REALTIME": config.realtime_host}
    assert api["eventConfig"] == event_config(KEYS, IAM)
    assert await driver.names(f"/v2/apis/{api_id}/channelNamespaces", "channelNamespaces") == [
        "default"
    ]
    keys = (await driver.do("GET", f"/v1/apis/{api_id}/apikeys"))["apiKeys"]
    assert keys == [{"id": "da2-configured"}]
    live = driver.live[api_id]
    assert live.namespaces == config.namespaces
    assert live.api_keys == config.api_keys
    assert live.modes == config.modes
    assert (live.label, live.api_id, live.iam) == (config.label, config.api_id, config.iam)


async def test_a_configured_api_can_be_added_to(driver):
    config = configured()
    await driver.adopt(config)
    await driver.do("POST", f"/v2/apis/{config.api_id}/channelNamespaces", {"name": "more"})
    names = [one.name for one in driver.live[config.api_id].namespaces]
    assert names == ["default", "more"]


async def test_created_apis_stay_when_the_configuration_is_read_again(driver):
    config = configured()
    await driver.adopt(config)
    api = await driver.create()
    await driver.adopt(config)
    assert set(driver.live) == {config.api_id, api["apiId"]}


async def test_what_was_changed_stays_until_the_configuration_says_something_else(driver):
    config = configured()
    await driver.adopt(config)
    spaces = f"/v2/apis/{config.api_id}/channelNamespaces"
    await driver.do("DELETE", f"{spaces}/default")
    await driver.do(
        "POST", f"/v2/apis/{config.api_id}", {"name": "mine", "eventConfig": event_config(KEYS)}
    )
    await driver.adopt(config)
    assert await driver.names(spaces, "channelNamespaces") == []
    assert driver.live[config.api_id].name == "mine"
    changed = configured(
        name="theirs",
        namespaces=(NamespaceConfig(name="default"), NamespaceConfig(name="new")),
        api_keys=(ApiKey("da2-other", NOW + DAY, "d"),),
    )
    await driver.adopt(changed)
    assert driver.live[config.api_id].name == "theirs"
    assert await driver.names(spaces, "channelNamespaces") == ["new"]
    assert driver.live[config.api_id].api_keys == (ApiKey("da2-other", NOW + DAY, "d"),)


async def test_an_api_that_the_configuration_drops_is_gone(driver):
    config = configured()
    await driver.adopt(config)
    await driver.adopt()
    assert driver.live == {}
    assert (await driver.refuse("GET", f"/v2/apis/{config.api_id}"))[0] == 404


# Keeping.


class FailingStore(MemoryStore):
    fails = False

    def write(self, changes):
        if self.fails:
            raise StateUnusable("the disk is full")


async def test_what_cannot_be_kept_is_not_answered_and_not_done():
    store = FailingStore()
    driver = Driver(store=store)
    api = await driver.create()
    store.fails = True
    assert (await driver.refuse("DELETE", f"/v2/apis/{api['apiId']}"))[0] == 500
    store.fails = False
    assert await driver.names("/v2/apis", "apis") == ["sst"]
    assert driver.removed == []


async def test_operations_run_one_after_the_other(driver):
    api = await driver.create()
    path = f"/v2/apis/{api['apiId']}/channelNamespaces"
    answers = await asyncio.gather(*(driver.ask("POST", path, {"name": "a"}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7


async def test_an_operation_is_finished_although_the_client_went_away(driver):
    body = {"name": "x", "eventConfig": event_config()}
    asking = asyncio.create_task(driver.ask("POST", "/v2/apis", body))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await driver.plane.close()
    assert await driver.names("/v2/apis", "apis") == ["x"]
    assert len(driver.live) == 1


# Authorization providers.


async def test_providers_of_a_created_api_reach_the_data_plane(driver):
    providers = [
        KEYS,
        _provider(
            "AMAZON_COGNITO_USER_POOLS",
            cognitoConfig={
                "userPoolId": "us-east-1_A",
                "awsRegion": "us-east-1",
                "appIdClientRegex": "app",
            },
        ),
        _provider(
            "OPENID_CONNECT",
            openIDConnectConfig={"issuer": "https://i", "iatTTL": 1500, "authTTL": 0},
        ),
        _provider(
            "AWS_LAMBDA",
            lambdaAuthorizerConfig=LAMBDA
            | {"authorizerResultTtlInSeconds": 60, "identityValidationExpression": "x+"},
        ),
    ]
    api = await driver.create(eventConfig=event_config(authProviders=providers) | MODES)
    assert api["eventConfig"]["authProviders"] == providers
    assert driver.live[api["apiId"]].providers == (
        CognitoProvider(user_pool_id="us-east-1_A", region="us-east-1", client_id="app"),
        OidcProvider(issuer="https://i", iat_ttl=1.5, auth_ttl=0.0),
        LambdaProvider(uri=LAMBDA["authorizerUri"], ttl=60.0, expression="x+"),
    )


MODES = {
    name: [KEYS]
    for name in ("connectionAuthModes", "defaultPublishAuthModes", "defaultSubscribeAuthModes")
}


async def test_configured_providers_are_shown_and_keep_where_their_keys_are(driver):
    providers = (
        CognitoProvider(user_pool_id="us-east-1_A", region="us-east-1", jwks="pool.json"),
        OidcProvider(issuer="https://i", client_id="c", iat_ttl=2.0, jwks="https://i/keys"),
        LambdaProvider(uri="http://localhost/f", ttl=5.0),
    )
    config = configured(providers=providers)
    await driver.adopt(config)
    assert driver.live[config.api_id].providers == providers
    shown = (await driver.do("GET", f"/v2/apis/{config.api_id}"))["api"]["eventConfig"]
    assert [one["authType"] for one in shown["authProviders"]] == [
        "API_KEY",
        "AWS_IAM",
        "AMAZON_COGNITO_USER_POOLS",
        "OPENID_CONNECT",
        "AWS_LAMBDA",
    ]
    assert shown["authProviders"][3]["openIDConnectConfig"] == {
        "issuer": "https://i",
        "clientId": "c",
        "iatTTL": 2000,
    }
    body = {"name": "x", "eventConfig": shown}
    await driver.do("POST", f"/v2/apis/{config.api_id}", body)
    assert driver.live[config.api_id].providers == providers


async def test_a_duration_of_more_than_64_bits_is_refused(driver):
    provider = _provider(
        "OPENID_CONNECT", openIDConnectConfig={"issuer": "https://i", "iatTTL": 10**400}
    )
    body = {"name": "x", "eventConfig": event_config(provider)}
    assert await driver.refuse("POST", "/v2/apis", body) == (400, "BadRequestException")
