"""The copy of a function's folder that AWS would have."""

import os
from pathlib import Path

import pytest

from natless.deployed import deploy
from natless.errors import UsageError
from natless.runtimes import Code
from natless.runtimes.python import PythonRuntime


@pytest.fixture
def code(tmp_path: Path) -> Code:
    source = tmp_path / "handler.py"
    source.write_text("def handler(event, context): ...\n")
    return Code(tmp_path, "handler.handler", PythonRuntime("python", None), source)


def test_a_run_whose_folder_lies_in_the_functions_own_is_not_copied_into_itself(code):
    scratch = code.folder / "tmp" / "natless-1"
    scratch.mkdir(parents=True)
    (scratch / "server-key.pem").write_text("secret")
    (code.folder / "lib").mkdir()
    (code.folder / "lib" / "price.py").touch()
    deployed = deploy(code, scratch / "task")
    names = {str(path.relative_to(deployed.folder)) for path in deployed.folder.rglob("*")}
    assert names == {"handler.py", "lib", "lib/price.py"}
    assert deployed.source == scratch / "task" / "handler.py"


def test_what_cannot_be_copied_is_told_in_one_sentence(code, tmp_path_factory):
    os.mkfifo(code.folder / "pipe")
    with pytest.raises(UsageError, match=r"cannot be deployed: .*named pipe") as raised:
        deploy(code, tmp_path_factory.mktemp("run") / "task")
    assert raised.value.hint
