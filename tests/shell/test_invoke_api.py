"""boto3's lambda client, unmodified, calls functions by ``endpoint_url``."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from dataclasses import replace

import aiohttp
import pytest
from botocore.exceptions import ClientError

from natless.lambda_host.destinations import EventConfig
from natless.lambda_host.spec import FunctionSpec
from tests.shell.function_stage import EVENTS, open_stage

CODE = """
    import os, pathlib, sys, time

    COUNT = pathlib.Path(__file__).with_name("count")

    def handler(event, context):
        if event == {}:
            return "empty"
        if not isinstance(event, dict):
            return event
        if "print" in event:
            print(event["print"])
        if "raise" in event:
            with COUNT.open("a") as stream:
                stream.write("x")
            if len(COUNT.read_text()) <= event["raise"]:
                raise ValueError("boom")
        if "gate" in event:
            while not pathlib.Path(event["gate"]).exists():
                time.sleep(0.002)
        if "exit" in event:
            os._exit(event["exit"])
        if "context" in event:
            custom = context.client_context and context.client_context.custom
            return [context.aws_request_id, context.function_name, custom]
        return event
"""


@pytest.fixture
async def stage(tmp_path):
    async with open_stage(tmp_path, CODE) as stage:
        yield stage


async def refused(stage, **parameters) -> ClientError:
    with pytest.raises(ClientError) as caught:
        await stage.ask("invoke", **({"FunctionName": "orders"} | parameters))
    return caught.value


def code_of(error: ClientError) -> tuple[int, str]:
    return (
        error.response["ResponseMetadata"]["HTTPStatusCode"],
        error.response["Error"]["Code"],
    )


ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders"


async def test_an_answer_comes_with_its_version_and_request_id(stage):
    answer = await stage.ask("invoke", FunctionName="orders", Payload=b'{"context": 1}')
    request_id, name, custom = json.loads(answer["Payload"])
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert answer["ResponseMetadata"]["RequestId"] == request_id
    assert (name, custom) == ("orders", None)


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "orders:$LATEST",
        "123456789012:function:orders",
        ARN,
        ARN + ":$LATEST",
        # code under development often holds the ARN that the function has on AWS
        "arn:aws:lambda:eu-west-1:999999999999:function:orders",
    ],
)
async def test_every_form_of_the_name_is_understood(stage, name):
    answer = await stage.ask("invoke", FunctionName=name, Payload=b"1")
    assert answer["Payload"] == b"1"


async def test_the_version_may_be_a_parameter(stage):
    answer = await stage.ask("invoke", FunctionName="orders", Qualifier="$LATEST", Payload=b"1")
    assert answer["Payload"] == b"1"


async def test_an_alias_is_called_and_the_function_hears_by_which_name(tmp_path):
    code = "def handler(event, context):\n    return context.invoked_function_arn\n"

    def with_alias(spec: FunctionSpec) -> FunctionSpec:
        return replace(spec, aliases=("live",))

    async with open_stage(tmp_path, code, other=with_alias) as stage:
        for parameters, arn in (
            ({"FunctionName": "orders"}, ARN),
            ({"FunctionName": "orders", "Qualifier": "live"}, ARN + ":live"),
            ({"FunctionName": ARN + ":live"}, ARN + ":live"),
            ({"FunctionName": "orders:$LATEST"}, ARN + ":$LATEST"),
        ):
            answer = await stage.ask("invoke", **parameters)
            assert json.loads(answer["Payload"]) == arn
        error = await refused(stage, FunctionName="orders:old")
    assert code_of(error) == (404, "ResourceNotFoundException")


async def test_each_function_is_called_by_its_name(stage):
    answer = await stage.ask("invoke", FunctionName="mail", Payload=b'{"context": 1}')
    assert json.loads(answer["Payload"])[1] == "mail"


async def test_without_a_payload_the_event_is_an_empty_object(stage):
    assert (await stage.ask("invoke", FunctionName="orders"))["Payload"] == b'"empty"'


async def test_an_error_of_the_function_is_a_success_of_the_call(stage):
    answer = await stage.ask("invoke", FunctionName="orders", Payload=b'{"raise": 9}')
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"])["errorType"] == "ValueError"


async def test_a_runtime_that_exits_is_an_error_of_the_function(stage):
    answer = await stage.ask("invoke", FunctionName="orders", Payload=b'{"exit": 3}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "Runtime.ExitError"


async def test_the_end_of_the_log_comes_when_it_is_asked_for(stage):
    answer = await stage.ask(
        "invoke", FunctionName="orders", Payload=b'{"print": "seen"}', LogType="Tail"
    )
    log = base64.b64decode(answer["LogResult"]).decode()
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = log.splitlines()
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert "seen" in lines
    assert lines[-1].startswith(f"REPORT RequestId: {request_id}")
    assert "LogResult" not in await stage.ask("invoke", FunctionName="orders")


async def test_the_client_context_reaches_the_handler(stage):
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    answer = await stage.ask(
        "invoke", FunctionName="orders", Payload=b'{"context": 1}', ClientContext=context
    )
    assert json.loads(answer["Payload"])[2] == {"k": "v"}


@pytest.mark.parametrize("context", ["!", base64.b64encode(b"3").decode(), "e30=" * 1000])
async def test_a_client_context_that_is_none_is_refused(stage, context):
    error = await refused(stage, ClientContext=context)
    assert code_of(error) == (400, "InvalidRequestContentException")


async def test_a_dry_run_runs_nothing(stage):
    answer = await stage.ask("invoke", FunctionName="orders", InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert not stage.of("lambda.request.received")


@pytest.mark.parametrize(
    "name", ["nobody", "orders:live", "arn:aws:lambda:us-east-1:123456789012:function:nobody"]
)
async def test_a_function_that_is_not_there_is_not_found(stage, name):
    error = await refused(stage, FunctionName=name)
    assert code_of(error) == (404, "ResourceNotFoundException")
    wanted = "orders:live" if "live" in name else "nobody"
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{wanted}"
    assert error.response["Error"]["Message"] == f"Function not found: {arn}"


async def test_two_different_versions_in_one_call_are_refused(stage):
    error = await refused(stage, FunctionName="orders:live", Qualifier="$LATEST")
    assert code_of(error) == (400, "InvalidParameterValueException")


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"NaN", b"[" * 200_000, b"'a'"])
async def test_a_payload_that_is_not_json_is_refused(stage, payload):
    error = await refused(stage, Payload=payload)
    assert code_of(error) == (400, "InvalidRequestContentException")
    assert not stage.of("lambda.request.received")


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 << 20), ("Event", 1 << 20)])
async def test_a_payload_may_have_just_so_many_bytes(stage, kind, limit):
    def payload(size: int) -> bytes:
        return b'"' + b"x" * (size - 2) + b'"'

    for size in (limit + 1, limit + (8 << 20)):
        error = await refused(stage, InvocationType=kind, Payload=payload(size))
        assert code_of(error) == (413, "RequestTooLargeException")
    if kind == "Event":  # an answer may have no more bytes than the event, plus 100
        answer = await stage.ask(
            "invoke", FunctionName="orders", InvocationType=kind, Payload=payload(limit)
        )
        assert answer["StatusCode"] == 202


async def test_when_every_environment_is_busy_a_call_is_told_when_to_come_back(stage, tmp_path):
    gate = tmp_path / "gate"
    body = json.dumps({"gate": str(gate)}).encode()
    waiting = [
        asyncio.create_task(stage.ask("invoke", FunctionName="orders", Payload=body))
        for _ in range(2)
    ]
    await stage.wait("lambda.invocation.started", 2)
    error = await refused(stage)
    assert code_of(error) == (429, "TooManyRequestsException")
    assert error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    gate.touch()
    assert {(await task)["StatusCode"] for task in waiting} == {200}


# -- events --------------------------------------------------------------------------------------


async def event(stage, payload: object) -> dict:
    answer = await stage.ask(
        "invoke",
        FunctionName="orders",
        InvocationType="Event",
        Payload=json.dumps(payload).encode(),
    )
    assert (answer["StatusCode"], answer["Payload"]) == (202, b"")
    return answer


async def test_an_event_is_taken_at_once_and_run_behind(stage, tmp_path):
    gate = tmp_path / "gate"
    answer = await event(stage, {"gate": str(gate)})
    gate.touch()
    [done] = await stage.wait("lambda.request.answered")
    assert done.data["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert (done.data["status"], done.data["function_error"]) == (200, "")


@pytest.mark.parametrize(("failures", "attempts", "dropped"), [(1, 2, 0), (2, 3, 0), (3, 3, 1)])
async def test_an_event_is_retried_twice_under_its_own_id(stage, failures, attempts, dropped):
    answer = await event(stage, {"raise": failures})
    await stage.wait("lambda.request.answered", attempts)
    if dropped:
        await stage.wait("lambda.event.dropped")
    else:
        assert stage.of("lambda.request.answered")[-1].data["function_error"] == ""
    received = stage.of("lambda.request.received")
    assert [fact.data["attempt"] for fact in received] == list(range(1, attempts + 1))
    ids = {fact.data["request_id"] for fact in received}
    assert ids == {answer["ResponseMetadata"]["RequestId"]}
    assert len(stage.of("lambda.event.dropped")) == dropped


async def test_a_throttled_event_waits_for_an_environment(stage, tmp_path):
    gate = tmp_path / "gate"
    for _ in range(3):
        await event(stage, {"gate": str(gate)})
    await stage.wait("lambda.event.postponed")
    gate.touch()
    await stage.wait("lambda.invocation.complete", 3)
    assert not stage.of("lambda.event.dropped")


async def test_more_events_than_are_kept_are_refused(stage, tmp_path):
    gate = tmp_path / "gate"
    for _ in range(EVENTS.queued_count):
        await event(stage, {"gate": str(gate)})
    error = await refused(stage, InvocationType="Event")
    assert code_of(error) == (429, "TooManyRequestsException")
    gate.touch()


async def test_events_that_wait_end_with_the_service(tmp_path):
    events = replace(EVENTS, retries=(3600.0,))
    async with open_stage(tmp_path, CODE, events=events) as stage:
        await event(stage, {"raise": 9})
        await stage.wait("lambda.event.postponed")


# -- who is there --------------------------------------------------------------------------------


async def test_functions_are_listed_and_described(stage):
    listed = (await stage.ask("list_functions"))["Functions"]
    assert [each["FunctionName"] for each in listed] == ["orders", "mail"]
    described = (await stage.ask("get_function", FunctionName=ARN))["Configuration"]
    assert described["FunctionArn"] == ARN
    assert (described["Handler"], described["State"]) == ("app.handler", "Active")
    alone = await stage.ask("get_function_configuration", FunctionName="mail")
    assert alone["FunctionName"] == "mail"


async def test_the_url_of_a_function_can_be_asked_for(stage):
    config = await stage.ask("get_function_url_config", FunctionName="orders")
    assert (config["FunctionUrl"], config["AuthType"]) == (stage.url, "NONE")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        await stage.ask("get_function_url_config", FunctionName="mail")


async def test_concurrency_and_the_treatment_of_events_can_be_asked_for(tmp_path):
    config = EventConfig(on_failure="mail", retries=1, event_age=60.0)
    async with open_stage(tmp_path, CODE, configs={"orders": config}) as stage:
        said = await stage.ask("get_function_concurrency", FunctionName="orders")
        assert said["ReservedConcurrentExecutions"] == 2
        said = await stage.ask("get_function_event_invoke_config", FunctionName="orders")
    assert (said["MaximumRetryAttempts"], said["MaximumEventAgeInSeconds"]) == (1, 60)
    assert said["DestinationConfig"] == {"OnFailure": {"Destination": "mail"}}


async def test_what_is_given_up_is_sent_to_another_function(tmp_path):
    config = EventConfig(on_failure="mail", retries=0)
    async with open_stage(tmp_path, CODE, configs={"orders": config}) as stage:
        await event(stage, {"raise": 9})
        [sent] = await stage.wait("lambda.destination.sent")
        answered = await stage.wait("lambda.request.answered", 2)
    assert (sent.data["target"], sent.data["condition"]) == ("mail", "RetriesExhausted")
    assert [fact.data["function"] for fact in answered] == ["orders", "mail"]


async def test_the_call_of_2014_is_an_event(stage):
    answer = await stage.ask("invoke_async", FunctionName="orders", InvokeArgs=b'{"n": 1}')
    assert answer["Status"] == 202
    [received] = await stage.wait("lambda.request.received")
    assert received.data["via"] == "event"


async def test_the_callers_trace_and_tenant_reach_the_runtime(tmp_path):
    """As headers, for a runtime to read; the Python client shows the tenant in its context."""
    code = "import os\ndef handler(event, context):\n    return [os.environ['_X_AMZN_TRACE_ID'], "
    code += "context.tenant_id]\n"
    async with open_stage(tmp_path, code) as stage:
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        headers = {"X-Amzn-Trace-Id": trace, "X-Amz-Tenant-Id": "blue"}
        url = f"{stage.endpoint}/2015-03-31/functions/orders/invocations"
        async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as answer:
            assert await answer.json() == [trace, "blue"]
        async with aiohttp.ClientSession() as http, http.post(url) as answer:
            assert (await answer.json())[0].startswith("Root=1-")


async def test_what_is_not_imitated_says_so(stage):
    with pytest.raises(ClientError) as caught:
        await stage.ask("list_layers")
    assert code_of(caught.value) == (404, "UnknownOperationException")


# -- who may call --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example:9400"}]
)
async def test_a_page_in_a_browser_cannot_invoke(stage, headers):
    url = f"{stage.endpoint}/2015-03-31/functions/orders/invocations"
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as answer:
        assert answer.status == 403
    assert not stage.of("lambda.request.received")


async def test_a_name_that_is_none_is_refused(stage):
    url = f"{stage.endpoint}/2015-03-31/functions/a%20b/invocations"
    async with aiohttp.ClientSession() as http, http.post(url) as answer:
        assert (answer.status, answer.headers["X-Amzn-ErrorType"]) == (400, "ValidationException")


async def test_a_call_whose_function_is_stopped_is_answered(stage, tmp_path):
    body = json.dumps({"gate": str(tmp_path / "never")}).encode()
    calling = asyncio.create_task(stage.ask("invoke", FunctionName="orders", Payload=body))
    await stage.wait("lambda.invocation.started")
    await stage.host.__aexit__(None, None, None)
    with pytest.raises(ClientError, match="ServiceException"):
        await calling


# -- the command line of AWS -----------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
async def test_the_aws_command_line_invokes(stage, tmp_path):
    event, out = tmp_path / "event.json", tmp_path / "out.json"
    event.write_text('{"a": 1}')
    command = ["aws", "lambda", "invoke", "--function-name", "orders"]
    command += ["--endpoint-url", stage.endpoint, "--payload", f"fileb://{event}", str(out)]
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert json.loads(said)["StatusCode"] == 200
    assert json.loads(out.read_text()) == {"a": 1}
