"""The Node.js runtime client by its path, against a scripted Runtime API."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from natless.runtimes.base import client_path
from natless.runtimes.node import CLIENT
from tests.shell.shim_peers import ARN, PATIENCE, ScriptedRuntimeApi

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

ESBUILD = """#!/bin/sh
# Stands for esbuild: strips the one type that the tests use, or complains as esbuild does.
for each; do case $each in --outfile=*) out=${each#--outfile=};; --*) ;; *) in=$each;; esac; done
if grep -q 'oops(' "$in"; then
  printf '✘ [ERROR] Expected ")" but found ";"\\n\\n    %s:3:9:\\n' "$in" >&2
  printf '      3 │   oops(;\\n        ╵        ^\\n\\n' >&2
  exit 1
fi
sed 's/: number//g' "$in" > "$out"
"""


@contextlib.asynccontextmanager
async def runtime(
    folder: Path, code: str, *, file: str = "app.mjs", handler: str = "app.handler", **extra: str
) -> AsyncIterator[tuple[ScriptedRuntimeApi, asyncio.subprocess.Process]]:
    (folder / file).write_text(code)
    async with ScriptedRuntimeApi().serving() as api:
        process = await asyncio.create_subprocess_exec(
            str(NODE),
            os.fspath(client_path(CLIENT)),
            env={
                "_HANDLER": handler,
                "LAMBDA_TASK_ROOT": os.fspath(folder),
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "f",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
                "PATH": os.environ["PATH"],
            }
            | extra,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield api, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode().rstrip("\n")


async def output(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.read()).decode()


async def init_error(api: ScriptedRuntimeApi) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE):
        posted = await api.init_error
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == posted.json["errorType"]
    return posted.json


# -- ways to be a handler ------------------------------------------------------------------------

ESM = "export const handler = async (event) => ({ got: event });"
COMMON = "exports.handler = async (event) => ({ got: event });"


@pytest.mark.parametrize(
    ("file", "code", "manifest"),
    [
        ("app.mjs", ESM, "{}"),
        ("app.cjs", COMMON, "{}"),
        ("app.js", COMMON, "{}"),
        ("app.js", ESM, '{"type": "module"}'),
        ("app.js", "module.exports = { handler: async (event) => ({ got: event }) };", "{}"),
        ("app.mjs", "export default { handler: async (event) => ({ got: event }) };", "{}"),
    ],
)
async def test_es_modules_and_commonjs_run(tmp_path, file, code, manifest):
    (tmp_path / "package.json").write_text(manifest)
    async with runtime(tmp_path, code, file=file) as (api, _):
        assert (await api.ask({"wörd": "ö"})).json == {"got": {"wörd": "ö"}}


@pytest.mark.parametrize(
    "code",
    [
        "export const handler = (event, context, callback) => callback(null, event);",
        "export const handler = (e, c, callback) => { setTimeout(() => callback(null, e), 5); };",
        "export const handler = (event, context) => context.succeed(event);",
        "export const handler = (event, context) => context.done(null, event);",
        "export const handler = (event) => Promise.resolve(event);",
        "export const handler = (event) => ({ then: (done) => done(event) });",
    ],
)
async def test_a_handler_may_answer_in_every_way_that_lambda_knows(tmp_path, code):
    async with runtime(tmp_path, code) as (api, _):
        assert (await api.ask({"n": 1})).json == {"n": 1}
        assert (await api.ask({"n": 2})).json == {"n": 2}


async def test_a_callback_waits_for_the_event_loop_unless_told_otherwise(tmp_path):
    code = """
import fs from 'node:fs';
export const handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event.waits;
  setTimeout(() => { fs.writeFileSync('/proc/self/cwd/late', ''); }, event.waits ? 30 : 60_000);
  callback(null, 'called');
};
""".replace("/proc/self/cwd", os.fspath(tmp_path))
    async with runtime(tmp_path, code) as (api, _):
        assert (await api.ask({"waits": True})).json == "called"
        assert (tmp_path / "late").exists()
        assert (await api.ask({"waits": False})).json == "called"


async def test_a_handler_that_never_answers_answers_null_once_nothing_is_left_to_do(tmp_path):
    async with runtime(tmp_path, "export const handler = () => {};") as (api, _):
        for _ in range(2):
            assert (await api.ask({})).body == b"null"


async def test_a_handler_may_lie_deep_and_be_nested(tmp_path):
    (tmp_path / "src").mkdir()
    code = "export const api = { get: async () => 'deep' };"
    handler = "src/app.api.get"
    async with runtime(tmp_path, code, file="src/app.mjs", handler=handler) as (api, _):
        assert (await api.ask({})).json == "deep"


async def test_packages_of_the_project_are_found(tmp_path):
    package = tmp_path / "node_modules" / "dep"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "dep", "main": "index.js"}')
    (package / "index.js").write_text("exports.value = 42;")
    code = "import { value } from 'dep';\nexport const handler = async () => value;"
    async with runtime(tmp_path, code) as (api, _):
        assert (await api.ask({})).json == 42


async def test_the_context_tells_what_lambda_tells(tmp_path):
    code = """
