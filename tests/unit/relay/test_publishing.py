import json
import uuid
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_protocol.channels import ChannelPattern
from event_protocol.errors import RemoteProtocolError
from event_protocol.limits import Limits
from relay.config import ApiConfig, NamespaceConfig
from relay.errors import Refusal
from relay.identifiers import Identifiers
from relay.namespaces import Api
from relay.publishing import accept_events, encode_outcome, explain, find_target, parse_pattern

LIMITS = Limits(event_bytes=100)


def raw(text, **options):
    return msgspec.Raw(json.dumps(text, **options).encode())


def api():
    return Api(
        ApiConfig(label="a" * 26, namespaces=(NamespaceConfig(name="default"),)),
        authorizers=lambda config: (),
    )


@pytest.mark.parametrize(
    "text",
    ['{"a":1}', "[]", '"text"', "1", "-0.5e10", "true", "null", ' { "a" : 1 } ', '"é\\u00e9"'],
)
def test_any_json_value_is_an_event(text):
    accepted = accept_events([raw(text)], LIMITS)
    assert json.loads(accepted[0][0][:-1]) == text


@pytest.mark.parametrize(
    "text", ["", "nope", "{", "{'a':1}", "NaN", "01", "1 2", '{"a":1,}', "[" * 50, '"\x00"']
)
def test_text_that_is_not_json_is_refused(text):
    with pytest.raises(Refusal, match="The event at index 1 is not valid JSON") as caught:
        accept_events([raw("1"), raw(text)], LIMITS)
    assert caught.value.error_type == "BadRequestException"


def test_json_too_deep_to_be_read_is_refused_and_not_fatal():
    with pytest.raises(Refusal):
        accept_events([raw("[" * 100_000 + "]" * 100_000)], Limits())


@pytest.mark.parametrize("wrong", [b"1", b"null", b'{"a":1}', b'["a"]', b"true"])
def test_an_event_that_is_not_a_string_is_refused(wrong):
    with pytest.raises(Refusal, match="Each event must be a string"):
        accept_events([msgspec.Raw(wrong)], LIMITS)


def test_half_a_surrogate_pair_is_allowed_as_an_escape_in_the_text_but_not_as_text():
    assert accept_events([raw(r'"\ud800"')], LIMITS)[0]
    with pytest.raises(Refusal):
        accept_events([raw('"\ud800"')], LIMITS)


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_bytes_between_the_quotes_stay_as_they_were_sent(ensure_ascii):
    event = raw('{"ü": "☃ \\u2603 \\/"}', ensure_ascii=ensure_ascii)
    assert accept_events([event], LIMITS)[0] == [bytes(event) + b"}"]


@pytest.mark.parametrize(("length", "is_too_large"), [(98, False), (99, True)])
def test_the_size_of_an_event_is_that_of_its_text_in_utf_8(length, is_too_large):
    text = json.dumps("x" * length)
    assert len(text.encode()) == length + 2
    accepted = accept_events([raw(text)], LIMITS)
    assert accepted[2] == ((0,) if is_too_large else ())


def test_escapes_on_the_wire_do_not_count_as_size():
    text = json.dumps('"' * 40)
    assert len(text) < 100 < len(json.dumps(text))
    assert accept_events([raw(text)], LIMITS)[2] == ()


def test_one_event_too_large_does_not_stop_the_others():
    accepted = accept_events([raw("1"), raw('"' + "x" * 200 + '"'), raw("3")], LIMITS)
    assert accepted[0] == [b'"1"}', b'"3"}']
    assert accepted[1] == 8
    assert accepted[2] == (1,)


def test_the_outcome_names_every_event_once_in_the_order_of_keys_of_aws():
    successful, failed = encode_outcome(3, (1,), iter(["a", "b", "c"]).__next__)
    assert successful == '[{"identifier":"a","index":0},{"identifier":"b","index":2}]'
    assert failed == (
        '[{"code":"EventTooLargeException","identifier":"c","index":1,'
        '"message":"Transformed event is larger than 240KB"}]'
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_outcome_without_failures_is_the_same_shape(count):
    successful, failed = encode_outcome(count, (), Identifiers(Random(1)))
    assert [one["index"] for one in json.loads(successful)] == list(range(count))
    assert failed == "[]"


@pytest.mark.parametrize(
    "channel", ["", "/", "*", "/default/*", "/default//x", "default/a b", "/a/b/c/d/e/f", "é"]
)
def test_what_is_no_channel_is_a_bad_request(channel):
    with pytest.raises(Refusal) as caught:
        find_target(api(), channel)
    assert caught.value.error_type == "BadRequestException"
    assert caught.value.status == 400


def test_a_namespace_that_nobody_created_reads_as_unauthorized_without_a_message():
    with pytest.raises(Refusal) as caught:
        find_target(api(), "/other/x")
    refusal = caught.value
    assert (refusal.error_type, refusal.message, refusal.status) == (
        "UnauthorizedException",
        None,
        401,
    )


@pytest.mark.parametrize("channel", ["default/x", "/default/x", "/default/x/", "default/x/"])
def test_all_spellings_of_a_channel_are_one(channel):
    assert find_target(api(), channel)[0].path == "/default/x"


@pytest.mark.parametrize("pattern", ["*", "/*", "/default/*/x", "/default/**", ""])
def test_what_is_no_pattern_is_a_bad_request(pattern):
    with pytest.raises(Refusal):
        parse_pattern(pattern)


def test_a_pattern_is_parsed():
    assert parse_pattern("default/*") == ChannelPattern.parse("/default/*")


def is_json(text):
    def refuse(_):
        raise ValueError

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@given(st.one_of(st.text(alphabet='{}[]":,0123456789.eE-+truefalsn \\ud8', max_size=12), st.text()))
def test_the_check_agrees_with_another_json_reader(text):
    text = text.encode("utf-8", "replace").decode()
    try:
        accepted = accept_events([raw(text)], Limits())
    except Refusal:
        assert not is_json(text)
    else:
        assert is_json(text)
        assert len(accepted[0]) == 1


def test_a_sentence_of_aws_is_left_as_it_is():
    assert explain(RemoteProtocolError("Operation not supported")) == "Operation not supported"
    assert explain(RemoteProtocolError("id is wrong")) == "Id is wrong."


def test_identifiers_are_uuids_of_version_4_and_never_repeat():
    new = Identifiers(Random(7))
    made = [new() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert {uuid.UUID(one).version for one in made[:100]} == {4}
    assert Identifiers(Random(7))() == made[0]
