from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from natless import shim_archive as module
from natless.errors import ComponentFailed
from natless.shim_archive import NAME, python_runtime_path, shim_archive


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_archive_holds_the_guest_and_nothing_compiled_from_c(tmp_path: Path) -> None:
    path = shim_archive(tmp_path)
    assert path.name == NAME
    held = names(path)
    assert {"__main__.py", "runtime_shim/shim.py", "event_protocol/frames.py"} <= held
    assert {"websockets/client.py", "runtime_shim/fallbacks/deployed.pyc"} <= held
    assert not [name for name in held if not name.endswith((".py", ".pyc"))]
    assert not [name for name in held if name.split("/")[0] in {"natless", "relay"}]


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    first, second = shim_archive(tmp_path / "a"), shim_archive(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.parent.name == second.parent.name


def test_an_archive_that_is_there_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shim_archive(tmp_path)
    monkeypatch.setattr(module, "_build", lambda _: pytest.fail("built again"))
    assert shim_archive(tmp_path) == first
    assert list(first.parent.iterdir()) == [first], "no temporary file is left"


def test_other_sources_are_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shim_archive(tmp_path)
    monkeypatch.setattr(module, "FORMAT", b"another")
    assert shim_archive(tmp_path) != first


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComponentFailed) as caught:
        shim_archive(tmp_path / "file")
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert shim_archive().is_relative_to(tmp_path / "natless" / "shim")


def test_every_import_of_the_guest_is_in_the_archive_or_in_the_standard_library(
    tmp_path: Path,
) -> None:
    held = {name.split("/")[0] for name in names(shim_archive(tmp_path)) if "/" in name}
    allowed = held | set(sys.stdlib_module_names)
    for path in python_runtime_path().parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            assert {name.split(".")[0] for name in found} <= allowed, path


def test_looking_for_the_guest_does_not_import_it() -> None:
    code = (
        "import sys; from natless.shim_archive import shim_archive, python_runtime_path;"
        "python_runtime_path(); list(__import__('natless.shim_archive').shim_archive._sources());"
        "sys.exit('runtime_shim' in sys.modules or 'websockets' in sys.modules)"
    )
    root = python_runtime_path().parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
