from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.errors import RemoteProtocolError
from event_protocol.handshake import SUBPROTOCOL, encode_header, offer, read_offer, redact

CREDENTIALS = {
    "host": "abcdefghijklmnopqrstuvwxyz.appsync-api.us-east-1.amazonaws.com",
    "x-api-key": "da2-00000000000000000000000000",
}
TOKEN = (
    "header-eyJob3N0IjoiYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXouYXBwc3luYy1hcGkudXMtZWFzdC0xLmFtYXpvb"
    "mF3cy5jb20iLCJ4LWFwaS1rZXkiOiJkYTItMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAifQ"
)

texts = st.text(st.characters(exclude_categories=("Cs",)))


def token_of(raw: bytes) -> str:
    return "header-" + base64.urlsafe_b64encode(raw).decode()


def test_credentials_become_one_subprotocol():
    assert encode_header(CREDENTIALS) == TOKEN
    assert offer(CREDENTIALS) == [SUBPROTOCOL, TOKEN]


@given(st.dictionaries(texts, texts, max_size=4))
def test_every_authorization_survives_the_handshake(authorization):
    protocols = offer(authorization)
    read = read_offer(protocols)
    assert read.wants_events
    assert read.authorization == authorization
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in protocols[1])


@pytest.mark.parametrize(
    "protocols",
    [
        [SUBPROTOCOL, TOKEN],
        [TOKEN, SUBPROTOCOL],
        [f"{SUBPROTOCOL}, {TOKEN}"],
        [f"{TOKEN},{SUBPROTOCOL}"],
        [f" {TOKEN} ", SUBPROTOCOL, "another"],
        [SUBPROTOCOL, TOKEN + "=="],
        [SUBPROTOCOL, token_of(json.dumps(CREDENTIALS, indent=2).encode())],
        [SUBPROTOCOL, token_of(json.dumps(CREDENTIALS).encode() + b"\n")],
        (each for each in (SUBPROTOCOL, TOKEN)),
    ],
)
def test_order_padding_and_whitespace_do_not_matter(protocols):
    read = read_offer(protocols)
    assert (read.wants_events, read.authorization) == (True, CREDENTIALS)


def test_the_ordinary_base64_alphabet_is_understood_too():
    value = {"x-api-key": "~~~???>>>"}
    token = "header-" + base64.b64encode(json.dumps(value).encode()).decode()
    assert set(token) & {"+", "/"}
    assert read_offer([SUBPROTOCOL, token]).authorization == value


def test_without_a_token_the_credentials_are_somewhere_else():
    assert read_offer([SUBPROTOCOL]).authorization is None


@pytest.mark.parametrize("protocols", [[], ["graphql-ws"], ["aws-appsync-event-ws2"], [TOKEN]])
def test_who_does_not_offer_events_does_not_want_them(protocols):
    assert read_offer(protocols).wants_events is False


@pytest.mark.parametrize(
    "token",
    [
        "header-",
        "header-!!!!",
        "header-A",
        "header-" + "é" * 4,
        "header-\ud800",
        token_of(b"nonsense"),
        token_of(b"\xff\xfe"),
        token_of(b"[]"),
        token_of(b"null"),
        token_of(b'"x"'),
        token_of(b'{"host":1}'),
        token_of(b'{"host":null}'),
        token_of(b'{"host":{"a":"b"}}'),
        token_of(b'{"host":"\\ud800"}'),
        token_of(b'{"\\ud800":"x"}'),
        token_of(b"[" * 40_000),
        token_of(b'{"host":"' + b"x" * 70_000 + b'"}'),
    ],
)
def test_a_token_that_is_not_an_object_of_strings_is_refused(token):
    with pytest.raises(RemoteProtocolError, match="header- subprotocol") as caught:
        read_offer([SUBPROTOCOL, token])
    assert caught.value.error_type == "BadRequestException"


def test_two_tokens_are_refused_because_nobody_knows_which_one_counts():
    with pytest.raises(RemoteProtocolError, match="more than one"):
        read_offer([TOKEN, SUBPROTOCOL, TOKEN])


def test_a_refused_token_is_not_repeated_in_the_error():
    with pytest.raises(RemoteProtocolError) as caught:
        read_offer([token_of(b'{"x-api-key":"da2-secret"')])
    assert caught.value.__suppress_context__
    assert "da2-secret" not in str(caught.value)


def test_an_offer_does_not_show_its_credentials():
    assert "da2-" not in repr(read_offer(offer(CREDENTIALS)))


def test_of_a_mapping_only_harmless_values_are_kept():
    assert redact(
        {**CREDENTIALS, "Authorization": "x", "X-Amz-Date": "20261124", "other": "y"}
    ) == {
        "host": CREDENTIALS["host"],
        "x-api-key": "…",
        "Authorization": "…",
        "X-Amz-Date": "20261124",
        "other": "…",
    }


SECRET = "s3cr3t"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyM3QifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}, {token_of(SECRET.encode())}",
        f'{{"type":"subscribe","id":"a","authorization":{{"x-api-key":"{SECRET}"}},"channel":"/a"}}',
        f'{{"authorization" : {{ "Authorization":"}}{SECRET}{{","host":"h"}}}}',
        f'{{"authorization":{{"x":"{SECRET}',
        f'{{"x-api-key":"a\\"{SECRET}"}}',
        f"{{'x-api-key': '{SECRET}'}}",
        f"x-api-key: {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"AWS4-HMAC-SHA256 Credential=A/1, SignedHeaders=host, Signature={SECRET}",
        f'"X-Amz-Security-Token": "{SECRET}"',
        f"the key da2-{SECRET} was refused",
    ],
)
def test_a_text_is_shown_without_its_credentials(text):
    shown = redact(text)
    assert SECRET not in shown
    assert token_of(SECRET.encode()) not in shown
    assert "…" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"protocols: {SUBPROTOCOL}, {TOKEN}", f"protocols: {SUBPROTOCOL}, header-…"),
        ('{"x-api-key": "da2-a", "host": "h"}', '{"x-api-key": "…", "host": "h"}'),
        ("Cookie: a=b\r\nHost: h", "Cookie: …\r\nHost: h"),
    ],
)
def test_what_a_credential_was_can_still_be_seen(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("secret", [JWT, "AKIAABCDEFGHIJKLMNOP", "ASIAABCDEFGHIJKLMNOP"])
def test_credentials_are_known_by_their_form_too(secret):
    assert redact(f"saw {secret} here") == "saw … here"


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"type":"ka"}',
        '{"id":"s-1","type":"data","event":"{\\"qty\\":3}"}',
        f"{SUBPROTOCOL}",
        "connection to host: example refused",
    ],
)
def test_a_text_without_credentials_stays_as_it_is(text):
    assert redact(text) == text


def test_a_frame_keeps_what_is_not_secret():
    text = (
        '{"type":"subscribe","id":"a","authorization":{"x-api-key":"k","host":"h"},"channel":"/a"}'
    )
    assert redact(text) == '{"type":"subscribe","id":"a","authorization":{…},"channel":"/a"}'
