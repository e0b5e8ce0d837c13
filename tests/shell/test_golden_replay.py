"""Every recorded client speaks again, without being installed, and hears what it heard."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from natless.certificates import Authority, CertificatePair, aws_names
from tests.golden.relay import (
    API_KEY,
    LABEL,
    REGION,
    SECRET,
    USER_POOL_CONFIG,
    RunningRelay,
    start_relay,
)
from tests.golden.replay import Differs, Streams, replay
from tests.golden.transcript import Line, load

GOLDEN = Path(__file__).parent.parent / "golden"
TRANSCRIPTS = sorted(path.stem for path in GOLDEN.glob("*.jsonl"))


class Stage:
    """A relay for replays, and the way to it."""

    def __init__(self, directory: Path, stack: AsyncExitStack, *, config: str) -> None:
        self._config = config
        authority = Authority.for_user(directory / "ca")
        self._ca = authority.ca_path
        self._served: CertificatePair = authority.issue(
            [*aws_names(REGION), "127.0.0.1"], directory=directory
        )
        self._tls = ssl.create_default_context(cafile=str(self._ca))
        self._directory = directory
        self._stack = stack
        self._relay: RunningRelay | None = None

    async def stop(self) -> None:
        assert self._relay is not None
        await self._relay.stop()

    async def start(self) -> None:
        self._relay = await self._stack.enter_async_context(
            start_relay(
                certificate=self._served,
                ca=self._ca,
                directory=self._directory,
                config=self._config,
            )
        )

    async def known(self) -> dict[str, str]:
        """What stands for placeholders here."""
        assert self._relay is not None
        known = {"api-key": API_KEY}
        return known | {"jwt": await self._relay.mint()} if self._config else known

    async def connect(self) -> Streams:
        assert self._relay is not None
        host = f"{LABEL}.appsync-api.{REGION}.amazonaws.com"
        return await asyncio.open_connection(
            "127.0.0.1", self._relay.port, ssl=self._tls, server_hostname=host
        )


async def play(lines: list[Line], directory: Path) -> int:
    async with AsyncExitStack() as stack:
        needs_token = any("<jwt>" in str(line) for line in lines)
        stage = Stage(directory, stack, config=USER_POOL_CONFIG if needs_token else "")
        await stage.start()
        return await replay(
            lines,
            connect=stage.connect,
            stop=stage.stop,
            start=stage.start,
            known=await stage.known(),
            secret=SECRET,
        )


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_the_relay_answers_a_recorded_client_as_it_did(name: str, tmp_path: Path) -> None:
    lines = load(GOLDEN / f"{name}.jsonl")
    compared = await play(lines, tmp_path)
    assert compared == sum(line.get("from") == "relay" for line in lines) > 0


async def test_a_relay_that_answers_otherwise_is_noticed(tmp_path: Path) -> None:
    lines = load(GOLDEN / "websockets.jsonl")
    (at, line) = next(
        (at, line) for at, line in enumerate(lines) if '"subscribe_success"' in line.get("text", "")
    )
    lines[at] = line | {"text": line["text"].replace('","type":', '", "type":')}
    with pytest.raises(Differs, match=f"line {at + 1}"):
        await play(lines, tmp_path)
