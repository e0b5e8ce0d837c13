"""The vectors were made independently of this code and checked against botocore's signer."""

from __future__ import annotations

import calendar
import hashlib
import json
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from relay.auth import canonical
from relay.auth.base import AccessDenied, AccessRequest, AuthMode, Operation
from relay.auth.iam_policy import Policies
from relay.auth.sigv4 import SignatureError, Sigv4Authorizer, parse_authorization

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "abcdefghijklmnopqrstuvwxyz.appsync-api.us-east-1.amazonaws.com"
DATE = "20260102T030405Z"
NOW = float(calendar.timegm(time.strptime(DATE, "%Y%m%dT%H%M%SZ")))
SCOPE = "20260102/us-east-1/appsync/aws4_request"
CHANNEL = "/orders/eu/42"
EVENT = '{"n":1}'
FIVE = {
    "accept": "application/json, text/javascript",
    "content-encoding": "amz-1.0",
    "content-type": "application/json; charset=UTF-8",
    "host": HOST,
    "x-amz-date": DATE,
}
FIVE_NAMES = "accept;content-encoding;content-type;host;x-amz-date"


def authorization(names: str, signature: str, *, scope: str = SCOPE, key: str = KEY) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )


def connect(credentials: dict[str, str], **more) -> AccessRequest:
    return AccessRequest(Operation.CONNECT, credentials, api_id="a" * 26, host=HOST, **more)


def subscribe(credentials: dict[str, str], channel: str = CHANNEL, **more) -> AccessRequest:
    return AccessRequest(
        Operation.SUBSCRIBE,
        credentials,
        api_id="a" * 26,
        host=HOST,
        channel=channel,
        namespace="orders",
        raw_channel=channel,
        **more,
    )


def publish(credentials: dict[str, str], events: tuple[str, ...] = (EVENT,)) -> AccessRequest:
    return AccessRequest(
        Operation.PUBLISH,
        credentials,
        api_id="a" * 26,
        host=HOST,
        channel=CHANNEL,
        namespace="orders",
        raw_channel=CHANNEL,
        raw_events=events,
    )


def authorizer(**settings) -> Sigv4Authorizer:
    return Sigv4Authorizer({KEY: SECRET}, clock=lambda: NOW, **settings)


def without(credentials: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in credentials.items() if name not in names}


def content_sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


HTTP_BODY = json.dumps({"channel": CHANNEL, "events": [EVENT]}, separators=(",", ":")).encode()

