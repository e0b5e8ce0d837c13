"""The environment variables and the identity of one execution environment.

Names and values as in the AWS Lambda developer guide, "Defined runtime environment variables".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from natless.lambda_host.spec import VERSION, FunctionSpec

# Shaped like the credentials of a role, valid nowhere; a function's own environment overrides them.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIANATLESSEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "natless/imitated/secret/access/key/00000",
    "AWS_SESSION_TOKEN": "natless-imitated-session-token",
}


def log_stream_name(wall: float, *, new_id: Callable[[], str]) -> str:
    """``YYYY/MM/DD/[$LATEST]<32 hex>``; bridges take its last 32 characters as their name.

    Args:
        wall: seconds since 1970.
        new_id: makes the 32 characters.
    """
    day = datetime.fromtimestamp(wall, UTC)
    return f"{day:%Y/%m/%d}/[{VERSION}]{new_id()}"


def standard_variables(spec: FunctionSpec, *, log_stream: str) -> dict[str, str]:
    """Everything but ``AWS_LAMBDA_RUNTIME_API``, which belongs to the process.

    ``AWS_EXECUTION_ENV`` is left out as for OS-only runtimes: it names a managed runtime, and
    runtime clients change their ways by it. No X-Ray daemon is named, since nothing listens there.
    """
    return {
        "_HANDLER": spec.handler,
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_TASK_ROOT": str(spec.task_root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        **_CREDENTIALS,
        **spec.environment,
    }


_NOT_FOR_EXTENSIONS = frozenset({"AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"})


def extension_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What of a runtime's variables its extensions get.

    AWS Lambda developer guide, "Using the Lambda Extensions API", environment variables: none that
    describes the runtime or its log.
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _NOT_FOR_EXTENSIONS and not name.startswith(("_", "AWS_LAMBDA_LOG_"))
    }
