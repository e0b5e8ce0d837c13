import io
import subprocess
import sys
import zipfile

from natless.container.archives import build_agent


def test_equal_sources_give_equal_bytes():
    assert build_agent() == build_agent()


def test_the_agent_needs_nothing_but_the_standard_library(tmp_path):
    path = tmp_path / "agent.pyz"
    path.write_bytes(build_agent())
    tried = subprocess.run(
        [sys.executable, "-I", "-S", str(path), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert "function-net" in tried.stdout


def test_the_agent_can_do_its_duties_from_the_archive_alone(tmp_path):
    path = tmp_path / "agent.pyz"
    path.write_bytes(build_agent())
    code = (
        f"import sys; sys.path.insert(0, {str(path)!r});"
        "import natless.container.agent, natless.container.duties;"
        "print(natless.container.duties.__file__)"
    )
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert str(path) in tried.stdout


def test_no_secret_and_no_test_is_in_it():
    names = zipfile.ZipFile(io.BytesIO(build_agent())).namelist()
    assert all(name.endswith(".py") for name in names)
