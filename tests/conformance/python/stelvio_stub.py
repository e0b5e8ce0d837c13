"""Stelvio's stub, unmodified, laid out as in the zip that Stelvio deploys, and invoked."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import stelvio
from checks import check

BRIDGE = Path(stelvio.__file__).parent / "bridge"


def find_api() -> None:
    """The environment that a deployment gives the stub, from what the listener created."""
    appsync = boto3.client("appsync")
    (api,) = [each for each in appsync.list_apis()["apis"] if each["name"] == "stelvio"]
    dns = appsync.get_api(apiId=api["apiId"])["api"]["dns"]
    (key,) = appsync.list_api_keys(apiId=api["apiId"])["apiKeys"]
    os.environ |= {
        "STLV_APPSYNC_REALTIME": dns["REALTIME"],
        "STLV_APPSYNC_HTTP": dns["HTTP"],
        "STLV_APPSYNC_API_KEY": key["id"],
        "STLV_APP_NAME": "my_app",
        "STLV_STAGE": "dev",
        "STLV_FUNCTION_NAME": "fn",
        "STLV_DEV_ENDPOINT_ID": "ep-1",
    }


def load_stub() -> Any:
    task = Path.cwd() / "task"
    task.mkdir()
    (task / "stlv_function_stub.py").write_bytes(
        (BRIDGE / "remote/stub/function_stub.py").read_bytes()
    )
    (task / "stlv_chunking.py").write_bytes((BRIDGE / "_chunking.py").read_bytes())
    sys.path.insert(0, str(task))
    import stlv_function_stub

    return stlv_function_stub


def context(request_id: str) -> Any:
    return SimpleNamespace(
        aws_request_id=request_id,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:fn",
        _epoch_deadline_time_in_ms=1893456000000,
    )


def main() -> None:
    find_api()
    stub = load_stub()
    with check("the stub's call is answered by the listener"):
        answer = stub.handler({"body": "hello"}, context("r1"))
        assert answer == {"statusCode": 200, "body": "hello"}, answer
    with check("the second call uses the same connection"):
        first = stub._ws_connection
        assert stub.handler({"body": "again"}, context("r2"))["body"] == "again"
        assert stub._ws_connection is first
    with check("a failure of the handler comes back as the stub's 500"):
        answer = stub.handler({"fail": "on purpose"}, context("r3"))
        assert answer["statusCode"] == 500, answer
        assert "on purpose" in answer["body"]
        assert "ValueError" in answer["body"]
    if "large" in os.environ.get("NATLESS_ALSO", ""):
        with check("450 KB each way, in chunks sent back to back"):
            body = "0123456789" * 45_000
            assert stub.handler({"body": body}, context("r4"))["body"] == body


main()
