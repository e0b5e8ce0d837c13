"""Calls the project's function as Lambda would: with SST's own bridge in it, or natless's shim.

``python3 invoke.py bridge '{"name":"world"}'`` in the project's folder, after ``sst dev`` has
unpacked its platform there. The channel is a relay at localhost:8443, as in the how-to.
"""

import asyncio
import os
import sys
from pathlib import Path

from natless.journal import Fact, Journal
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.shim_archive import shim_archive

RELAY = "localhost:8443"
BRIDGE = Path(".sst/platform/dist/bridge/bootstrap").resolve()
# What SST's component gives a function in dev mode …
SST = {
    "SST_APP": "app",
    "SST_STAGE": "dev",
    "SST_FUNCTION_ID": "fn",
    "SST_REGION": "us-east-1",
    "SST_APPSYNC_HTTP": RELAY,
    "SST_APPSYNC_REALTIME": RELAY,
}
# … and what our shim is told instead.
SHIM = {
    "NATLESS_APP": "app",
    "NATLESS_STAGE": "dev",
    "NATLESS_FUNCTION_ID": "fn",
    "NATLESS_HTTP": RELAY,
    "NATLESS_REALTIME": RELAY,
    "NATLESS_CA": os.environ["SSL_CERT_FILE"],
    "NATLESS_API_KEY": "da2-local",
    "NATLESS_FALLBACKS": "error",
}
ROLE = {
    name: os.environ[name]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SSL_CERT_FILE")
}


def describe(guest: str) -> FunctionSpec:
    """The function: SST's default timeout, and one of two guests as its runtime."""
    shim = (sys.executable, "-I", str(shim_archive()))
    return FunctionSpec(
        name="hello",
        handler="src/hello.handler",
        task_root=Path.cwd(),
        bootstrap=(str(BRIDGE),) if guest == "bridge" else shim,
        timeout=20.0,
        environment={**ROLE, "AWS_SESSION_TOKEN": "", **(SST if guest == "bridge" else SHIM)},
    )


def show(fact: Fact) -> None:
    """Prints the function's log, as CloudWatch would keep it."""
    if fact.kind in {"lambda.log", "lambda.platform"}:
        print(fact.data["line"], file=sys.stderr)


async def main(guest: str, *events: str) -> None:
    journal = Journal()
    journal.listen(show)
    async with LambdaHost(describe(guest), launcher=HostLauncher(), journal=journal) as function:
        for event in events:
            result = await function.invoke(event.encode())
            print(result.function_error or "ok", result.payload.decode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
