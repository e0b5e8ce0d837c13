"""What the control plane answers when it does not do what was asked.

Names, statuses and members are those of botocore's service model of AppSync (2017-07-25); the three
about signatures are those that every AWS service answers in front of its own.
"""

from __future__ import annotations

from typing import ClassVar


class ControlError(Exception):
    """A refusal of the control plane.

    Attributes:
        name: AWS's name of the exception, sent as ``x-amzn-ErrorType``.
        status: the HTTP status.
        message: what the caller reads.
    """

    name: ClassVar[str] = "InternalFailureException"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(ControlError):
    """The request is malformed or makes no sense."""

    name, status = "BadRequestException", 400


class KeyLimitExceeded(ControlError):
    """The API has all the keys that it may have."""

    name, status = "ApiKeyLimitExceededException", 400


class KeyValidityOutOfBounds(ControlError):
    """A key would expire too soon or too late."""

    name, status = "ApiKeyValidityOutOfBoundsException", 400


class QuotaExceeded(ControlError):
    """There are as many APIs or namespaces as there may be; 402 is what AWS models."""

    name, status = "ServiceQuotaExceededException", 402


class AccessRefused(ControlError):
    """The caller's policies do not allow the operation."""

    name, status = "AccessDeniedException", 403


class SignatureMissing(ControlError):
    """The request is not signed."""

    name, status = "MissingAuthenticationTokenException", 403


class SignatureInvalid(ControlError):
    """The request's signature does not hold."""

    name, status = "InvalidSignatureException", 403


class NotFound(ControlError):
    """There is no such thing."""

    name, status = "NotFoundException", 404


class OperationUnknown(ControlError):
    """No operation has this method and path."""

    name, status = "UnknownOperationException", 404


class Conflict(ControlError):
    """There is such a thing already."""

    name, status = "ConflictException", 409


class RequestTooLarge(ControlError):
    """The body is larger than any valid request."""

    name, status = "RequestEntityTooLargeException", 413
