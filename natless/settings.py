"""What a user may set: the command line over the environment over ``natless.toml`` over defaults.

The environment uses ``NATLESS_`` and two underscores between a section and its key, such as
``NATLESS_DEMO__INVOCATIONS=50``. This is the only file that reads settings; every room below gets
plain frozen dataclasses.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from natless.errors import UsageError
from natless.runtimes.catalogue import AUTO, RUNTIMES

SETTINGS_FILE = "natless.toml"


def example_folder() -> Path:
    """The example that comes with natless: in a checkout beside the rooms, else in the package."""
    here = Path(__file__).parent
    installed = here / "examples" / "hello"
    return installed if installed.is_dir() else here.parent / "examples" / "hello"


FUNCTION_NAME = r"^[A-Za-z0-9-_]{1,64}$"

# What a process can be given: no name with an equals sign, and no byte 0 anywhere.
VariableName = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$")]
VariableValue = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

Fallback = Literal[
    "faithful",
    "retry",
    "route",
    "poll",
    "deployed",
    "http",
    "error",
    "static",
    "ok",
    "partial",
    "observe",
    "sst_text",
]


class FunctionSettings(BaseModel):
    """The function under test."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("hello", pattern=FUNCTION_NAME, description="The function's name.")
    folder: Path = Field(
        default_factory=example_folder,
        description="The folder with the handler's code; by default the example that comes along.",
    )
    handler: str = Field(
        "handler.handler",
        pattern=r"^(\S+\.[^\s.]+|bootstrap)$",
        description="module.function, as on Lambda.",
    )
    runtime: str = Field(
        AUTO,
        pattern=RUNTIMES,
        description="`python3.N`, `nodejsN.x` or `provided.al2023` (an executable `bootstrap`); "
        "`auto` takes what the handler's file is.",
    )
    interpreter: Path | None = Field(
        None,
        description="Program that runs the handler. Left out: for Python that of the folder's "
        "virtual environment, else the one that runs natless; for Node.js the `node` on the PATH.",
    )
    timeout: float = Field(
        20.0, ge=1, le=900, description="Seconds until Lambda ends an invocation."
    )
    debug: bool = Field(
        False, description="Whether a debugger may attach to the handler in `natless dev`."
    )
    memory: int = Field(1024, ge=128, le=10240, description="Megabytes, as the function is told.")
    environment: dict[VariableName, VariableValue] = Field(
        default_factory=dict, description="Environment variables of the function."
    )
    fallbacks: list[Fallback] = Field(
        ["deployed", "http", "error"],
        description="Who answers when the channel does not; `error` closes every list.",
    )
    topology: str | None = Field(
        None, description="Its network under `natless dev`. Left out: that of `[dev]`."
    )
    reserved_concurrency: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Invocations at once; more get 429. Left out: `dev.environments`.",
    )
    aliases: list[str] = Field(
        default_factory=list,
        description="Qualifiers, besides `$LATEST`, by which it may be called.",
    )
    extensions: Path | None = Field(
        None,
        description="Folder whose executables run beside the function as external extensions, "
        "as those in `/opt/extensions` do.",
    )
    freeze: bool = Field(
        True, description="Whether nothing of the function runs between invocations, as on AWS."
    )
    url_mode: Literal["BUFFERED", "RESPONSE_STREAM"] = Field(
        "BUFFERED", description="Whether its URL answers while the function still writes."
    )
    retry_attempts: int = Field(
        2, ge=0, le=2, description="Retries of an asynchronous invocation that failed."
    )
    event_age: float = Field(
        21600.0, ge=60, le=21600, description="Seconds until an asynchronous invocation is dropped."
    )
    on_success: str = Field(
        "",
        description="Where the record of an asynchronous invocation goes: a function, or a file "
        "of JSON lines by a path with a slash.",
    )
    on_failure: str = Field("", description="Likewise when it is given up.")


class RegisteredFunction(FunctionSettings):
    """One of several functions, ``[functions.NAME]``: the same keys, the name is the table's."""

    name: str = Field("", max_length=0, description="Left out: the table's name is the function's.")
    folder: Path = Field(Path(), description="The folder with the handler's code.")


class DevSettings(BaseModel):
    """The development loop, ``natless dev``."""

    model_config = ConfigDict(extra="forbid")

    port: int = Field(
        9400,
        ge=0,
        le=65535,
        description="Port of the Invoke API on loopback; the functions' URLs follow it. 0: any.",
    )
    topology: str = Field(
        "", description="Network the functions run in, such as `no-nat`. Empty: this machine's own."
    )
    environments: int = Field(
        10, ge=1, le=100, description="Execution environments of a function; more calls get 429."
    )
    idle: float = Field(
        0.0,
        ge=0,
        description="Seconds without work until an execution environment is ended, as AWS does "
        "after some minutes. 0: never.",
    )
    retries: list[float] = Field(
        [60.0, 120.0],
        max_length=2,
        description="Seconds before each retry of an asynchronous invocation that failed.",
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="Host names, such as a tunnel's, that may call the functions' URLs too.",
    )
    debug: bool = Field(
        False, description="Whether debuggers may attach to every function that can be debugged."
    )
    reserves: int = Field(
        2,
        ge=0,
        le=100,
        description="Processes that wait for the next edit with everything but your code loaded.",
    )


class DemoSettings(BaseModel):
    """The side-by-side demonstration."""

    model_config = ConfigDict(extra="forbid")

    topologies: list[str] = Field(
        ["no-vpc", "nat", "no-nat", "endpoint"], min_length=1, description="Which networks."
    )
    invocations: int = Field(20, ge=1, le=10_000, description="Invocations per topology.")
    seed: int = Field(1, description="Makes the events of a run the same again.")
    environments: int = Field(
        10,
        ge=1,
        le=100,
        description="Execution environments that share the waiting where the promise is a failure.",
    )
    network: Literal["auto", "netns", "docker"] = Field("auto", description="How to build it.")
    out: Path = Field(Path("natless-report"), description="Where the report goes.")


