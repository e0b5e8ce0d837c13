"""Who calls the control plane: the signature of a whole HTTP request, and the caller's policies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.auth import canonical
from relay.auth.iam_policy import Policies
from relay.auth.sigv4 import (
    TOKEN_HEADER,
    ParsedSignature,
    SignatureError,
    SignatureVerifier,
    SignedRequest,
    Verify,
    parse_authorization,
)
from relay.control.errors import AccessRefused, SignatureInvalid, SignatureMissing

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_HOST = re.compile(r"appsync\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)(?::[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """A request to the control plane.

    Attributes:
        method: the HTTP method.
        raw_path: as sent, percent signs included, without the query.
        raw_query: as sent.
        headers: names in lower case.
        body: as sent.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request.

    Attributes:
        access_key_id: None where nothing is proved or read.
        region: of the scope of the signature, else of the host that was asked, else the relay's.
            A scope that names no region (``local``) counts as saying nothing.
    """

    access_key_id: str | None
    region: str


class Signatures:
    """Checks the callers of the control plane.

    Args:
        credentials: secret access key by access key id.
        tokens: session token by access key id, of keys that have one.
        region: where a caller is who does not say.
        verify: as for the data plane; ``off`` takes unsigned requests too.
        policies: what each access key id may do; None allows everything to all.
        clock: wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        region: str,
        verify: Verify,
        tokens: Mapping[str, str] | None = None,
        policies: Mapping[str, Policies] | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._verify = verify
        self._policies = policies
        self._verifier = SignatureVerifier(credentials, tokens=tokens, clock=clock)

    def identify(self, request: ControlRequest) -> Caller:
        """Proves who calls, as far as it is wanted.

        Raises:
            SignatureMissing: there is no signature.
            SignatureInvalid: it does not hold.
        """
        authorization = request.headers.get("authorization")
        host = _HOST.fullmatch(request.headers.get("host", ""))
        region = self._region_of(host[1] if host is not None else "")
        if authorization is None:
            if self._verify == "off":
                return Caller(None, region)
            raise SignatureMissing("The request is not signed.")
        try:
            parsed = parse_authorization(authorization)
            self._prove(parsed, request)
        except SignatureError as error:
            if self._verify == "off":
                return Caller(None, region)
            raise SignatureInvalid(str(error)) from None
        return Caller(parsed.access_key_id, self._region_of(parsed.region))

    def permit(self, caller: Caller, *, action: str, resource: str) -> None:
        """Asks the caller's policies.

        Raises:
            AccessRefused: they do not allow the action.
        """
        if self._policies is None or caller.access_key_id not in self._credentials:
            return
        policies = self._policies.get(caller.access_key_id or "", Policies())
        if not policies.allow(action, [resource]):
            raise AccessRefused(
                f"{caller.access_key_id} is not authorized to perform: {action} on resource: "
                f"{resource}"
            )

    def _region_of(self, text: str) -> str:
        return text if _REGION.fullmatch(text) else self._region

    def _prove(self, parsed: ParsedSignature, request: ControlRequest) -> None:
        timestamp = request.headers.get("x-amz-date", "")
        if self._verify != "strict":
            self._verifier.check_scope(parsed, timestamp=timestamp)
            return
        text = canonical.canonical_request(
            canonical.canonical_path(request.raw_path),
            headers=[(name, request.headers.get(name, "")) for name in parsed.signed_headers],
            body=request.body,
            method=request.method,
            query=canonical.canonical_query(request.raw_query),
        )
        token = request.headers.get(TOKEN_HEADER, "")
        self._verifier.verify(
            parsed, SignedRequest(timestamp=timestamp, requests=[text], token=token)
        )
