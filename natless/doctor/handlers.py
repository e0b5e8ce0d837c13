"""The check of runtimes: a handler of each language is run, as a function's would be."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from natless.doctor.finding import Seen
from natless.errors import EnvironmentLacks, NatlessError
from natless.run_directory import open_run_directory

TIMEOUT = 10.0
"""Seconds for a handler that does nothing; it takes a tenth of one, with its cold start."""

_EVENT = b'{"asked": "by the doctor"}'

_BOOTSTRAP = f"""#!/bin/sh
exec "{sys.executable}" -I -c '
import os, urllib.request
api = "http://%s/2018-06-01/runtime/invocation/" % os.environ["AWS_LAMBDA_RUNTIME_API"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
while True:
    with opener.open(api + "next") as event:
        url = api + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response"
        opener.open(url, data=event.read()).close()
'
"""

LANGUAGES = {
    "Python": ("python", "handler.py", "def handler(event, context):\n    return event\n"),
    "Node.js": ("nodejs", "handler.mjs", "export const handler = async (event) => event;\n"),
    "a bootstrap": ("provided", "bootstrap", _BOOTSTRAP),
}
"""Each language's runtime, file and code: all answer with what they were asked."""


class _Failed(Exception):
    """A handler did not answer; the sentence says what it did instead."""


def check_handlers() -> Seen:
    """Deploys and calls a handler in Python, one in Node.js and one with a bootstrap of its own."""
    with open_run_directory(sweep=False) as scratch:
        broken = asyncio.run(_call_all(scratch))
    if (error := broken.get("Python")) is not None:
        return Seen.lacks(f"a handler in Python does not answer: {error}", _hint(error))
    if (error := broken.get("a bootstrap")) is not None:
        return Seen.warning(
            f"a bootstrap does not answer: {error}",
            "export TMPDIR=$HOME/.cache (a folder in which programs may be executed)",
        )
    if (error := broken.get("Node.js")) is None:
        return Seen.ok(f"handlers answer in {', '.join(LANGUAGES)}")
    if isinstance(error, EnvironmentLacks):
        return Seen.ok(f"handlers answer in Python and by a bootstrap; in Node.js not: {error}")
    return Seen.warning(f"a handler in Node.js does not answer: {error}", _hint(error))


def _hint(error: Exception) -> str:
    return getattr(error, "hint", "") or "Please report it with this output."


async def _call_all(directory: Path) -> dict[str, Exception]:
    """What went wrong, by language."""
    outcomes = await asyncio.gather(
        *(_call(language, directory / LANGUAGES[language][0]) for language in LANGUAGES),
        return_exceptions=True,
    )
    broken: dict[str, Exception] = {}
    for language, outcome in zip(LANGUAGES, outcomes, strict=True):
        if isinstance(outcome, (NatlessError, OSError, _Failed)):
            broken[language] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
    return broken


async def _call(language: str, folder: Path) -> None:
    """Calls a handler as a function on this machine's own network.

    Raises:
        EnvironmentLacks: there is nothing here to run it.
        _Failed: it did not answer.
    """
    from natless.journal import Journal
    from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
    from natless.runtimes.catalogue import find_code

    runtime, file, code = LANGUAGES[language]
    await asyncio.to_thread(_write, folder / file, code)
    found = await asyncio.to_thread(find_code, folder, "handler.handler", runtime=runtime)
    spec = FunctionSpec(
        name="doctor",
        handler=found.handler,
        task_root=folder,
        bootstrap=found.runtime.command(folder),
        timeout=TIMEOUT,
    )
    async with LambdaHost(spec, launcher=HostLauncher(), journal=Journal()) as host:
        result = await host.invoke(_EVENT)
    if result.function_error or json.loads(result.payload) != json.loads(_EVENT):
        raise _Failed(result.payload.decode(errors="replace")[:200])


def _write(path: Path, code: str) -> None:
    path.parent.mkdir()
    path.write_text(code, encoding="utf-8")
    path.chmod(0o755)
