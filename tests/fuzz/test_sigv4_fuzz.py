"""Whatever a client sends as a signature, it is taken or refused, and nothing else happens."""

from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from relay.auth import canonical
from relay.auth.base import AccessDenied, AccessRequest, Operation
from relay.auth.sigv4 import SignatureError, Sigv4Authorizer, parse_authorization

ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates included
DATE = "20260102T030405Z"
HEADERS = st.sampled_from(
    ["host", "content-length", "x-amz-date", "accept", "x-amz-security-token", "", "Host", "é"]
)


@st.composite
def almost_authorizations(draw):
    names = ";".join(draw(st.lists(HEADERS, max_size=6)))
    key = draw(st.one_of(st.just("AKID"), ANY_TEXT))
    date = draw(st.sampled_from(["20260102", "99999999", "2026", ""]))
    region = draw(st.one_of(st.just("us-east-1"), ANY_TEXT))
    signature = draw(st.one_of(st.just("0" * 64), ANY_TEXT))
    parts = [
        f"Credential={key}/{date}/{region}/appsync/aws4_request",
        f"SignedHeaders={names}",
        f"Signature={signature}",
    ]
    parts = draw(st.permutations(parts))[: draw(st.integers(0, 3))]
    return "AWS4-HMAC-SHA256 " + draw(st.sampled_from([", ", ",", " "])).join(parts)


AUTHORIZATIONS = st.one_of(ANY_TEXT, almost_authorizations())


@given(AUTHORIZATIONS)
@example("AWS4-HMAC-SHA256 Credential=/20260102/us-east-1/appsync/aws4_request")
def test_an_authorization_is_parsed_or_refused(text):
    try:
        parsed = parse_authorization(text)
    except SignatureError:
        return
    assert parsed.access_key_id
    assert len(parsed.signature) == 64


@given(
    operation=st.sampled_from(Operation),
    authorization=AUTHORIZATIONS,
    date=st.one_of(st.just(DATE), ANY_TEXT),
    others=st.dictionaries(HEADERS, ANY_TEXT, max_size=4),
    channel=st.one_of(st.none(), ANY_TEXT),
    events=st.one_of(st.none(), st.lists(ANY_TEXT, max_size=3).map(tuple)),
    body=st.one_of(st.none(), st.binary(max_size=50)),
    path=st.one_of(st.just("/event"), ANY_TEXT),
    verify=st.sampled_from(["strict", "parse-only"]),
)
def test_an_operation_is_refused_and_nothing_else(
    operation, authorization, date, others, channel, events, body, path, verify
):
    request = AccessRequest(
        operation,
        others | {"authorization": authorization, "x-amz-date": date},
        api_id="a" * 26,
        host="h",
        raw_channel=channel,
        raw_events=events,
        body=body,
        path=path,
    )
    authorizer = Sigv4Authorizer({"AKID": "secret"}, verify=verify, clock=lambda: 1767323045.0)
    refusal = None
    try:
        asyncio.run(authorizer.authorize(request))
    except AccessDenied as denied:
        refusal = denied.message
    if refusal is None:
        assert verify == "parse-only"
    else:
        assert refusal.encode()  # it can be sent


@given(ANY_TEXT, ANY_TEXT)
@example("/", "\ud800")
def test_any_path_and_query_have_a_canonical_form_that_is_ascii(path, query):
    assert canonical.canonical_path(path).isascii()
    assert canonical.canonical_path(path).startswith("/")
    assert canonical.canonical_query(query).isascii()
