"""Extensions: real processes beside the runtime, and the API they speak."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from natless.journal import Fact, Journal
from natless.lambda_host.budgets import HostBudgets
from natless.lambda_host.clock import HandClock
from natless.lambda_host.extension_api import ExtensionApi
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.lambda_host.runtime_api import RuntimeApi
from natless.lambda_host.runtime_session import Event
from natless.worker.process import python_client
from tests.shell.lambda_scripts import Runtime, Script, ScriptedLauncher, until

PROGRAM = Path(__file__).with_name("extension_program.py")
BRIEF = HostBudgets(shutdown_external=0.2, shutdown_runtime=0.1, shutdown_internal=0.1)
HANDLER = """
import json, os, time, threading, urllib.error, urllib.request
from pathlib import Path

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension"
SEEN = []

def call(method, path, body=None, **headers):
    request = urllib.request.Request(API + path, body, headers, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
        return reply.headers, json.loads(reply.read())

def listen():
    headers, _ = call("POST", "/register", b'{"events":["INVOKE"]}',
                      **{"Lambda-Extension-Name": "inner"})
    me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    started.set()
    while True:
        SEEN.append(call("GET", "/event/next", **me)[1]["requestId"])

if os.environ.get("WITH_INNER"):
    started = threading.Event()
    threading.Thread(target=listen, daemon=True).start()
    started.wait()

def handler(event, context):
    if event.get("sleep"):
        time.sleep(event["sleep"])
    if event.get("register"):
        try:
            call("POST", "/register", b"{}", **{"Lambda-Extension-Name": "late"})
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())
    return {"id": context.aws_request_id, "seen": SEEN}
