"""Writes the reference pages that follow from the code: `python docs/generate.py`.

A test compares what is committed with what this would write, so a page cannot go stale.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def main() -> None:
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Every generated file of the reference, by name."""
    return {
        "settings.md": settings_page(),
        "settings.schema.json": settings_schema(),
        "topologies.md": topologies_page(),
        "budgets.md": budgets_page(),
        "verdicts.md": verdicts_page(),
        "exit-codes.md": exit_codes_page(),
        "cli.md": cli_page(),
        "relay.md": relay_page(),
    }


def settings_schema() -> str:
    from natless.settings import Settings

    return json.dumps(Settings.model_json_schema(), indent=2) + "\n"


def settings_page() -> str:
    from pydantic import BaseModel

    from natless.settings import Settings

    def rows(model: type[BaseModel], section: str) -> Iterator[str]:
        for name, info in model.model_fields.items():
            kind = info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from rows(kind, f"{section}{name}.")
                continue
            default = info.get_default(call_default_factory=True)
            shown = str(default) if isinstance(default, Path) else json.dumps(default)
            if name == "folder":
                shown = "examples/hello"  # wherever natless was put
            variable = "NATLESS_" + f"{section}{name}".replace(".", "__").upper()
            yield f"| `{section}{name}` | `{shown}` | {info.description} | `{variable}` |"

    table = "\n".join(rows(Settings, ""))
    return f"""# Settings

The command line wins over the environment, the environment over `natless.toml` in the current
folder (or the file after `--config`), the file over the defaults. A key that does not exist is an
error that names it. Lists and tables are JSON in the environment.

| Key | Default | Meaning | Variable |
|---|---|---|---|
{table}

A file that says the same in other words:

```toml
region = "eu-central-1"

[function]
folder = "src/orders"
handler = "app.handler"
fallbacks = ["http", "error"]

[demo]
topologies = ["nat", "no-nat"]
invocations = 50
```

Several functions for `natless dev`: a table of its name for each, with the keys of `[function]`. A
folder that is left out is the file's own:

```toml
[functions.orders]
folder = "src/orders"
handler = "app.handler"
environment = {{ TABLE = "orders" }}

[functions.mail]
folder = "src/mail"
timeout = 5

[dev]
port = 9400
topology = "no-nat"
```

[The JSON Schema](settings.schema.json) of this file is generated from the code.
"""


def topologies_page() -> str:
    from natless.vpc.drawing import draw_network
    from natless.vpc.topologies import TOPOLOGIES

    parts = [
        "# Topologies\n\nEvery network of the catalogue, its promise, and when somebody has it."
        " Probes prove a\npromise before anything is measured. `natless topology show NAME` draws"
        " one in the terminal, with\nthe AWS resource that each part stands for.\n"
    ]
    for topology in TOPOLOGIES.values():
        promise = topology.promise
        where = "" if promise.is_working else f" (phase *{promise.phase}*, {promise.outcome})"
        parts.append(
            f"\n## {topology.name}\n\n{topology.title[0].upper()}{topology.title[1:]}."
            f" {topology.purpose}\n\n```text\n{draw_network(topology)}```\n\n"
            f"**Promise**: {promise.text}{where}.\n"
        )
    return "".join(parts)


def budgets_page() -> str:
    from runtime_shim import budgets as module

    source = inspect.getsource(module.Budgets)
    notes = dict(
        re.findall(r"^    (\w+): \w+ = \(?\s*[\d.]+ *# (.+?)$", source, flags=re.MULTILINE)
    )
    rows = []

    def shown(value: float, unit: str) -> str:
        return "none" if value in (math.inf, module.UNLIMITED) else f"{value}{unit}"

    for each in fields(module.Budgets):
        name = each.name.replace("_", ".", 1)
        unit = "" if each.type == "int" else " s"
        variable = module.PREFIX + each.name.upper()
        imitated = shown(getattr(module.PROFILES[module.Profile.SST], each.name), unit)
        rows.append(
            f"| `{name}` | {each.default}{unit} | {imitated} | {notes[each.name]} | `{variable}` |"
        )
    table = "\n".join(rows)
    return f"""# Budgets of the shim

Every wait of the guest in the function has a name. What is left until the invocation's deadline,
less `answer.reserve`, clips each of them. Set one through the function's environment; `none` takes
its limit away. The column *sst* is what `NATLESS_PROFILE=sst` starts from: the constants of SST's
bridge, and ours where it has no such wait.

| Budget | Default | sst | What it bounds and imitates | Variable |
|---|---|---|---|---|
{table}
"""


def verdicts_page() -> str:
    rows = []
    seen: set[str] = set()  # an anchor may stand only once
    for path in sorted((ROOT / "natless" / "explain" / "causes").glob("*.py")):
        if path.name == "__init__.py":
            continue
        text = path.read_text(encoding="utf-8")
        doc = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")
        names = sorted(set(_cause_names(text)))
        anchors = "\n".join(f"({name})=" for name in names if name not in seen)
        seen.update(names)
        listed = ", ".join(f"`{name}`" for name in names)
        body = "\n\n".join(doc[1:])
        rows.append(
            f"\n{anchors}\n## {doc[0]}\n\nNamed {listed}.\n" + (f"\n{body}\n" if body else "")
        )
    return (
        "# Verdicts\n\nOne cause per file in `natless/explain/causes/`. A verdict says no more than"
        " the evidence: where\nseveral causes look the same from inside the function, it lists them"
        " with the way to tell them\napart.\n" + "".join(rows)
    )


