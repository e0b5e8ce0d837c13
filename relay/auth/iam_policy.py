"""What a signed identity may do: IAM policy documents for AppSync's data plane.

Actions and resources are those of the AWS AppSync Events developer guide, configure-event-api-auth
(``appsync:EventConnect``, ``EventPublish``, ``EventSubscribe``) and, for GraphQL, of the AWS
AppSync developer guide, security-authz (``appsync:GraphQL``). Evaluation is that of one account
without boundaries: an explicit Deny wins, then an Allow, otherwise the answer is no.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from relay.auth.base import AccessRequest, Operation

_ACTIONS = {
    Operation.CONNECT: "appsync:EventConnect",
    Operation.PUBLISH: "appsync:EventPublish",
    Operation.SUBSCRIBE: "appsync:EventSubscribe",
}
_GRAPHQL_FIELDS = {
    Operation.CONNECT: "Query/fields/getChannel",
    Operation.PUBLISH: "Mutation/fields/publish",
    Operation.SUBSCRIBE: "Subscription/fields/subscribe",
}
_STATEMENT_MEMBERS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource",
}  # fmt: skip


class PolicyError(ValueError):
    """A policy document cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy document.

    Attributes:
        allows: whether the effect is Allow.
        actions: patterns with ``*`` and ``?``; case does not matter.
        resources: patterns of ARNs; case matters.
        names_other_actions: the patterns say which actions are *not* meant (NotAction).
        names_other_resources: likewise for resources.
    """

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    names_other_actions: bool = False
    names_other_resources: bool = False

    def applies(self, action: str, resources: Iterable[str]) -> bool:
        """Whether the statement speaks about this action on one of these resources."""
        action = action.lower()
        named = any(_pattern(wanted.lower()).fullmatch(action) for wanted in self.actions)
        if named == self.names_other_actions:
            return False
        return any(self._covers(resource) for resource in resources)

    def _covers(self, resource: str) -> bool:
        named = any(_pattern(wanted).fullmatch(resource) for wanted in self.resources)
        return named != self.names_other_resources


@dataclass(frozen=True, slots=True)
class Policies:
    """All statements that are attached to one identity."""

    statements: tuple[Statement, ...] = ()

    @classmethod
    def allow_all(cls) -> Policies:
        """The policies of an identity that may do everything."""
        return cls((Statement(allows=True, actions=("*",), resources=("*",)),))

    @classmethod
    def parse(cls, documents: Sequence[Mapping[str, Any] | str]) -> Policies:
        """Reads policy documents, as objects or as JSON text.

        Raises:
            PolicyError: a document is malformed or uses what is not evaluated here (conditions,
                principals); ignoring those would allow more than the author meant.
        """
        return cls(tuple(s for document in documents for s in _statements(document)))

    def allow(self, action: str, resources: Sequence[str]) -> bool:
        """Whether the action is allowed on a resource that goes by any of these names."""
        applying = [s for s in self.statements if s.applies(action, resources)]
        return bool(applying) and all(s.allows for s in applying)


def action_of(request: AccessRequest) -> str:
    """The IAM action of an operation."""
    if request.path.startswith("/graphql"):
        return "appsync:GraphQL"
    return _ACTIONS[request.operation]


def resources_of(request: AccessRequest, *, region: str, account: str) -> tuple[str, ...]:
    """The names by which a policy may mean the operation's resource.

    Connecting goes by two: AWS's sample policy for all operations names ``apis/ID/*`` alone, which
    read literally would not cover ``apis/ID``.
    """
    api = f"arn:aws:appsync:{region}:{account}:apis/{request.api_id}"
    if request.path.startswith("/graphql"):
        if request.path.endswith("/connect"):
            return (api, f"{api}/")
        return (f"{api}/types/{_GRAPHQL_FIELDS[request.operation]}",)
    if request.operation is Operation.CONNECT:
        return (api, f"{api}/")
    return (f"{api}/channelNamespace/{request.namespace}",)


def _statements(document: Mapping[str, Any] | str) -> Iterable[Statement]:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise PolicyError(f"The policy is not JSON: {error}") from error
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise PolicyError("A policy is an object with the member Statement.")
    statements = document["Statement"]
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, Sequence) or isinstance(statements, str):
        raise PolicyError("Statement must be an object or a list of objects.")
    return [_statement(statement) for statement in statements]


def _statement(statement: object) -> Statement:
    if not isinstance(statement, Mapping):
        raise PolicyError("A statement must be an object.")
    unknown = sorted(set(map(str, statement)) - _STATEMENT_MEMBERS)
    if unknown:
        raise PolicyError(f"A statement has members that are not evaluated: {', '.join(unknown)}.")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError("Effect must be Allow or Deny.")
    actions, other_actions = _one_of(statement, "Action", "NotAction")
    resources, other_resources = _one_of(statement, "Resource", "NotResource")
    return Statement(
        allows=effect == "Allow",
        actions=actions,
        resources=resources,
        names_other_actions=other_actions,
        names_other_resources=other_resources,
    )


def _one_of(statement: Mapping[str, Any], name: str, opposite: str) -> tuple[tuple[str, ...], bool]:
    present = [member for member in (name, opposite) if member in statement]
    if len(present) != 1:
        raise PolicyError(f"A statement must have exactly one of {name} and {opposite}.")
    value = statement[present[0]]
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(text, str) for text in values):
        raise PolicyError(f"{present[0]} must be a string or a list of strings.")
    if not values:
        raise PolicyError(f"{present[0]} must not be empty.")
    return tuple(values), present[0] == opposite


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile("".join(parts), re.DOTALL)
