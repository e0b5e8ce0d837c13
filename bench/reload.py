"""How long an edit takes: from the save of a file to the first answer of the code that it made.

    python -m bench.reload [--edits 20] [--language python --language esm …]

Each language is a function of the whole development loop: a caller, an imitated Lambda with the
shim, the relay, the worker, the handler's process. The caller calls without a pause from the moment
of the save until an answer comes from the new code; that moment counts. Between edits it waits, as
a developer does, until the process in reserve is there. ``--no-reserve`` measures without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from natless.dev import Dev, open_dev
from natless.journal import Fact, Journal
from natless.measure import Histogram, humanize
from natless.progress import SilentProgress
from natless.runtimes.node import find_esbuild
from natless.settings import Settings, load_settings

TARGET = 0.1  # seconds for Python and Node.js, on two cores
SETTLE = 3.0  # seconds at most until a process is in reserve


@dataclass(frozen=True)
class Language:
    """A handler that answers its version.

    Attributes:
        file: its file.
        code: its text with ``{version}`` in it.
        is_target: whether the target holds for it.
    """

    file: str
    code: str
    is_target: bool = True


LANGUAGES = {
    "python": Language("app.py", "def handler(event, context):\n    return {version}\n"),
    "python+boto3": Language(
        "app.py",
        "import boto3\ndef handler(event, context):\n    return {version}\n",
        is_target=False,  # what a package takes to import is the package's own
    ),
    "esm": Language("app.mjs", "export const handler = async () => {version};\n"),
    "commonjs": Language("app.cjs", "exports.handler = async () => {version};\n"),
    "typescript": Language(
        "app.ts", "const n: number = {version};\nexport const handler = async () => n;\n"
    ),
    "bootstrap": Language(
        "bootstrap",
        f"#!/bin/sh\n# {{version}}\nexec {sys.executable} -c '\n"
        "import json, os, urllib.request as u\n"
        'api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]\n'
        'api += "/2018-06-01/runtime/invocation"\n'
        "while True:\n"
        '    event = u.urlopen(api + "/next")\n'
        '    id = event.headers["Lambda-Runtime-Aws-Request-Id"]\n'
        '    u.urlopen(api + "/" + id + "/response", b"{version}")\n'
        "'\n",
        is_target=False,
    ),
}


def save(folder: Path, language: Language, version: int) -> float:
    """Writes a version in place, as most editors do; monotonic seconds at its end."""
    path = folder / language.file
    path.write_text(language.code.replace("{version}", str(version)))
    path.chmod(0o755)
    return time.monotonic()


@asynccontextmanager
async def loop(folder: Path, *, has_reserve: bool) -> AsyncIterator[tuple[Dev, asyncio.Event]]:
    """The development loop for one function, and an event that says: a process is in reserve."""
    held, journal = asyncio.Event(), Journal()

    def hear(fact: Fact) -> None:
        if fact.kind == "worker.process.held":
            held.set()

    journal.listen(hear)
    settings: Settings = load_settings(
        {
            "function": {"folder": folder, "handler": "app.handler", "name": "bench"},
            "dev": {"port": 0, "environments": 1, "reserves": None if has_reserve else 0},
        },
        file=Path(os.devnull),
    )
    with tempfile.TemporaryDirectory(prefix="natless-") as scratch:
        opened = open_dev(
            settings, journal=journal, progress=SilentProgress(), directory=Path(scratch)
        )
        async with opened as dev:
            yield dev, held


async def measure(language: Language, *, edits: int, has_reserve: bool) -> Histogram:
    """Seconds of each edit."""
    times = Histogram()
    with tempfile.TemporaryDirectory(prefix="natless-bench-") as place:
        folder = Path(place)
        save(folder, language, 0)
        async with loop(folder, has_reserve=has_reserve) as (dev, held):
            host = dev.service.functions["bench"]

            async def ask() -> object:
                result = await host.invoke(b"{}")
                if result.status != 200:
                    raise SystemExit(f"a call failed: {result.payload[:300]!r}")
                return json.loads(result.payload)

            assert await ask() == 0
            for version in range(1, edits + 1):
                try:
                    await asyncio.wait_for(held.wait(), SETTLE)
                except TimeoutError:
                    if has_reserve and language.is_target:
                        print("   no process was in reserve", file=sys.stderr)
                saved = save(folder, language, version)
                held.clear()
                while await ask() != version:
                    pass
                times.add(time.monotonic() - saved)
    return times


def cannot(name: str) -> str:
    """Why a language cannot be measured here; empty if it can."""
    if name in ("esm", "commonjs", "typescript") and shutil.which("node") is None:
        return "node is not installed"
    if name == "typescript" and find_esbuild(Path(tempfile.gettempdir())) is None:
        return "esbuild is not on the PATH"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--language", action="append", choices=LANGUAGES)
    parser.add_argument("--no-reserve", action="store_true")
    options = parser.parse_args()
    is_missed = False
    for name in options.language or LANGUAGES:
        language = LANGUAGES[name]
        if reason := cannot(name):
            print(f"{name:13} left out: {reason}")
            continue
        times = asyncio.run(
            measure(language, edits=options.edits, has_reserve=not options.no_reserve)
        )
        p = times.summarize()
        target = f"target {humanize(TARGET)}" if language.is_target else "no target"
        print(
            f"{name:13} p50 {humanize(p.p50):>8}   p90 {humanize(p.p90):>8}   "
            f"p99 {humanize(p.p99):>8}   n {p.count}   {target}",
            flush=True,
        )
        is_missed |= language.is_target and p.p50 > TARGET
    sys.exit(is_missed)


if __name__ == "__main__":
    main()