def _cause_names(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Verdict", "Candidate"}:
            given = [k.value for k in node.keywords if k.arg == "cause"]
            given += node.args[:1] if getattr(node.func, "id", "") == "Candidate" else []
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def exit_codes_page() -> str:
    from natless import errors

    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.NatlessError)
    ]
    table = "\n".join(
        f"| {kind.exit_code} | {inspect.cleandoc(kind.__doc__ or '').splitlines()[0]}"
        f" | `{kind.__name__}` |"
        for kind in sorted(kinds, key=lambda kind: kind.exit_code)
    )
    return f"""# Exit codes

| Code | Meaning | Error |
|---|---|---|
| 0 | Everything was as promised. | |
{table}
| 129 | The terminal was closed (SIGHUP); nothing is left running. | |
| 130 | Interrupted by Ctrl-C; nothing is left running. | |
| 143 | Terminated (SIGTERM); nothing is left running. | |

Each error is one line on standard error, followed by one line with the next step.

`natless doctor` exits with 0 when one of `natless demo` and `docker compose up` works on the
machine, and all that `--need` names; with 3 otherwise.
[What it says](../howto/check-your-machine.md).
"""


def relay_page() -> str:
    from event_protocol.limits import DEFAULT_LIMITS, Limits
    from relay import config, config_file

    form = inspect.cleandoc(config_file.__doc__ or "").split("::\n\n", 1)[1]

    def table(cls: type, defaults: object | None) -> str:
        documented = _attributes(cls)
        rows = []
        for each in fields(cls):  # type: ignore[arg-type]
            default = "" if defaults is None else f" `{getattr(defaults, each.name)!r}` |"
            rows.append(f"| `{each.name}` |{default} {documented.get(each.name, '')} |")
        head = "| Key | Meaning |\n|---|---|\n"
        if defaults is not None:
            head = "| Key | Default | Meaning |\n|---|---|---|\n"
        return head + "\n".join(rows)

    documented = _attributes(config.RelayConfig)
    names = set(re.findall(r"^(\w+) = ", inspect.cleandoc(form).partition("[")[0], re.MULTILINE))
    top = "\n".join(f"| `{name}` | {text} |" for name, text in documented.items() if name in names)

    return f"""# relay.toml

`natless relay --config relay.toml` takes everything from a file; flags win over it. A name that
does not exist is an error that names the nearest one. SIGHUP reads the file again. Durations are
seconds.

```toml
{inspect.cleandoc(form)}
```

## At the top

| Key | Meaning |
|---|---|
{top}

## `[[api]]`

{table(config.ApiConfig, None)}

## `[listen]`

{table(config.Listen, None)}

## `[limits]`

AWS's own figures unless they are ours.

{table(Limits, DEFAULT_LIMITS)}

## `[budgets]`

{table(config.Budgets, config.Budgets())}

## What it answers beside AWS's doors

| Door | Says |
|---|---|
| `GET /_natless/health` | that it lives, for health checks |
| `GET /_natless/connections` | who is connected, with subscriptions and counters |
| `POST /_natless/tokens` | a token of a configured pool or issuer, for tests; loopback only |
| `POST /_natless/poll` | what came on a channel, for who reaches HTTPS and no WebSocket; below |

## Polls

`POST /_natless/poll` is a subscription that is asked for, with the credentials of a subscription
in the headers of each question. It is how the shim's fallback `poll` works; AppSync has no such
door.

| Member of the question | Means |
|---|---|
| `channel` | a channel or a pattern |
| `session` | which subscription; without it one is opened, and delivers from then on |
| `after` | the number of the last event that was seen; what was given is given again until then |
| `wait` | seconds to wait for an event, at most 25 |
| `end` | true ends the session |

The answer is `{{"session": "…", "first": 8, "events": ["…"]}}`, with the number of its first event.
An answer that is lost on the way costs nothing, as its events were not confirmed. A session that is
not asked for 60 s is forgotten, one that leaves more than `unsent_bytes` unconfirmed is cut as a
slow WebSocket is; both are 404 (`PollSessionNotFound`) from then on.
"""


def _attributes(cls: type) -> dict[str, str]:
    """The Attributes section of a docstring, by name."""
    section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
    return {key: text.replace("``", "`").replace("|", "/") for key, text in found.items()}


def cli_page() -> str:
    import click

    from natless.cli.__main__ import make_command

    os.environ["COLUMNS"] = "100"
    root = make_command()
    parts = ["# Command line\n\n`natless --help` and `natless COMMAND --help` print the same.\n"]

    def walk(command: click.Command, path: list[str]) -> None:
        context = click.Context(command, info_name=" ".join(path), terminal_width=100)
        parts.append(f"\n## {' '.join(path)}\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = []
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            record = parameter.get_help_record(context)
            if record is None:
                named = (parameter.make_metavar(context), getattr(parameter, "help", "") or "")
                record = named
            rows.append(f"| `{record[0]}` | {record[1].replace('|', '/')} |".replace("  ", " "))
        if rows:
            parts.append("\n| Argument or option | Meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
        if hasattr(command, "commands"):
            for name, child in command.commands.items():
                walk(child, [*path, name])

    walk(root, ["natless"])
    return "".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