export const handler = async (event, context) => ({
  id: context.awsRequestId, name: context.functionName, memory: context.memoryLimitInMB,
  arn: context.invokedFunctionArn, stream: context.logStreamName, tenant: context.tenantId,
  left: 0 < context.getRemainingTimeInMillis() && context.getRemainingTimeInMillis() <= 10_000,
  client: context.clientContext, identity: context.identity, trace: process.env._X_AMZN_TRACE_ID,
});
"""
    client = {"custom": {"k": "ü"}, "env": {"e": 1}}
    async with runtime(tmp_path, code) as (api, _):
        question = api.put(
            {},
            Lambda_Runtime_Client_Context=json.dumps(client, ensure_ascii=False),
            Lambda_Runtime_Cognito_Identity='{"cognitoIdentityPoolId":"pool"}',
            Lambda_Runtime_Trace_Id="Root=1",
            Lambda_Runtime_Aws_Tenant_Id="tenant",
        )
        assert (await api.answer(question)).json == {
            "id": question, "name": "f", "memory": "1024", "arn": ARN, "stream": "stream",
            "tenant": "tenant", "left": True, "client": client,
            "identity": {"cognitoIdentityPoolId": "pool"}, "trace": "Root=1",
        }  # fmt: skip
        posted = await api.ask({}, Lambda_Runtime_Client_Context="{")
        assert posted.json["errorType"] == "Runtime.LambdaContextUnmarshalError"


async def test_the_example_says_who_ran_it(tmp_path):
    code = (Path(__file__).parents[2] / "examples/hello-node/handler.mjs").read_text()
    for live, who in (("true", "developer"), ("", "deployed")):
        async with runtime(tmp_path, code, NATLESS_LIVE=live) as (api, _):
            said = (await api.ask({})).json
        assert said["statusCode"] == 200
        assert json.loads(said["body"])["message"] == f"Hello from the {who} code!"


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        ("throw new TypeError('bad ö');", "TypeError", "bad ö"),
        ("throw 'a text';", "string", "a text"),
        ("throw undefined;", "string", "handled"),
        ("return callback(new RangeError('called'));", "RangeError", "called"),
        ("return context.fail(new Error('failed'));", "Error", "failed"),
        ("return Promise.reject(new Error('rejected'));", "Error", "rejected"),
        ("return Promise.resolve(1n);", "Error", "Unable to stringify response body"),
    ],
)
async def test_what_goes_wrong_has_lambdas_shape_and_the_next_call_works(
    tmp_path, body, error_type, message
):
    code = (
        "export const handler = (event, context, callback) => {\n"
        f"  if (event.ok) return Promise.resolve('fine');\n  {body}\n}};"
    )
    async with runtime(tmp_path, code) as (api, process):
        posted = await api.ask({})
        assert posted.kind == "error"
        assert posted.json["errorType"] == error_type
        assert message in posted.json["errorMessage"]
        assert posted.headers["Lambda-Runtime-Function-Error-Type"] == error_type
        assert "node_runtime" not in "".join(posted.json["trace"])
        if error_type in ("TypeError", "RangeError"):
            assert posted.json["trace"][0] == f"{error_type}: {message}"
            assert re.search(r"app\.mjs:3:", posted.json["trace"][1])
        stamp, _, level, text = (await line(process)).split("\t", 3)
        assert stamp.endswith("Z")
        assert (level, text.split("\t")[0]) == ("ERROR", "Invoke Error ")
        assert json.loads(text.split("\t")[1])["errorType"] == error_type
        assert (await api.ask({"ok": True})).json == "fine"


@pytest.mark.parametrize(
    ("body", "error_type", "code"),
    [
        ("Promise.reject(new Error('lost'));", "Runtime.UnhandledPromiseRejection", 128),
        ("setTimeout(() => { throw new RangeError('thrown'); });", "RangeError", 129),
    ],
)
async def test_what_nobody_catches_fails_the_invocation_and_ends_the_process(
    tmp_path, body, error_type, code
):
    text = f"export const handler = () => {{\n  {body}\n  return new Promise(() => {{}});\n}};"
    async with runtime(tmp_path, text) as (api, process):
        posted = await api.ask({})
        assert (posted.kind, posted.json["errorType"]) == ("error", error_type)
        assert "app.mjs:2:" in "".join(posted.json["trace"])
        assert "\tERROR\t" in await output(process)
        assert await process.wait() == code


@pytest.mark.parametrize(
    ("code", "handler", "error_type", "words"),
    [
        ("import 'no-such-module';", "app.handler", "Error", "no-such-module"),
        ("", "missing.handler", "Runtime.ImportModuleError", "Cannot find module 'missing'"),
        ("export const handler = 7;", "app.handler", "Runtime.HandlerNotFound", "not a function"),
        ("", "app.handler", "Runtime.HandlerNotFound", "app.handler is undefined or not exported"),
        ("", "app", "Runtime.MalformedHandlerName", "app"),
        ("throw new RangeError('no database');", "app.handler", "RangeError", "no database"),
        ("await Promise.reject(new Error('top'));", "app.handler", "Error", "top"),
    ],
)
async def test_code_that_cannot_be_loaded_is_an_init_error_and_ends_the_process(
    tmp_path, code, handler, error_type, words
):
    async with runtime(tmp_path, code, handler=handler) as (api, process):
        said = await init_error(api)
        assert said["errorType"] == error_type
        assert words in said["errorMessage"]
        assert "Uncaught Exception" in await output(process)
        assert await process.wait() == 129


async def test_a_package_that_is_required_in_vain_is_an_import_error(tmp_path):
    async with runtime(tmp_path, "require('no-such-module');", file="app.cjs") as (api, _):
        said = await init_error(api)
    assert said["errorType"] == "Runtime.ImportModuleError"
    assert said["errorMessage"].startswith("Error: Cannot find module 'no-such-module'")


@pytest.mark.parametrize("file", ["app.mjs", "app.cjs"])
async def test_a_syntax_error_is_told_with_its_place(tmp_path, file):
    code = "const n = 1;\nconst m = 2;\nconst handler = (;\n"
    async with runtime(tmp_path, code, file=file) as (api, _):
        said = await init_error(api)
    assert said["errorType"] == "Runtime.UserCodeSyntaxError"
    assert said["errorMessage"].endswith(f"({file}, line 3)")
    assert said["trace"][1] == f'  File "{tmp_path / file}", line 3'
    assert said["trace"][2:4] == ["const handler = (;", "                 ^"]


async def test_the_place_of_a_syntax_error_may_be_in_another_module_and_nothing_of_it_runs(
    tmp_path,
):
    (tmp_path / "inner.mjs").write_text("export const value = ;\n")
    code = (
        "import fs from 'node:fs';\nimport { value } from './inner.mjs';\n"
        f"fs.writeFileSync('{tmp_path}/ran', '');\nexport const handler = async () => value;\n"
    )
    async with runtime(tmp_path, code) as (api, _):
        said = await init_error(api)
    assert said["errorMessage"].endswith("(inner.mjs, line 1)")
    assert not (tmp_path / "ran").exists()


async def test_an_event_that_is_not_json_is_a_syntax_error(tmp_path):
    async with runtime(tmp_path, ESM) as (api, _):
        assert (await api.ask(b"{")).json["errorType"] == "SyntaxError"
        assert (await api.ask(1)).json == {"got": 1}


# -- the log -------------------------------------------------------------------------------------


async def test_the_console_writes_a_record_a_call_with_the_request_id_and_at_once(tmp_path):
    code = """
