"""Handlers of other languages than Python, run and reloaded by the worker."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from event_protocol.live import MessageCode
from natless.runtimes import find_code
from natless.worker import LocalFunction, WorkerBudgets
from tests.shell.worker_channel import Channel, Facts, Guest, worker_for

BUDGETS = WorkerBudgets(reconnect_first=0.001, reconnect_max=0.002, reserve=0.01)

ESM = "export const handler = async (event) => [{}, event];\n"
COMMON = "exports.handler = async (event) => [{}, event];\n"
SHELL = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  event=$(curl -sS -D "$PWD/.head" "$api/invocation/next") || exit 1
  id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([^ \\r]*\\).*/\\1/Ip' .head)
  [ "$event" = '"fail"' ] && {{
    curl -sS -o /dev/null -d '{{"errorType":"Shell.Sad","errorMessage":"no"}}' \
      "$api/invocation/$id/error"; continue; }}
  curl -sS -o /dev/null -d "[{},$event]" "$api/invocation/$id/response"
done
"""
RIC = f"""#!/bin/sh
exec {sys.executable} -B -m awslambdaric app.handler
"""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

LANGUAGES = {
    "esm": ("app.mjs", ESM, "nodejs20.x"),
    "commonjs": ("app.cjs", COMMON, "nodejs20.x"),
    "shell": ("bootstrap", SHELL, "provided.al2023"),
}
every_language = pytest.mark.parametrize(
    "language",
    [
        pytest.param("esm", marks=needs_node),
        pytest.param("commonjs", marks=needs_node),
        pytest.param("shell", marks=needs_curl),
    ],
)
node_only = pytest.mark.parametrize("language", [pytest.param("esm", marks=needs_node)])


class Bench:
    """One function and its guest."""

    def __init__(self, channel: Channel, folder: Path, language: str) -> None:
        self.file, self.code, self.runtime = LANGUAGES[language]
        self.channel, self.folder = channel, folder
        self.facts = Facts()
        self.guest = Guest(channel)
        self._number = 0

    def save(self, code: str, name: str = "") -> None:
        path = self.folder / (name or self.file)
        made = path.with_name(f"{path.name}~")
        made.write_text(code)
        made.chmod(0o755)
        made.replace(path)

    def version(self, number: int) -> str:
        return self.code.format(number)

    async def edit(self, code: str, name: str = "", *, kind: str = "complete") -> None:
        seen = len(self.facts.of(f"worker.reload.{kind}"))
        self.save(code, name)
        await self.facts.wait(f"worker.reload.{kind}", count=seen + 1)

    async def ask(self, event: object = None):
        self._number += 1
        await self.guest.invoke(f"r-{self._number}", event)
        return await self.guest.answer()

    async def result(self, event: object = None) -> object:
        answer = await self.ask(event)
        assert answer.code == MessageCode.RESPONSE, answer.body
        return json.loads(answer.body)

    def worker(self, **budgets):
        code = find_code(self.folder, "app.handler", runtime=self.runtime)
        return worker_for(
            self.channel,
            self.facts,
            self.folder,
            budgets=replace(BUDGETS, **budgets),
            functions={"fn": LocalFunction(code)},
        )


@pytest.fixture
async def bench(tmp_path, language):
    folder = tmp_path / "app"
    folder.mkdir()
    async with Channel().serve() as channel:
        one = Bench(channel, folder, language)
        one.save(one.version(0))
        yield one


@every_language
async def test_a_handler_answers_and_an_edit_shows_at_the_next_call(bench):
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result({"n": 1}) == [0, {"n": 1}]
        for number in range(1, 4):
            await bench.edit(bench.version(number))
            assert await bench.result(number) == [number, number]
        await bench.facts.wait("worker.reload.first_answer", count=3)