"""


class Stage:
    """A host whose extensions do as a test says."""

    def __init__(self, folder: Path, *names: str, timeout: float = 20.0, **plan: Any) -> None:
        (folder / "app.py").write_text(HANDLER)
        extensions = folder / "extensions"
        extensions.mkdir()
        for name in names:
            program = extensions / name
            program.write_text(f"#!{sys.executable} -I\n{PROGRAM.read_text()}")
            program.chmod(0o755)
        self.folder, self.extensions = folder, extensions
        self.notes_file = folder / "notes"
        self.facts: list[Fact] = []
        journal = Journal()
        journal.listen(self.facts.append)
        environment = {
            "EXTENSION_NOTES": str(self.notes_file),
            "EXTENSION_PLAN": json.dumps(plan),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "MINE": "1",
        }
        if plan.get("inner"):
            environment["WITH_INNER"] = "1"
        self.spec = FunctionSpec(
            "f",
            "app.handler",
            folder,
            (sys.executable, "-I", "-B", str(python_client())),
            timeout=timeout,
            environment=environment,
            extensions=extensions,
        )
        self.host = LambdaHost(self.spec, launcher=HostLauncher(), journal=journal, budgets=BRIEF)

    @property
    def notes(self) -> list[dict[str, Any]]:
        if not self.notes_file.exists():
            return []
        return [json.loads(line) for line in self.notes_file.read_text().splitlines()]

    def heard(self, kind: str) -> list[dict[str, Any]]:
        return [note for note in self.notes if note.get("eventType") == kind]

    def lines(self, kind: str = "lambda.platform") -> list[str]:
        return [fact.data["line"] for fact in self.facts if fact.kind == kind]


async def test_extensions_are_started_told_of_each_invocation_and_of_the_end(tmp_path):
    stage = Stage(tmp_path, "agent", "other")
    async with stage.host as host:
        results = [await host.invoke(b"{}") for _ in range(2)]
        await host.settled()
    for name in ("agent", "other"):
        heard = [note for note in stage.notes if note["name"] == name]
        told = [note["requestId"] for note in heard if note.get("eventType") == "INVOKE"]
        assert told == [result.request_id for result in results]
        assert heard[-1]["eventType"] == "SHUTDOWN"
        assert heard[-1]["shutdownReason"] == "spindown"
    invoke = stage.heard("INVOKE")[0]
    assert invoke["invokedFunctionArn"].endswith(":function:f")
    assert invoke["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert invoke["tracing"]["value"].startswith("Root=1-")
    assert invoke["deadlineMs"] > 1_700_000_000_000
    assert "EXTENSION\tName: agent\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in stage.lines()


async def test_an_extension_learns_whose_it_is_and_nothing_of_the_runtime(tmp_path):
    stage = Stage(tmp_path, "agent")
    async with stage.host as host:
        await host.invoke(b"{}")
    note = stage.notes[0]
    assert note["registered"] == {
        "functionName": "f",
        "functionVersion": "$LATEST",
        "handler": "app.handler",
        "accountId": "123456789012",
    }
    variables = set(note["variables"])
    assert {"MINE", "AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID"} <= variables
    assert not {"_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT"} & variables
    assert not [name for name in variables if name.startswith("AWS_LAMBDA_LOG_")]


async def test_the_telemetry_api_declines_as_in_every_local_environment(tmp_path):
    stage = Stage(tmp_path, "agent")
    async with stage.host as host:
        await host.invoke(b"{}")
    assert stage.notes[1]["telemetry"] == {
        "errorMessage": "Telemetry API is not supported",
        "errorType": "Telemetry.NotSupported",
    }


async def test_what_an_extension_prints_is_in_the_functions_log(tmp_path):
    stage = Stage(tmp_path, "agent")
    async with stage.host as host:
        await host.invoke(b"{}")
    [line] = [fact for fact in stage.facts if fact.data.get("extension") == "agent"]
    assert (line.kind, line.data["line"]) == ("lambda.log", "ready to listen")


async def test_the_caller_does_not_wait_for_an_extension_and_the_next_one_does(tmp_path):
    gate = tmp_path / "gate"
    stage = Stage(tmp_path, "agent", slow=str(gate))
    async with stage.host as host:
        assert (await host.invoke(b"{}")).function_error is None
        await until(lambda: len(stage.heard("INVOKE")) == 1)
        second = asyncio.create_task(host.invoke(b"{}"))
        await until(lambda: "lambda.invocation.complete" in [f.kind for f in stage.facts])
        assert not second.done()
        assert len(host.worker_ids) == 1
        gate.touch()
        assert (await second).function_error is None
    assert len(stage.heard("INVOKE")) == 2


async def test_an_extension_that_does_not_come_back_runs_into_the_timeout(tmp_path):
    stage = Stage(tmp_path, "agent", timeout=1.0, slow=str(tmp_path / "never"))
    async with stage.host as host:
        assert (await host.invoke(b"{}")).function_error is None
        await host.settled()
    assert "\tStatus: timeout" in stage.lines()[-1]


async def test_a_part_of_the_runtime_may_register_and_is_told_of_invocations(tmp_path):
    stage = Stage(tmp_path, inner=True)
    async with stage.host as host:
        first = json.loads((await host.invoke(b"{}")).payload)
        second = json.loads((await host.invoke(b"{}")).payload)
    assert first["id"] in second["seen"]
    assert "EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]" in stage.lines()


async def test_once_the_function_is_initialized_nobody_may_register_any_more(tmp_path):
    stage = Stage(tmp_path)
    async with stage.host as host:
        said = json.loads((await host.invoke(b'{"register": 1}')).payload)
    assert said["errorType"] == "Extension.RegistrationClosed"


async def test_a_timeout_is_told_to_extensions_before_all_begins_anew(tmp_path):
    stage = Stage(tmp_path, "agent", timeout=1.0)
    async with stage.host as host:
        result = await host.invoke(b'{"sleep": 30}')
        assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"
        assert (await host.invoke(b"{}")).function_error is None
    assert [note["shutdownReason"] for note in stage.heard("SHUTDOWN")] == ["timeout", "spindown"]
    assert len([note for note in stage.notes if "registered" in note]) == 2


async def test_one_that_does_not_end_is_killed(tmp_path):
    stage = Stage(tmp_path, "agent", fail="hang")
    async with stage.host as host:
        await host.invoke(b"{}")
    assert stage.notes[-1]["eventType"] == "SHUTDOWN"


async def test_one_that_did_not_ask_to_hear_of_the_end_is_killed_at_once(tmp_path):
    stage = Stage(tmp_path, "agent", events=["INVOKE"])
    async with stage.host as host:
        await host.invoke(b"{}")
    assert not stage.heard("SHUTDOWN")


@pytest.mark.parametrize(
    ("fail", "error_type", "message"),
    [
        ("init", "Extension.InitError", "exit status 3"),
        ("exit", "Extension.ExitError", "exit status 3"),
    ],
)
async def test_an_extension_that_gives_up_ends_the_environment(tmp_path, fail, error_type, message):
    stage = Stage(tmp_path, "agent", fail=fail)
    async with stage.host as host:
        result = await host.invoke(b"{}")
    body = json.loads(result.payload)
    assert body == {
        "errorType": error_type,
        "errorMessage": f"RequestId: {result.request_id} Error: {message}",
    }
    assert {"name": "agent", "posted": 202} in stage.notes
    report = next(line for line in stage.lines() if line.startswith("INIT_REPORT"))
    assert report.endswith(f"\tPhase: init\tStatus: error\tError Type: {error_type}")
    assert "Error Type: Extension.Mine" in next(s for s in stage.lines() if "EXTENSION" in s)


async def test_an_extension_that_ends_during_an_invocation_fails_it(tmp_path):
    stage = Stage(tmp_path, "agent", fail="crash")
    async with stage.host as host:
        result = await host.invoke(b'{"sleep": 20}')
    body = json.loads(result.payload)
    assert body["errorType"] == "Extension.Crash"
    assert body["errorMessage"].endswith("Error: exit status 4")


async def test_a_file_that_cannot_be_started_is_named(tmp_path):
    stage = Stage(tmp_path)
    (stage.extensions / "broken").write_text("no program")
    async with stage.host as host:
        result = await host.invoke(b"{}")
    body = json.loads(result.payload)
    assert body["errorType"] == "Extension.LaunchError"
    assert "extensions/broken: permission denied" in body["errorMessage"]
    assert "EXTENSION\tName: broken\tState: LaunchError" in stage.lines()[0]


async def test_more_than_ten_are_too_many(tmp_path):
    stage = Stage(tmp_path, *(f"agent{number:02}" for number in range(11)))
    async with stage.host as host:
        result = await host.invoke(b"{}")
    assert json.loads(result.payload)["errorType"] == "Extension.LaunchError"


async def test_folders_are_no_extensions(tmp_path):
    stage = Stage(tmp_path)
    (stage.extensions / "lib").mkdir()
    async with stage.host as host:
        assert (await host.invoke(b"{}")).function_error is None


# -- the API ---------------------------------------------------------------------------------------

SPEC = FunctionSpec("f", "app.handler", Path("/tmp"), ("x",))
ROOT = "/2020-01-01/extension"
EVENT = Event("r-1", {"Lambda-Runtime-Invoked-Function-Arn": "arn"}, b"{}")


@pytest.fixture
async def extensions() -> ExtensionApi:
    return ExtensionApi(SPEC)


@pytest.fixture
async def http(extensions: ExtensionApi) -> AsyncIterator[aiohttp.ClientSession]:
    listening = socket.create_server(("127.0.0.1", 0))
    async with (
        RuntimeApi(listening, extensions=extensions) as api,
        aiohttp.ClientSession(f"http://{api.address}") as session,
    ):
        yield session


async def register(http: aiohttp.ClientSession, body: str, **headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(f"{ROOT}/register", data=body, headers=named) as reply:
        return reply.status, reply.headers, await reply.json()


async def test_registering_hands_out_an_identifier(http):
    status, headers, said = await register(http, '{"events":[]}', Lambda_Extension_Name="inner")
    assert status == 200
    assert str(uuid.UUID(headers["Lambda-Extension-Identifier"]))
    assert said == {"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler"}


@pytest.mark.parametrize(
    ("body", "name", "error"),
    [
        ("{}", "", "Extension.InvalidExtensionName"),
        ("{", "inner", "InvalidRequestFormat"),
        ("[]", "inner", "InvalidRequestFormat"),
        ('{"events":"INVOKE"}', "inner", "InvalidRequestFormat"),
        ('{"configurationKeys":["a"]}', "inner", "InvalidRequestFormat"),
        ('{"events":["SHUTDOWN"]}', "inner", "Extension.InvalidEventType"),
    ],
)
async def test_a_registration_that_is_none_is_refused(http, body, name, error):
    status, _, said = await register(http, body, Lambda_Extension_Name=name)
    assert (status, said["errorType"]) == (403, error)


@pytest.mark.parametrize(
    ("identifier", "error"),
    [
        (None, "Extension.MissingExtensionIdentifier"),
        ("no uuid", "Extension.InvalidExtensionIdentifier"),
        (str(uuid.UUID(int=7)), "Extension.UnknownExtensionIdentifier"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{ROOT}/event/next"),
        ("POST", f"{ROOT}/init/error"),
        ("POST", f"{ROOT}/exit/error"),
        ("PUT", "/2022-07-01/telemetry"),
        ("PUT", "/2020-08-15/logs"),
    ],
)
async def test_whoever_is_not_registered_is_refused(http, method, path, identifier, error):
    headers = {"Lambda-Extension-Identifier": identifier} if identifier else {}
    async with http.request(method, path, headers=headers) as reply:
        assert (reply.status, (await reply.json())["errorType"]) == (403, error)


async def test_an_error_without_a_type_is_refused(http):
    _, headers, _ = await register(http, "{}", Lambda_Extension_Name="inner")
    me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    async with http.post(f"{ROOT}/init/error", headers=me) as reply:
        assert (await reply.json())["errorType"] == "Extension.MissingHeader"


async def test_an_event_waits_until_it_is_asked_for(http, extensions):
    _, headers, _ = await register(http, '{"events":["INVOKE"]}', Lambda_Extension_Name="inner")
    me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    extensions.tell_invoke(EVENT, deadline_ms=5)
    assert not extensions.is_idle
    async with http.get(f"{ROOT}/event/next", headers=me) as reply:
        assert (await reply.json())["requestId"] == "r-1"
        assert uuid.UUID(reply.headers["Lambda-Extension-Event-Identifier"])
    assert not extensions.is_idle
    idle = extensions.when(lambda: extensions.is_idle)
    asking = asyncio.create_task(http.get(f"{ROOT}/event/next", headers=me))
    await idle
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{ROOT}/register", 405),
        ("POST", f"{ROOT}/event/next", 405),
        ("GET", f"{ROOT}/other", 404),
        ("GET", "/2022-07-01/telemetry", 404),
    ],
)
async def test_what_is_no_call_of_the_extensions_api_is_told_so(http, method, path, status):
    async with http.request(method, path) as reply:
        assert reply.status == status


# -- shutdown, by a hand-moved clock ---------------------------------------------------------------


async def linger(runtime: Runtime) -> None:
    await runtime.serve()


def agent(clock: HandClock, told: list[tuple[float, dict[str, Any]]]) -> Script:
    """An extension that hears of the end and stays."""

    async def run(runtime: Runtime) -> None:
        root = f"http://{runtime.environment['AWS_LAMBDA_RUNTIME_API']}{ROOT}"
        name = {"Lambda-Extension-Name": "agent"}
        body = '{"events":["SHUTDOWN"]}'
        async with runtime.http.post(f"{root}/register", data=body, headers=name) as reply:
            me = {"Lambda-Extension-Identifier": reply.headers["Lambda-Extension-Identifier"]}
        async with runtime.http.get(f"{root}/event/next", headers=me) as reply:
            told.append((clock.now(), await reply.json()))
        await runtime.hang()

    return run


async def test_runtime_and_extensions_have_300_and_2000_milliseconds(tmp_path):
    (tmp_path / "agent").touch()
    clock, told = HandClock(), []
    launcher = ScriptedLauncher(agent(clock, told), linger)
    spec = FunctionSpec("f", "a.b", tmp_path, ("x",), extensions=tmp_path)
    host = LambdaHost(spec, launcher=launcher, journal=Journal(), clock=clock)
    await host.invoke(b"{}")
    await host.settled()
    extension, runtime = launcher.processes
    assert extension.signals == runtime.signals == [signal.SIGSTOP], "both are frozen"
    started = clock.now()
    ending = asyncio.create_task(host.__aexit__(None, None, None))
    await until(lambda: runtime.is_terminated)
    assert extension.signals[-1] == runtime.signals[-1] == signal.SIGCONT
    await clock.pending()
    clock.advance(0.29)
    assert not runtime.is_killed
    clock.advance(0.01)
    await until(lambda: runtime.is_killed and bool(told))
    [(at, event)] = told
    assert at == pytest.approx(started + 0.3)
    assert event["deadlineMs"] == int((clock.wall() - 0.3 + 2.0) * 1000)
    await clock.pending()
    clock.advance(1.69)
    assert not extension.is_killed
    clock.advance(0.02)
    await ending
    assert extension.is_killed


async def test_a_runtime_without_extensions_is_killed_at_once():
    clock, launcher = HandClock(), ScriptedLauncher(linger)
    spec = FunctionSpec("f", "a.b", Path("/tmp"), ("x",))
    async with LambdaHost(spec, launcher=launcher, journal=Journal(), clock=clock) as host:
        await host.invoke(b"{}")
    [runtime] = launcher.processes
    assert runtime.is_killed
    assert not runtime.is_terminated
