"""A Python runtime client in one file: takes events from the Runtime API, calls the handler.

It needs only the standard library of Python 3.9 or later and is run by its path, so that any
interpreter will do, the one in the function's container or the developer's own::

    python -I python_runtime.py        with _HANDLER, LAMBDA_TASK_ROOT and AWS_LAMBDA_RUNTIME_API

Errors, log lines and the handler's context look as Lambda's own Python runtime makes them (AWS
Lambda developer guide, "Building a custom runtime" and "Python handler errors"). A ``SystemExit``
from the handler ends the process with its code, as there: the Runtime API's side says so to the
caller. ``PYTHONPATH`` reaches the handler also under ``-I``.

It stays one file, long as it is: it also runs from inside the guest's archive, as code that has no
file and no way to a second module; and once the handler is loaded, ``sys.path`` is the handler's.
"""

from __future__ import annotations

import os
import sys

_PATH_AT_START = list(sys.path)
_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120  pathlib is not imported yet
# Until the handler is loaded only the standard library may answer an import: a json.py or a
# logging.py in the task root or on PYTHONPATH belongs to the handler, not to this file.
sys.path[:] = [
    entry for entry in _PATH_AT_START if entry == _LIBRARY or entry.endswith("lib-dynload")
]

import importlib  # noqa: E402
import importlib.util  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable, Iterator, Mapping, Sequence  # noqa: E402
from types import ModuleType, SimpleNamespace  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

_OWN = (lambda: None).__code__.co_filename  # as frames name this file, also from an archive
ROOT = "/2018-06-01/runtime"
UNFIT = 75  # exit status of a process in reserve that the edit has made useless (EX_TEMPFAIL)
_QUIET = "PYDEVD_DISABLE_FILE_VALIDATION"
HELD = "/natless/held"  # of a developer's side that starts the process before it is needed
Handler = Callable[[Any, "Context"], Any]


