"""Edits of a real Python handler, picked up while it serves."""

import asyncio
import json
import os
from dataclasses import replace

import pytest

from event_protocol.live import MessageCode
from natless.worker import WorkerBudgets
from tests.shell.worker_channel import Channel, Facts, Guest, worker_for

BUDGETS = WorkerBudgets(reconnect_first=0.001, reconnect_max=0.002)
VERSION = "def handler(event, context):\n    return {}\n"


class Bench:
    def __init__(self, channel: Channel, folder) -> None:
        self.channel = channel
        self.folder = folder
        self.facts = Facts()
        self.guest = Guest(channel)
        self._number = 0

    def save(self, code: str, name: str = "handler.py") -> None:
        (self.folder / name).write_text(code)

    async def edit(self, code: str, name: str = "handler.py", *, kind: str = "complete") -> None:
        """Saves, and waits for what comes of it."""
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

    def worker(self, *, environment=None, **budgets):
        return worker_for(
            self.channel,
            self.facts,
            self.folder,
            budgets=replace(BUDGETS, **budgets),
            environment=environment or {},
        )


@pytest.fixture
async def bench(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    async with Channel().serve() as channel:
        one = Bench(channel, folder)
        one.save(VERSION.format(0))
        yield one


async def test_an_edit_shows_at_the_next_call(bench):
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == 0
        for number in range(1, 5):  # of one length, within one second: bytecode would look fresh
            await bench.edit(VERSION.format(number))
            assert await bench.result() == number
    assert not (bench.folder / "__pycache__").exists()


async def test_an_edit_is_measured_from_its_save_to_its_first_answer(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        await bench.edit(VERSION.format(1))
        await bench.result()
        first = await bench.facts.wait("worker.reload.first_answer")
        await bench.result()
        await bench.facts.wait("worker.invocation.complete", count=3)
    assert len(bench.facts.of("worker.reload.first_answer")) == 1
    assert first.data["files"] == ("handler.py",)
    assert first.data["request_id"] == "r-2"
    assert 0 < first.data["seconds"] < 60


async def test_an_edit_of_an_imported_module_counts_too(bench):
    bench.save("from inner import VALUE\ndef handler(e, c):\n    return VALUE\n")
    bench.save("VALUE = 1\n", "inner.py")
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == 1
        await bench.edit("VALUE = 2\n", "inner.py")
        assert await bench.result() == 2


async def test_a_file_that_replaces_another_counts_as_an_edit(bench):
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == 0
        (bench.folder / "handler.py~").write_text(VERSION.format(1))
        (bench.folder / "handler.py~").replace(bench.folder / "handler.py")
        await bench.facts.wait("worker.reload.complete")
        assert await bench.result() == 1


async def test_what_a_handler_writes_beside_its_code_reloads_nothing(bench):
    bench.save(
        "import json, pathlib\n"
        "def handler(e, c):\n"
        "    pathlib.Path('out.json').write_text(json.dumps(e))\n"
        "    return 1\n"
    )
    async with bench.worker():
        await bench.guest.introduce()
        for number in range(3):
            await bench.result(number)
        await bench.edit(VERSION.format(9))
    assert [fact.data["files"] for fact in bench.facts.of("worker.reload.noticed")] == [
        ("handler.py",)
    ]


async def test_a_syntax_error_is_shown_with_its_place_and_answers_until_it_is_mended(bench):
    async with bench.worker():
        await bench.guest.introduce()
        assert await bench.result() == 0
        await bench.edit("def handler(event, context):\n    return (\n", kind="failed")
        failed = bench.facts.of("worker.reload.failed")[0].data
        assert failed["error_type"] == "Runtime.UserCodeSyntaxError"
        assert "line 2" in failed["message"]
        assert "handler.py" in failed["place"]
        answer = await bench.ask()
        assert answer.code == MessageCode.ERROR, "the code before the edit must not answer"
        assert "line 2" in json.loads(answer.body)["errorMessage"]
        answer = await bench.ask()
        assert answer.code in (MessageCode.ERROR, MessageCode.INIT_ERROR)
        await bench.edit(VERSION.format(2))
        assert await bench.result() == 2


async def test_an_exception_at_import_names_its_line(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        await bench.edit("X = 1\nraise RuntimeError('not today')\n", kind="failed")
    failed = bench.facts.of("worker.reload.failed")[0].data
    assert failed["message"] == "not today"
    assert 'handler.py", line 2' in failed["place"]


async def test_code_that_was_broken_from_the_start_can_be_mended(bench):
    bench.save("import nothing_of_this_name\n")
    async with bench.worker():
        await bench.guest.introduce()
        await bench.facts.wait("worker.process.failed")
        assert (await bench.ask()).code == MessageCode.ERROR
        await bench.edit(VERSION.format(1))
        assert await bench.result() == 1


async def test_an_invocation_in_flight_finishes_with_the_code_it_began_with(bench):
    gate = bench.folder / "gate"
    waiting = (
        "import os, time\n"
        "def handler(e, c):\n"
        "    while not os.path.exists('gate'): time.sleep(0.005)\n"
        "    return 'old'\n"
    )
    bench.save(waiting)
    async with bench.worker():
        await bench.guest.introduce()
        asking = asyncio.create_task(bench.result())
        await bench.facts.wait("worker.invocation.started")
        await bench.edit(VERSION.format(1))
        gate.touch()
        assert await asking == "old"
        assert await bench.result() == 1


async def test_an_invocation_in_flight_that_does_not_finish_is_told_that_it_was_reloaded(bench):
    bench.save("import time\ndef handler(e, c):\n    time.sleep(60)\n")
    async with bench.worker(reload_finish=0.05):
        await bench.guest.introduce()
        asking = asyncio.create_task(bench.ask())
        await bench.facts.wait("worker.invocation.started")
        await bench.edit(VERSION.format(1))
        answer = await asking
        assert answer.code == MessageCode.ERROR
        said = json.loads(answer.body)
        assert said["errorType"] == "LiveWorker.Reloaded"
        assert "reloaded" in said["errorMessage"]
        assert await bench.result() == 1
        failed = bench.facts.of("worker.invocation.failed")
    assert [fact.data["answered"] for fact in failed] == [True]


async def test_a_later_edit_overtakes_one_that_is_still_being_loaded(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        started = len(bench.facts.of("worker.process.started"))
        bench.save("import time\ntime.sleep(60)\n")
        await bench.facts.wait("worker.process.started", count=started + 1)
        await bench.edit(VERSION.format(2))
        assert await bench.result() == 2
        await gone(bench.facts.of("worker.process.started")[started].data["pid"])


async def test_an_edit_is_measured_although_its_start_was_overtaken_by_new_credentials(bench):
    gated = (
        "import os, time\n"
        "while not os.path.exists('gate'): time.sleep(0.005)\n"
        "def handler(e, c):\n"
        "    return os.environ['AWS_SESSION_TOKEN']\n"
    )
    async with bench.worker():
        await bench.guest.introduce(AWS_SESSION_TOKEN="first")
        await bench.facts.wait("worker.process.complete")
        bench.save(gated)
        await bench.facts.wait("worker.process.started", count=2)
        await bench.guest.introduce(AWS_SESSION_TOKEN="second")
        await bench.facts.wait("worker.process.started", count=3)
        (bench.folder / "gate").touch()
        assert await bench.result() == "second"
        await bench.facts.wait("worker.reload.first_answer")


async def test_every_environment_gets_the_new_code(bench):
    other = Guest(bench.channel, "f" * 32)
    async with bench.worker():
        for guest in (bench.guest, other):
            await guest.introduce()
        await bench.facts.wait("worker.process.complete", count=2)
        bench.save(VERSION.format(1))
        await bench.facts.wait("worker.reload.complete", count=2)
        assert await bench.result() == 1
        await other.invoke("o-1")
        assert (await other.answer()).body == b"1"


async def test_no_process_of_older_code_is_left(bench):
    async with bench.worker():
        await bench.guest.introduce()
        await bench.result()
        for number in range(1, 4):
            await bench.edit(VERSION.format(number))
        pids = [fact.data["pid"] for fact in bench.facts.of("worker.process.started")]
    assert len(pids) == 4
    assert not [pid for pid in pids if is_there(pid)]


HEAVY = """
import os
with open(os.environ["MARKS"], "a") as marks:
    marks.write("x")
SETTING = os.environ.get("HEAVY_SETTING", "none")
"""


@pytest.fixture
def heavy(tmp_path):
    """A package of somebody else's, which leaves a mark each time it is imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "heavy.py").write_text(HEAVY)
    (tmp_path / "marks").touch()
    return {"PYTHONPATH": str(tmp_path / "site"), "MARKS": str(tmp_path / "marks")}


async def test_packages_that_come_first_are_imported_before_the_edit(bench, heavy, tmp_path):
    code = "import heavy\ndef handler(e, c):\n    return [heavy.SETTING, {}]\n"
    bench.save(code.format(0))
    async with bench.worker(environment=heavy, reserve=0.01):
        await bench.guest.introduce()
        assert await bench.result() == ["none", 0]
        await bench.facts.wait("worker.process.held")
        assert (tmp_path / "marks").read_text() == "xx"
        await bench.edit(code.format(1))
        assert (tmp_path / "marks").read_text() == "xx"
        assert await bench.result() == ["none", 1]


async def test_an_edit_before_those_imports_begins_anew(bench, heavy):
    bench.save("import heavy\ndef handler(e, c):\n    return heavy.SETTING\n")
    async with bench.worker(environment=heavy, reserve=0.01):
        await bench.guest.introduce()
        assert await bench.result() == "none"
        await bench.facts.wait("worker.process.held")
        await bench.edit(
            "import os\nos.environ['HEAVY_SETTING'] = 'mine'\n"
            "import heavy\ndef handler(e, c):\n    return heavy.SETTING\n"
        )
        assert await bench.result() == "mine"
    assert len(bench.facts.of("worker.process.unfit")) == 1


async def test_other_packages_are_not_expected_of_a_process_in_reserve(bench):
    async with bench.worker(reserve=0.01):
        await bench.guest.introduce()
        await bench.result()
        held = (await bench.facts.wait("worker.process.held")).data["pid"]
        await bench.edit("boto3==1.0\n", "requirements.txt")
        assert bench.facts.of("worker.process.started")[-1].data["pid"] != held
        await gone(held)


async def gone(pid: int) -> None:
    """Returns when a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
