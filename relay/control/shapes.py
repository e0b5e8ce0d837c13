"""What a request of the control plane may hold: the shapes of botocore's service model, as data.

A test compares these with the model itself, so that no constraint is from memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.control.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Text:
    """A string; the pattern must match all of it."""

    minimum: int = 0
    maximum: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of at most 64 bits."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    member: Shape
    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A map of strings."""

    key: Text
    value: Text
    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """An object; members that are not named are ignored, as AWS ignores them."""

    members: Mapping[str, Shape]
    required: tuple[str, ...] = ()


Shape = Text | Whole | Flag | Listing | Table | Structure


def check(value: object, shape: Shape, *, where: str = "") -> Any:  # noqa: ANN401  any JSON comes out
    """The value without members that are null or unknown.

    Args:
        value: decoded JSON.
        shape: what it must be.
        where: its path from the request's root, for the message.

    Raises:
        BadRequest: it is something else.
    """
    match shape:
        case Text():
            return _check_text(value, shape, where)
        case Whole():
            if isinstance(value, bool) or not isinstance(value, int):
                raise _broken(where, "Member must be a whole number")
            _check_bounds(value, -(2**63), 2**63 - 1, where, "value")
            _check_bounds(value, shape.minimum, shape.maximum, where, "value")
            return value
        case Flag():
            if not isinstance(value, bool):
                raise _broken(where, "Member must be a boolean")
            return value
        case Listing():
            if not isinstance(value, list):
                raise _broken(where, "Member must be a list")
            _check_bounds(len(value), shape.minimum, shape.maximum, where, "length")
            return [
                check(member, shape.member, where=f"{where}.{number}.member")
                for number, member in enumerate(value, 1)
            ]
        case Table():
            return _check_table(value, shape, where)
        case Structure():
            return _check_structure(value, shape, where)


def _check_text(value: object, shape: Text, where: str) -> str:
    if not isinstance(value, str):
        raise _broken(where, "Member must be a string")
    _check_bounds(len(value), shape.minimum, shape.maximum, where, "length")
    if shape.choices and value not in shape.choices:
        raise _broken(where, f"Member must satisfy enum value set: [{', '.join(shape.choices)}]")
    if shape.pattern is not None and not re.fullmatch(shape.pattern, value, re.ASCII):
        raise _broken(where, f"Member must satisfy regular expression pattern: {shape.pattern}")
    return value