import fs from 'node:fs';
console.log('loading');
export const handler = async (event) => {
  console.info('info %s', 'ö'); console.debug('d'); console.warn({ a: [1] }); console.error('e');
  process.stdout.write('raw\\n');
  console.log('two\\nlines');
  while (!fs.existsSync(event)) await new Promise((done) => { setTimeout(done, 5); });
};
"""
    go_on = tmp_path / "go-on"
    async with runtime(tmp_path, code) as (api, process):
        question = api.put(os.fspath(go_on))
        assert (await line(process)).split("\t")[1:] == ["undefined", "INFO", "loading"]
        for level, text in (("INFO", "info ö"), ("DEBUG", "d"), ("WARN", "{ a: [ 1 ] }")):
            assert (await line(process)).split("\t")[1:] == [question, level, text]
        assert (await line(process)).split("\t")[1:] == [question, "ERROR", "e"]
        assert await line(process) == "raw"
        assert (await line(process)).split("\t")[3] == "two\rlines"
        go_on.touch()
        assert (await api.answer(question)).kind == "response"


# -- streamed answers ----------------------------------------------------------------------------


async def test_a_streamed_answer_has_its_prelude_and_its_pieces(tmp_path):
    code = """
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const prelude = { statusCode: 201, headers: { 'content-type': 'text/plain' } };
  const body = awslambda.HttpResponseStream.from(stream, prelude);
  body.write('one,');
  await new Promise((done) => { setTimeout(done, 5); });
  body.write(context.awsRequestId);
  body.end();
});
"""
    async with runtime(tmp_path, code) as (api, _):
        question = api.put({})
        posted = await api.answer(question)
    assert posted.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
    assert posted.headers["Content-Type"] == "application/vnd.awslambda.http-integration-response"
    prelude, body = posted.body.split(b"\0" * 8)
    assert json.loads(prelude)["statusCode"] == 201
    assert body == b"one," + question.encode()


async def test_a_stream_that_fails_before_its_first_byte_is_an_error_and_afterwards_a_trailer(
    tmp_path,
):
    code = """
