from __future__ import annotations

import pytest

from event_protocol import errors
from event_protocol.errors import (
    ChannelError,
    EventProtocolError,
    LocalProtocolError,
    RemoteProtocolError,
)


def test_every_error_has_the_root_of_the_room_as_its_base():
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {ChannelError, LocalProtocolError, RemoteProtocolError} <= set(found)
    assert all(issubclass(each, EventProtocolError) for each in found)


def test_our_mistakes_and_theirs_are_never_caught_together():
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_a_remote_error_carries_what_an_answer_needs():
    error = RemoteProtocolError(
        "no", error_type="UnknownOperationError", frame_id="s-1", frame_type="unsubscribe"
    )
    assert (str(error), error.error_type, error.frame_id, error.frame_type) == (
        "no",
        "UnknownOperationError",
        "s-1",
        "unsubscribe",
    )


def test_a_channel_error_is_a_bad_request_of_nobody_in_particular():
    with pytest.raises(RemoteProtocolError) as caught:
        raise ChannelError("no")
    assert caught.value.error_type == "BadRequestException"
    assert caught.value.frame_id is None
    assert caught.value.frame_type is None
