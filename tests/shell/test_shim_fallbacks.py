"""What the caller gets when the channel does not bring an answer."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from event_protocol.live import Message, MessageCode
from event_protocol.phases import Outcome, Phase, Strategy
from tests.shell.shim_peers import (
    API_KEY,
    PATIENCE,
    Bench,
    Say,
    ScriptedRelay,
    bench,
    failure_of,
    respond,
)

HTTP_V2 = {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/"}}}


def closed(relay: ScriptedRelay) -> None:
    """A relay that lets nobody in."""
    relay.on_request = respond(403)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and a parent that is not ours has not asked yet


def with_code(tmp_path: Path, code: str, **options: Any) -> Any:
    return bench(tmp_path, set_up=closed, code=code, **options)


# --- deployed -------------------------------------------------------------------------------------


async def test_deployed_answers_with_the_code_in_the_container(tmp_path: Path) -> None:
    code = """
import os
def handler(event, context):
    print("in the container")
    return {"event": event, "id": context.aws_request_id, "trace": os.environ["_X_AMZN_TRACE_ID"],
            "left": context.get_remaining_time_in_millis() > 0,
            "names": sorted(n for n in os.environ if n.startswith("NATLESS"))}
"""
    async with with_code(tmp_path, code, TABLE="t") as lab:
        question = lab.api.put({"n": 1}, Lambda_Runtime_Trace_Id="Root=1-2")
        posted = await lab.api.answer(question)
        record = await lab.guest.record()
    assert posted.json == {
        "event": {"n": 1}, "id": question, "trace": "Root=1-2", "left": True, "names": [],
    }  # fmt: skip
    assert (posted.kind, record.strategy) == ("response", Strategy.DEPLOYED)
    failure = failure_of(record)
    assert failure is not None
    assert failure.phase is Phase.UPGRADE
    assert record.spans[-1].phase is Phase.REPLY
    assert "HTTP 403" in record.note
    assert "in the container" in lab.guest.lines


async def test_the_process_of_the_deployed_code_is_kept(tmp_path: Path) -> None:
    code = """
import os
count = []
def handler(event, context):
    count.append(event)
    return [os.getpid(), len(count)]
