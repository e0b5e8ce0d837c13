"""What is kept of an error: the developer's own lines, few, and no secrets."""

import json
from pathlib import Path

import pytest

from natless.lambda_host.output import Redactor
from natless.measure.function_error import FunctionError

HERE, THERE = Path("/home/dev/orders"), Path("/var/task")
PYTHON = {
    "errorType": "ValueError",
    "errorMessage": "no price",
    "stackTrace": [
        '  File "/home/dev/orders/app.py", line 5, in handler\n    return charge(event)\n',
        '  File "/home/dev/orders/.venv/lib/site-packages/x.py", line 9, in f\n    g()\n',
        '  File "/home/dev/orders/lib/price.py", line 3, in charge\n    raise ValueError("no")\n',
        '  File "/usr/lib/python3.11/json/decoder.py", line 1, in decode\n    raise X\n',
    ],
}
NODE = {
    "errorType": "TypeError",
    "errorMessage": "no price",
    "stack": [
        "TypeError: no price",
        "    at charge (file:///var/task/price.mjs:3:9)",
        "    at /var/task/node_modules/x/index.js:1:1",
        "    at Runtime.handler (file:///var/task/index.mjs:7:10)",
        "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
    ],
}


def parse(body: object, **more: object) -> FunctionError:
    return FunctionError.parse(json.dumps(body).encode(), folders=(HERE, THERE), **more)


def test_a_python_trace_is_the_developers_own_frames_down_to_the_error():
    assert parse(PYTHON) == FunctionError(
        "ValueError",
        "no price",
        (
            "app.py:5 in handler: return charge(event)",
            'lib/price.py:3 in charge: raise ValueError("no")',
        ),
    )


@pytest.mark.parametrize("member", ["stack", "trace"])
def test_a_node_trace_comes_in_the_same_order(member):
    body = {k: v for k, v in NODE.items() if k != "stack"} | {member: NODE["stack"]}
    assert parse(body).trace == ("index.mjs:7 in Runtime.handler", "price.mjs:3 in charge")


def test_a_syntax_error_names_its_place():
    trace = ['  File "/var/task/app.py" Line 4\n    def (x):\n']
    found = parse({"errorType": "Runtime.UserCodeSyntaxError", "stackTrace": trace})
    assert found.trace == ("app.py:4: def (x):",)


def test_only_the_frames_nearest_to_the_error_are_kept():
    frames = [f'  File "/var/task/app.py", line {n}, in f\n    f()\n' for n in range(900)]
    found = parse({"errorType": "RecursionError", "stackTrace": frames})
    assert [line.partition(" ")[0] for line in found.trace] == [
        f"app.py:{n}" for n in range(896, 900)
    ]


def test_long_texts_are_cut():
    code = "x" * 5000
    frame = f'  File "/var/task/app.py", line 1, in f\n    {code}\n'
    found = parse({"errorType": "E" * 5000, "errorMessage": code, "stackTrace": [frame]})
    assert len(found.error_type) <= 160
    assert len(found.message) == 300
    assert len(found.trace[0]) == 160


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "da2-abcdefghijklmnopqrstuvwxyz",
        "postgres://root:hunter2hunter2@db/orders",
        "connect: password=hunter2hunter2 host=db",
        "hunter2hunter2",
        "connect(password='hunter2hunter2')",
        '{"db_password": "hunter2hunter2"}',
        "https://here/?token=hunter2hunter2&n=1",
    ],
)
def test_secrets_are_blotted_out_of_message_and_trace(text):
    mask = Redactor({"DB_PASSWORD": "hunter2hunter2"}) if text == "hunter2hunter2" else None
    frame = f'  File "/var/task/app.py", line 1, in f\n    connect("{text}")\n'
    body = {"errorType": "E", "errorMessage": f"no {text}", "stackTrace": [frame]}
    said = repr(parse(body, mask=mask))
    for secret in ("AKIAIOSFODNN7EXAMPLE", "hunter2hunter2", "abcdefghijklmnopqrstuvwxyz"):
        assert secret not in said


def test_code_that_only_speaks_of_secrets_stays_readable():
    frame = '  File "/var/task/app.py", line 1, in f\n    token = read_token(event["password"])\n'
    found = parse({"errorType": "KeyError", "errorMessage": "'password'", "stackTrace": [frame]})
    assert found.trace == ('app.py:1 in f: token = read_token(event["password"])',)
    assert found.message == "'password'"


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"[]", b"3", b"{}", b'{"errorType":3,"errorMessage":[],"stackTrace":"x"}',
     b'{"stackTrace":[1,null,{}]}', b'{"trace":{"a":1}}', b"[" * 100_000],
)  # fmt: skip
def test_whatever_a_payload_holds_something_is_said(payload):
    found = FunctionError.parse(payload, folders=(HERE,))
    assert found.error_type
    assert found.trace == ()
