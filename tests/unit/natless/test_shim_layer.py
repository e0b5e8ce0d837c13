from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from natless.cli.__main__ import app
from natless.errors import ComponentFailed
from natless.shim_archive import NAME
from natless.shim_layer import LAYER_NAME, build_shim


def test_the_layer_holds_the_guest_and_two_programs(tmp_path: Path) -> None:
    guest, layer = build_shim(tmp_path)
    with zipfile.ZipFile(layer.path) as file:
        modes = {each.filename: each.external_attr >> 16 & 0o777 for each in file.infolist()}
        assert file.read(f"natless/{NAME}") == guest.path.read_bytes()
    assert modes == {"bootstrap": 0o755, f"natless/{NAME}": 0o644, "natless/wrapper": 0o755}


def test_equal_sources_give_an_equal_layer(tmp_path: Path) -> None:
    first, second = build_shim(tmp_path / "a"), build_shim(tmp_path / "b")
    assert [each.sha256 for each in first] == [each.sha256 for each in second]
    assert first[1].path.read_bytes() == second[1].path.read_bytes()


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComponentFailed) as caught:
        build_shim(tmp_path / "file")
    assert "--out" in caught.value.hint


def test_the_command_tells_machines_what_it_wrote(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["shim", "build", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0
    files = json.loads(result.stdout)["files"]
    assert [Path(each["path"]).name for each in files] == [NAME, LAYER_NAME]
    assert all(Path(each["path"]).stat().st_size == each["bytes"] for each in files)
