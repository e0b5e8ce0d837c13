"""The drawing of the rooms holds, and nothing in the tree hides a dependency."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("event_protocol", "relay", "runtime_shim", "natless")


def modules() -> list[str]:
    found = []
    for room in ROOMS:
        package = importlib.import_module(room)
        found.append(room)
        found += [info.name for info in pkgutil.walk_packages(package.__path__, f"{room}.")]
    return sorted(name for name in found if not name.endswith("__main__"))


IMPORT_EACH = """
import gc, importlib, os, sys

rooms, names = sys.argv[1].split(","), sys.argv[2:]
ends = os.pipe()
if (lister := os.fork()) == 0:
    for name in names:
        importlib.import_module(name)
    foreign = [name for name in sys.modules if name.partition(".")[0] not in rooms]
    os.write(ends[1], "\\n".join(foreign).encode())
    os._exit(0)
os.close(ends[1])
for name in open(ends[0]).read().split():  # imported once, for all that follow
    try:
        importlib.import_module(name)
    except ImportError:  # an alias of a module that is there
        continue
os.waitpid(lister, 0)
gc.freeze()
failed, running = False, 0
for name in names:
    if running == os.cpu_count():
        failed |= os.wait()[1] != 0
        running -= 1
    running += 1
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, repr(error), flush=True)
            os._exit(1)
        os._exit(0)
for _ in range(running):
    failed |= os.wait()[1] != 0
sys.exit(failed)
"""


def test_every_module_can_be_imported_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, ",".join(ROOMS), *modules()],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_architecture_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_no_folder_of_ours_hides_the_docker_sdk() -> None:
    import docker

    assert docker.__file__ is not None
    assert ROOT not in Path(docker.__file__).parents or ".venv" in docker.__file__
    assert not list((ROOT / "docker").rglob("*.py"))


def test_no_test_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_that_it_is_typed(room: str) -> None:
    assert (ROOT / room / "py.typed").exists()


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z", *patterns], capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_the_lock_pins_hashes_and_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "index-url" not in text


def test_no_tracked_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("registry", "npmjs"), ("deb", "debian"))
    ]
    for path in tracked():
        if path.suffix in {".png", ".gz"} or not path.exists():
            continue
        text = path.read_text(errors="replace")
        for host in hosts:
            assert host not in text, f"{path} names {host}"
        assert "/work/" + "main" not in text, path


def test_no_module_has_a_name_that_hides_the_missing_noun() -> None:
    forbidden = {"utils.py", "helpers.py", "manager.py", "misc.py", "common.py"}
    assert not [path for path in tracked("*.py") if path.name in forbidden]
