import os
from pathlib import Path

import pytest
from watchfiles import Change

from natless.runtimes import Code
from natless.runtimes.node import NodeRuntime
from natless.runtimes.provided import ProvidedRuntime
from natless.runtimes.python import PythonRuntime
from natless.worker.reload import Burst, Edit, SourceFilter

PYTHON = PythonRuntime("python", Path("/usr/bin/python3"))
NODE = NodeRuntime("nodejs", Path("/usr/bin/node"))
PROVIDED = ProvidedRuntime("provided", None)


def edit(folder, *names, runtime=PYTHON, wall=2000.0, now=5.0) -> Edit | None:
    """What ``names`` under ``folder`` mean to its function."""
    code = Code(folder, "app.handler", runtime, folder / "app.py")
    paths = frozenset((folder / name).resolve() for name in names)
    return Burst(paths, wall=wall, now=now).edit_of(code)


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        (PYTHON, ["app.py", "deep/inner.py", "pyproject.toml", "uv.lock", "requirements.txt"]),
        (NODE, ["app.mjs", "deep/inner.ts", "inner.cjs", "package.json", "tsconfig.json"]),
        (PROVIDED, ["bootstrap", "lib/functions.sh", "inner.py"]),
    ],
)
def test_source_files_matter(tmp_path, runtime, names):
    for name in names:
        assert edit(tmp_path, name, runtime=runtime).files == (name,)


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        (PYTHON, ["out.json", "app.pyc", "notes.txt", "app.mjs"]),
        (NODE, ["out.json", "notes.txt", "app.py"]),
        (PROVIDED, ["out.json", "notes.txt", "other/bootstrap", "main.go"]),
    ],
)
def test_what_is_no_source_does_not_matter(tmp_path, runtime, names):
    for name in names:
        assert edit(tmp_path, name, runtime=runtime) is None


def test_what_is_saved_in_another_folder_does_not_matter(tmp_path):
    assert edit(tmp_path / "mine", "../other/app.py") is None


@pytest.mark.parametrize(
    "path",
    [
        "/app/__pycache__/app.py",
        "/app/.venv/lib/thing.py",
        "/app/venv/lib/thing.py",
        "/app/node_modules/thing.mjs",
        "/app/.git/thing.py",
        "/app/app.py~",
        "/app/.app.py.swp",
    ],
)
def test_what_tools_write_is_not_looked_at(path):
    assert not SourceFilter()(Change.modified, path)
    assert SourceFilter()(Change.modified, "/app/deep/app.py")


def test_an_edit_was_saved_when_its_last_file_was(tmp_path):
    for name, saved in (("b.py", 1000.0), ("a.py", 1002.5), ("data.json", 1009.0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (saved, saved))
    seen = edit(tmp_path, "a.py", "b.py", "data.json")
    assert (seen.files, seen.saved, seen.noticed) == (("a.py", "b.py"), 1002.5, 5.0)


def test_a_file_that_is_gone_was_saved_when_that_was_noticed(tmp_path):
    seen = edit(tmp_path, "gone.py")
    assert (seen.files, seen.saved) == (("gone.py",), 2000.0)
