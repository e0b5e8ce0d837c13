"""The unmodified bridge in our Lambda where the channel does not work, with short Lambda limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import boto3
import pytest
import pytest_asyncio

from natless.vpc.topologies import find
from tests.conformance import stubborn_service
from tests.conformance.bridge_lambda import (
    bridge_binary,
    bridge_function,
    log_of,
    natless_worker,
)
from tests.conformance.field import Field, open_field
from tests.conformance.proofs import npm_version, prove
from tests.conformance.sst_picture import HTTP_PORT, ROWS, Row, check, meet
from tests.golden.relay import ACCESS_KEY_ID, REGION, SECRET
from tests.shell.worker_channel import Facts

pytestmark = pytest.mark.asyncio(loop_scope="module")

INIT, TIMEOUT = 0.6, 0.5  # seconds, in place of Lambda's 10 and SST's 20
SUBSCRIBE_WAIT = 3.0  # seconds; the bridge's own
ANSWER_BUDGET = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def field(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    bridge_binary()
    directory = tmp_path_factory.mktemp("sst")
    (directory / "code").mkdir()
    (directory / "code" / "handler.py").write_text("def handler(event, context): return event\n")
    async with open_field(directory, golden=None, ports=[HTTP_PORT]) as field:
        yield field


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_what_the_log_says_and_what_the_caller_sees(field: Field, row: Row) -> None:
    facts = Facts()
    async with natless_worker(field, Facts(), field.directory / "code"):
        result = await meet(field, row, facts, init=INIT, timeout=TIMEOUT)
    check(row, result, facts, init=INIT, timeout=TIMEOUT)
    prove_picture("test_what_the_log_says_and_what_the_caller_sees", [row.name for row in ROWS])


async def test_a_bridge_that_cannot_subscribe_goes_on_deaf(field: Field) -> None:
    await field.vpc.apply(find("nat"))
    worker_facts = Facts()
    facts = [Facts(), Facts()]
    async with (
        natless_worker(field, worker_facts, field.directory / "code"),
        stubborn_service.realtime(field, stubborn_service.never_subscribes) as port,
        bridge_function(
            field,
            facts[0],
            timeout=TIMEOUT,
            SST_APPSYNC_REALTIME=f"{field.vpc.api.realtime_host}:{port}",
        ) as unanswered,
        bridge_function(field, facts[1], timeout=TIMEOUT) as refused,
        nobody_may_subscribe_with_iam(field),
    ):
        results = await asyncio.gather(unanswered.invoke(b'"x"'), refused.invoke(b'"x"'))
        await asyncio.gather(unanswered.settled(), refused.settled())
        async with asyncio.timeout(ANSWER_BUDGET):
            await worker_facts.wait("worker.invocation.complete", count=2)  # the developer answered
    for result, each in zip(results, facts, strict=True):
        assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"
        assert result.duration > SUBSCRIBE_WAIT + TIMEOUT
        log = log_of(each)
        assert "INFO subscribed" not in log
        assert "got message" not in log
        assert log.count("status 200 OK") == 1  # it published, and waits for an answer
    assert "type=subscribe_error" in log_of(facts[1])  # all that is ever said about it
    prove_picture(
        "test_a_bridge_that_cannot_subscribe_goes_on_deaf",
        ["5 subscribe, refused and unanswered: 3 s, then deaf, while the developer answers"],
    )


@asynccontextmanager
async def nobody_may_subscribe_with_iam(field: Field) -> AsyncIterator[None]:
    """As a role without ``appsync:EventSubscribe`` meets it."""
    await _let_subscribe(field, "API_KEY")
    try:
        yield
    finally:
        await _let_subscribe(field, "API_KEY", "AWS_IAM")


async def _let_subscribe(field: Field, *modes: str) -> None:
    client = boto3.client(
        "appsync",
        endpoint_url=f"https://localhost:{field.relay.port}",
        verify=str(field.ca),
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
    )
    with contextlib.closing(client):
        await asyncio.to_thread(
            client.update_channel_namespace,
            apiId=field.relay.ready["api_id"],
            name="sst",
            subscribeAuthModes=[{"authType": mode} for mode in modes],
        )


def prove_picture(test: str, held: list[str]) -> None:
    client, version = "SST's bridge (npm), channel broken", npm_version("sst-linux-x64")
    prove(client, version, test=f"test_sst_failures.py::{test}", held=held)
