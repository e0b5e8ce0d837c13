"""The generic publish and subscribe API of AppSync's console, executed by graphql-core.

Schema and behaviour are those of the AWS AppSync developer guide,
aws-appsync-real-time-create-generic-api-serverless-websocket: a mutation echoes its arguments, and
its result goes to whoever subscribed with the same name.

This module is imported when the first GraphQL request comes: graphql-core takes its time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    OperationType,
    StringValueNode,
    ValueNode,
    execute_sync,
    get_operation_ast,
    parse,
    validate,
)

MAX_QUERY = 64 * 1024  # characters of a query
MAX_TOKENS = 1000  # of a query
MAX_ERRORS = 10

_ROOT_FIELDS = {
    OperationType.QUERY: "query",
    OperationType.MUTATION: "mutation",
    OperationType.SUBSCRIPTION: "subscription",
}


class RequestIllegal(Exception):
    """A request cannot even be tried; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that could be parsed.

    Attributes:
        document: the query.
        kind: ``query``, ``mutation`` or ``subscription``; None if no operation is meant clearly.
        variables: as sent.
        operation_name: which operation of the document, None if there is one only.
    """

    document: DocumentNode
    kind: str | None
    variables: Mapping[str, Any] | None
    operation_name: str | None


@dataclass(slots=True)
class Publication:
    """What a mutation published.

    Attributes:
        name: of the channel.
        data: JSON text.
        selected: the fields that the mutation asked back; others are kept from subscribers.
        key: of the mutation's root field in the answer.
    """

    name: str
    data: str
    selected: set[str] = field(default_factory=set)
    key: str = ""

    def visible(self, name: str) -> str | None:
        """What a subscriber sees of a field."""
        if name not in self.selected:
            return None
        return self.name if name == "name" else self.data


@dataclass(frozen=True, slots=True)
class Selection:
    """What a subscription asks for, ready to be filled in.

    Attributes:
        name: the channel that it is about.
        key: the root field's name in answers.
        fields: the channel's fields by their name in answers; ``__typename`` among them.
    """

    name: str
    key: str
    fields: tuple[tuple[str, str], ...]

    def fill(self, publication: Publication) -> dict[str, Any]:
        """The payload of a ``data`` frame."""
        channel = {
            key: "Channel" if name == "__typename" else publication.visible(name)
            for key, name in self.fields
        }
        return {"data": {self.key: channel}}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a request over HTTP.

    Attributes:
        answer: ``data`` and, if there are any, ``errors``.
        publications: what is to be delivered, in order.
    """

    answer: Mapping[str, Any]
    publications: Sequence[Publication] = ()


def read_request(document: object) -> Request:
    """Reads ``{query, variables?, operationName?}``.

    Raises:
        RequestIllegal: members are missing or the query cannot be parsed.
    """
    if not isinstance(document, Mapping):
        raise RequestIllegal("Request body is not a JSON object.")
    query, variables = document.get("query"), document.get("variables")
    operation_name = document.get("operationName")
    if not isinstance(query, str):
        raise RequestIllegal("Unable to parse GraphQL query.")
    if variables is not None and not isinstance(variables, Mapping):
        raise RequestIllegal("Variables are not a JSON object.")
    if operation_name is not None and not isinstance(operation_name, str):
        raise RequestIllegal("The operation name is not a string.")
    try:
        parsed = parse(query, max_tokens=MAX_TOKENS, max_source_length=MAX_QUERY)
    except (GraphQLError, RecursionError):
        raise RequestIllegal("Unable to parse GraphQL query.") from None
    operation = get_operation_ast(parsed, operation_name or None)
    kind = None if operation is None else _ROOT_FIELDS[operation.operation]
    return Request(parsed, kind, variables, operation_name or None)


def perform(request: Request, *, denied: frozenset[str] = frozenset()) -> Outcome:
    """Carries out a query or a mutation.

    What is wrong with it is in the answer, as GraphQL has it.

    Args:
        request: what is asked.
        denied: fields, ``Type.field``, that come out as null. What they make null above them is not
            published.
    """
    problems = _problems(request)
    if request.kind == "subscription":
        problems = [{"message": "A subscription needs a WebSocket.", "path": None}]
    if problems:
        return Outcome({"data": None, "errors": problems})
    course = _Course(denied)
    result = execute_sync(
        SCHEMA,
        request.document,
        context_value=course,
        variable_values=dict(request.variables or {}),
        operation_name=request.operation_name,
    )
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [_describe(error) for error in result.errors[:MAX_ERRORS]]
    data = result.data or {}
    return Outcome(answer, [one for one in course.publications if data.get(one.key) is not None])