class Fault(Exception):
    """A failure that has one of the runtime's own names, such as ``Runtime.ImportModuleError``."""

    def __init__(self, error_type: str, message: str, *, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.trace = list(trace)


class ApiLost(Exception):
    """The Runtime API is gone or answers what no runtime can go on with."""


# --- the Runtime API -----------------------------------------------------------------------------


class RuntimeApi:
    """The Runtime API as its only client sees it: one kept connection, one call at a time.

    ``address`` is ``host:port``, with a path behind it where one server serves many environments.
    """

    def __init__(self, address: str) -> None:
        authority, _, prefix = address.partition("/")
        host, _, port = authority.rpartition(":")
        self._authority = authority
        self._address = (host.strip("[]"), int(port))
        self._prefix = f"/{prefix}" if prefix else ""
        self._socket: socket.socket | None = None
        self._reader: Any = None

    def hold(self, headers: Mapping[str, str]) -> bytes:
        """Waits for leave to load the handler; what the other side says beside it.

        Raises:
            ApiLost: nobody answers, or not with a release.
        """
        status, _, body = self._call("GET", HELD, headers, b"")
        if status != 200:
            raise ApiLost(f"the Runtime API answered {status} to a request for release")
        return body

    def next(self) -> tuple[dict[str, str], bytes]:
        """Waits, without limit as the API asks, for an event: its headers in lower case, its body.

        Raises:
            ApiLost: nobody answers, or not with an event.
        """
        status, headers, body = self._call("GET", ROOT + "/invocation/next", {}, b"")
        if status != 200 or "lambda-runtime-aws-request-id" not in headers:
            raise ApiLost(f"the Runtime API answered {status} to a request for an event")
        return headers, body

    def respond(self, request_id: str, headers: Mapping[str, str], body: bytes) -> int:
        """Posts the handler's answer; the status of the reply."""
        return self._call("POST", f"{ROOT}/invocation/{request_id}/response", headers, body)[0]

    def fail(self, request_id: str, headers: Mapping[str, str], body: bytes) -> int:
        """Posts the handler's error; the status of the reply."""
        return self._call("POST", f"{ROOT}/invocation/{request_id}/error", headers, body)[0]

    def fail_init(self, headers: Mapping[str, str], body: bytes) -> int:
        """Posts why the handler could not be loaded; the status of the reply."""
        return self._call("POST", ROOT + "/init/error", headers, body)[0]

    def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        try:
            if self._socket is not None and self._is_stale(self._socket):
                self._close()
            if self._socket is None:
                self._open()
            assert self._socket is not None
            self._socket.sendall(head + body)
            return self._read_reply()
        except (OSError, ValueError) as error:
            self._close()
            raise ApiLost(f"the Runtime API at {self._authority} is lost: {error}") from error

    @staticmethod
    def _is_stale(connection: socket.socket) -> bool:
        """Whether the server closed the connection while it was idle."""
        connection.setblocking(False)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            connection.setblocking(True)
        return True

    def _open(self) -> None:
        self._socket = socket.create_connection(self._address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")

    def _close(self) -> None:
        if self._socket is not None:
            self._reader.close()
            self._socket.close()
        self._socket = None

    def _read_reply(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self._read_line().split(" ", 2)[1])
        headers: dict[str, str] = {}
        while line := self._read_line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = b"".join(iter(self._read_chunk, b""))
            while self._read_line():
                pass  # trailers say nothing to a runtime
        else:
            body = self._read_exactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self._close()
        return status, headers, body

    def _read_line(self) -> str:
        line: bytes = self._reader.readline(65537)
        if not line.endswith(b"\n"):
            raise ValueError("the connection ended in the middle of an answer")
        return line.decode("latin-1").rstrip("\r\n")

    def _read_chunk(self) -> bytes:
        size = int(self._read_line().split(";", 1)[0], 16)
        if size == 0:
            return b""
        chunk = self._read_exactly(size)
        self._read_line()
        return chunk

    def _read_exactly(self, size: int) -> bytes:
        body: bytes = self._reader.read(size) if size else b""
        if len(body) != size:
            raise ValueError("the connection ended in the middle of a body")
        return body


# --- the handler and what it is given ----------------------------------------------------------


class Context:
    """What Lambda hands a Python handler beside the event."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        env = os.environ.get
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = _client_context(
            _json_header(headers, "lambda-runtime-client-context", "Client Context")
        )
        identity = _json_header(headers, "lambda-runtime-cognito-identity", "Cognito Identity")
        self.identity = SimpleNamespace(
            cognito_identity_id=(identity or {}).get("cognitoIdentityId"),
            cognito_identity_pool_id=(identity or {}).get("cognitoIdentityPoolId"),
        )
        # The name is that of AWS's own client: Stelvio's stub reads it.
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, never below zero."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message: object) -> None:
        """Writes ``message`` to the function's log as it is."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        facts = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"Context({', '.join(facts)})"


def _json_header(headers: Mapping[str, str], name: str, title: str) -> Any:  # noqa: ANN401
    text = headers.get(name)
    if not text:
        return None
    try:
        # Header bytes are UTF-8 on the wire; HTTP readers hand them out as Latin-1.
        value = json.loads(text.encode("latin-1"))
    except ValueError as error:
        raise Fault(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse {title} JSON: {error}"
        ) from error
    return value if isinstance(value, dict) else None


def _client_context(raw: dict[str, Any] | None) -> SimpleNamespace | None:
    if raw is None:
        return None
    client = raw.get("client")
    names = ("installation_id", "app_title", "app_version_name", "app_version_code")
    return SimpleNamespace(
        custom=raw.get("custom"),
        env=raw.get("env"),
        client=SimpleNamespace(**{n: client.get(n) for n in (*names, "app_package_name")})
        if isinstance(client, dict)
        else None,
    )


def handler_path(task_root: str) -> list[str]:
    """The import path a handler expects: the task root, ``PYTHONPATH``, then Python's own."""
    start = list(_PATH_AT_START)
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  as sys.path has it
    if start and start[0] in ("", here):
        start.pop(0)
    extra = os.environ.get("PYTHONPATH", "") if sys.flags.ignore_environment else ""
    wanted = [task_root, *(entry for entry in extra.split(os.pathsep) if entry), *start]
    return list(dict.fromkeys(wanted))


def load_handler(name: str, task_root: str) -> Handler:
    """Imports ``module.function`` or ``folder/module.function`` from the task root.

    Raises:
        Fault: the name is malformed, the module cannot be imported, or it has no such function.
        Exception: whatever the module itself raises while it is imported.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot or not module_name or not function_name:
        raise Fault(
            "Runtime.MalformedHandlerName", f"Bad handler '{name}': expected 'module.function'"
        )
    try:
        module = _import_module(module_name.replace("/", "."), task_root)
    except ImportError as error:
        raise Fault(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            trace=[place],
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise Fault(
            "Runtime.HandlerNotFound",
            f"Handler '{function_name}' missing in '{module_name}'",
        )
    return function  # type: ignore[no-any-return]


def _import_module(name: str, task_root: str) -> ModuleType:
    path = os.path.join(task_root, *name.split(".")) + ".py"  # noqa: PTH118  3 ms cheaper
    if name in sys.modules and os.path.isfile(path):  # noqa: PTH113
        # The handler's file has the name of a module that this file uses, such as json.py: the file
        # is loaded, and everybody else keeps the module they have.
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {path}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return importlib.import_module(name)


# --- one invocation ----------------------------------------------------------------------------


def _encode_unknown(value: object) -> Any:  # noqa: ANN401  what JSON makes of it
    """DynamoDB's numbers arrive as Decimal, and Lambda lets a handler return them."""
    if type(value).__name__ == "Decimal" and type(value).__module__ in ("decimal", "_decimal"):
        number = float(value)  # type: ignore[arg-type]
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def encode_answer(value: object) -> tuple[bytes, str]:
    """A handler's return value as a body and its content type; bytes pass as they are.

    Raises:
        Fault: the value is not JSON.
    """
    if isinstance(value, bytes):
        return value, "application/octet-stream"
    try:
        text = json.dumps(value, ensure_ascii=False, default=_encode_unknown)
        return text.encode("utf-8"), "application/json"
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def decode_event(body: bytes, content_type: str) -> Any:  # noqa: ANN401  an event is any JSON
    """The event of an invocation: JSON decoded, any other content type as bytes.

    Raises:
        Fault: the body is not JSON.
    """
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        return body
    try:
        return json.loads(body)
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error


def describe_error(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """An exception as the JSON object that Lambda hands to the caller."""
    if isinstance(error, Fault):
        error_type, trace = error.error_type, error.trace
    else:
        error_type = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        while frames and (frames[0].filename == _OWN or "importlib" in frames[0].filename):
            frames.pop(0)
        trace = traceback.format_list(frames)
    return {
        "errorMessage": str(error),
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": trace,
    }


def log_error(description: Mapping[str, Any]) -> None:
    """Writes an error to the function's log in one piece, the way Lambda does."""
    head = f"[ERROR] {description['errorType']}: {description['errorMessage']}"
    trace = "".join(description["stackTrace"])
    body = f"\nTraceback (most recent call last):\n{trace}".rstrip() if trace else ""
    sys.stdout.write(head + body + "\n")
    sys.stdout.flush()


class _RequestId(logging.Filter):
    current = ""

    def filter(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = _RequestId.current
        return True


def set_up_logging() -> None:
    """Gives the root logger Lambda's handler: one line a record on stdout, with the request id."""
    handler = logging.StreamHandler(sys.stdout)
    form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(_RequestId())
    logging.getLogger().addHandler(handler)


def run_once(api: RuntimeApi, handler: Handler) -> None:
    """Takes one event, calls the handler, posts its answer or its error."""
    headers, body = api.next()
    request_id = _RequestId.current = headers["lambda-runtime-aws-request-id"]
    _set_trace(headers.get("lambda-runtime-trace-id"))
    # A nonce that newer Runtime APIs compare, so that an answer of a timed-out call cannot be
    # taken for the answer of its repetition.
    nonce = headers.get("lambda-runtime-invocation-id")
    echo = {"Lambda-Runtime-Invocation-Id": nonce} if nonce else {}
    try:
        event = decode_event(body, headers.get("content-type", "application/json"))
        answer, content_type = encode_answer(handler(event, Context(headers)))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # also CancelledError and whatever else a handler derives
        description = describe_error(error, request_id)
        log_error(description)
        status = api.fail(request_id, echo | _error_headers(description), _dump(description))
    else:
        flush()
        status = api.respond(request_id, echo | {"Content-Type": content_type}, answer)
    if status >= 500:
        raise ApiLost(f"the Runtime API answered {status} to the answer of {request_id}")
    if status >= 400:
        sys.stderr.write(f"the Runtime API refused the answer of {request_id} with {status}\n")


def _error_headers(description: Mapping[str, Any]) -> dict[str, str]:
    error_type = description["errorType"].encode("ascii", "backslashreplace").decode()
    return {
        "Content-Type": "application/json",
        "Lambda-Runtime-Function-Error-Type": error_type.replace("\r", " ").replace("\n", " "),
    }


def _dump(description: Mapping[str, Any]) -> bytes:
    return json.dumps(description, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _set_trace(trace: str | None) -> None:
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def flush() -> None:
    """Hands everything the handler printed to the operating system."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the handler closed it, or its reader is gone
            continue


def main() -> NoReturn:
    """Runs the handler that the environment names until the Runtime API goes away."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    try:
        name, root = os.environ["_HANDLER"], os.environ["LAMBDA_TASK_ROOT"]
        api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    except (KeyError, ValueError) as error:
        sys.exit(f"python_runtime: the environment lacks {error}")
    set_up_logging()
    try:
        hold(api, name, root)
        handler = _load_or_report(api, name, root)
        while True:
            run_once(api, handler)
            flush()
    except ApiLost as error:
        flush()
        sys.exit(f"python_runtime: {error}")
    except KeyboardInterrupt:
        flush()
        sys.exit(130)


def hold(api: RuntimeApi, name: str, root: str) -> None:
    """Waits for leave to load the handler, if the environment says so.

    Packages that the handler imports first are imported meanwhile. If the file, as it is then, does
    not import them first any more, the process ends with :data:`UNFIT`: another one begins anew.

    With ``NATLESS_DEBUG`` a debugger may attach from then on, and the other side is told where.
    """
    is_held = os.environ.pop("NATLESS_HELD", "")
    before = preload(name, root) if is_held else []
    debugger = _listen_for_debugger(root) if os.environ.pop("NATLESS_DEBUG", "") else None
    if not is_held:
        return
    headers = {"Natless-Debug-Port": str(debugger[1])} if debugger else {}
    said = json.loads(api.hold(headers) or b"{}")
    if not set(before) <= set(first_imports(name, root)):
        sys.exit(UNFIT)
    if debugger and said.get("waitForDebugger"):
        debugger[0].wait_for_client()


def preload(name: str, root: str) -> list[str]:
    """Imports the packages that the handler imports before any code of its own runs; their names.

    Whatever goes wrong is left to be told when the handler itself is imported.
    """
    done: list[str] = []
    before = list(sys.path)
    sys.path[:] = handler_path(root)[1:]  # not the folder: its files may be edited until then
    try:
        for package in first_imports(name, root):
            importlib.import_module(package)
            done.append(package)
    except (Exception, SystemExit):
        return done
    finally:
        sys.path[:] = before
    return done


def first_imports(name: str, root: str) -> list[str]:
    """The packages that a handler's module imports before anything else, in their order.

    A module of its own among them is looked into in the same way and ends the list, since its code
    runs before what follows.
    """
    module = name.rpartition(".")[0].replace("/", ".")
    return list(_walk_imports(module, root, set()))


def _walk_imports(module: str, root: str, seen: set[str]) -> Iterator[str]:
    import ast  # only where the process waits anyway

    seen.add(module)
    path = os.path.join(root, *module.split("."))  # noqa: PTH118  as in _import_module
    for file in (path + ".py", os.path.join(path, "__init__.py")):  # noqa: PTH118
        try:
            with open(file, "rb") as source:  # noqa: PTH123
                statements = ast.parse(source.read()).body
        except (OSError, SyntaxError, ValueError):
            continue
        break
    else:
        return
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the module's text about itself
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
            names = [statement.module]
        else:
            return
        for each in names:
            top = os.path.join(root, each.partition(".")[0])  # noqa: PTH118
            if os.path.isdir(top) or os.path.isfile(top + ".py"):  # noqa: PTH112, PTH113
                if each not in seen:
                    yield from _walk_imports(each, root, seen)
                return
            if each != "__future__":
                yield each


def _listen_for_debugger(root: str) -> tuple[Any, int] | None:
    """debugpy, which the handler's interpreter must have, and the port on which it listens."""
    before = list(sys.path)
    sys.path[:] = handler_path(root)[1:]  # nothing of the handler's folder is debugpy
    was_quiet = _QUIET in os.environ
    os.environ.setdefault(_QUIET, "1")  # else it warns of the interpreter's frozen modules
    try:
        debugpy = importlib.import_module("debugpy")  # the developer's own
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        # In this process: the adapter would be another one, which outlives a killed parent.
        debugpy.listen(("127.0.0.1", port), in_process_debug_adapter=True)
    except Exception as error:
        sys.stderr.write(f"no debugger can attach: {type(error).__name__}: {error}\n")
        return None
    finally:
        sys.path[:] = before
        if not was_quiet:
            del os.environ[_QUIET]
    return debugpy, port


def _load_or_report(api: RuntimeApi, name: str, root: str) -> Handler:
    sys.path[:] = handler_path(root)
    try:
        return load_handler(name, root)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        description = describe_error(error)
        log_error(description)
        flush()
        api.fail_init(_error_headers(description), _dump(description))
        sys.exit(1)


if __name__ == "__main__":
    main()