"""
    async with with_code(tmp_path, code) as lab:
        (first, _), (second, _) = await lab.ask({}), await lab.ask({})
    assert first.json[0] == second.json[0]
    assert second.json[1] == 2


async def test_an_exception_of_the_deployed_code_is_its_answer(tmp_path: Path) -> None:
    async with with_code(tmp_path, "def handler(e, c): raise ValueError('my own')") as lab:
        posted, record = await lab.ask({})
    assert posted.kind == "error"
    assert posted.json["errorType"] == "ValueError"
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == "ValueError"
    assert record.strategy is Strategy.DEPLOYED


async def test_a_crash_of_the_deployed_code_leaves_the_answer_to_the_next(tmp_path: Path) -> None:
    code = "import os\ndef handler(e, c):\n    if e.get('die'): os._exit(3)\n    return 'alive'"
    async with with_code(tmp_path, code) as lab:
        posted, record = await lab.ask({"die": True})
        assert posted.json["errorType"] == "LiveBridge.UpgradeHttpError"
        assert record.strategy is Strategy.ERROR
        assert "exit status 3" in record.note
        posted, record = await lab.ask({})
        assert (posted.json, record.strategy) == ("alive", Strategy.DEPLOYED)


async def test_deployed_code_that_cannot_be_loaded_is_tried_once(tmp_path: Path) -> None:
    code = "print('importing')\nraise RuntimeError('no database here')"
    async with with_code(tmp_path, code) as lab:
        for _ in range(2):
            posted, record = await lab.ask({})
            assert posted.json["errorType"] == "LiveBridge.UpgradeHttpError"
            assert "no database here" in record.note
        assert lab.guest.lines.count("importing") == 1


async def test_deployed_code_that_never_returns_is_ended_before_the_deadline(
    tmp_path: Path,
) -> None:
    code = (
        "import time\ndef handler(e, c):\n    if e.get('hang'): time.sleep(60)\n    return 'fast'"
    )
    async with with_code(tmp_path, code) as lab:
        posted, record = await lab.ask({"hang": True}, timeout=1.2)
        assert record.strategy is Strategy.ERROR
        assert "did not answer in time" in record.note
        assert posted.json["errorType"] == "LiveBridge.UpgradeHttpError"
        posted, _ = await lab.ask({})
        assert posted.json == "fast"


async def test_deployed_code_that_cannot_be_started_is_said_so(tmp_path: Path) -> None:
    async with with_code(tmp_path, "", NATLESS_DEPLOYED_COMMAND="/no/such/bootstrap") as lab:
        _, record = await lab.ask({})
    assert "/no/such/bootstrap cannot be started" in record.note


async def test_deployed_runs_any_runtime_client(tmp_path: Path) -> None:
    """The real Python client of AWS, over the private Runtime API, with 2 MB both ways."""
    command = json.dumps([sys.executable, "-m", "awslambdaric", "app.handler"])
    code = "def handler(e, c): return {'echo': e, 'arn': c.invoked_function_arn}"
    blob = "y" * 2_000_000
    async with with_code(tmp_path, code, NATLESS_DEPLOYED_COMMAND=command) as lab:
        posted, record = await lab.ask({"blob": blob})
        again, _ = await lab.ask({})
    assert record.strategy is Strategy.DEPLOYED
    assert posted.json["echo"] == {"blob": blob}
    assert posted.json["arn"].startswith("arn:aws:lambda:")
    assert again.json["echo"] == {}


async def test_deployed_does_not_repeat_what_the_developer_has_taken(tmp_path: Path) -> None:
    async with bench(tmp_path, code=_DEPLOYED) as lab:
        lab.developer.on_next = _take_and_close(lab)
        posted, record = await lab.ask({})
    assert posted.kind == "error"
    assert record.strategy is Strategy.ERROR
    assert posted.json["errorType"] == "LiveBridge.HandleClosed"


async def test_deployed_may_repeat_it_when_the_function_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path, code=_DEPLOYED, NATLESS_DEPLOYED_AFTER_ACCEPTED="1") as lab:
        lab.developer.on_next = _take_and_close(lab)
        posted, record = await lab.ask({})
    assert (posted.json, record.strategy) == ("deployed", Strategy.DEPLOYED)


async def test_the_developers_answer_after_a_fallback_is_dropped(tmp_path: Path) -> None:
    held: list[tuple[Message, Say]] = []

    async def hold(message: Message, say: Say) -> None:
        held.append((message, say))

    async with bench(tmp_path, code=_DEPLOYED, NATLESS_BUDGET_DEV_FIRST="0.3") as lab:
        lab.developer.on_next = hold
        posted, record = await lab.ask({"n": 1})
        assert (posted.json, record.strategy) == ("deployed", Strategy.DEPLOYED)
        await lab.developer.answer(*held[0])
        lab.developer.on_next = lab.developer.answer
        posted, record = await lab.ask({"n": 2})
        assert posted.json == {"echo": {"n": 2}}
        assert not record.cold
        assert len(lab.api.posted) == 2


async def test_the_deployed_process_ends_with_the_guest(tmp_path: Path) -> None:
    async with with_code(tmp_path, "import os\ndef handler(e, c): return os.getpid()") as lab:
        posted, _ = await lab.ask({})
        assert is_running(posted.json)
        lab.guest.process.terminate()
        assert await lab.guest.end() == 0
        assert not is_running(posted.json)


async def test_the_deployed_process_ends_also_when_the_guest_is_killed(tmp_path: Path) -> None:
    async with with_code(tmp_path, "import os\ndef handler(e, c): return os.getpid()") as lab:
        posted, _ = await lab.ask({})
        lab.guest.process.kill()
        await lab.guest.end()
        async with asyncio.timeout(PATIENCE):
            while is_running(posted.json):  # noqa: ASYNC110  nobody is its parent any more
                await asyncio.sleep(0.01)


async def test_the_runtime_client_needs_no_file_that_could_be_left_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    async with with_code(tmp_path, _DEPLOYED, TMPDIR=os.fspath(scratch)) as lab:
        posted, record = await lab.ask({})
        assert (posted.json, record.strategy) == ("deployed", Strategy.DEPLOYED)
        assert list(scratch.iterdir()) == []
    assert list(scratch.iterdir()) == []


async def test_the_archive_is_not_on_the_path_of_the_deployed_code(tmp_path: Path) -> None:
    code = """
