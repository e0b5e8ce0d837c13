"""Functions of a few lines, hosted for real and callable through their doors."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from natless.journal import Fact, Journal
from natless.lambda_host.destinations import EventConfig
from natless.lambda_host.door import listen_on_loopback, open_door
from natless.lambda_host.function_url import make_function_url
from natless.lambda_host.host import FunctionSpec, HostLauncher, LambdaHost
from natless.lambda_host.invoke_api import make_invoke_api
from natless.lambda_host.service import EventBudgets, LambdaService
from natless.worker.process import python_client
from tests.shell.lambda_scripts import until

EVENTS = EventBudgets(retries=(0.01, 0.01), throttle_first=0.01, queued_count=3)


@dataclass
class Stage:
    endpoint: str
    url: str
    service: LambdaService
    host: LambdaHost
    facts: list[Fact] = field(default_factory=list)

    def boto3(self, *, attempts: int = 1) -> Any:
        return boto3.client(
            "lambda",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": attempts}),
        )

    async def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call of boto3, which blocks, from a thread."""

        def call() -> dict[str, Any]:
            client = self.boto3()
            try:
                answer = getattr(client, operation)(**parameters)
                if "Payload" in answer:
                    with answer["Payload"] as stream:
                        answer["Payload"] = stream.read()
            finally:
                client.close()
            return answer

        return await asyncio.to_thread(call)

    def of(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind == kind]

    async def wait(self, kind: str, count: int = 1) -> list[Fact]:
        await until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)


@asynccontextmanager
async def open_stage(
    folder: Path,
    code: str,
    *,
    concurrency: int = 2,
    timeout: float = 20.0,
    events: EventBudgets = EVENTS,
    hosts: tuple[str, ...] = (),
    configs: Mapping[str, EventConfig] | None = None,
    other: Callable[[FunctionSpec], FunctionSpec] = lambda spec: spec,
) -> AsyncIterator[Stage]:
    """Two functions of the same code, ``orders`` and ``mail``; the first one has a URL."""
    (folder / "app.py").write_text(textwrap.dedent(code))
    facts: list[Fact] = []
    journal = Journal()
    journal.listen(facts.append)
    async with AsyncExitStack() as stack:
        made = []
        for name in ("orders", "mail"):
            spec = FunctionSpec(
                name=name,
                handler="app.handler",
                task_root=folder,
                bootstrap=(sys.executable, "-I", "-B", str(python_client())),
                timeout=timeout,
            )
            host = LambdaHost(
                other(spec), launcher=HostLauncher(), journal=journal, concurrency=concurrency
            )
            made.append(await stack.enter_async_context(host))
        service = await stack.enter_async_context(
            LambdaService(made, journal=journal, budgets=events, configs=configs)
        )
        sockets = [listen_on_loopback(0, purpose="a test") for _ in range(2)]
        invoke = await stack.enter_async_context(open_door(make_invoke_api(service), sockets[0]))
        url_app = make_function_url(service, "orders", hosts=hosts)
        url = await stack.enter_async_context(open_door(url_app, sockets[1]))
        service.urls["orders"] = f"http://127.0.0.1:{url}/"
        yield Stage(f"http://127.0.0.1:{invoke}", service.urls["orders"], service, made[0], facts)
