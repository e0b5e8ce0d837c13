"""IAM authorization: signature version 4, verified by the client's own list of signed headers.

::

    AWS4-HMAC-SHA256 Credential=<key id>/<date>/<region>/appsync/aws4_request,
                     SignedHeaders=<a;b;c>, Signature=<64 hex>
          │ parse            │ rebuild headers and body, derive the key          │ compare
          v                  v                                                   v
      ParsedSignature ──> canonical request ──> string to sign ──> signature ──> policies

Neither URL, method nor body travel with the credentials of a WebSocket operation; the server
rebuilds them (AWS AppSync Events developer guide, event-api-websocket-protocol). The answers to a
wrong signature follow what Amplify clients report: ``BadRequestException`` with the expected
canonical request at connect time.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from relay.auth import canonical
from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Identity, Operation
from relay.auth.iam_policy import Policies, action_of, resources_of

Verify = Literal["strict", "parse-only", "off"]

TOKEN_HEADER = "x-amz-security-token"
MAX_AGE = 300.0  # seconds; AWS General Reference: requests are valid for five minutes
ACCOUNT = "000000000000"

_MAX_AUTHORIZATION = 16 * 1024
_MAX_SIGNED_HEADERS = 64
_MAX_CACHED_KEYS = 64
_MAX_SHOWN = 4096
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_CREDENTIAL = re.compile(
    r"(?P<access_key_id>[\x21-\x7e]{1,128}?)/(?P<date>[0-9]{8})/(?P<region>[a-z0-9-]{1,64})"
    r"/(?P<service>[a-z0-9-]{1,64})/aws4_request"
)
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")


class SignatureError(Exception):
    """A signature is malformed, too old or wrong; the text says how and holds no secret."""


@dataclass(frozen=True, slots=True)
class ParsedSignature:
    """An Authorization value taken apart.

    Attributes:
        access_key_id: who signed.
        date: the scope's day, ``YYYYMMDD``.
        region: the scope's region.
        service: the scope's service.
        signed_headers: names in lower case, in the client's order.
        signature: 64 lower-case hexadecimal digits.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope as it is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def is_signature(authorization: str) -> bool:
    """Whether an Authorization value claims to be of this scheme."""
    return authorization.lstrip().startswith(canonical.ALGORITHM)


