from __future__ import annotations

from dataclasses import fields

import pytest

from event_protocol.errors import LocalProtocolError
from event_protocol.limits import DEFAULT_LIMITS, Limits


def test_the_defaults_are_those_that_aws_documents():
    assert DEFAULT_LIMITS.events_per_publish == 5
    assert DEFAULT_LIMITS.event_bytes == 245_760
    assert DEFAULT_LIMITS.request_bytes == 1_200_000
    assert DEFAULT_LIMITS.subscriptions_per_connection == 200
    assert DEFAULT_LIMITS.id_length == 128
    assert DEFAULT_LIMITS.segment_length == 50
    assert DEFAULT_LIMITS.segments_per_channel == 5
    assert DEFAULT_LIMITS.keep_alive == 60.0
    assert DEFAULT_LIMITS.connection_timeout == 300.0
    assert DEFAULT_LIMITS.connection_life == 24 * 3600


def test_a_whole_publish_fits_a_frame_even_when_every_byte_of_it_is_a_quote():
    assert DEFAULT_LIMITS.frame_bytes > 2 * DEFAULT_LIMITS.request_bytes


@pytest.mark.parametrize(
    "name", [each.name for each in fields(Limits) if each.name != "keep_alive_after_ack"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_is_not_positive_cannot_be_built(name, value):
    with pytest.raises(LocalProtocolError, match=name):
        Limits(**{name: value})


def test_the_keep_alive_after_the_ack_can_be_switched_off():
    assert Limits(keep_alive_after_ack=False).keep_alive_after_ack is False
