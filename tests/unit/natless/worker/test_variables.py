from pathlib import Path

import pytest

from natless.worker.variables import handler_variables

MACHINE = {"PATH": "/bin", "HOME": "/home/dev", "SECRET_OF_DEV": "mine", "LANG": "C.UTF-8"}


def variables(function=None, *, folder=Path("/code"), **overrides):
    return handler_variables(
        function or {},
        worker_id="w" * 32,
        handler="app.handler",
        folder=folder,
        memory=256,
        overrides=overrides,
        machine=MACHINE,
    )


def test_a_handler_sees_the_function_and_not_the_developers_shell():
    seen = variables({"TABLE": "orders", "AWS_REGION": "eu-west-1"})
    assert (seen["TABLE"], seen["AWS_REGION"]) == ("orders", "eu-west-1")
    assert (seen["PATH"], seen["HOME"]) == ("/bin", "/home/dev")
    assert "SECRET_OF_DEV" not in seen


def test_a_handler_can_tell_that_it_runs_live():
    seen = variables()
    assert seen["NATLESS_LIVE"] == seen["SST_LIVE"] == seen["SST_DEV"] == "true"


def test_what_a_guest_leaves_out_is_put_back():
    seen = variables({"AWS_LAMBDA_FUNCTION_NAME": "orders"})
    assert seen["_HANDLER"] == "app.handler"
    assert seen["LAMBDA_TASK_ROOT"] == "/code"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert seen["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/orders"
    assert seen["AWS_LAMBDA_LOG_STREAM_NAME"].endswith("w" * 32)


def test_the_developers_own_variables_win():
    assert variables({"TABLE": "theirs"}, TABLE="mine", PATH="/other")["TABLE"] == "mine"


def test_the_settings_of_the_guest_are_not_the_handlers():
    assert "NATLESS_API_KEY" not in variables({"NATLESS_API_KEY": "da2-secret"})


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "LD_PRELOAD"])
def test_paths_of_the_container_do_not_choose_the_code(name):
    assert name not in variables({name: "/opt/python"})


def test_a_certificate_file_of_the_container_is_taken_only_if_it_is_here(tmp_path):
    here = tmp_path / "ca.pem"
    here.write_text("")
    assert "SSL_CERT_FILE" not in variables({"SSL_CERT_FILE": "/container/ca.pem"})
    assert variables({"SSL_CERT_FILE": str(here)})["SSL_CERT_FILE"] == str(here)
    relative = {"SSL_CERT_FILE": "ca.pem"}
    assert variables(relative, folder=tmp_path)["SSL_CERT_FILE"] == "ca.pem"
    assert "SSL_CERT_FILE" not in variables(relative, folder=tmp_path / "elsewhere")