VECTORS = {
    "connect, five headers": (
        connect,
        FIVE,
        FIVE_NAMES,
        "b1d7ade7d24e8d5b44f4fc8b708d0d14dd128fef32020e49c4e8369228929b29",
    ),
    "connect, and content-length that does not travel": (
        connect,
        FIVE,
        "accept;content-encoding;content-length;content-type;host;x-amz-date",
        "8d760785be331bb3c6692cfcb903bbf70002892092bbb7a08d4b84a828782097",
    ),
    "subscribe, five headers": (
        subscribe,
        FIVE,
        FIVE_NAMES,
        "d87d3d005e5b52208b283b70e2787a581191070b8ae64a2c2c8db8feb4a53663",
    ),
    "subscribe, and content-length that does not travel": (
        subscribe,
        FIVE,
        "accept;content-encoding;content-length;content-type;host;x-amz-date",
        "07420ed690e4886c8781b8bcdb93e6bdde824a182c8481e06e2d20e9d7d0cf09",
    ),
    "publish on a WebSocket, five headers": (
        publish,
        FIVE,
        FIVE_NAMES,
        "591560c2dfaefb204429451490aa8e8f1be8e03543543fbfaad936ee5b447757",
    ),
    "publish over HTTP as sst signs it": (
        lambda credentials: AccessRequest(
            Operation.PUBLISH,
            credentials,
            api_id="a" * 26,
            host=HOST,
            channel=CHANNEL,
            namespace="orders",
            raw_channel=CHANNEL,
            body=HTTP_BODY,
        ),
        {
            "content-type": "application/json",
            "content-length": "50",
            "host": HOST,
            "x-amz-date": DATE,
        },
        "content-length;content-type;host;x-amz-date",
        "6b3cd72872ce9622c309d09ff1b8370e942914d11217d6fe8e971d4d371517aa",
    ),
    "connect, date travels but is not signed": (
        connect,
        FIVE,
        "accept;content-encoding;content-type;host",
        "39adf07107617df4bacb3efd79b7d424769a8f65633f36ee4d9bc61a35b56e16",
    ),
    "subscribe, with the hash of the content": (
        subscribe,
        {
            "host": HOST,
            "x-amz-date": DATE,
            "x-amz-content-sha256": content_sha256(b'{"channel":"/orders/eu/42"}'),
        },
        "host;x-amz-content-sha256;x-amz-date",
        "d43f6aa579429bbd9c5b152b0c925393e2fb496bdbd540188d70b859cd8a3ce6",
    ),
    "GraphQL connect": (
        lambda credentials: connect(credentials, path="/graphql/connect"),
        FIVE,
        FIVE_NAMES,
        "e5d92df2a8d25141001019051b85055e1556b581452c68596222475372e6212f",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
async def test_every_vector_is_accepted(name):
    make, headers, names, signature = VECTORS[name]
    request = make(headers | {"authorization": authorization(names, signature)})
    identity = await authorizer().authorize(request)
    assert identity.mode is AuthMode.AWS_IAM
    assert identity.claims["username"] == KEY


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("carrier", ["credentials", "headers"])
async def test_a_session_token_that_is_configured_must_be_presented(name, carrier):
    make, headers, names, signature = VECTORS[name]
    signed = headers | {"authorization": authorization(names, signature)}
    subject = authorizer(tokens={KEY: "the token"})

    def presenting(token):
        said = {"x-amz-security-token": token}
        if carrier == "credentials":
            return make(signed | said)
        return replace(make(signed), headers=said)

    assert (await subject.authorize(presenting("the token"))).claims["username"] == KEY
    for wrong in (make(signed), presenting("another"), presenting("the token "), presenting("")):
        with pytest.raises(AccessDenied, match="security token") as caught:
            await subject.authorize(wrong)
        assert "the token" not in str(caught.value)
    other = authorizer(tokens={"AKIDOTHER": "the token"})
    assert await other.authorize(presenting("any"))


async def test_a_signed_session_token_is_part_of_the_signature_and_compared():
    def ask(token):
        return connect(signed("{}", token=token))

    subject = authorizer(tokens={KEY: "right"})
    assert await subject.authorize(ask("right"))
    with pytest.raises(AccessDenied, match="security token"):
        await subject.authorize(ask("wrong"))  # correctly signed, but with somebody else's


@pytest.mark.parametrize("name", VECTORS)
async def test_every_vector_is_refused_with_another_secret(name):
    make, headers, names, signature = VECTORS[name]
    request = make(headers | {"authorization": authorization(names, signature)})
    wrong = Sigv4Authorizer({KEY: SECRET[::-1]}, clock=lambda: NOW)
    with pytest.raises(AccessDenied):
        await wrong.authorize(request)


def signed(body: str, *, headers=None, path="/event", token=None, method="POST", url=None):
    """What botocore's signer makes of a request at the vectors' time, names in lower case."""
    request = AWSRequest(
        method=method,
        url=url or f"https://{HOST}{path}",
        headers=dict(without(FIVE, "x-amz-date") if headers is None else headers),
        data=body.encode(),
    )
    signer = SigV4Auth(Credentials(KEY, SECRET, token), "appsync", "us-east-1")
    request.context["timestamp"] = DATE
    request.headers["X-Amz-Date"] = DATE
    if token:
        request.headers["X-Amz-Security-Token"] = token
    canonical_request = signer.canonical_request(request)
    text = signer.string_to_sign(request, canonical_request)
    signature = signer.signature(text, request)
    names = ";".join(sorted(name.lower() for name in signer.headers_to_sign(request)))
    credentials = {name.lower(): value for name, value in request.headers.items()}
    return credentials | {"authorization": authorization(names, signature)}


EVENTS = {
    "plain": (EVENT,),
    "several": ("1", '"two"', "[3]"),
    "letters beyond ASCII": ('{"name":"Żółw 🐢"}',),
    "control characters": ('{"a":\t1,\n"b":"\\u0001"}',),
    "angle brackets as JavaScript writes them": ('{"html":"<b>&</b>"}',),
}


@pytest.mark.parametrize("name", EVENTS)
async def test_a_publish_signed_by_botocore_is_accepted(name):
    events = EVENTS[name]
    body = json.dumps(
        {"channel": CHANNEL, "events": list(events)}, separators=(",", ":"), ensure_ascii=False
    )
    await authorizer().authorize(publish(signed(body), events))


async def test_a_body_escaped_as_go_writes_it_is_accepted():
    events = ('{"html":"<b>&</b>\u2028\u2029"}',)
    body = json.dumps(
        {"channel": CHANNEL, "events": list(events)}, separators=(",", ":"), ensure_ascii=False
    )
    for letter in "<>&\u2028\u2029":
        body = body.replace(letter, f"\\u{ord(letter):04x}")
    await authorizer().authorize(publish(signed(body), events))


async def test_events_before_the_channel_are_accepted_as_swift_may_write_them():
    body = json.dumps({"events": [EVENT], "channel": CHANNEL}, separators=(",", ":"))
    await authorizer().authorize(publish(signed(body)))


async def test_a_lone_surrogate_is_signed_as_javascript_escapes_it():
    events = ('"\ud83d"',)
    body = '{"channel":"/orders/eu/42","events":["\\"\\ud83d\\""]}'
    await authorizer().authorize(publish(signed(body), events))


async def test_a_session_token_is_part_of_the_signature():
    credentials = signed("{}", token="session+token")
    await authorizer().authorize(connect(credentials))
    with pytest.raises(AccessDenied):
        await authorizer().authorize(connect(credentials | {"x-amz-security-token": "another"}))


async def test_a_missing_host_is_the_host_of_the_api():
    await authorizer().authorize(connect(without(signed("{}"), "host")))


async def test_values_may_come_from_the_http_request_of_the_upgrade():
    headers = without(FIVE, "x-amz-date") | {"sec-websocket-protocol": "aws-appsync-event-ws"}
    credentials = signed("{}", headers=headers)
    assert "sec-websocket-protocol" in credentials["authorization"]
    request = connect(
        {"authorization": credentials["authorization"]},
        headers=without(credentials, "authorization"),
    )
    await authorizer().authorize(request)


async def test_spaces_in_header_values_are_collapsed():
    credentials = signed("{}")
    credentials["accept"] = "  application/json,   text/javascript "
    await authorizer().authorize(connect(credentials))


async def test_a_signature_for_another_channel_is_refused():
    credentials = signed('{"channel":"/orders/eu/42"}')
    await authorizer().authorize(subscribe(credentials))
    with pytest.raises(AccessDenied):
        await authorizer().authorize(subscribe(credentials, "/orders/eu/43"))


async def test_a_connect_signature_does_not_open_a_channel():
    with pytest.raises(AccessDenied):
        await authorizer().authorize(subscribe(signed("{}")))


async def test_a_wrong_signature_at_connect_is_a_bad_request_that_shows_what_was_expected():
    credentials = signed("{}", path="/event/realtime", token="secret-token")
    with pytest.raises(AccessDenied) as caught:
        await authorizer().authorize(connect(credentials))
    assert caught.value.error_type == "BadRequestException"
    assert caught.value.error_code == 400
    assert "'POST\n/event\n\naccept:application/json" in caught.value.message
    assert hashlib.sha256(b"{}").hexdigest() in caught.value.message


async def test_a_wrong_signature_later_is_unauthorized():
    with pytest.raises(AccessDenied) as caught:
        await authorizer().authorize(publish(signed("{}")))
    assert (caught.value.error_type, caught.value.error_code) == ("UnauthorizedException", 401)


async def test_neither_secret_nor_token_is_in_a_refusal():
    credentials = signed("{}", path="/x", token="secret-token")
    with pytest.raises(AccessDenied) as caught:
        await authorizer().authorize(connect(credentials))
    for text in (caught.value.message, str(caught.value)):
        assert SECRET not in text
        assert "secret-token" not in text


@pytest.mark.parametrize("seconds", [301, -301])
async def test_a_signature_that_is_too_old_or_too_new_is_refused(seconds):
    late = Sigv4Authorizer({KEY: SECRET}, clock=lambda: NOW + seconds)
    with pytest.raises(AccessDenied, match="Signature expired"):
        await late.authorize(connect(signed("{}")))


@pytest.mark.parametrize("seconds", [299, -299])
async def test_a_signature_within_five_minutes_holds(seconds):
    late = Sigv4Authorizer({KEY: SECRET}, clock=lambda: NOW + seconds)
    await late.authorize(connect(signed("{}")))


async def test_an_unknown_key_is_refused():
    with pytest.raises(AccessDenied, match="not known"):
        await Sigv4Authorizer({}, clock=lambda: NOW).authorize(connect(signed("{}")))


async def test_a_credential_that_is_replaced_is_proved_with_the_new_secret():
    credentials = {KEY: SECRET}
    subject = Sigv4Authorizer(credentials, clock=lambda: NOW)
    await subject.authorize(connect(signed("{}")))
    credentials[KEY] = "another"
    with pytest.raises(AccessDenied):
        await subject.authorize(connect(signed("{}")))


async def test_a_scope_of_another_region_is_refused_when_a_region_is_set():
    await authorizer(region="us-east-1").authorize(connect(signed("{}")))
    with pytest.raises(AccessDenied, match="eu-west-1"):
        await authorizer(region="eu-west-1").authorize(connect(signed("{}")))


BROKEN = {
    "empty": "",
    "scheme only": "AWS4-HMAC-SHA256",
    "no equals sign": "AWS4-HMAC-SHA256 Credential",
    "a member twice": authorization(FIVE_NAMES, "0" * 64) + ", Signature=" + "0" * 64,
    "short signature": authorization(FIVE_NAMES, "00"),
    "signature not in hexadecimal": authorization(FIVE_NAMES, "x" * 64),
    "signature beyond ASCII": authorization(FIVE_NAMES, "ü" * 64),
    "no signed headers": authorization("", "0" * 64),
    "host not signed": authorization("accept", "0" * 64),
    "upper case header": authorization("Host", "0" * 64),
    "line break in a header": authorization("host;a\nb", "0" * 64),
    "too many headers": authorization(";".join(["host"] * 65), "0" * 64),
    "another service": authorization("host", "0" * 64, scope="20260102/us-east-1/s3/aws4_request"),
    "another day": authorization("host", "0" * 64, scope="20260103/us-east-1/appsync/aws4_request"),
    "short scope": authorization("host", "0" * 64, scope="20260102/us-east-1/appsync"),
    "too long": authorization("host", "0" * 64) + " " * 20_000,
}


@pytest.mark.parametrize("verify", ["strict", "parse-only"])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_malformed_authorization_is_refused(name, verify):
    with pytest.raises(AccessDenied):
        await authorizer(verify=verify).authorize(connect(FIVE | {"authorization": BROKEN[name]}))


@pytest.mark.parametrize("date", ["", "2026", "20260102T030405", "20260102T999999Z"])
async def test_a_date_that_is_none_is_refused(date):
    credentials = FIVE | {"x-amz-date": date, "authorization": authorization("host", "0" * 64)}
    with pytest.raises(AccessDenied):
        await authorizer().authorize(connect(credentials))


def test_an_access_key_id_may_hold_a_slash_free_temporary_name():
    parsed = parse_authorization(authorization("host", "0" * 64, key="ASIA0123456789ABCDEF"))
    assert parsed.access_key_id == "ASIA0123456789ABCDEF"
    assert parsed.scope == SCOPE


def test_a_malformed_authorization_says_what_is_missing():
    with pytest.raises(SignatureError, match="Credential"):
        parse_authorization("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=" + "0" * 64)


async def test_parse_only_takes_any_well_formed_signature_by_anybody_of_any_time():
    dummy = FIVE | {"authorization": authorization(FIVE_NAMES, "0" * 64, key="test")}
    lenient = Sigv4Authorizer({}, verify="parse-only", clock=lambda: NOW + 1e6)
    identity = await lenient.authorize(connect(dummy))
    assert identity.claims["username"] == "test"


async def test_verification_can_be_switched_off():
    off = Sigv4Authorizer({}, verify="off")
    identity = await off.authorize(connect({"authorization": "AWS4-HMAC-SHA256 whatever"}))
    assert identity.claims["username"] == "unverified"


ONLY_CONNECT = Policies.parse(
    [
        {
            "Statement": {
                "Effect": "Allow",
                "Action": "appsync:EventConnect",
                "Resource": f"arn:aws:appsync:us-east-1:000000000000:apis/{'a' * 26}",
            }
        }
    ]
)


async def test_policies_decide_what_a_proved_identity_may_do():
    limited = authorizer(policies={KEY: ONLY_CONNECT})
    await limited.authorize(connect(signed("{}")))
    with pytest.raises(AccessDenied, match="appsync:EventSubscribe"):
        await limited.authorize(subscribe(signed('{"channel":"/orders/eu/42"}')))


async def test_a_known_key_without_policies_may_do_nothing():
    with pytest.raises(AccessDenied) as caught:
        await authorizer(policies={}).authorize(connect(signed("{}")))
    assert caught.value.error_type == "UnauthorizedException"


async def test_policies_of_a_known_key_hold_without_proof_and_strangers_pass():
    lenient = authorizer(verify="parse-only", policies={KEY: ONLY_CONNECT})
    known = FIVE | {"authorization": authorization(FIVE_NAMES, "0" * 64)}
    stranger = FIVE | {"authorization": authorization(FIVE_NAMES, "0" * 64, key="test")}
    with pytest.raises(AccessDenied):
        await lenient.authorize(subscribe(known))
    await lenient.authorize(subscribe(stranger))


def test_only_this_scheme_is_recognized():
    subject = authorizer()
    assert subject.recognizes({"authorization": " AWS4-HMAC-SHA256 Credential=x"})
    assert not subject.recognizes({"authorization": "Bearer x"})
    assert not subject.recognizes({})
    assert not subject.recognizes({"x-api-key": "da2-x"})


@pytest.mark.parametrize(
    "url",
    [
        "https://h/v2/apis",
        "https://h/v2/apis?maxResults=3&nextToken=a%2Bb%3D%3D",
        "https://h/v1/tags/arn%3Aaws%3Aappsync%3Aus-east-1%3A000000000000%3Aapis%2Fx?tagKeys=b&tagKeys=a",
        "https://h/a//b/./c/../d/",
        "https://h/a?b",
        "https://h",
    ],
)
def test_paths_and_queries_are_canonical_as_botocore_makes_them(url):
    request = AWSRequest(method="GET", url=url, headers={"host": "h"})
    signer = SigV4Auth(Credentials(KEY, SECRET), "appsync", "us-east-1")
    request.headers["X-Amz-Date"] = DATE
    parts = urlsplit(url)
    ours = canonical.canonical_request(
        canonical.canonical_path(parts.path),
        headers=[("host", "h"), ("x-amz-date", DATE)],
        body=b"",
        method="GET",
        query=canonical.canonical_query(parts.query),
    )
    assert ours == signer.canonical_request(request)
