"""Records of asynchronous invocations."""

from __future__ import annotations

import json

from natless.lambda_host.destinations import Condition, EventConfig, append_record, encode_record
from natless.lambda_host.spec import InvokeResult

ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders"


def result(payload: bytes, error: str | None = None) -> InvokeResult:
    return InvokeResult(200, payload, error, "r-1", "$LATEST", b"", 0.0, 1.0)


def record(outcome: InvokeResult | None, condition: Condition) -> dict:
    return json.loads(
        encode_record(
            arn=ARN,
            request_id="r-1",
            payload=b'{"order": 7}',
            condition=condition,
            invoke_count=3,
            result=outcome,
            wall=1_542_409_706.888,
        )
    )


def test_a_failure_is_recorded_as_aws_does():
    assert record(result(b'{"errorType":"Boom"}', "Unhandled"), Condition.RETRIES_EXHAUSTED) == {
        "version": "1.0",
        "timestamp": "2018-11-16T23:08:26.888Z",
        "requestContext": {
            "requestId": "r-1",
            "functionArn": ARN + ":$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"order": 7},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": "Boom"},
    }


def test_a_success_names_no_error():
    said = record(result(b"1"), Condition.SUCCESS)
    assert said["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert said["requestContext"]["condition"] == "Success"


def test_what_never_ran_has_no_response():
    said = record(None, Condition.EVENT_AGE_EXCEEDED)
    assert "responseContext" not in said
    assert "responsePayload" not in said


def test_an_answer_that_is_not_json_is_kept_as_text():
    assert record(result(b"\xff text"), Condition.SUCCESS)["responsePayload"] == "� text"


def test_each_end_has_its_own_destination():
    config = EventConfig(on_success="ok", on_failure="lost")
    targets = [config.target(condition) for condition in Condition]
    assert targets == ["ok", "lost", "lost"]


def test_records_of_a_file_are_lines(tmp_path):
    for each in (b"1", b"2"):
        append_record(tmp_path / "lost.jsonl", each)
    assert (tmp_path / "lost.jsonl").read_text() == "1\n2\n"