def subscribe(request: Request, *, denied: frozenset[str] = frozenset()) -> Selection:
    """What a subscription asks for.

    It is executed once with marks in place of values; where they come out is where values go.

    Args:
        request: what is asked.
        denied: fields, ``Type.field``, that must not be asked for.

    Raises:
        RequestIllegal: it is no valid subscription.
        FieldDenied: it asks for what is denied.
    """
    problems = _problems(request)
    if problems:
        raise RequestIllegal(problems[0]["message"])
    course = _Course(denied)
    result = execute_sync(
        SCHEMA,
        request.document,
        root_value=_Marks(),
        context_value=course,
        variable_values=dict(request.variables or {}),
        operation_name=request.operation_name,
    )
    for error in result.errors or ():
        if isinstance(error.original_error, FieldDenied):
            raise error.original_error
    if result.errors or not result.data:
        message = result.errors[0].message if result.errors else "Nothing is subscribed to."
        raise RequestIllegal(message)
    ((key, channel),) = result.data.items()
    if not course.asked or channel is None:  # __typename of the subscription itself
        raise RequestIllegal("Nothing is subscribed to.")
    marks = {"\0name": "name", "\0data": "data", "Channel": "__typename"}
    return Selection(
        course.asked[0], key, tuple((name, marks[mark]) for name, mark in channel.items())
    )


class FieldDenied(GraphQLError):
    """A field that a Lambda authorizer keeps from the caller."""


@dataclass(slots=True)
class _Course:
    """One execution.

    Attributes:
        denied: fields, ``Type.field``, that nobody gets.
        publications: what was published.
        asked: the names that were subscribed to.
    """

    denied: frozenset[str]
    publications: list[Publication] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self, info: GraphQLResolveInfo[Any]) -> None:
        """Lets nobody near a field that is denied."""
        name = info.parent_type.name
        if f"{name}.{info.field_name}" in self.denied:
            raise FieldDenied(f"Not Authorized to access {info.field_name} on type {name}")


class _Marks:
    """The root of the trial execution of a subscription."""


def _problems(request: Request) -> list[dict[str, Any]]:
    if request.kind is None:
        return [{"message": "The operation is not named or does not exist.", "path": None}]
    try:
        errors = validate(SCHEMA, request.document, max_errors=MAX_ERRORS, hide_suggestions=True)
    except RecursionError:
        return [{"message": "The query is nested too deeply.", "path": None}]
    return [_describe(error) for error in errors]


def _describe(error: GraphQLError) -> dict[str, Any]:
    locations = error.locations or []
    denied = {"errorType": "Unauthorized"} if isinstance(error.original_error, FieldDenied) else {}
    return {
        "path": error.path,
        **denied,
        "locations": [
            {"line": place.line, "column": place.column, "sourceName": None} for place in locations
        ],
        "message": error.message,
    }


def _parse_json(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError("AWSJSON must be a string that holds JSON.")
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        raise GraphQLError("AWSJSON must be a string that holds JSON.") from None
    return value


def _parse_json_literal(node: ValueNode, _: object = None) -> str:
    if not isinstance(node, StringValueNode):
        raise GraphQLError("AWSJSON must be a string that holds JSON.")
    return _parse_json(node.value)


def _resolve_channel_field(source: Publication | _Marks, info: GraphQLResolveInfo[Any]) -> str:
    info.context.check(info)
    if isinstance(source, _Marks):
        return f"\0{info.field_name}"
    source.selected.add(info.field_name)
    return source.name if info.field_name == "name" else source.data


def _resolve_publish(
    _: object, info: GraphQLResolveInfo[Any], *, name: str, data: str
) -> Publication:
    info.context.check(info)
    publication = Publication(name, data, key=str(info.path.key))
    info.context.publications.append(publication)
    return publication


def _resolve_subscribe(source: _Marks, info: GraphQLResolveInfo[Any], *, name: str) -> _Marks:
    info.context.check(info)
    info.context.asked.append(name)
    return source


_JSON = GraphQLScalarType(
    "AWSJSON",
    description="A string that holds JSON.",
    parse_value=_parse_json,
    parse_literal=_parse_json_literal,
)
_NAME = GraphQLArgument(GraphQLNonNull(GraphQLString))
_CHANNEL = GraphQLObjectType(
    "Channel",
    {
        "name": GraphQLField(GraphQLNonNull(GraphQLString), resolve=_resolve_channel_field),
        "data": GraphQLField(GraphQLNonNull(_JSON), resolve=_resolve_channel_field),
    },
)
SCHEMA = GraphQLSchema(
    query=GraphQLObjectType("Query", {"getChannel": GraphQLField(_CHANNEL)}),
    mutation=GraphQLObjectType(
        "Mutation",
        {
            "publish": GraphQLField(
                _CHANNEL,
                args={"name": _NAME, "data": GraphQLArgument(GraphQLNonNull(_JSON))},
                resolve=_resolve_publish,
            )
        },
    ),
    subscription=GraphQLObjectType(
        "Subscription",
        {"subscribe": GraphQLField(_CHANNEL, args={"name": _NAME}, resolve=_resolve_subscribe)},
    ),
)
