"""Who sent an event, and what an answer to that source has to look like.

Shapes: AWS developer guides, "Lambda proxy integrations" (API Gateway REST, payload 1.0; HTTP APIs
and function URLs, payload 2.0), "Lambda functions as targets" (Application Load Balancer), and
"Implementing partial batch responses" (SQS, Kinesis, DynamoDB streams). ``statusCode`` is an
integer: API Gateway replaces an answer whose status is a string by an error of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from runtime_shim.runtime_api import Answer


class Source(StrEnum):
    """What an event looks like. A direct call and an asynchronous one look alike."""

    ALB = "alb"
    REST = "1.0"  # API Gateway REST, and HTTP APIs that ask for payload 1.0
    HTTP = "2.0"  # HTTP APIs and function URLs
    AUTHORIZER = "authorizer"  # wants a policy, which nobody but the function can give
    SQS = "sqs"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    NOTICE = "notice"  # SNS, S3, EventBridge …: nobody reads the answer, only whether it failed
    PLAIN = "plain"  # anything else: a caller of Invoke

    @property
    def is_http(self) -> bool:
        """Whether an HTTP response is waited for."""
        return self in (Source.ALB, Source.REST, Source.HTTP)

    @property
    def is_batch(self) -> bool:
        """Whether the source understands which records of a batch failed."""
        return self in (Source.SQS, Source.KINESIS, Source.DYNAMODB)


_RECORDS = {
    "aws:sqs": Source.SQS,
    "aws:kinesis": Source.KINESIS,
    "aws:dynamodb": Source.DYNAMODB,
}


def decode_event(body: bytes) -> Any:  # noqa: ANN401  an event is any JSON
    """The event, or None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def decide_source(event: Any) -> Source:  # noqa: ANN401
    """Who sent it, by its members.

    A WebSocket API's event has no method: it is ``plain``.
    """
    if not isinstance(event, dict):
        return Source.PLAIN
    if {"methodArn", "routeArn", "authorizationToken"} & event.keys():
        return Source.AUTHORIZER
    if (source := _decide_http(event)) is not None:
        return source
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        name = records[0].get("eventSource") or records[0].get("EventSource")
        return _RECORDS.get(name, Source.NOTICE) if isinstance(name, str) else Source.PLAIN
    is_from_bus = "detail-type" in event and "source" in event
    return Source.NOTICE if is_from_bus else Source.PLAIN


def _decide_http(event: dict[str, Any]) -> Source | None:
    context = event.get("requestContext")
    if not isinstance(context, dict):
        return None
    if "elb" in context and "httpMethod" in event:
        return Source.ALB
    if isinstance(context.get("http"), dict) and "method" in context["http"]:
        return Source.HTTP
    return Source.REST if isinstance(event.get("httpMethod"), str) else None


def batch_ids(event: Any, source: Source) -> list[str]:  # noqa: ANN401
    """The id of every record, as the source wants to read it; empty when one has none."""
    ids = [_record_id(record, source) for record in event["Records"]] if source.is_batch else []
    return [each for each in ids if each] if all(ids) else []


def _record_id(record: Any, source: Source) -> str:  # noqa: ANN401
    path = {
        Source.SQS: ("messageId",),
        Source.KINESIS: ("kinesis", "sequenceNumber"),
        Source.DYNAMODB: ("dynamodb", "SequenceNumber"),
    }[source]
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, str) else ""


def render_failures(ids: list[str]) -> Answer:
    """A batch's answer: these records are to be delivered again, the others are done."""
    failures = [{"itemIdentifier": each} for each in ids]
    return Answer(json.dumps({"batchItemFailures": failures}).encode())


def render_response(
    source: Source, status: int, body: str, *, headers: Mapping[str, str] | None = None
) -> Answer:
    """An HTTP response in the shape its source accepts.

    A load balancer wants the status in words, and one of two kinds of headers: it reads the kind
    that its target group is configured for, so both are given.
    """
    all_headers = {"content-type": "application/json", "cache-control": "no-store"}
    all_headers |= headers or {}
    response: dict[str, Any] = {
        "statusCode": status,
        "headers": all_headers,
        "body": body,
        "isBase64Encoded": False,
    }
    if source is Source.ALB:
        response["statusDescription"] = f"{status} {HTTPStatus(status).phrase}"
        response["multiValueHeaders"] = {name: [value] for name, value in all_headers.items()}
    return Answer(json.dumps(response).encode())
