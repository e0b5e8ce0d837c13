"""Which method and path is which operation, and who carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from relay.control import api_keys, apis, channel_namespaces, data_sources, domains
from relay.control.desk import Asked, Desk
from relay.control.errors import BadRequest, OperationUnknown
from relay.control.shapes import INPUTS, check

Carry = Callable[[Desk, Asked], dict[str, Any]]

_LISTS = frozenset({"tagKeys"})
_NUMBERS = frozenset({"maxResults"})
MAX_QUERY_MEMBERS = 100


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: botocore's name of it.
        method: the HTTP method.
        path: its segments; one in braces is a parameter, one with a plus takes all that follow.
        query: parameters from the query string.
        carry: carries it out.
    """

    name: str
    method: str
    path: tuple[str, ...]
    query: tuple[str, ...]
    carry: Carry


def _operation(
    name: str, method: str, path: str, carry: Carry, *, query: Sequence[str] = ()
) -> Operation:
    return Operation(name, method, tuple(path.split("/")[1:]), tuple(query), carry)


_PAGE = ("nextToken", "maxResults")
_API = "/v2/apis/{apiId}"
_SPACES = f"{_API}/channelNamespaces"
_KEYS = "/v1/apis/{apiId}/apikeys"
_SOURCES = "/v1/apis/{apiId}/datasources"
_DOMAIN = "/v1/domainnames/{domainName}"
_JOINED = f"{_DOMAIN}/apiassociation"
_TAGS = "/v1/tags/{resourceArn+}"

OPERATIONS: tuple[Operation, ...] = (
    _operation("CreateApi", "POST", "/v2/apis", apis.create_api),
    _operation("ListApis", "GET", "/v2/apis", apis.list_apis, query=_PAGE),
    _operation("GetApi", "GET", _API, apis.get_api),
    _operation("UpdateApi", "POST", _API, apis.update_api),
    _operation("DeleteApi", "DELETE", _API, apis.delete_api),
    _operation(
        "CreateChannelNamespace", "POST", _SPACES, channel_namespaces.create_channel_namespace
    ),
    _operation(
        "ListChannelNamespaces",
        "GET",
        _SPACES,
        channel_namespaces.list_channel_namespaces,
        query=_PAGE,
    ),
    _operation(
        "GetChannelNamespace",
        "GET",
        _SPACES + "/{name}",
        channel_namespaces.get_channel_namespace,
    ),
    _operation(
        "UpdateChannelNamespace",
        "POST",
        _SPACES + "/{name}",
        channel_namespaces.update_channel_namespace,
    ),
    _operation(
        "DeleteChannelNamespace",
        "DELETE",
        _SPACES + "/{name}",
        channel_namespaces.delete_channel_namespace,
    ),
    _operation("CreateApiKey", "POST", _KEYS, api_keys.create_api_key),
    _operation("ListApiKeys", "GET", _KEYS, api_keys.list_api_keys, query=_PAGE),
    _operation("UpdateApiKey", "POST", _KEYS + "/{id}", api_keys.update_api_key),
    _operation("DeleteApiKey", "DELETE", _KEYS + "/{id}", api_keys.delete_api_key),
    _operation("CreateDataSource", "POST", _SOURCES, data_sources.create_data_source),
    _operation("ListDataSources", "GET", _SOURCES, data_sources.list_data_sources, query=_PAGE),
    _operation("GetDataSource", "GET", _SOURCES + "/{name}", data_sources.get_data_source),
    _operation("UpdateDataSource", "POST", _SOURCES + "/{name}", data_sources.update_data_source),
    _operation("DeleteDataSource", "DELETE", _SOURCES + "/{name}", data_sources.delete_data_source),
    _operation("ListTagsForResource", "GET", _TAGS, apis.list_tags),
    _operation("TagResource", "POST", _TAGS, apis.tag_resource),
    _operation("UntagResource", "DELETE", _TAGS, apis.untag_resource, query=("tagKeys",)),
    _operation("CreateDomainName", "POST", "/v1/domainnames", domains.create_domain_name),
    _operation("ListDomainNames", "GET", "/v1/domainnames", domains.list_domain_names, query=_PAGE),
    _operation("GetDomainName", "GET", _DOMAIN, domains.get_domain_name),
    _operation("UpdateDomainName", "POST", _DOMAIN, domains.update_domain_name),
    _operation("DeleteDomainName", "DELETE", _DOMAIN, domains.delete_domain_name),
    _operation("AssociateApi", "POST", _JOINED, domains.associate_api),
    _operation("GetApiAssociation", "GET", _JOINED, domains.get_api_association),
    _operation("DisassociateApi", "DELETE", _JOINED, domains.disassociate_api),
)


def find_operation(method: str, raw_path: str) -> tuple[Operation, dict[str, str]]:
    """The operation of a method and a path as sent, and the parameters in the path.

    Raises:
        OperationUnknown: there is none.
    """
    segments = [unquote(segment, errors="replace") for segment in raw_path.split("/")[1:]]
    for operation in OPERATIONS:
        if operation.method == method:
            parameters = _match(operation.path, segments)
            if parameters is not None:
                return operation, parameters
    raise OperationUnknown(f"No operation is {method} on this path.")


def read_input(
    operation: Operation, *, parameters: Mapping[str, str], raw_query: str, body: object
) -> Asked:
    """The request's members from path, query and body, checked against the operation's shape.

    Raises:
        BadRequest: a member is missing or is not what it must be.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body is not a JSON object.")
    given: dict[str, object] = dict(body)
    for name in operation.query:
        given.pop(name, None)
    given |= _read_query(operation, raw_query)
    given |= parameters
    checked: Asked = check(given, INPUTS[operation.name])
    return checked


def _match(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for position, wanted in enumerate(pattern):
        if position >= len(segments):
            return None
        if wanted.endswith("+}"):
            found[wanted[1:-2]] = "/".join(segments[position:])
            return found if found[wanted[1:-2]] else None
        if wanted.startswith("{"):
            if not segments[position]:
                return None
            found[wanted[1:-1]] = segments[position]
        elif wanted != segments[position]:
            return None
    return found if len(pattern) == len(segments) else None


def _read_query(operation: Operation, raw_query: str) -> dict[str, object]:
    try:
        pairs = parse_qsl(raw_query, max_num_fields=MAX_QUERY_MEMBERS, errors="replace")
    except ValueError as error:
        raise BadRequest(f"The query string cannot be read: {error}") from error
    found: dict[str, object] = {}
    for name, text in pairs:
        if name not in operation.query:
            continue
        if name in _LISTS:
            known = found.setdefault(name, [])
            assert isinstance(known, list)
            known.append(text)
        elif name in _NUMBERS:
            found[name] = _number(name, text)
        else:
            found[name] = text
    return found


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.lstrip("-").isdigit() and len(text) <= 20):
        raise BadRequest(f"{name} is not a whole number.")
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{name} is not a whole number.") from None