def _check_table(value: object, shape: Table, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _broken(where, "Member must be a map")
    _check_bounds(len(value), shape.minimum, shape.maximum, where, "length")
    return {
        _check_text(name, shape.key, f"{where}.key"): _check_text(
            text, shape.value, f"{where}.value"
        )
        for name, text in value.items()
    }


def _check_structure(value: object, shape: Structure, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _broken(where or "body", "Member must be an object")
    given = {name: member for name, member in value.items() if member is not None}
    for name in shape.required:
        if name not in given:
            raise _broken(f"{where}.{name}".lstrip("."), "Member must not be null")
    return {
        name: check(given[name], member, where=f"{where}.{name}".lstrip("."))
        for name, member in shape.members.items()
        if name in given
    }


def _check_bounds(
    size: int, minimum: int | None, maximum: int | None, where: str, what: str
) -> None:
    if minimum is not None and size < minimum:
        raise _broken(where, f"Member must have {what} greater than or equal to {minimum}")
    if maximum is not None and size > maximum:
        raise _broken(where, f"Member must have {what} less than or equal to {maximum}")


def _broken(where: str, constraint: str) -> BadRequest:
    place = f"Value at '{where}' failed to satisfy constraint: {constraint}"
    return BadRequest(f"1 validation error detected: {place}")


AUTH_TYPES = (
    "API_KEY",
    "AWS_IAM",
    "AMAZON_COGNITO_USER_POOLS",
    "OPENID_CONNECT",
    "AWS_LAMBDA",
)

STRING = Text()
API_NAME = Text(1, 50, r"[A-Za-z0-9_\-\ ]+")
OWNER_CONTACT = Text(0, 250, r"[A-Za-z0-9_\-\ \.]*")  # of the answer; the request has no bound
NAMESPACE = Text(1, 50, r"([A-Za-z0-9](?:[A-Za-z0-9\-]{0,48}[A-Za-z0-9])?)")
CODE = Text(1, 32768)
DESCRIPTION = Text(0, 255, r"^.*$")
RESOURCE_NAME = Text(1, 65536, r"[_A-Za-z][_0-9A-Za-z]*")
DOMAIN_NAME = Text(1, 253, r"^(\*[\w\d-]*\.)?([\w\d-]+\.)+[\w\d-]+$")
CERTIFICATE_ARN = Text(
    20,
    2048,
    r"^arn:[a-z-]*:(acm|iam):[a-z0-9-]*:\d{12}:(certificate|server-certificate)/[0-9A-Za-z_/-]*$",
)
RESOURCE_ARN = Text(
    70, 75, r"^arn:aws:appsync:[A-Za-z0-9_/.-]{0,63}:\d{12}:apis/[0-9A-Za-z_-]{26}$"
)
TAG_KEY = Text(1, 128, r"^(?!aws:)[ a-zA-Z+-=._:/]+$")
TAG_VALUE = Text(0, 256, r"^[\s\w+-=\.:/@]*$")
TAGS = Table(TAG_KEY, TAG_VALUE, 1, 50)
TAG_KEYS = Listing(TAG_KEY, 1, 50)
PAGINATION_TOKEN = Text(1, 65536, r"[\S]+")
MAX_RESULTS = Whole(0, 25)

AUTH_TYPE = Text(choices=AUTH_TYPES)
AUTH_MODES = Listing(Structure({"authType": AUTH_TYPE}, ("authType",)))
AUTH_PROVIDER = Structure(
    {
        "authType": AUTH_TYPE,
        "cognitoConfig": Structure(
            {"userPoolId": STRING, "awsRegion": STRING, "appIdClientRegex": STRING},
            ("userPoolId", "awsRegion"),
        ),
        "openIDConnectConfig": Structure(
            {"issuer": STRING, "clientId": STRING, "iatTTL": Whole(), "authTTL": Whole()},
            ("issuer",),
        ),
        "lambdaAuthorizerConfig": Structure(
            {
                "authorizerResultTtlInSeconds": Whole(0, 3600),
                "authorizerUri": STRING,
                "identityValidationExpression": STRING,
            },
            ("authorizerUri",),
        ),
    },
    ("authType",),
)
EVENT_CONFIG = Structure(
    {
        "authProviders": Listing(AUTH_PROVIDER),
        "connectionAuthModes": AUTH_MODES,
        "defaultPublishAuthModes": AUTH_MODES,
        "defaultSubscribeAuthModes": AUTH_MODES,
        "logConfig": Structure(
            {
                "logLevel": Text(choices=("NONE", "ERROR", "ALL", "INFO", "DEBUG")),
                "cloudWatchLogsRoleArn": STRING,
            },
            ("logLevel", "cloudWatchLogsRoleArn"),
        ),
    },
    (
        "authProviders",
        "connectionAuthModes",
        "defaultPublishAuthModes",
        "defaultSubscribeAuthModes",
    ),
)
HANDLER_CONFIG = Structure(
    {
        "behavior": Text(choices=("CODE", "DIRECT")),
        "integration": Structure(
            {
                "dataSourceName": STRING,
                "lambdaConfig": Structure(
                    {"invokeType": Text(choices=("REQUEST_RESPONSE", "EVENT"))}
                ),
            },
            ("dataSourceName",),
        ),
    },
    ("behavior", "integration"),
)
HANDLER_CONFIGS = Structure({"onPublish": HANDLER_CONFIG, "onSubscribe": HANDLER_CONFIG})

_NAMESPACE_BODY: Mapping[str, Shape] = {
    "subscribeAuthModes": AUTH_MODES,
    "publishAuthModes": AUTH_MODES,
    "codeHandlers": CODE,
    "handlerConfigs": HANDLER_CONFIGS,
}
_SEARCH = Structure({"endpoint": STRING, "awsRegion": STRING}, ("endpoint", "awsRegion"))
_DATA_SOURCE_BODY: Mapping[str, Shape] = {
    "description": STRING,
    "type": Text(
        choices=(
            "AWS_LAMBDA",
            "AMAZON_DYNAMODB",
            "AMAZON_ELASTICSEARCH",
            "NONE",
            "HTTP",
            "RELATIONAL_DATABASE",
            "AMAZON_OPENSEARCH_SERVICE",
            "AMAZON_EVENTBRIDGE",
            "AMAZON_BEDROCK_RUNTIME",
        )
    ),
    "serviceRoleArn": STRING,
    "dynamodbConfig": Structure(
        {
            "tableName": STRING,
            "awsRegion": STRING,
            "useCallerCredentials": Flag(),
            "deltaSyncConfig": Structure(
                {
                    "baseTableTTL": Whole(),
                    "deltaSyncTableName": STRING,
                    "deltaSyncTableTTL": Whole(),
                }
            ),
            "versioned": Flag(),
        },
        ("tableName", "awsRegion"),
    ),
    "lambdaConfig": Structure({"lambdaFunctionArn": STRING}, ("lambdaFunctionArn",)),
    "elasticsearchConfig": _SEARCH,
    "openSearchServiceConfig": _SEARCH,
    "httpConfig": Structure(
        {
            "endpoint": STRING,
            "authorizationConfig": Structure(
                {
                    "authorizationType": Text(choices=("AWS_IAM",)),
                    "awsIamConfig": Structure(
                        {"signingRegion": STRING, "signingServiceName": STRING}
                    ),
                },
                ("authorizationType",),
            ),
        }
    ),
    "relationalDatabaseConfig": Structure(
        {
            "relationalDatabaseSourceType": Text(choices=("RDS_HTTP_ENDPOINT",)),
            "rdsHttpEndpointConfig": Structure(
                {
                    "awsRegion": STRING,
                    "dbClusterIdentifier": STRING,
                    "databaseName": STRING,
                    "schema": STRING,
                    "awsSecretStoreArn": STRING,
                }
            ),
        }
    ),
    "eventBridgeConfig": Structure({"eventBusArn": STRING}, ("eventBusArn",)),
    "metricsConfig": Text(choices=("ENABLED", "DISABLED")),
}
_LIST: Mapping[str, Shape] = {"nextToken": PAGINATION_TOKEN, "maxResults": MAX_RESULTS}
_OF_API: Mapping[str, Shape] = {"apiId": STRING}
_OF_DOMAIN: Mapping[str, Shape] = {"domainName": DOMAIN_NAME}

# By operation: path, query and body parameters together, as botocore names them.
INPUTS: Mapping[str, Structure] = {
    "CreateApi": Structure(
        {
            "name": API_NAME,
            "ownerContact": OWNER_CONTACT,
            "tags": TAGS,
            "eventConfig": EVENT_CONFIG,
        },
        ("name", "eventConfig"),
    ),
    "ListApis": Structure(_LIST),
    "GetApi": Structure(_OF_API, ("apiId",)),
    "UpdateApi": Structure(
        {
            **_OF_API,
            "name": API_NAME,
            "ownerContact": OWNER_CONTACT,
            "eventConfig": EVENT_CONFIG,
        },
        ("apiId", "name", "eventConfig"),
    ),
    "DeleteApi": Structure(_OF_API, ("apiId",)),
    "CreateChannelNamespace": Structure(
        {**_OF_API, "name": NAMESPACE, **_NAMESPACE_BODY, "tags": TAGS}, ("apiId", "name")
    ),
    "ListChannelNamespaces": Structure({**_OF_API, **_LIST}, ("apiId",)),
    "GetChannelNamespace": Structure({**_OF_API, "name": NAMESPACE}, ("apiId", "name")),
    "UpdateChannelNamespace": Structure(
        {**_OF_API, "name": NAMESPACE, **_NAMESPACE_BODY}, ("apiId", "name")
    ),
    "DeleteChannelNamespace": Structure({**_OF_API, "name": NAMESPACE}, ("apiId", "name")),
    "CreateApiKey": Structure({**_OF_API, "description": STRING, "expires": Whole()}, ("apiId",)),
    "ListApiKeys": Structure({**_OF_API, **_LIST}, ("apiId",)),
    "UpdateApiKey": Structure(
        {**_OF_API, "id": STRING, "description": STRING, "expires": Whole()}, ("apiId", "id")
    ),
    "DeleteApiKey": Structure({**_OF_API, "id": STRING}, ("apiId", "id")),
    "CreateDataSource": Structure(
        {**_OF_API, "name": RESOURCE_NAME, **_DATA_SOURCE_BODY}, ("apiId", "name", "type")
    ),
    "ListDataSources": Structure({**_OF_API, **_LIST}, ("apiId",)),
    "GetDataSource": Structure({**_OF_API, "name": RESOURCE_NAME}, ("apiId", "name")),
    "UpdateDataSource": Structure(
        {**_OF_API, "name": RESOURCE_NAME, **_DATA_SOURCE_BODY}, ("apiId", "name", "type")
    ),
    "DeleteDataSource": Structure({**_OF_API, "name": RESOURCE_NAME}, ("apiId", "name")),
    "ListTagsForResource": Structure({"resourceArn": RESOURCE_ARN}, ("resourceArn",)),
    "TagResource": Structure({"resourceArn": RESOURCE_ARN, "tags": TAGS}, ("resourceArn", "tags")),
    "UntagResource": Structure(
        {"resourceArn": RESOURCE_ARN, "tagKeys": TAG_KEYS}, ("resourceArn", "tagKeys")
    ),
    "CreateDomainName": Structure(
        {
            **_OF_DOMAIN,
            "certificateArn": CERTIFICATE_ARN,
            "description": DESCRIPTION,
            "tags": TAGS,
        },
        ("domainName", "certificateArn"),
    ),
    "ListDomainNames": Structure(_LIST),
    "GetDomainName": Structure(_OF_DOMAIN, ("domainName",)),
    "UpdateDomainName": Structure({**_OF_DOMAIN, "description": DESCRIPTION}, ("domainName",)),
    "DeleteDomainName": Structure(_OF_DOMAIN, ("domainName",)),
    "AssociateApi": Structure({**_OF_DOMAIN, "apiId": STRING}, ("domainName", "apiId")),
    "GetApiAssociation": Structure(_OF_DOMAIN, ("domainName",)),
    "DisassociateApi": Structure(_OF_DOMAIN, ("domainName",)),
}