export const handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.begin) { stream.write('begun'); await new Promise((done) => setTimeout(done, 5)); }
  throw new RangeError('broke');
});
"""
    async with runtime(tmp_path, code) as (api, _):
        posted = await api.ask({})
        assert (posted.kind, posted.json["errorType"]) == ("error", "RangeError")

    heard = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A Runtime API that keeps the bytes, as aiohttp does not hand out trailers."""
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/next" in head and not heard.done():
            writer.write(
                b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r-1\r\n"
                b'Content-Length: 14\r\n\r\n{"begin":true}'
            )
            await serve(reader, writer)
        elif b"/response" in head:
            heard.set_result(await reader.readuntil(b"\r\n\r\n0\r\n".replace(b"\r\n\r\n", b"\r\n")))
            trailers = await reader.readuntil(b"\r\n\r\n")
            heard_trailers.set_result(trailers)
        writer.close()

    heard_trailers = asyncio.get_running_loop().create_future()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with (
            runtime(tmp_path, code, AWS_LAMBDA_RUNTIME_API=f"{host}:{port}"),
            asyncio.timeout(PATIENCE),
        ):
            assert b"begun" in await heard
            trailers = (await heard_trailers).decode()
    assert "Lambda-Runtime-Function-Error-Type: RangeError" in trailers
    encoded = re.search(r"Error-Body: (\S+)", trailers)[1]
    assert json.loads(base64.b64decode(encoded))["errorMessage"] == "broke"


# -- TypeScript ----------------------------------------------------------------------------------


