from __future__ import annotations

import ast
import importlib.util
import json
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from natless.shim_archive import python_runtime_path

HEADERS = {"lambda-runtime-aws-request-id": "req"}


@pytest.fixture(scope="module")
def runtime() -> ModuleType:
    """The file as a module; importing it narrows ``sys.path``, which only its own process may."""
    path = list(sys.path)
    spec = importlib.util.spec_from_file_location(
        "python_runtime_under_test", python_runtime_path()
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        narrowed = list(sys.path)
    finally:
        sys.path[:] = path
    assert not [entry for entry in narrowed if "site-packages" in entry]
    return module


def test_the_file_is_python_3_9() -> None:
    source = python_runtime_path().read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= set(sys.stdlib_module_names), "it must need the standard library only"


@pytest.mark.parametrize(
    ("address", "authority", "prefix"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001", ""),
        ("localhost:1/lambda/w", "localhost:1", "/lambda/w"),
    ],
)
def test_an_address_may_have_a_path(
    runtime: ModuleType, address: str, authority: str, prefix: str
) -> None:
    api = runtime.RuntimeApi(address)
    assert (api._authority, api._prefix) == (authority, prefix)


def test_an_event_is_decoded_by_its_content_type(runtime: ModuleType) -> None:
    assert runtime.decode_event(b'{"a": 1}', "application/json; charset=utf-8") == {"a": 1}
    assert runtime.decode_event(b"\xff", "application/octet-stream") == b"\xff"
    with pytest.raises(runtime.Fault, match="Unable to unmarshal input") as caught:
        runtime.decode_event(b"", "application/json")
    assert caught.value.error_type == "Runtime.UnmarshalError"


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, b"null"),
        ({"ö": [1, 2.5, True]}, '{"ö": [1, 2.5, true]}'.encode()),
        (Decimal("10"), b"10"),
        (Decimal("0.1"), b"0.1"),
    ],
)
def test_what_can_be_an_answer(runtime: ModuleType, value: Any, body: bytes) -> None:
    assert runtime.encode_answer(value) == (body, "application/json")


@pytest.mark.parametrize("value", [{1, 2}, object(), {(1,): 2}, "\ud800"])
def test_what_can_not_be_an_answer(runtime: ModuleType, value: Any) -> None:
    with pytest.raises(runtime.Fault) as caught:
        runtime.encode_answer(value)
    assert caught.value.error_type == "Runtime.MarshalError"


def test_an_answer_that_refers_to_itself_is_none(runtime: ModuleType) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(runtime.Fault):
        runtime.encode_answer(value)


def test_an_error_has_the_frames_of_the_handler_only(runtime: ModuleType) -> None:
    try:
        raise ValueError("bad")
    except ValueError as error:
        described = runtime.describe_error(error, "req")
    assert described["errorMessage"] == "bad"
    assert described["errorType"] == "ValueError"
    assert described["requestId"] == "req"
    assert len(described["stackTrace"]) == 1
    assert "test_python_runtime.py" in described["stackTrace"][0]


def test_the_header_of_an_error_is_one_ascii_line(runtime: ModuleType) -> None:
    headers = runtime._error_headers({"errorType": "Fehlör\r\nX-Evil: 1"})
    value = headers["Lambda-Runtime-Function-Error-Type"]
    assert value.isascii()
    assert "\n" not in value
    assert "\r" not in value


@pytest.mark.parametrize("name", ["app", ".handler", "app.", ""])
def test_a_handler_must_name_module_and_function(
    runtime: ModuleType, tmp_path: Path, name: str
) -> None:
    with pytest.raises(runtime.Fault) as caught:
        runtime.load_handler(name, str(tmp_path))
    assert caught.value.error_type == "Runtime.MalformedHandlerName"


def test_a_context_without_optional_headers(runtime: ModuleType) -> None:
    context = runtime.Context(HEADERS)
    assert context.aws_request_id == "req"
    assert context.client_context is None
    assert context.identity.cognito_identity_id is None
    assert context.get_remaining_time_in_millis() == 0
    assert "aws_request_id='req'" in repr(context)


def test_a_broken_client_context_is_a_fault(runtime: ModuleType) -> None:
    with pytest.raises(runtime.Fault, match="Client Context") as caught:
        runtime.Context(HEADERS | {"lambda-runtime-client-context": "{"})
    assert caught.value.error_type == "Runtime.LambdaContextUnmarshalError"


def test_a_client_context_is_text_of_any_language(runtime: ModuleType) -> None:
    raw = json.dumps({"custom": {"k": "ü"}}, ensure_ascii=False).encode().decode("latin-1")
    context = runtime.Context(HEADERS | {"lambda-runtime-client-context": raw})
    assert context.client_context.custom == {"k": "ü"}
    assert context.client_context.client is None


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("", []),
        ("def handler(e, c): pass", []),
        ("import boto3", ["boto3"]),
        ('"""About."""\nfrom __future__ import annotations\nimport a.b, c as d', ["a.b", "c"]),
        ("from a.b import c\nimport d", ["a.b", "d"]),
        ("import a\nX = 1\nimport b", ["a"]),
        ("import a\nimport os\nos.environ['B'] = '1'\nimport b", ["a", "os"]),
        ("if True:\n    import a", []),
        ("try:\n    import a\nexcept ImportError:\n    a = None\nimport b", []),
        ("import a\nfrom . import b\nimport c", ["a"]),
        ("import a\nimport inner\nimport b", ["a", "inside"]),
        ("from folder import thing\nimport b", ["deep"]),
        ("import app\nimport b", []),
        ("import (", []),
    ],
)
def test_the_first_imports_are_those_that_no_code_of_the_handlers_comes_before(
    runtime: ModuleType, tmp_path: Path, code: str, found: list[str]
) -> None:
    (tmp_path / "app.py").write_text(code)
    (tmp_path / "inner.py").write_text("import inside\nX = 1\nimport after")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__init__.py").write_text("import deep")
    assert runtime.first_imports("app.handler", str(tmp_path)) == found


def test_a_handler_that_is_not_there_imports_nothing(runtime: ModuleType, tmp_path: Path) -> None:
    for name in ("app.handler", "nowhere/app.handler", "handler", ""):
        assert runtime.first_imports(name, str(tmp_path)) == []
