import os
import sys
from pathlib import Path

import pytest

from natless.errors import EnvironmentLacks, UsageError
from natless.runtimes import Family, find_code
from natless.runtimes.catalogue import family_of, name_handler
from natless.runtimes.node import NodeRuntime
from natless.runtimes.python import PythonRuntime


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A Node.js of a version that the test chooses, and no other tool."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def make(version: str) -> Path:
        path = programs / "node"
        path.write_text(f"#!/bin/sh\necho v{version}\n")
        path.chmod(0o755)
        return path

    return make


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch(mode=0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "handler", "family"),
    [
        ("app.py", "app.handler", Family.PYTHON),
        ("app/__init__.py", "app.handler", Family.PYTHON),
        ("src/app.py", "src/app.handler", Family.PYTHON),
        ("src/app.py", "src.app.handler", Family.PYTHON),
        ("app.mjs", "app.handler", Family.NODE),
        ("app.js", "app.handler", Family.NODE),
        ("app.cjs", "app.api.get", Family.NODE),
        ("src/app.mjs", "src/app.handler", Family.NODE),
        ("bootstrap", "app.handler", Family.PROVIDED),
        ("bootstrap", "bootstrap", Family.PROVIDED),
    ],
)
def test_the_file_tells_the_language(tmp_path, node, name, handler, family):
    node("20.1.0")
    code = find_code(lay(tmp_path / "f", name), handler)
    assert code.runtime.family is family
    assert code.source == tmp_path / "f" / name


def test_python_comes_before_node_and_a_bootstrap_last_unless_one_is_named(tmp_path, node):
    node("20.1.0")
    folder = lay(tmp_path / "f", "app.py", "app.mjs", "bootstrap")
    names = ["auto", "python3.12", "nodejs20.x", "provided.al2023"]
    found = [find_code(folder, "app.handler", runtime=name).runtime.family for name in names]
    assert found == [Family.PYTHON, Family.PYTHON, Family.NODE, Family.PROVIDED]


def test_typescript_is_what_is_edited(tmp_path, node):
    node("22.18.0")
    folder = lay(tmp_path / "f", "app.js", "app.ts")
    assert find_code(folder, "app.handler").source.name == "app.ts"


def test_typescript_needs_esbuild_or_a_newer_node(tmp_path, node):
    folder = lay(tmp_path / "f", "app.ts")
    path = node("20.1.0")
    with pytest.raises(EnvironmentLacks) as caught:
        find_code(folder, "app.handler")
    assert "esbuild" in caught.value.hint
    lay(folder, "node_modules/.bin/esbuild")
    assert find_code(folder, "app.handler").runtime.interpreter == path


def test_a_node_that_is_too_old_or_missing_is_told(tmp_path, node):
    folder = lay(tmp_path / "f", "app.mjs")
    with pytest.raises(EnvironmentLacks, match="no such program"):
        find_code(folder, "app.handler")
    old = node("16.3.0")
    with pytest.raises(EnvironmentLacks, match=r"16\.3\.0, which is too old"):
        find_code(folder, "app.handler", interpreter=old.rename(old.with_name("old-node")))


def test_what_is_not_there_is_told_with_what_is(tmp_path):
    folder = lay(tmp_path / "f", "other.py")
    with pytest.raises(UsageError) as caught:
        find_code(folder, "app.handler")
    assert "no app.py" in str(caught.value)
    assert "no bootstrap" in str(caught.value)
    assert caught.value.hint.endswith("here is other")


@pytest.mark.parametrize("name", ["java21", "python2.7", "nodejs", "provided", "ruby3.3", ""])
def test_a_runtime_runs_here_or_is_refused(name):
    known = {"nodejs": Family.NODE, "provided": Family.PROVIDED}
    if name in known:
        assert family_of(name) is known[name]
        return
    with pytest.raises(UsageError, match="no runtime that runs here"):
        family_of(name)


@pytest.mark.parametrize(
    ("names", "runtime", "handler"),
    [
        (["handler.py", "index.mjs"], "auto", "handler.handler"),
        (["handler.py", "index.mjs"], "nodejs20.x", "index.handler"),
        (["index.mjs", "other.py"], "auto", "index.handler"),
        (["lambda_function.py"], "auto", "lambda_function.lambda_handler"),
        (["bootstrap"], "auto", "handler.handler"),
        (["util.py"], "auto", None),
    ],
)
def test_a_folder_has_a_handler_that_one_means(tmp_path, names, runtime, handler):
    folder = lay(tmp_path / "f", *names)
    assert name_handler(folder, runtime) == (None if handler is None else (folder, handler))


def test_a_file_means_itself(tmp_path):
    lay(tmp_path, "orders.mjs", "lambda_function.py")
    assert name_handler(tmp_path / "orders.mjs") == (tmp_path, "orders.handler")
    assert name_handler(tmp_path / "lambda_function.py")[1] == "lambda_function.lambda_handler"


def test_the_interpreter_is_that_of_the_nearest_environment_of_the_repository(tmp_path):
    lay(tmp_path, ".venv/pyvenv.cfg", ".venv/bin/python", "repo/.git/HEAD", "repo/src/app.py")
    folder = tmp_path / "repo" / "src"
    found = PythonRuntime.for_folder("python", folder, interpreter=None)
    assert found.interpreter == Path(sys.executable), "one above the repository is somebody else's"
    lay(tmp_path / "repo", "venv/pyvenv.cfg", "venv/bin/python")
    (tmp_path / "repo/venv/pyvenv.cfg").write_text("home = /usr\nversion = 3.9.2\n")
    found = PythonRuntime.for_folder("python3.12", folder, interpreter=None)
    assert found.interpreter == tmp_path / "repo/venv/bin/python"
    assert found.remark() == "python3.12 is not installed here: your code runs with Python 3.9"


def test_another_version_of_node_is_remarked(node):
    path = node("20.1.0")
    assert NodeRuntime("nodejs20.x", path).remark() == ""
    assert "runs with Node.js 20" in NodeRuntime("nodejs22.x", path).remark()
    assert NodeRuntime("nodejs", path).remark() == ""


def test_runtimes_that_do_the_same_are_equal(tmp_path):
    one, same = (NodeRuntime("nodejs", tmp_path) for _ in range(2))
    assert (one, hash(one)) == (same, hash(same))
    assert one != NodeRuntime("nodejs", tmp_path / "other")
    assert one != PythonRuntime("nodejs", tmp_path)


def test_a_bootstrap_must_be_executable(tmp_path):
    folder = lay(tmp_path / "f", "bootstrap")
    (folder / "bootstrap").chmod(0o644)
    if os.access(folder / "bootstrap", os.X_OK):
        pytest.skip("this user may execute everything")
    with pytest.raises(EnvironmentLacks) as caught:
        find_code(folder, "x.y")
    assert caught.value.hint.startswith("chmod +x")
