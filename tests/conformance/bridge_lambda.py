"""SST's released bridge, unmodified, as the runtime of a function of ours in the lab.

::

    caller ─ LambdaHost ─ Runtime API ─ bridge (function's namespace) ─ 443 ─ relay ─ developer

The function's environment is what SST's component sets, and nothing else.
"""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import pytest

from natless.lab import VpcLauncher
from natless.lambda_host.host import FunctionSpec, HostBudgets, LambdaHost
from natless.shim_archive import shim_archive
from natless.worker import Worker, WorkerConfig
from tests.conformance.bridge_binary import cut_bridge
from tests.conformance.field import Field
from tests.conformance.installed import derived, node_clients
from tests.golden.relay import ACCESS_KEY_ID, API_KEY, REGION, SECRET
from tests.shell.worker_channel import Facts

APP, STAGE, FUNCTION_ID = "app", "dev", "fn"


def sst_command_line() -> Path:
    """The released ``sst``, or a skip that says why there is none."""
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        pytest.skip("the released bridge runs on x86-64 with glibc only")
    command_line = node_clients() / "node_modules/sst-linux-x64/bin/sst"
    if not command_line.exists():
        pytest.skip("npm did not install sst-linux-x64 here")
    return command_line


def bridge_binary() -> Path:
    """The bridge that it carries."""
    return derived("sst-bridge", sst_command_line(), cut_bridge)


def sst_environment(field: Field, *, http: str = "", realtime: str = "") -> dict[str, str]:
    """What SST's component gives a function in dev mode, and credentials of its role.

    Args:
        field: where it lives.
        http: the host to publish to, when it is not the API's.
        realtime: the host to connect to, likewise.
    """
    # A relative path, as the bridge tells its whole environment to the developer's side.
    shutil.copy(field.ca, field.directory / "ca.pem")
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SSL_CERT_FILE": "ca.pem",
        "SST_APP": APP,
        "SST_STAGE": STAGE,
        "SST_FUNCTION_ID": FUNCTION_ID,
        "SST_REGION": REGION,
        "SST_APPSYNC_HTTP": http or field.vpc.api.http_host,
        "SST_APPSYNC_REALTIME": realtime or field.vpc.api.realtime_host,
    }


def bridge_function(
    field: Field,
    facts: Facts,
    *,
    timeout: float = 20.0,
    init: float = 10.0,
    concurrency: int = 1,
    **environment: str,
) -> LambdaHost:
    """The function, to be entered.

    Args:
        field: where it lives.
        facts: takes its log.
        timeout: seconds, of the function.
        init: seconds until Lambda gives its init phase up; Lambda's own are 10.
        concurrency: how many execution environments there may be.
        environment: in place of what :func:`sst_environment` says.
    """
    spec = FunctionSpec(
        name="hello",
        handler="bootstrap",
        task_root=field.directory,
        bootstrap=(str(bridge_binary()),),
        timeout=timeout,
        region=REGION,
        environment=sst_environment(field) | environment,
    )
    return LambdaHost(
        spec,
        launcher=VpcLauncher(field.vpc),
        journal=facts.journal,
        concurrency=concurrency,
        budgets=HostBudgets(init=init),
    )


def shim_function(
    field: Field, facts: Facts, *, concurrency: int = 1, **environment: str
) -> LambdaHost:
    """The same function with our shim in the bridge's place; to be entered."""
    spec = FunctionSpec(
        name="hello",
        handler="handler.handler",
        task_root=field.directory,
        bootstrap=(sys.executable, "-I", str(shim_archive())),
        region=REGION,
        environment={
            "NATLESS_REALTIME": field.vpc.api.realtime_host,
            "NATLESS_HTTP": field.vpc.api.http_host,
            "NATLESS_API_KEY": API_KEY,
            "NATLESS_CA": str(field.ca),
            "NATLESS_APP": APP,
            "NATLESS_STAGE": STAGE,
            "NATLESS_FUNCTION_ID": FUNCTION_ID,
            "NATLESS_FALLBACKS": "error",
        }
        | environment,
    )
    return LambdaHost(
        spec, launcher=VpcLauncher(field.vpc), journal=facts.journal, concurrency=concurrency
    )


def natless_worker(field: Field, facts: Facts, folder: Path, *, name: str = "handler") -> Worker:
    """Our worker on the developer's side, which is the host's loopback; to be entered."""
    config = WorkerConfig(
        url=f"wss://localhost:{field.local_port}/event/realtime",
        host=field.vpc.api.http_host,
        api_key=API_KEY,
        app=APP,
        stage=STAGE,
        folder=folder,
        handler=f"{name}.handler",
        ca=field.ca,
    )
    return Worker(config, facts.journal)


def log_of(facts: Facts, *, platform_lines: bool = True) -> str:
    """What stands in the function's log: its own lines and Lambda's, one a line."""
    kinds = {"lambda.log", "lambda.platform"} if platform_lines else {"lambda.log"}
    return "\n".join(str(fact.data["line"]) for fact in facts if fact.kind in kinds)
