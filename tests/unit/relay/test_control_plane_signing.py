from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from relay.auth.iam_policy import Policies
from relay.auth.sigv4 import is_signature
from relay.control.errors import AccessRefused, SignatureInvalid, SignatureMissing
from relay.control.signing import Caller, ControlRequest, Signatures

KEY, SECRET = "AKIDEXAMPLE", "secret"
DATE, NOW = "20260102T030405Z", 1767323045.0


def request(path="/v2/apis", *, method="GET", body=b"", region="eu-west-1", secret=SECRET):
    made = AWSRequest(
        method=method,
        url=f"https://localhost:4566{path}",
        data=body,
        headers={"x-other": "  a  b "},
    )
    made.context["timestamp"] = DATE
    made.headers["X-Amz-Date"] = DATE
    made.headers["host"] = "localhost:4566"
    signer = SigV4Auth(Credentials(KEY, secret), "appsync", region)
    canonical = signer.canonical_request(made)
    signature = signer.signature(signer.string_to_sign(made, canonical), made)
    names = ";".join(sorted(signer.headers_to_sign(made).keys()))
    made.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20260102/{region}/appsync/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    headers = {name.lower(): value for name, value in made.headers.items()}
    raw_path, _, raw_query = path.partition("?")
    return ControlRequest(
        method=method, raw_path=raw_path, raw_query=raw_query, headers=headers, body=body
    )


def signatures(verify="strict", policies=None) -> Signatures:
    return Signatures(
        {KEY: SECRET}, region="us-east-1", verify=verify, policies=policies, clock=lambda: NOW
    )


@pytest.mark.parametrize(
    "signed",
    [
        request(),
        request("/v2/apis?maxResults=2&nextToken=a%2Bb%3D%3D"),
        request("/v1/tags/arn%3Aaws%3Aappsync%2Fx?tagKeys=b&tagKeys=a", method="DELETE"),
        request(method="POST", body=b'{"name":"x"}'),
        request("/v1/domainnames/%2A.example.com"),
    ],
    ids=["plain", "query", "path", "body", "star"],
)
def test_a_request_that_botocore_signed_is_proved(signed):
    assert is_signature(signed.headers["authorization"])
    assert signatures().identify(signed) == Caller(KEY, "eu-west-1")


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "DELETE"},
        {"raw_path": "/v2/apis/x"},
        {"raw_query": "maxResults=1"},
        {"body": b"{}"},
    ],
)
def test_a_request_that_was_changed_is_refused(changed):
    with pytest.raises(SignatureInvalid):
        signatures().identify(replace(request(), **changed))


def test_a_request_signed_with_another_secret_is_refused():
    with pytest.raises(SignatureInvalid):
        signatures().identify(request(secret="other"))
    assert signatures("parse-only").identify(request(secret="other")).access_key_id == KEY


def test_a_session_token_that_is_configured_must_be_presented():
    subject = Signatures(
        {KEY: SECRET}, tokens={KEY: "t"}, region="us-east-1", verify="strict", clock=lambda: NOW
    )
    right, wrong = (
        replace(request(), headers={**request().headers, "x-amz-security-token": token})
        for token in ("t", "u")
    )
    assert subject.identify(right).access_key_id == KEY
    for refused in (request(), wrong):
        with pytest.raises(SignatureInvalid, match="security token"):
            subject.identify(refused)


@pytest.mark.parametrize("verify", ["strict", "parse-only"])
@pytest.mark.parametrize(
    ("headers", "refusal"),
    [({}, SignatureMissing), ({"authorization": "Bearer x"}, SignatureInvalid)],
)
def test_a_request_without_a_signature_is_refused(verify, headers, refusal):
    with pytest.raises(refusal):
        signatures(verify).identify(replace(request(), headers=headers))


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}])
def test_a_request_without_a_signature_is_taken_when_verification_is_off(headers):
    assert signatures("off").identify(replace(request(), headers=headers)) == Caller(
        None, "us-east-1"
    )


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("appsync.eu-west-1.amazonaws.com", "eu-west-1"),
        ("appsync.eu-west-1.api.aws", "eu-west-1"),
        ("appsync.cn-north-1.amazonaws.com.cn:443", "cn-north-1"),
        ("localhost:4566", "us-east-1"),
        ("appsync.local.amazonaws.com", "us-east-1"),
    ],
)
def test_the_host_tells_the_region_where_no_signature_does(host, region):
    assert signatures("off").identify(replace(request(), headers={"host": host})).region == region


def test_a_scope_that_names_no_region_counts_as_the_region_of_the_relay():
    caller = signatures("parse-only").identify(request(region="local"))
    assert caller.region == "us-east-1"


def test_policies_decide_what_a_caller_may_do():
    only_list = Policies.parse(
        [{"Statement": {"Effect": "Allow", "Action": "appsync:ListApis", "Resource": "*"}}]
    )
    subject = signatures(policies={KEY: only_list})
    caller = Caller(KEY, "us-east-1")
    subject.permit(caller, action="appsync:ListApis", resource="arn")
    with pytest.raises(AccessRefused, match="appsync:DeleteApi"):
        subject.permit(caller, action="appsync:DeleteApi", resource="arn")
    with pytest.raises(AccessRefused):
        signatures(policies={}).permit(caller, action="appsync:ListApis", resource="arn")
    signatures(policies={}).permit(Caller(None, "x"), action="appsync:X", resource="arn")