import sys
def handler(event, context):
    if event: raise ValueError("mine")
    return [sys.path, sys.argv, "runtime_shim" in sys.modules, __name__]
"""
    async with with_code(tmp_path, code) as lab:
        posted, _ = await lab.ask({})
        path, argv, is_loaded, name = posted.json
        assert path[0] == os.fspath(lab.task_root)
        assert not [entry for entry in path if "natless" in entry]
        assert (argv, is_loaded, name) == (["-c"], False, "app")
        posted, _ = await lab.ask({"fail": True})
        assert len(posted.json["stackTrace"]) == 1, "of the client's own frames none"


async def test_hostile_modules_of_the_function_reach_only_the_function(tmp_path: Path) -> None:
    task_root = tmp_path / "task"
    task_root.mkdir()
    for name in ("socket", "logging", "traceback", "typing"):
        (task_root / f"{name}.py").write_text("raise SystemExit('hijacked')")
    (task_root / "helper.py").write_text("value = 7")
    code = "import helper\ndef handler(e, c): return helper.value"
    async with with_code(tmp_path, code, PYTHONPATH=os.fspath(task_root)) as lab:
        posted, record = await lab.ask({})
    assert (posted.json, record.strategy) == (7, Strategy.DEPLOYED)


# --- http and error -------------------------------------------------------------------------------


async def test_http_answers_a_request_with_what_happened(tmp_path: Path) -> None:
    async with bench(tmp_path, set_up=closed, NATLESS_FALLBACKS="http,error") as lab:
        posted, record = await lab.ask(HTTP_V2)
    assert (posted.kind, record.strategy) == ("response", Strategy.HTTP)
    answer = posted.json
    assert answer["statusCode"] == 502
    assert answer["headers"]["content-type"] == "application/json"
    body = json.loads(answer["body"])
    assert body["phase"] == "upgrade"
    assert (body["host"], body["address"]) == ("localhost", "127.0.0.1")
    assert body["errorType"] == "LiveBridge.UpgradeHttpError"
    assert body["budget"]["name"] == "connect.upgrade"
    assert body["elapsed"] >= 0
    assert "interface endpoint" in body["hint"]
    assert API_KEY not in posted.body.decode()


async def test_http_answers_504_when_a_wait_ran_out(tmp_path: Path) -> None:
    options: dict[str, Any] = {"NATLESS_FALLBACKS": "http", "NATLESS_BUDGET_DEV_FIRST": "0.2"}
    async with bench(tmp_path, **options) as lab:
        lab.relay.developer = None
        posted, record = await lab.ask(HTTP_V2)
    assert posted.json["statusCode"] == 504
    failure = failure_of(record)
    assert failure is not None
    assert failure.outcome is Outcome.TIMEOUT


async def test_an_event_that_is_no_request_gets_the_error(tmp_path: Path) -> None:
    async with bench(tmp_path, set_up=closed, NATLESS_FALLBACKS="http") as lab:
        posted, record = await lab.ask({"Records": []})
    assert (posted.kind, record.strategy) == ("error", Strategy.ERROR)
    assert posted.headers["Lambda-Runtime-Function-Error-Type"] == "LiveBridge.UpgradeHttpError"


_DEPLOYED = "def handler(event, context): return 'deployed'"


def _take_and_close(lab: Bench) -> Callable[[Message, Say], Any]:
    async def take(_: Message, say: Say) -> None:
        await say(MessageCode.PING, b"{}\n")
        await lab.relay.connections[-1].close()

    return take
