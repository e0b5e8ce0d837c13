"""What the guest is told by its environment, checked once and passed down."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from event_protocol.errors import ChannelError
from event_protocol.live import worker_channel
from event_protocol.phases import Strategy
from runtime_shim.budgets import Budgets, budgets_from_environment
from runtime_shim.errors import ConfigError

FALLBACKS = (Strategy.DEPLOYED, Strategy.HTTP, Strategy.ERROR)
OWN_PREFIX = "NATLESS_"  # never handed to anybody's handler: the API key is among them


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port, as in ``host`` or ``host:port``; 443 unless said."""

    host: str
    port: int = 443

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Raises ``ValueError`` for what is not a bare host with an optional port."""
        match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s/:@\[\]]+)(?::(\d{1,5}))?", text)
        if match is None:
            raise ValueError("not a bare host")
        port = int(match[2] or 443)
        if not 0 < port < 65536:
            raise ValueError("not a port")
        return cls(match[1].strip("[]"), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ShimConfig:
    """Everything the guest needs to know.

    Attributes:
        runtime_api: ``host:port`` of the Runtime API.
        realtime: where the channel is opened.
        http_host: the API's HTTP host as the authorization names it.
        api_key: the secret of the channel; never printed.
        ca: a PEM file that is trusted in place of the system's, or None.
        app: the first segment of the channels below the namespace.
        stage: the second.
        namespace: the channel namespace.
        function_id: who this function is to the developer's side.
        worker_id: this execution environment, 32 characters.
        fallbacks: strategies in the order they are asked; ``error`` is always the last.
        deployed_command: how the container's own code is started; None for the Python client.
        deployed_after_accepted: whether that code may also answer what the developer's side has
            already taken, and perhaps half done.
        budgets: every wait.
        environment: the variables that the developer's side may see, the guest's own left out.
    """

    runtime_api: str
    realtime: Endpoint
    http_host: str
    api_key: str = field(repr=False)
    ca: Path | None
    app: str
    stage: str
    namespace: str
    function_id: str
    worker_id: str
    fallbacks: tuple[Strategy, ...] = FALLBACKS
    deployed_command: tuple[str, ...] | None = None
    deployed_after_accepted: bool = False
    budgets: Budgets = field(default_factory=Budgets)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ShimConfig:
        """Reads ``NATLESS_…`` and Lambda's own variables.

        Raises:
            ConfigError: the first variable that is missing or impossible.
        """
        required = _Required(environment)
        try:
            realtime = Endpoint.parse(required("NATLESS_REALTIME"))
            http_host = required("NATLESS_HTTP")
            Endpoint.parse(http_host)
        except ValueError as error:
            raise ConfigError(
                f"NATLESS_REALTIME or NATLESS_HTTP is {error}: expected host or host:port"
            ) from error
        config = cls(
            runtime_api=required("AWS_LAMBDA_RUNTIME_API"),
            realtime=realtime,
            http_host=http_host,
            api_key=required("NATLESS_API_KEY"),
            ca=_readable_file(environment, "NATLESS_CA"),
            app=required("NATLESS_APP"),
            stage=required("NATLESS_STAGE"),
            namespace=environment.get("NATLESS_NAMESPACE") or "sst",
            function_id=required("NATLESS_FUNCTION_ID"),
            worker_id=worker_id(environment.get("AWS_LAMBDA_LOG_STREAM_NAME", "")),
            fallbacks=parse_fallbacks(environment.get("NATLESS_FALLBACKS", "")),
            deployed_command=parse_command(environment.get("NATLESS_DEPLOYED_COMMAND", "")),
            deployed_after_accepted=environment.get("NATLESS_DEPLOYED_AFTER_ACCEPTED") == "1",
            budgets=budgets_from_environment(environment),
            environment={k: v for k, v in environment.items() if not k.startswith(OWN_PREFIX)},
        )
        try:
            worker_channel(config.app, config.stage, config.worker_id, config.namespace)
        except ChannelError as error:
            raise ConfigError(
                "NATLESS_APP, NATLESS_STAGE or NATLESS_NAMESPACE cannot be part of a channel:"
                f" {error}"
            ) from error
        return config


class _Required:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str) -> str:
        value = self._environment.get(name, "")
        if not value:
            raise ConfigError(f"{name} is not set")
        return value


def _readable_file(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "")
    if not text:
        return None
    path = Path(text)
    if not path.is_file():
        raise ConfigError(f"{name} is {text}, which is not a file")
    return path


def worker_id(log_stream: str) -> str:
    """The last 32 characters of the log stream's name, which on AWS are hexadecimal digits.

    A shorter name, or one that a channel cannot hold (a local emulator's ``$LATEST``), gives a
    random id: the environment then still has a channel of its own.
    """
    tail = log_stream[-32:]
    return tail if re.fullmatch(r"[A-Za-z0-9-]{32}", tail) else secrets.token_hex(16)


def parse_fallbacks(text: str) -> tuple[Strategy, ...]:
    """``deployed,http,error`` as strategies; ``error`` closes every list, whatever was asked.

    Raises:
        ConfigError: a name that is no fallback.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] or list(FALLBACKS)
    for name in names:
        if name not in FALLBACKS:
            raise ConfigError(f"NATLESS_FALLBACKS: {name!r} is none of {', '.join(FALLBACKS)}")
    wanted = [Strategy(name) for name in names if name != Strategy.ERROR]
    return (*dict.fromkeys(wanted), Strategy.ERROR)


def parse_command(text: str) -> tuple[str, ...] | None:
    """A command line as a JSON list or as a shell would split it; None when there is none.

    Raises:
        ConfigError: neither.
    """
    if not text.strip():
        return None
    try:
        argv = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"NATLESS_DEPLOYED_COMMAND cannot be read: {error}") from error
    if not argv or not all(isinstance(word, str) and word for word in argv):
        raise ConfigError("NATLESS_DEPLOYED_COMMAND is not a list of words")
    return tuple(argv)