def parse_authorization(authorization: str) -> ParsedSignature:
    """Takes an Authorization value apart.

    Raises:
        SignatureError: it is not a complete signature version 4 value.
    """
    if len(authorization) > _MAX_AUTHORIZATION:
        raise SignatureError("The Authorization value is too long.")
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme != canonical.ALGORITHM:
        raise SignatureError(f"The Authorization value does not start with {canonical.ALGORITHM}.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            raise SignatureError("The Authorization value is not a list of name=value.")
        fields[name] = value
    credential = _CREDENTIAL.fullmatch(_required(fields, "Credential"))
    if credential is None:
        raise SignatureError("Credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request.")
    signature = _required(fields, "Signature")
    if not _SIGNATURE.fullmatch(signature):
        raise SignatureError("Signature must be 64 lower-case hexadecimal digits.")
    names = tuple(_required(fields, "SignedHeaders").split(";"))
    if len(names) > _MAX_SIGNED_HEADERS or not all(map(_HEADER_NAME.fullmatch, names)):
        raise SignatureError("SignedHeaders must be lower-case header names joined by semicolons.")
    return ParsedSignature(**credential.groupdict(), signed_headers=names, signature=signature)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature is checked against.

    Attributes:
        timestamp: the value of ``x-amz-date``.
        requests: the canonical requests that the client may have signed, most likely first.
        token: the value of ``x-amz-security-token``, empty for none. It need not be signed.
    """

    timestamp: str
    requests: Iterable[str]
    token: str = ""


class SignatureVerifier:
    """Checks signatures against known secrets, for the data plane and the control plane alike.

    Args:
        credentials: secret access key by access key id.
        tokens: session token by access key id, of keys that have one; others may send any.
        region: the only region that is accepted in a scope; None accepts any.
        clock: wall clock, seconds since the epoch.
        max_age: how far ``x-amz-date`` may be from the clock, seconds, either way.
    """

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        tokens: Mapping[str, str] | None = None,
        region: str | None = None,
        clock: Callable[[], float] = time.time,
        max_age: float = MAX_AGE,
    ) -> None:
        self._credentials = credentials
        self._tokens = tokens or {}
        self._region = region
        self._clock = clock
        self._max_age = max_age
        self._keys: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    def check_scope(self, parsed: ParsedSignature, *, timestamp: str) -> None:
        """Checks that scope and timestamp are well formed and agree.

        Raises:
            SignatureError: they do not.
        """
        if parsed.service != canonical.SERVICE:
            raise SignatureError(f"The credential scope must name {canonical.SERVICE}.")
        if self._region is not None and parsed.region != self._region:
            raise SignatureError(f"The credential scope must name the region {self._region}.")
        if "host" not in parsed.signed_headers:
            raise SignatureError("host must be among the signed headers.")
        if not _TIMESTAMP.fullmatch(timestamp) or not timestamp.startswith(parsed.date):
            raise SignatureError("x-amz-date must be YYYYMMDDTHHMMSSZ of the scope's day.")

    def verify(self, parsed: ParsedSignature, signed: SignedRequest) -> None:
        """Proves that the holder of the secret signed one of the canonical requests.

        Raises:
            SignatureError: it is unknown, too old or wrong.
        """
        self.check_scope(parsed, timestamp=signed.timestamp)
        self._check_age(signed.timestamp)
        secret = self._credentials.get(parsed.access_key_id)
        if secret is None:
            raise SignatureError("The access key id of this signature is not known here.")
        self._check_token(parsed.access_key_id, signed.token)
        key = self._signing_key(parsed, secret)
        expected: str | None = None
        for request in signed.requests:
            text = canonical.string_to_sign(request, timestamp=signed.timestamp, scope=parsed.scope)
            if hmac.compare_digest(canonical.signature(key, text), parsed.signature):
                return
            expected = expected or request
        raise SignatureError(_mismatch(expected or ""))

    def _check_token(self, access_key_id: str, presented: str) -> None:
        wanted = self._tokens.get(access_key_id)
        if wanted is not None and not hmac.compare_digest(
            wanted.encode(), presented.encode("utf-8", "surrogatepass")
        ):
            raise SignatureError("The security token included in the request is invalid.")

    def _check_age(self, timestamp: str) -> None:
        try:
            signed = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise SignatureError("x-amz-date is not a date.") from None
        age = self._clock() - signed
        if abs(age) > self._max_age:
            when = "in the past" if age > 0 else "in the future"
            raise SignatureError(
                f"Signature expired: {timestamp} is {abs(age):.0f} s {when}, "
                f"more than {self._max_age:.0f} s."
            )

    def _signing_key(self, parsed: ParsedSignature, secret: str) -> bytes:
        place = (parsed.access_key_id, parsed.date, parsed.region)
        known = self._keys.get(place)
        if known is not None and known[0] == secret:
            return known[1]
        key = canonical.signing_key(secret, date=parsed.date, region=parsed.region)
        if len(self._keys) >= _MAX_CACHED_KEYS:
            self._keys.clear()
        self._keys[place] = (secret, key)
        return key


class Sigv4Authorizer:
    """The mode ``AWS_IAM`` (see :class:`relay.auth.base.Authorizer`).

    Args:
        credentials: secret access key by access key id; may be changed while in use.
        tokens: session token by access key id, of keys that have one; proved with the signature.
        region: the only region that is accepted in a scope; None accepts any.
        verify: ``strict`` proves signatures; ``parse-only`` wants a well-formed one by anybody;
            ``off`` takes whatever claims to be a signature.
        policies: what each access key id may do; None allows everything to all. A known key
            without policies may do nothing. A key that is not in ``credentials`` gets this far
            only when signatures are not proved; it has no policies and may do everything.
        clock: wall clock, seconds since the epoch.
        max_age: how far ``x-amz-date`` may be from the clock, seconds.
        account: the account number in ARNs.
    """

    mode = AuthMode.AWS_IAM

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        tokens: Mapping[str, str] | None = None,
        region: str | None = None,
        verify: Verify = "strict",
        policies: Mapping[str, Policies] | None = None,
        clock: Callable[[], float] = time.time,
        max_age: float = MAX_AGE,
        account: str = ACCOUNT,
    ) -> None:
        self._credentials = credentials
        self._verifier = SignatureVerifier(
            credentials,
            tokens=tokens,
            region=region if verify == "strict" else None,
            clock=clock,
            max_age=max_age,
        )
        self._verify = verify
        self._policies = policies
        self._account = account

    def recognizes(self, credentials: Mapping[str, str]) -> bool:
        """Whether an Authorization value of this scheme is present."""
        return is_signature(credentials.get("authorization", ""))

    async def authorize(self, request: AccessRequest) -> Identity:
        """Proves who signed and that their policies allow the operation.

        Raises:
            AccessDenied: ``BadRequestException`` for a signature that does not hold at connect
                time, ``UnauthorizedException`` for all else.
        """
        if self._verify == "off":
            return self._identity("unverified", request)
        try:
            parsed = parse_authorization(request.credentials.get("authorization", ""))
            self._prove(parsed, request)
        except SignatureError as error:
            raise _denied(request.operation, str(error)) from None
        self._check_policies(parsed, request)
        return self._identity(parsed.access_key_id, request)

    def _prove(self, parsed: ParsedSignature, request: AccessRequest) -> None:
        # The date need not be among the signed headers: auvred's client signs without it.
        date = _presented(request, "x-amz-date")
        if self._verify == "parse-only":
            self._verifier.check_scope(parsed, timestamp=date)
            return
        requests = (
            canonical.canonical_request(
                canonical.canonical_path(request.path),
                headers=canonical.signed_headers(parsed.signed_headers, request=request, body=body),
                body=body,
            )
            for body in canonical.candidate_bodies(request)
        )
        token = _presented(request, TOKEN_HEADER)
        self._verifier.verify(parsed, SignedRequest(timestamp=date, requests=requests, token=token))

    def _check_policies(self, parsed: ParsedSignature, request: AccessRequest) -> None:
        if self._policies is None:
            return
        if parsed.access_key_id not in self._credentials:
            return
        action = action_of(request)
        resources = resources_of(request, region=parsed.region, account=self._account)
        policies = self._policies.get(parsed.access_key_id)
        if policies is None or not policies.allow(action, resources):
            raise AccessDenied(f"{parsed.access_key_id} is not authorized to perform {action}.")

    def _identity(self, access_key_id: str, request: AccessRequest) -> Identity:
        # The members of ctx.identity under IAM (AWS AppSync Events developer guide,
        # context-reference); the Cognito ones are null for a plain IAM user.
        claims = {
            "accountId": self._account,
            "cognitoIdentityPoolId": None,
            "cognitoIdentityId": None,
            "sourceIp": [request.source_ip],
            "username": access_key_id,
            "userArn": f"arn:aws:iam::{self._account}:user/{access_key_id}",
            "cognitoIdentityAuthType": None,
            "cognitoIdentityAuthProvider": None,
        }
        return Identity(mode=self.mode, claims=claims)


def _presented(request: AccessRequest, name: str) -> str:
    """What an operation's credentials say, else the headers of its HTTP request."""
    return request.credentials.get(name) or request.headers.get(name, "")


def _denied(operation: Operation, message: str) -> AccessDenied:
    if operation is Operation.CONNECT:
        return AccessDenied(message, error_type="BadRequestException", error_code=400)
    return AccessDenied(message)


def _mismatch(expected: str) -> str:
    shown = re.sub(
        r"^x-amz-security-token:.*$",
        "x-amz-security-token:<as sent>",
        expected,
        flags=re.MULTILINE,
    )
    # A client's values come back to it, so they must be encodable and must not grow the answer.
    shown = shown[:_MAX_SHOWN].encode("utf-8", "replace").decode()
    return (
        "The signature of this request is not the one that the relay calculated. Compare the "
        "secret access key, and what was signed with this canonical request, which the relay "
        f"expected:\n'{shown}'"
    )


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise SignatureError(f"The Authorization value lacks {name}.")
    return value
