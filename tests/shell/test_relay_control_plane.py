"""boto3, unchanged, against a relay on loopback; and a relay that is killed and started again."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
import time
from dataclasses import replace

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from natless.certificates import Authority
from relay.auth.api_key import ApiKey
from relay.auth.iam_policy import Policies
from relay.config import (
    ApiConfig,
    Budgets,
    IamCredential,
    Listen,
    NamespaceConfig,
    RelayConfig,
)
from relay.service import Relay
from tests.shell.relay_stage import api_config, start

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LABEL = "abcdefghijklmnopqrstuvwxyz"
BOTH = [{"authType": "AWS_IAM"}, {"authType": "API_KEY"}]
READY_BUDGET = 20.0
RELAY_CONFIG = RelayConfig(
    listen=Listen(port=None, plain_port=0),
    apis=(
        ApiConfig(
            label=LABEL,
            namespaces=(NamespaceConfig(name="default"),),
            api_keys=(ApiKey("da2-configured"),),
            iam=(IamCredential(access_key_id=KEY, secret_access_key=SECRET),),
        ),
    ),
)


def event_config(modes=BOTH):
    return {
        "authProviders": modes,
        "connectionAuthModes": modes,
        "defaultPublishAuthModes": modes,
        "defaultSubscribeAuthModes": modes,
    }


class Boto:
    """A client whose calls run in a thread, since boto3 blocks."""

    def __init__(self, port, *, key=KEY, secret=SECRET, region="us-east-1"):
        self.client = boto3.client(
            "appsync",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def __getattr__(self, name):
        async def call(**arguments):
            return await asyncio.to_thread(getattr(self.client, name), **arguments)

        return call

    async def pages(self, name, **arguments):
        paginator = self.client.get_paginator(name)
        return await asyncio.to_thread(lambda: list(paginator.paginate(**arguments)))

    async def refuses(self, operation, /, **arguments):
        with pytest.raises(ClientError) as caught:
            await getattr(self, operation)(**arguments)
        response = caught.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.fixture
async def relay():
    async with Relay(RELAY_CONFIG) as relay:
        yield relay


@pytest.fixture
async def boto(relay):
    boto = Boto(relay.plain_port)
    yield boto
    boto.client.close()


async def publish(relay, dns, *, key, channel="default/x"):
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{relay.plain_port}/event",
            json={"channel": channel, "events": ["1"]},
            headers={"x-api-key": key, "host": dns["HTTP"]},
        ) as answer,
    ):
        return answer.status


async def test_the_sequence_of_sst_finds_nothing_then_makes_an_api(boto):
    pages = await boto.pages("list_apis")
    assert "sst" not in [api["name"] for page in pages for api in page["apis"]]
    created = (await boto.create_api(name="sst", eventConfig=event_config()))["api"]
    await boto.create_channel_namespace(
        apiId=created["apiId"], name="sst", publishAuthModes=BOTH, subscribeAuthModes=BOTH
    )
    listed = [api for page in await boto.pages("list_apis") for api in page["apis"]]
    (found,) = [api for api in listed if api["name"] == "sst"]
    assert "dns" not in found
    assert (await boto.get_api(apiId=found["apiId"]))["api"]["dns"] == created["dns"]


async def test_the_sequence_of_stelvio_ends_with_a_key_that_opens_its_api(relay, boto):
    modes = [{"authType": "API_KEY"}]
    config = event_config(modes) | {"authProviders": [{"authType": "API_KEY"}, *BOTH[:1]]}
    api = (await boto.create_api(name="stelvio", eventConfig=config))["api"]
    await boto.create_channel_namespace(apiId=api["apiId"], name="stelvio")
    expires = int(time.time()) + 365 * 24 * 3600
    key = (await boto.create_api_key(apiId=api["apiId"], expires=expires))["apiKey"]
    assert key["expires"] == expires // 3600 * 3600
    assert (await boto.list_api_keys(apiId=api["apiId"]))["apiKeys"] == [key]
    assert await publish(relay, api["dns"], key=key["id"], channel="stelvio/app/dev/in") == 200
    assert await publish(relay, api["dns"], key="da2-wrong", channel="stelvio/a") == 401
    assert await publish(relay, api["dns"], key=key["id"], channel="default/a") == 401


async def test_a_new_api_does_not_open_with_the_key_of_another(relay, boto):
    api = (await boto.create_api(name="x", eventConfig=event_config()))["api"]
    await boto.create_channel_namespace(apiId=api["apiId"], name="default")
    assert await publish(relay, api["dns"], key="da2-configured") == 401
    own = RELAY_CONFIG.apis[0]
    assert await publish(relay, {"HTTP": own.http_host}, key="da2-configured") == 200


async def test_what_the_configuration_says_can_be_read_and_changed(relay, boto):
    own = RELAY_CONFIG.apis[0]
    api = (await boto.get_api(apiId=own.api_id))["api"]
    assert api["dns"] == {"HTTP": own.http_host, "REALTIME": own.realtime_host}
    await boto.create_channel_namespace(apiId=own.api_id, name="more")
    names = (await boto.list_channel_namespaces(apiId=own.api_id))["channelNamespaces"]
    assert [one["name"] for one in names] == ["default", "more"]
    assert await publish(relay, api["dns"], key="da2-configured", channel="more/x") == 200
    await boto.delete_channel_namespace(apiId=own.api_id, name="more")
    assert await publish(relay, api["dns"], key="da2-configured", channel="more/x") == 401


async def test_what_is_created_stays_when_the_configuration_is_read_again(relay, boto):
    api = (await boto.create_api(name="x", eventConfig=event_config()))["api"]
    await relay.reload(RELAY_CONFIG)
    assert (await boto.get_api(apiId=api["apiId"]))["api"] == api
    assert relay.registry.get(api["apiId"]) is not None


async def test_paginators_walk_over_all_pages(boto):
    for number in range(7):
        await boto.create_api(name=f"api-{number}", eventConfig=event_config())
    pages = await boto.pages("list_apis", PaginationConfig={"PageSize": 3})
    assert [len(page["apis"]) for page in pages] == [3, 3, 2]


async def test_tags_go_by_arn(boto):
    api = (await boto.create_api(name="x", eventConfig=event_config(), tags={"a": "1"}))["api"]
    await boto.tag_resource(resourceArn=api["apiArn"], tags={"b": "2"})
    await boto.untag_resource(resourceArn=api["apiArn"], tagKeys=["a"])
    tags = await boto.list_tags_for_resource(resourceArn=api["apiArn"])
    assert tags["tags"] == {"b": "2"}


async def test_a_domain_of_ones_own_leads_to_its_api(relay, boto):
    api = (await boto.create_api(name="x", eventConfig=event_config()))["api"]
    await boto.create_channel_namespace(apiId=api["apiId"], name="default")
    key = (await boto.create_api_key(apiId=api["apiId"]))["apiKey"]["id"]
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/x"
    await boto.create_domain_name(domainName="api.example.com", certificateArn=certificate)
    await boto.associate_api(domainName="api.example.com", apiId=api["apiId"])
    association = (await boto.get_api_association(domainName="api.example.com"))["apiAssociation"]
    assert association["associationStatus"] == "SUCCESS"
    assert await publish(relay, {"HTTP": "api.example.com"}, key=key) == 200
    await boto.disassociate_api(domainName="api.example.com")
    assert await publish(relay, {"HTTP": "api.example.com"}, key=key) == 401
    await boto.delete_domain_name(domainName="api.example.com")


async def test_errors_reach_boto_as_its_own_exceptions(boto):
    api = (await boto.create_api(name="x", eventConfig=event_config()))["api"]["apiId"]
    await boto.create_channel_namespace(apiId=api, name="a")
    assert await boto.refuses("get_api", apiId="x" * 26) == (404, "NotFoundException")
    assert await boto.refuses("create_channel_namespace", apiId=api, name="a") == (
        409,
        "ConflictException",
    )
    assert await boto.refuses("create_api_key", apiId=api, expires=1) == (
        400,
        "ApiKeyValidityOutOfBoundsException",
    )
    assert await boto.refuses("list_apis", nextToken="x") == (400, "BadRequestException")


async def test_signatures_are_proved(relay):
    wrong = Boto(relay.plain_port, secret="wrong")
    stranger = Boto(relay.plain_port, key="AKIASTRANGER")
    for boto in (wrong, stranger):
        assert await boto.refuses("list_apis") == (403, "InvalidSignatureException")
        boto.client.close()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{relay.plain_port}/v2/apis") as answer,
    ):
        assert answer.status == 403
        assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


async def test_policies_of_an_identity_hold_here_too():
    only = Policies.parse(
        [{"Statement": {"Effect": "Allow", "Action": "appsync:List*", "Resource": "*"}}]
    )
    api = ApiConfig(
        label=LABEL,
        iam=(IamCredential(access_key_id=KEY, secret_access_key=SECRET, policies=only),),
    )
    config = RelayConfig(listen=RELAY_CONFIG.listen, apis=(api,))
    async with Relay(config) as relay:
        boto = Boto(relay.plain_port)
        await boto.list_apis()
        refused = await boto.refuses("create_api", name="x", eventConfig=event_config())
        assert refused == (403, "AccessDeniedException")
        boto.client.close()


async def test_apis_are_where_the_caller_is(relay, boto):
    there = Boto(relay.plain_port, region="eu-west-1")
    api = (await there.create_api(name="x", eventConfig=event_config()))["api"]
    assert ".eu-west-1." in api["dns"]["HTTP"]
    assert [one["name"] for one in (await there.list_apis())["apis"]] == ["x"]
    assert [one["name"] for one in (await boto.list_apis())["apis"]] == ["natless"]
    there.client.close()


async def test_a_deleted_api_closes_its_connections(relay, boto):
    api = (await boto.create_api(name="x", eventConfig=event_config()))["api"]
    key = (await boto.create_api_key(apiId=api["apiId"]))["apiKey"]["id"]
    url = f"ws://127.0.0.1:{relay.plain_port}/event/realtime"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url,
            protocols=("aws-appsync-event-ws",),
            headers={"x-api-key": key, "host": api["dns"]["REALTIME"]},
        ) as socket,
    ):
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json())["type"] == "connection_ack"
        await boto.delete_api(apiId=api["apiId"])
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1001


# A process that keeps its state in a file.


class Process:
    """``python -P -m relay`` with a state file."""

    def __init__(self, directory):
        self._directory = directory
        pair = Authority.for_user(directory / "ca").issue(["localhost"], directory=directory)
        self._argv = [
            *(sys.executable, "-P", "-m", "relay", "--json", "--plain-port", "0"),
            *("--certificate", str(pair.certificate), "--key", str(pair.key)),
            *("--state", str(directory / "relay.db")),
        ]

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            *self._argv, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(READY_BUDGET):
            self.ready = json.loads(await self._process.stdout.readline())
        iam = self.ready["iam"]
        port = int(self.ready["plain_http"].split(":")[2].split("/")[0])
        self.boto = Boto(port, key=iam["access_key_id"], secret=iam["secret_access_key"])
        return self

    async def __aexit__(self, *_):
        self.boto.client.close()
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._process.communicate()

    async def kill(self):
        self._process.kill()
        await self._process.wait()


async def test_a_kill_loses_nothing_that_was_answered(tmp_path):
    answered = []
    async with Process(tmp_path) as first:
        api = (await first.boto.create_api(name="kept", eventConfig=event_config()))["api"]
        enough = asyncio.Event()

        async def create(number):
            name = f"space-{number}"
            await first.boto.create_channel_namespace(apiId=api["apiId"], name=name)
            answered.append(name)
            if len(answered) >= 10:
                enough.set()

        creating = [asyncio.create_task(create(number)) for number in range(40)]
        await enough.wait()
        await first.kill()
        await asyncio.gather(*creating, return_exceptions=True)
    async with Process(tmp_path) as second:
        assert second.ready["label"] == first.ready["label"]
        assert second.ready["api_key"] == first.ready["api_key"]
        assert second.ready["iam"] == first.ready["iam"]
        assert (await second.boto.get_api(apiId=api["apiId"]))["api"] == api
        pages = await second.boto.pages("list_channel_namespaces", apiId=api["apiId"])
        kept = {one["name"] for page in pages for one in page["channelNamespaces"]}
        assert set(answered) <= kept
        names = [one["name"] for one in (await second.boto.list_apis())["apis"]]
        assert names == ["natless", "kept"]


async def test_a_second_relay_with_the_same_state_says_why_it_cannot_start(tmp_path):
    async with Process(tmp_path) as first:
        second = await asyncio.create_subprocess_exec(
            *first._argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, said = await second.communicate()
        assert second.returncode == 3
        assert b"is another relay running with it?" in said


async def test_the_ready_line_shows_what_an_earlier_life_was_told(tmp_path):
    async with Process(tmp_path) as first:
        api_id = first.ready["api_id"]
        await first.boto.create_channel_namespace(apiId=api_id, name="more")
    async with Process(tmp_path) as second:
        assert second.ready["api_id"] == api_id
        assert second.ready["namespaces"] == ["default", "more"]


async def test_a_body_that_is_too_large_or_late_is_answered(relay):
    url = f"http://127.0.0.1:{relay.plain_port}/v2/apis"
    large = io.BytesIO(b" " * 1_300_000)
    async with aiohttp.ClientSession() as session, session.post(url, data=large) as answer:
        assert answer.status == 413
        assert answer.headers["x-amzn-ErrorType"] == "RequestEntityTooLargeException"
    impatient = replace(RELAY_CONFIG, budgets=Budgets(request=0.05))
    async with Relay(impatient) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", other.plain_port)
        writer.write(b"POST /v2/apis HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("said", ["localhost", "relay.test:99"])
async def test_a_public_host_has_the_port_it_names_or_that_of_tls(tmp_path, said):
    api = api_config(verify="off")
    async with (
        start(tmp_path, api=api, public_host=said) as stage,
        stage.request("GET", f"/v2/apis/{api.api_id}") as answer,
    ):
        host = said if ":" in said else f"{said}:{stage.relay.port}"
        assert (await answer.json())["api"]["dns"] == {"HTTP": host, "REALTIME": host}
