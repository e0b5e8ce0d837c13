"""What the guest is told by its environment, checked once and passed down."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from event_protocol.errors import ChannelError
from event_protocol.phases import Strategy
from runtime_shim.breaker import BreakerRule
from runtime_shim.budgets import Budgets, Profile, budgets_from_environment
from runtime_shim.dialect import DialectName, make_dialect
from runtime_shim.errors import ConfigError
from runtime_shim.routes import Endpoint as Endpoint
from runtime_shim.routes import Proxy, Route, parse_routes, proxy_for

FALLBACKS = {
    Profile.DEFAULT: (Strategy.DEPLOYED, Strategy.HTTP, Strategy.ERROR),
    Profile.SST: (Strategy.FAITHFUL, Strategy.ERROR),
}
"""Who is asked, and in which order, unless ``NATLESS_FALLBACKS`` says otherwise."""

KNOWN_FALLBACKS = tuple(each for each in Strategy if each is not Strategy.WORKER)
SPOOL = Path("/tmp/natless-spool")  # the only place where a function may write
SPOOL_BYTES = 64 * 1024 * 1024  # an environment's /tmp has 512 MiB unless it was given more
OWN_PREFIX = "NATLESS_"  # never handed to anybody's handler: the API key is among them


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
        namespace: the channel namespace; Stelvio has its own.
        function_id: who this function is to the developer's side.
        worker_id: this execution environment, 32 characters.
        fallbacks: strategies in the order they are asked; ``error`` is always the last.
        deployed_command: how the container's own code is started; None for the Python client.
        deployed_after_accepted: whether that code may also answer what the developer's side has
            already taken, and perhaps half done.
        budgets: every wait.
        profile: whose constants and whose transport.
        dialect: how the developer's side is talked to.
        static: the answer of ``static``, or None.
        spool: where ``ok`` keeps events.
        spool_bytes: how much it may keep there.
        routes: other hosts that ``route`` may try.
        proxy: the function's own proxy, or None: the way that is tried first goes through it, as
            SST's bridge does since 3.16.2.
        breaker: when to stop trying to connect, or None.
        seed: of the pauses' randomness, or None for another each time.
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
    fallbacks: tuple[Strategy, ...] = FALLBACKS[Profile.DEFAULT]
    deployed_command: tuple[str, ...] | None = None
    deployed_after_accepted: bool = False
    budgets: Budgets = field(default_factory=Budgets)
    profile: Profile = Profile.DEFAULT
    dialect: DialectName = DialectName.SST
    static: bytes | None = field(default=None, repr=False)
    spool: Path = SPOOL
    spool_bytes: int = SPOOL_BYTES
    routes: tuple[Route, ...] = ()
    proxy: Proxy | None = None
    breaker: BreakerRule | None = None
    seed: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def route(self) -> Route:
        """The way that is tried first."""
        return Route(self.realtime, self.http_host, proxy=self.proxy)

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
        profile = _parse_profile(environment.get("NATLESS_PROFILE", ""))
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
            fallbacks=parse_fallbacks(environment.get("NATLESS_FALLBACKS", ""), profile),
            deployed_command=parse_command(environment.get("NATLESS_DEPLOYED_COMMAND", "")),
            deployed_after_accepted=environment.get("NATLESS_DEPLOYED_AFTER_ACCEPTED") == "1",
            budgets=budgets_from_environment(environment, profile),
            profile=profile,
            dialect=_parse_dialect(environment.get("NATLESS_DIALECT", "")),
            static=parse_static(environment.get("NATLESS_STATIC", "")),
            spool=Path(environment.get("NATLESS_SPOOL") or SPOOL),
            spool_bytes=_parse_count(environment, "NATLESS_SPOOL_BYTES", SPOOL_BYTES),
            routes=parse_routes(environment.get("NATLESS_ROUTES", ""), http_host=http_host),
            breaker=BreakerRule.parse(environment.get("NATLESS_BREAKER", "")),
            seed=_parse_count(environment, "NATLESS_SEED", None),
            environment={k: v for k, v in environment.items() if not k.startswith(OWN_PREFIX)},
        )
        config._check_fallbacks()
        config = replace(config, proxy=config._find_proxy(environment))
        try:
            make_dialect(config)
        except ChannelError as error:
            raise ConfigError(
                "NATLESS_APP, NATLESS_STAGE or NATLESS_NAMESPACE cannot be part of a channel:"
                f" {error}"
            ) from error
        return config

    def _find_proxy(self, environment: Mapping[str, str]) -> Proxy | None:
        """One of a kind that we do not speak is left to those who do, unless routes are a concern.

        Raises:
            ConfigError: ``route`` was asked for, and this cannot be one.
        """
        try:
            return proxy_for(self.realtime.host, environment)
        except ConfigError:
            if Strategy.ROUTE in self.fallbacks:
                raise
            return None

    def _check_fallbacks(self) -> None:
        if Strategy.STATIC in self.fallbacks and self.static is None:
            raise ConfigError("NATLESS_FALLBACKS has static, and NATLESS_STATIC is not set")
        if Strategy.OBSERVE in self.fallbacks and Strategy.FAITHFUL in self.fallbacks:
            raise ConfigError(
                "NATLESS_FALLBACKS has observe and faithful, which exclude each other"
            )


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


def parse_fallbacks(text: str, profile: Profile = Profile.DEFAULT) -> tuple[Strategy, ...]:
    """``deployed,http,error`` as strategies; ``error`` closes every list, whatever was asked.

    ``observe`` is the first of its list wherever it stands: it decides who may answer at all.

    Raises:
        ConfigError: a name that is no fallback.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] or list(FALLBACKS[profile])
    for name in names:
        if name not in KNOWN_FALLBACKS:
            known = ", ".join(KNOWN_FALLBACKS)
            raise ConfigError(f"NATLESS_FALLBACKS: {name!r} is none of {known}")
    wanted = [Strategy(name) for name in names if name != Strategy.ERROR]
    wanted.sort(key=lambda strategy: strategy is not Strategy.OBSERVE)
    return (*dict.fromkeys(wanted), Strategy.ERROR)


def parse_static(text: str) -> bytes | None:
    """The payload of ``NATLESS_STATIC``: JSON, or ``@`` and the path of a file that holds it.

    Raises:
        ConfigError: it is not JSON, or the file cannot be read.
    """
    if not text.strip():
        return None
    try:
        body = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        json.loads(body)
    except OSError as error:
        raise ConfigError(f"NATLESS_STATIC: {text[1:]} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"NATLESS_STATIC is not JSON: {error}") from error
    return body


def _parse_profile(text: str) -> Profile:
    try:
        return Profile(text or Profile.DEFAULT)
    except ValueError as error:
        raise ConfigError(f"NATLESS_PROFILE: {text!r} is none of {', '.join(Profile)}") from error


def _parse_dialect(text: str) -> DialectName:
    try:
        return DialectName(text or DialectName.SST)
    except ValueError as error:
        known = ", ".join(DialectName)
        raise ConfigError(f"NATLESS_DIALECT: {text!r} is none of {known}") from error


def _parse_count(environment: Mapping[str, str], name: str, default: Any) -> Any:  # noqa: ANN401
    text = environment.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"\d{1,18}", text):
        raise ConfigError(f"{name} is {text!r}, not a count")
    return int(text)


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
    if not argv or not argv[0] or not all(isinstance(word, str) for word in argv):
        raise ConfigError("NATLESS_DEPLOYED_COMMAND is not a list of words")
    return tuple(argv)
