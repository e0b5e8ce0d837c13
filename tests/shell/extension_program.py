"""An external extension, with the standard library only; a test copies it under its name.

It writes what it hears to the file in ``EXTENSION_NOTES``, and does what ``EXTENSION_PLAN`` says:
``events`` (which it registers for), ``fail`` (``launch``, ``init``, ``exit``, ``crash``, ``hang``),
``slow`` (a file without which it does not ask for the next event).
"""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

NAME = Path(__file__).name
API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
PLAN = json.loads(os.environ.get("EXTENSION_PLAN", "{}"))
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def note(**members) -> None:
    with Path(os.environ["EXTENSION_NOTES"]).open("a") as file:
        file.write(json.dumps({"name": NAME, **members}) + "\n")


def call(method: str, path: str, body: bytes | None = None, **headers: str):
    request = urllib.request.Request(API + path, body, headers, method=method)
    try:
        with OPENER.open(request) as reply:
            return reply.status, reply.headers, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read() or b"null")


signal.signal(signal.SIGTERM, lambda *_: note(heard="SIGTERM"))
events = PLAN.get("events", ["INVOKE", "SHUTDOWN"])
status, headers, said = call(
    "POST",
    "/2020-01-01/extension/register",
    json.dumps({"events": events}).encode(),
    **{"Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"},
)
me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
note(registered=said, variables=sorted(os.environ))
_, _, telemetry = call("PUT", "/2022-07-01/telemetry", b"{}", **me)
note(telemetry=telemetry)
fail = PLAN.get("fail", "")
if fail in ("init", "exit"):
    status, _, _ = call(
        "POST",
        f"/2020-01-01/extension/{fail}/error",
        b"{}",
        **me,
        **{"Lambda-Extension-Function-Error-Type": "Extension.Mine"},
    )
    note(posted=status)
    sys.exit(3)
print("ready to listen", flush=True)
while True:
    status, headers, event = call("GET", "/2020-01-01/extension/event/next", **me)
    note(**event)
    if event["eventType"] == "SHUTDOWN":
        if fail == "hang":
            time.sleep(60)
        sys.exit(0)
    if fail == "crash":
        sys.exit(4)
    while "slow" in PLAN and not Path(PLAN["slow"]).exists():
        time.sleep(0.002)
