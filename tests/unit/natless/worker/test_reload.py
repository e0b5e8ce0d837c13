import os

import pytest
from watchfiles import Change

from natless.worker.reload import SourceFilter, describe_edit


@pytest.mark.parametrize("name", ["app.py", "pyproject.toml", "uv.lock", "setup.cfg"])
def test_source_files_matter(name):
    assert SourceFilter()(Change.modified, f"/app/deep/{name}")


def test_requirements_matter_and_other_text_does_not():
    assert SourceFilter()(Change.added, "/app/requirements.txt")
    assert not SourceFilter()(Change.added, "/app/notes.txt")


@pytest.mark.parametrize(
    "path",
    [
        "/app/out.json",
        "/app/app.pyc",
        "/app/__pycache__/app.py",
        "/app/.venv/lib/thing.py",
        "/app/node_modules/thing.py",
        "/app/.git/thing.py",
        "/app/app.py~",
        "/app/.app.py.swp",
    ],
)
def test_what_is_no_source_does_not_matter(path):
    assert not SourceFilter()(Change.modified, path)


def test_an_edit_was_saved_when_its_last_file_was(tmp_path):
    for name, saved in (("b.py", 1000.0), ("a.py", 1002.5)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (saved, saved))
    edit = describe_edit(tmp_path, {tmp_path / "a.py", tmp_path / "b.py"}, wall=2000.0, now=5.0)
    assert (edit.files, edit.saved, edit.noticed) == (("a.py", "b.py"), 1002.5, 5.0)


def test_a_file_that_is_gone_was_saved_when_that_was_noticed(tmp_path):
    edit = describe_edit(tmp_path, {tmp_path / "gone.py"}, wall=2000.0, now=5.0)
    assert (edit.files, edit.saved) == (("gone.py",), 2000.0)
