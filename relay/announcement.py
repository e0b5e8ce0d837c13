"""What the process says on standard output once it listens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from relay.service import PUBLISH_PATH, REALTIME_PATH, Relay


def describe_ready(relay: Relay, *, ca: Path | None) -> dict[str, Any]:
    """The ready line: where the first API is, and what opens it."""
    config = relay.config
    api = config.apis[0]
    live = relay.registry.get(api.api_id)
    if live is not None:  # the control plane may have changed it in an earlier life
        api = live.config
    names = {"127.0.0.1": "localhost", "0.0.0.0": "localhost", "::": "localhost"}
    host = names.get(config.listen.host, config.listen.host)
    host = f"[{host}]" if ":" in host else host
    ready: dict[str, Any] = {"event": "ready"}
    if relay.port is not None:
        ready["http"] = f"https://{host}:{relay.port}{PUBLISH_PATH}"
        ready["realtime"] = f"wss://{host}:{relay.port}{REALTIME_PATH}"
    if relay.plain_port is not None:
        ready["plain_http"] = f"http://{host}:{relay.plain_port}{PUBLISH_PATH}"
        ready["plain_realtime"] = f"ws://{host}:{relay.plain_port}{REALTIME_PATH}"
    ready |= {
        "ca": None if ca is None else str(ca),
        "api_key": api.api_keys[0].id if api.api_keys else None,
        "namespaces": [one.name for one in api.namespaces],
        "pid": os.getpid(),
        "label": api.label,
        "api_id": api.api_id,
        "region": api.region,
        "hosts": {"HTTP": api.http_host, "REALTIME": api.realtime_host},
    }
    if api.iam:
        ready["iam"] = {
            "access_key_id": api.iam[0].access_key_id,
            "secret_access_key": api.iam[0].secret_access_key,
        }
        if api.iam[0].session_token is not None:
            ready["iam"]["session_token"] = api.iam[0].session_token
    return ready


def render_json(ready: dict[str, Any]) -> str:
    """For programs: one line."""
    return json.dumps(ready, separators=(",", ":"))


def render_text(ready: dict[str, Any], *, verify: str) -> str:
    """For people."""
    names = (
        ("publish", "http"),
        ("realtime", "realtime"),
        ("publish, plain", "plain_http"),
        ("realtime, plain", "plain_realtime"),
        ("api key", "api_key"),
        ("ca", "ca"),
    )
    lines = ["The relay is ready."]
    lines += [f"  {title:<16}{ready[name]}" for title, name in names if ready.get(name)]
    lines.append(f"  {'namespaces':<16}{', '.join(ready['namespaces'])}")
    lines.append(f"  {'as on AWS':<16}{ready['hosts']['HTTP']}")
    if "iam" in ready:
        lines.append(f"  {'iam':<16}{ready['iam']['access_key_id']} (--json tells its secret)")
    if verify != "strict":
        lines.append(f"  Signatures are NOT proved: verify = {verify}.")
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)