@pytest.fixture
def typed(tmp_path):
    """A project with a stand-in for esbuild where npm would put the real one."""
    binary = tmp_path / "node_modules" / ".bin" / "esbuild"
    binary.parent.mkdir(parents=True)
    binary.write_text(ESBUILD)
    binary.chmod(0o755)
    return tmp_path


async def test_typescript_runs_by_the_esbuild_of_the_project(typed):
    code = "export const handler = async (n: number) => n + 1;"
    async with runtime(typed, code, file="app.ts") as (api, _):
        assert (await api.ask(41)).json == 42
    assert list((typed / "node_modules" / ".cache" / "natless").iterdir()) == []


async def test_a_syntax_error_in_typescript_is_told_with_its_place(typed):
    code = "export const handler = 1;\n\n  oops(;\n"
    async with runtime(typed, code, file="app.ts") as (api, _):
        said = await init_error(api)
    assert said["errorType"] == "Runtime.UserCodeSyntaxError"
    assert said["errorMessage"] == 'Expected ")" but found ";" (app.ts, line 3)'
    assert said["trace"][1] == f'  File "{typed / "app.ts"}", line 3'
    assert said["trace"][2].strip() == "oops(;"


async def test_typescript_without_esbuild_says_what_to_do(tmp_path):
    code = "export const handler = async (n: number) => n + 1;"
    path = os.fspath(Path(str(NODE)).parent)
    if (Path(path) / "esbuild").exists():
        pytest.skip("esbuild is beside node")
    async with runtime(tmp_path, code, file="app.ts", PATH=path) as (api, _):
        question = api.put(41)
        done, _ = await asyncio.wait(
            {api.init_error, api._waiting[question]}, return_when=asyncio.FIRST_COMPLETED
        )
        if api.init_error in done:  # Node.js before 22.18
            assert "npm install --save-dev esbuild" in (await init_error(api))["errorMessage"]
        else:
            assert (await api.answer(question)).json == 42


# -- the Runtime API -----------------------------------------------------------------------------


async def test_the_nonce_of_an_invocation_is_echoed_on_answers_and_errors(tmp_path):
    code = "export const handler = async (e) => { if (e) throw new Error('no'); };"
    async with runtime(tmp_path, code) as (api, _):
        for event in (1, 0):
            posted = await api.ask(event, Lambda_Runtime_Invocation_Id=f"nonce-{event}")
            assert posted.headers["Lambda-Runtime-Invocation-Id"] == f"nonce-{event}"


async def test_an_answer_that_is_refused_does_not_end_the_client(tmp_path):
    async with runtime(tmp_path, ESM) as (api, process):
        api.status = 413
        await api.ask(1)
        assert "with 413" in await line(process)
        api.status = 202
        assert (await api.ask(2)).json == {"got": 2}


async def test_a_runtime_api_that_goes_away_ends_the_client(tmp_path):
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        address = f"{host}:{port}"
        async with runtime(tmp_path, ESM, AWS_LAMBDA_RUNTIME_API=address) as (_, process):
            assert "is lost" in await output(process)
            assert await process.wait() == 1


async def test_an_address_may_have_a_path(tmp_path):
    async with ScriptedRuntimeApi().serving() as api:
        heard = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result((await reader.readline()).decode())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            address = f"{host}:{port}/lambda/w"
            async with runtime(tmp_path, ESM, AWS_LAMBDA_RUNTIME_API=address):
                async with asyncio.timeout(PATIENCE):
                    said = await heard
        assert said.startswith("GET /lambda/w/2018-06-01/runtime/invocation/next ")
        assert api.waits == 0


async def test_six_megabytes_travel_both_ways(tmp_path):
    async with runtime(tmp_path, "export const handler = async (event) => event;") as (api, _):
        event = "z" * 6_000_000
        assert (await api.ask(event)).json == event


async def test_a_missing_variable_is_named(tmp_path):
    async with runtime(tmp_path, ESM, _HANDLER="") as (_, process):
        assert "lacks _HANDLER" in await output(process)
        assert await process.wait() == 1