class RelaySettings(BaseModel):
    """The channel of ``natless dev`` and ``natless demo``."""

    model_config = ConfigDict(extra="forbid")

    subscription_lag: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="Seconds by which subscriptions deliver later than they are acknowledged, as"
        " AWS was seen to do.",
    )


class Settings(BaseSettings):
    """All settings of natless, as accepted."""

    model_config = SettingsConfigDict(
        env_prefix="NATLESS_", env_nested_delimiter="__", extra="forbid"
    )

    region: str = Field(
        "us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="The AWS region to imitate."
    )
    function: FunctionSettings = Field(default_factory=FunctionSettings)
    functions: dict[
        Annotated[str, StringConstraints(pattern=FUNCTION_NAME)], RegisteredFunction
    ] = Field(
        default_factory=dict,
        description="Several functions for `natless dev`, a table `[functions.NAME]` for each.",
    )
    demo: DemoSettings = Field(default_factory=DemoSettings)
    dev: DevSettings = Field(default_factory=DevSettings)
    relay: RelaySettings = Field(default_factory=RelaySettings)

    def registry(self) -> tuple[FunctionSettings, ...]:
        """The functions: those of ``[functions]``, or the one of ``[function]``."""
        if not self.functions:
            return (self.function,)
        return tuple(
            FunctionSettings(**each.model_dump(exclude={"name"}, exclude_unset=True), name=name)
            for name, each in self.functions.items()
        )


def load_settings(
    overrides: Mapping[str, Any] | None = None, *, file: Path | None = None
) -> Settings:
    """The settings that hold here.

    Args:
        overrides: what the command line says, nested like the file; None values are left out.
        file: the settings file; by default ``natless.toml`` in the current folder, if there is one.

    Raises:
        UsageError: the file is not TOML, or a value is not allowed; names the place and the reason.
    """
    path = file or Path(SETTINGS_FILE)
    from_file = _read_toml(path) if file is not None or path.exists() else {}
    from_line = _without_none(overrides or {})

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, init_kwargs=from_line),
                EnvSettingsSource(settings_cls),
                InitSettingsSource(settings_cls, init_kwargs=from_file),
            )

    try:
        return Loaded()
    except SettingsError as error:
        raise _explain_variable(error) from error
    except ValidationError as error:
        raise UsageError(
            f"{_describe(error)} (from the command line, NATLESS_… or {path})",
            hint=_advise(error),
        ) from error


def _explain_variable(error: SettingsError) -> UsageError:
    """Lists and tables are JSON in the environment: names the variable that is none."""
    cause, name = error.__cause__, "a variable NATLESS_…"
    if isinstance(cause, json.JSONDecodeError):
        named = [n for n, v in os.environ.items() if n.startswith("NATLESS_") and v == cause.doc]
        name = named[0] if named else name
    return UsageError(
        f"{name} is not JSON: {cause or error}",
        hint='in the environment a list is written \'["nat", "no-nat"]\' and a table '
        '\'{"KEY": "value"}\'',
    )


def _advise(error: ValidationError) -> str:
    """What the key may be, or which keys there are in its place."""
    model: type[BaseModel] = Settings
    place = ""
    for part in error.errors()[0]["loc"]:
        info = model.model_fields.get(str(part))
        if info is None:
            return _name_keys(str(part), model)
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model, place = kind, f"{place}{part}."
            continue
        default = info.get_default(call_default_factory=True)
        shown = f" By default {json.dumps(default, default=str)}." if default else ""
        return f"{place}{part}: {info.description}{shown}"
    return _name_keys("", model)


def _name_keys(wrong: str, model: type[BaseModel]) -> str:
    if near := difflib.get_close_matches(wrong, model.model_fields, n=1):
        return f"did you mean {near[0]}?"
    return f"there are the keys {', '.join(model.model_fields)}"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            said = tomllib.load(stream)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", hint="check the path after --config") from error
    except OSError as error:
        hint = "name a file after --config" if path.is_dir() else "make it readable"
        raise UsageError(f"{path}: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="correct that line") from error
    except RecursionError as error:
        raise UsageError(
            f"{path} nests too deeply", hint="write it as the reference page Settings shows"
        ) from error
    for name in ("function", "functions", "demo", "dev"):
        if not isinstance(said.get(name, {}), dict):  # else a flag would hide the mistake
            raise UsageError(f"{path}: {name} is a table", hint=f"begin it with [{name}]")
    return _from_its_place(said, path.parent)


def _from_its_place(said: dict[str, Any], place: Path) -> dict[str, Any]:
    """Folders in a file are meant from where the file lies."""
    function, functions = said.get("function"), said.get("functions")
    if isinstance(function, dict):
        _anchor(function, place)
    for each in functions.values() if isinstance(functions, dict) else ():
        if isinstance(each, dict):
            each.setdefault("folder", ".")
            _anchor(each, place)
    return said


def _anchor(function: dict[str, Any], place: Path) -> None:
    for key in ("folder", "extensions"):
        if isinstance(path := function.get(key), str):
            function[key] = str(place / path)
    for key in ("on_success", "on_failure"):
        if isinstance(target := function.get(key), str) and "/" in target:
            function[key] = str((place / target).absolute())


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    nested = {k: _without_none(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


def _describe(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "settings"
    more = error.error_count() - 1
    said = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{place}: {said}" + (f" (and {more} more)" if more else "")
