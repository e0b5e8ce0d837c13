from __future__ import annotations

import json
from typing import Any

import pytest

from runtime_shim.fallbacks.sources import (
    Source,
    batch_ids,
    decide_source,
    decode_event,
    render_failures,
    render_response,
)

KINESIS = {"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": "4959"}}
DYNAMODB = {"eventSource": "aws:dynamodb", "dynamodb": {"SequenceNumber": "1110"}}
SQS = {"eventSource": "aws:sqs", "messageId": "m"}


def records(*each: Any) -> dict[str, Any]:
    return {"Records": list(each)}


@pytest.mark.parametrize(
    ("event", "source"),
    [
        (records(SQS), Source.SQS),
        (records(KINESIS), Source.KINESIS),
        (records(DYNAMODB), Source.DYNAMODB),
        (records({"eventSource": "aws:s3"}), Source.NOTICE),
        (records({"EventSource": "aws:sns"}), Source.NOTICE),
        (records(), Source.PLAIN),
        (records("text"), Source.PLAIN),
        (records({"eventSource": 7}), Source.PLAIN),
        ({"source": "aws.ec2", "detail-type": "EC2", "detail": {}}, Source.NOTICE),
        ({"type": "TOKEN", "authorizationToken": "t", "methodArn": "arn"}, Source.AUTHORIZER),
        ({"requestContext": {"connectionId": "c", "routeKey": "$connect"}}, Source.PLAIN),
        ("text", Source.PLAIN),
        (None, Source.PLAIN),
    ],
)
def test_a_source_is_known_by_its_events(event: Any, source: Source) -> None:
    assert decide_source(event) is source


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        (records(SQS, {"eventSource": "aws:sqs", "messageId": "n"}), ["m", "n"]),
        (records(KINESIS), ["4959"]),
        (records(DYNAMODB), ["1110"]),
        (records(SQS, {"eventSource": "aws:sqs"}), []),
        (records(KINESIS, {"kinesis": "text"}), []),
        (records({"eventSource": "aws:s3"}), []),
        ({"any": "thing"}, []),
    ],
)
def test_a_batch_is_named_whole_or_not_at_all(event: Any, ids: list[str]) -> None:
    assert batch_ids(event, decide_source(event)) == ids


def test_failures_are_in_the_words_of_an_event_source_mapping() -> None:
    assert json.loads(render_failures(["a"]).body) == {
        "batchItemFailures": [{"itemIdentifier": "a"}]
    }


@pytest.mark.parametrize("source", [Source.REST, Source.HTTP, Source.ALB])
def test_a_response_has_a_number_for_its_status_and_text_for_its_headers(source: Source) -> None:
    response = json.loads(render_response(source, 202, "b", headers={"x-a": "1"}).body)
    assert type(response["statusCode"]) is int
    assert response["headers"]["x-a"] == "1"
    assert ("statusDescription" in response) is (source is Source.ALB)
    if source is Source.ALB:
        assert response["statusDescription"] == "202 Accepted"
        assert response["multiValueHeaders"]["x-a"] == ["1"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_json_is_no_event(body: bytes) -> None:
    assert decode_event(body) is None
