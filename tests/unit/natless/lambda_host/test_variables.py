from pathlib import Path

from natless.lambda_host.spec import FunctionSpec
from natless.lambda_host.variables import (
    extension_variables,
    log_stream_name,
    standard_variables,
)

SPEC = FunctionSpec(
    "orders",
    "app.handler",
    Path("/var/task"),
    ("/var/runtime/bootstrap",),
    memory=256,
    environment={"TABLE": "t=1", "AWS_ACCESS_KEY_ID": "mine"},
    region="eu-west-1",
)


def test_a_log_stream_ends_with_32_characters_of_its_own():
    name = log_stream_name(1_542_409_706.0, new_id=lambda: "0123456789abcdef" * 2)
    assert name == "2018/11/16/[$LATEST]" + "0123456789abcdef" * 2


def test_the_environment_is_the_one_that_lambda_documents():
    variables = standard_variables(SPEC, log_stream="stream")
    assert variables["_HANDLER"] == "app.handler"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "orders"
    assert variables["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert variables["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/orders"
    assert variables["AWS_LAMBDA_LOG_STREAM_NAME"] == "stream"
    assert variables["LAMBDA_TASK_ROOT"] == "/var/task"
    assert variables["LANG"] == "en_US.UTF-8"
    assert variables["TZ"] == ":UTC"
    assert variables["PATH"].startswith("/usr/local/bin:")
    assert "AWS_SECRET_ACCESS_KEY" in variables


def test_a_function_sets_its_own_variables_and_credentials():
    variables = standard_variables(SPEC, log_stream="stream")
    assert variables["TABLE"] == "t=1"
    assert variables["AWS_ACCESS_KEY_ID"] == "mine"


def test_what_would_change_the_ways_of_runtime_clients_is_left_out():
    variables = standard_variables(SPEC, log_stream="stream")
    assert not variables.keys() & {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "_X_AMZN_TRACE_ID",
        "AWS_XRAY_DAEMON_ADDRESS",
    }


def test_the_arn_names_region_account_and_function():
    assert SPEC.arn == "arn:aws:lambda:eu-west-1:123456789012:function:orders"


def test_extensions_get_nothing_that_describes_the_runtime_or_its_log():
    everything = standard_variables(
        FunctionSpec("f", "a.b", Path("/t"), ("x",), environment={"MINE": "1", "_PRIVATE": "2"}),
        log_stream="s",
    )
    left = extension_variables({**everything, "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
    gone = {"_HANDLER", "_PRIVATE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"}
    gone |= {"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"}
    assert set(everything) - set(left) == gone
    assert "AWS_EXECUTION_ENV" not in left
