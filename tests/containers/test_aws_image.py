"""The guest in an image made for Lambda, which has nothing of ours in it."""

import json
import subprocess

import pytest

from tests.containers.conftest import run_loop

OVERRIDE = "docker/aws-image/compose.yaml"


@pytest.fixture(scope="module")
def loop(engine, tmp_path_factory):
    with run_loop(tmp_path_factory.mktemp("app"), OVERRIDE) as loop:
        yield loop


def test_the_image_has_nothing_of_ours(loop):
    image = loop.containers()["function"]["Image"]
    listed = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "sh", image, "-c", "ls /opt; pip list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "natless" not in listed.stdout.lower()


def test_the_images_own_start_script_hands_over_to_the_guest(loop):
    loop.change("nat")
    assert loop.invoke()["message"] == "Hello from the developer code!"
    running = loop.compose("exec", "-T", "function", "sh", "-c", "cat /proc/[0-9]*/cmdline")
    assert "/var/lang/bin/python3\0-I\0/dev/shm/natless/archives/natless-shim.pyz" in running


def test_without_a_way_out_the_code_in_the_image_answers(loop):
    loop.change("no-nat")
    assert loop.invoke()["message"] == "Hello from the deployed code!"
    assert loop.verdict()["cause"] == "no-route-out"


def test_the_function_still_has_no_powers(loop):
    known = loop.containers()["function"]
    assert known["Config"]["User"] == "1000:1000"
    status = loop.compose("exec", "-T", "function", "grep", "Cap", "/proc/1/status")
    assert {line.split()[1] for line in status.splitlines()} == {"0" * 16}


def test_what_the_image_sets_reaches_the_function(loop):
    known = loop.containers()["function"]
    environment = dict(each.split("=", 1) for each in known["Config"]["Env"])
    assert environment["MADE_BY"] == "the-image"
    handler = loop.folder / "handler.py"
    loop.change("nat")
    handler.write_text(
        "import json, os\n\n"
        "def handler(event, context):\n"
        "    return {'body': json.dumps({'made_by': os.environ.get('MADE_BY')})}\n"
    )
    seen = json.dumps({"made_by": "the-image"})
    for _ in range(200):
        answer = loop.ask("/invoke", method="POST", body=b"{}").json()
        if answer["body"] == seen:
            return
    raise AssertionError(answer)