@every_language
async def test_no_process_is_left_in_reserve_or_otherwise(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        if bench.runtime != "provided.al2023":
            await bench.facts.wait("worker.process.held")
        await bench.edit(bench.version(1))
        await bench.result()
    pids = {
        fact.data["pid"]
        for kind in ("started", "held")
        for fact in bench.facts.of(f"worker.process.{kind}")
    }
    assert len(pids) >= 2
    assert not [pid for pid in pids if is_there(pid)]


@every_language
async def test_an_invocation_in_flight_finishes_with_the_code_it_began_with(bench, tmp_path):
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    wait = {
        "app.mjs": "import fs from 'node:fs';\nexport const handler = async () => {\n"
        f"  fs.writeFileSync('{begun}', '');\n"
        f"  while (!fs.existsSync('{gate}')) await new Promise((go) => setTimeout(go, 5));\n"
        "  return 'old';\n};\n",
        "app.cjs": "const fs = require('fs');\nexports.handler = async () => {\n"
        f"  fs.writeFileSync('{begun}', '');\n"
        f"  while (!fs.existsSync('{gate}')) await new Promise((go) => setTimeout(go, 5));\n"
        "  return 'old';\n};\n",
        "bootstrap": SHELL.format("0").replace(
            'curl -sS -o /dev/null -d "[0,$event]"',
            f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.01; done\n"
            "  curl -sS -o /dev/null -d '\"old\"'",
        ),
    }[bench.file]
    bench.save(wait)
    async with bench.worker():
        await bench.guest.introduce()
        asking = asyncio.create_task(bench.result())
        await bench.facts.wait("worker.invocation.started")
        await bench.edit(bench.version(1))
        gate.touch()
        assert await asking == "old"
        assert await bench.result() == [1, None]


@every_language
async def test_an_invocation_in_flight_that_does_not_finish_is_told_that_it_was_reloaded(bench):
    forever = {
        "app.mjs": "export const handler = () => new Promise((go) => setTimeout(go, 60_000));\n",
        "app.cjs": "exports.handler = () => new Promise((go) => setTimeout(go, 60_000));\n",
        "bootstrap": SHELL.format("0").replace("curl -sS -o /dev/null -d", "sleep 60; curl -d"),
    }[bench.file]
    bench.save(forever)
    async with bench.worker(reload_finish=0.05):
        await bench.guest.introduce()
        asking = asyncio.create_task(bench.ask())
        await bench.facts.wait("worker.invocation.started")
        await bench.edit(bench.version(1))
        answer = await asking
        assert answer.code == MessageCode.ERROR
        said = json.loads(answer.body)
        assert said["errorType"] == "LiveWorker.Reloaded"
        assert await bench.result() == [1, None]


@pytest.mark.parametrize(
    "language",
    [pytest.param("esm", marks=needs_node), pytest.param("commonjs", marks=needs_node)],
)
async def test_a_syntax_error_is_shown_with_its_place_and_answers_until_it_is_mended(bench):
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == [0, None]
        await bench.edit("const one = 1;\nconst two = (;\n", kind="failed")
        failed = bench.facts.of("worker.reload.failed")[0].data
        assert failed["error_type"] == "Runtime.UserCodeSyntaxError"
        assert failed["message"].endswith(f"({bench.file}, line 2)")
        assert failed["place"] == f'File "{bench.folder / bench.file}", line 2'
        answer = await bench.ask()
        assert answer.code == MessageCode.ERROR, "the code before the edit must not answer"
        assert "line 2" in json.loads(answer.body)["errorMessage"]
        await bench.edit(bench.version(2))
        assert await bench.result() == [2, None]


@node_only
async def test_an_exception_at_import_names_its_line(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        await bench.edit("const x = 1;\nthrow new Error('not today');\n", kind="failed")
    failed = bench.facts.of("worker.reload.failed")[0].data
    assert failed["message"] == "not today"
    assert "app.mjs:2:" in failed["place"]


@node_only
async def test_a_streamed_answer_comes_in_one_piece(bench):
    bench.save(
        "export const handler = awslambda.streamifyResponse(async (event, stream) => {\n"
        "  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });\n"
        "  stream.write('one '); stream.write('two'); stream.end();\n});\n"
    )
    async with bench.worker():
        await bench.guest.introduce()
        answer = await bench.ask()
    assert answer.code == MessageCode.RESPONSE
    prelude, _, body = answer.body.partition(bytes(8))
    assert (json.loads(prelude), body) == ({"statusCode": 201}, b"one two")


@node_only
async def test_what_a_handler_prints_is_told_without_its_secrets(bench):
    bench.save("export const handler = async () => console.log(process.env.DB_PASSWORD);\n")
    async with bench.worker():
        await bench.guest.introduce(DB_PASSWORD="correct-horse-battery")
        await bench.result()
        line = (await bench.facts.wait("worker.log")).data["line"]
    assert line.endswith("\tr-1\tINFO\t***")


@node_only
async def test_an_edit_of_an_imported_module_counts_too(bench):
    bench.save("export const value = 1;\n", "inner.mjs")
    bench.save("import { value } from './inner.mjs';\nexport const handler = async () => value;\n")
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == 1
        await bench.edit("export const value = 2;\n", "inner.mjs")
        assert await bench.result() == 2


@node_only
async def test_an_edit_is_loaded_by_the_process_that_was_held_for_it(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        for number in range(1, 4):
            held = (await bench.facts.wait("worker.process.held", count=number)).data["pid"]
            await bench.edit(bench.version(number))
            assert bench.facts.of("worker.process.started")[number].data["pid"] == held
            if number == 2:  # edits may also follow each other without a call
                assert await bench.result() == [number, None]


HEAVY = """
const fs = require('fs');
fs.appendFileSync(process.env.MARKS, 'x');
exports.setting = process.env.HEAVY_SETTING ?? 'none';
"""
FIRST = {
    "app.mjs": (
        "// about it\nimport fs from 'node:fs';\nimport { setting } from 'heavy';\n",
        "import './mine.mjs';\nimport { setting } from 'heavy';\n",
        "export const handler = async () => [setting, {}];\n",
    ),
    "app.cjs": (
        "'use strict';\n/* about it */\nconst { setting } = require('heavy');\n",
        "process.env.HEAVY_SETTING = 'mine';\nconst { setting } = require('heavy');\n",
        "exports.handler = async () => [setting, {}];\n",
    ),
}


@pytest.fixture
def marks(bench, tmp_path):
    """Where a package of somebody else's leaves a mark each time it is imported."""
    package = bench.folder / "node_modules" / "heavy"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "heavy", "main": "index.js"}')
    (package / "index.js").write_text(HEAVY)
    (bench.folder / "mine.mjs").write_text("process.env.HEAVY_SETTING = 'mine';\n")
    (tmp_path / "marks").touch()
    return tmp_path / "marks"


in_node = pytest.mark.parametrize(
    "language",
    [pytest.param("esm", marks=needs_node), pytest.param("commonjs", marks=needs_node)],
)


@in_node
async def test_packages_that_come_first_are_imported_before_the_edit(bench, marks):
    head, _, body = FIRST[bench.file]
    bench.save(head + body.format(0))
    async with bench.worker():
        await bench.guest.introduce(MARKS=str(marks))
        assert await bench.result() == ["none", 0]
        await bench.facts.wait("worker.process.held")
        assert marks.read_text() == "xx"
        await bench.edit(head + body.format(1))
        assert marks.read_text() == "xx"
        assert await bench.result() == ["none", 1]
    made = bench.folder / "node_modules/.cache/natless"
    assert not made.exists() or list(made.iterdir()) == []


@in_node
async def test_an_edit_before_those_imports_begins_anew(bench, marks):
    head, other, body = FIRST[bench.file]
    bench.save(head + body.format(0))
    async with bench.worker():
        await bench.guest.introduce(MARKS=str(marks))
        assert await bench.result() == ["none", 0]
        await bench.facts.wait("worker.process.held")
        await bench.edit(other + body.format(1))
        assert await bench.result() == ["mine", 1]
    assert len(bench.facts.of("worker.process.unfit")) == 1


@node_only
async def test_a_process_in_reserve_has_loaded_nothing_and_knows_its_credentials(bench):
    code = (
        "import fs from 'node:fs';\nfs.appendFileSync('loads', 'x');\n"
        "export const handler = async () => process.env.AWS_SESSION_TOKEN;\n"
    )
    bench.save(code)
    async with bench.worker():
        await bench.guest.introduce(AWS_SESSION_TOKEN="first-token")
        assert await bench.result() == "first-token"
        await bench.facts.wait("worker.process.held")
        assert (bench.folder / "loads").read_text() == "x"
        await bench.guest.introduce(AWS_SESSION_TOKEN="second-token")
        assert await bench.result() == "second-token"


@node_only
async def test_only_the_environments_used_last_keep_a_process_in_reserve(bench):
    guests = [Guest(bench.channel, letter * 32) for letter in "abc"]
    async with bench.worker() as worker:
        assert worker.config.max_reserves == 2
        held = []
        for number, guest in enumerate(guests):
            await guest.introduce()
            await guest.invoke(f"o-{number}")
            await guest.answer()
            held.append((await bench.facts.wait("worker.process.held", count=number + 1)).data)
        oldest, *kept = (each["pid"] for each in held)
        while is_there(oldest):  # noqa: ASYNC110  another process's end
            await asyncio.sleep(0.01)
        assert all(map(is_there, kept))


@pytest.mark.parametrize("language", [pytest.param("shell", marks=needs_curl)])
async def test_a_bootstrap_can_fail_an_invocation(bench):
    async with bench.worker():
        await bench.guest.introduce()
        answer = await bench.ask("fail")
        assert answer.code == MessageCode.ERROR
        assert json.loads(answer.body) == {"errorType": "Shell.Sad", "errorMessage": "no"}
        assert await bench.result(1) == [0, 1]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("language", ["shell"])
async def test_a_bootstrap_may_be_a_program_that_is_compiled_anew(bench):
    async def build(version: int) -> None:
        made = str(bench.folder / "made")
        options = ["-D_GNU_SOURCE", f"-DVERSION={version}", "-o", made]
        argv = ["cc", *options, str(Path(__file__).with_name("bootstrap.c"))]
        compiler = await asyncio.create_subprocess_exec(*argv)
        assert await compiler.wait() == 0
        (bench.folder / "made").replace(bench.folder / "bootstrap")

    await build(1)
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result({"n": 1}) == [1, {"n": 1}]
        await build(2)
        await bench.facts.wait("worker.reload.complete")
        assert await bench.result("again") == [2, "again"]


@pytest.mark.parametrize("language", ["shell"])
async def test_awslambdaric_is_a_bootstrap(bench):
    bench.save("def handler(event, context):\n    return [1, event]\n", "app.py")
    bench.save(RIC)
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result({"n": 1}) == [1, {"n": 1}]
        await bench.edit("def handler(event, context):\n    return [2, event]\n", "app.py")
        assert await bench.result() == [2, None]


async def test_functions_of_several_languages_share_a_worker(tmp_path):
    functions = {}
    for name, (file, code, runtime) in (
        ("node", LANGUAGES["esm"]),
        ("shell", LANGUAGES["shell"]),
        ("python", ("app.py", "def handler(e, c):\n    return [{}, e]\n", "python")),
    ):
        if shutil.which("node") is None and name == "node":
            pytest.skip("node is not installed")
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(code.format(f'"{name}"' if name != "shell" else 1))
        (tmp_path / name / file).chmod(0o755)
        functions[name] = LocalFunction(find_code(tmp_path / name, "app.handler", runtime=runtime))
    facts = Facts()
    async with Channel().serve() as channel:
        guests = {name: Guest(channel, name[0] * 32) for name in functions}
        async with worker_for(channel, facts, tmp_path, functions=functions, budgets=BUDGETS):
            for name, guest in guests.items():
                await guest.introduce(function=name)
                await guest.invoke(f"r-{name}", 7)
                said = json.loads((await guest.answer()).body)
                assert said == [name if name != "shell" else 1, 7]
            (tmp_path / "node" / "app.mjs").write_text(ESM.format("'edited'"))
            noticed = await facts.wait("worker.reload.complete")
            assert noticed.data["function"] == "node"
            assert [f.data["function"] for f in facts.of("worker.reload.noticed")] == ["node"]
            completed = facts.of("worker.invocation.complete")
            assert {fact.data["function"] for fact in completed} == set(functions)


async def test_a_function_that_is_not_here_is_answered_and_not_waited_for(tmp_path):
    (tmp_path / "app.py").write_text("def handler(e, c):\n    return 1\n")
    functions = {"orders": LocalFunction(find_code(tmp_path, "app.handler"))}
    async with Channel().serve() as channel:
        guest, facts = Guest(channel), Facts()
        async with worker_for(channel, facts, tmp_path, functions=functions):
            await guest.introduce(function="mail")
            await guest.invoke("r-1")
            answer = await guest.answer()
    assert answer.code == MessageCode.ERROR
    said = json.loads(answer.body)
    assert said["errorType"] == "LiveWorker.UnknownFunction"
    assert "'mail'" in said["errorMessage"]
    assert "orders" in said["errorMessage"]
    assert facts.of("worker.process.started") == []


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
