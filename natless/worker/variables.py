"""The environment variables of a handler that runs on the developer's machine.

::

    this machine's own few ◀─ the function's, from INIT ◀─ what INIT leaves out ◀─ the developer's

Later ones win. Nothing else of this machine is inherited: the handler sees what it would see on
Lambda, with the credentials of the function's role.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from natless.lambda_host.spec import VERSION

# Where programs, the home directory and temporary files are, only this machine knows.
_OF_THIS_MACHINE = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")
# Files of the function's container. A missing SSL_CERT_FILE would empty Python's trust.
_FILES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
# They would change which code runs, by paths of another machine.
_NOT_TAKEN = frozenset({"PYTHONHOME", "PYTHONPATH", "LD_PRELOAD", "AWS_LAMBDA_EXEC_WRAPPER"})
_OWN_PREFIX = "NATLESS_"  # the guest's own settings, the key of the channel among them


def handler_variables(
    function: Mapping[str, str],
    *,
    worker_id: str,
    handler: str,
    folder: Path,
    memory: int,
    overrides: Mapping[str, str],
    machine: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Everything but ``AWS_LAMBDA_RUNTIME_API``, which belongs to the process.

    Args:
        function: what INIT brought.
        worker_id: the execution environment, 32 characters.
        handler: ``module.function``.
        folder: where its code is.
        memory: MB.
        overrides: the developer's own.
        machine: the variables of this machine.
    """
    own = {name: machine[name] for name in _OF_THIS_MACHINE if name in machine}
    name = function.get("AWS_LAMBDA_FUNCTION_NAME", "function")
    restored = {
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(folder),
        "LAMBDA_RUNTIME_DIR": str(folder),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"live/[{VERSION}]{worker_id}",
        "NATLESS_LIVE": "true",
        "SST_LIVE": "true",
        "SST_DEV": "true",
    }
    return own | _taken(function, folder) | restored | dict(overrides)


def _taken(function: Mapping[str, str], folder: Path) -> dict[str, str]:
    return {
        name: value
        for name, value in function.items()
        if name not in _NOT_TAKEN
        and not name.startswith(_OWN_PREFIX)
        and not (name in _FILES and not (folder / value).exists())
    }
