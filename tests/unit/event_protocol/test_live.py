from __future__ import annotations

import pytest

from event_protocol import bodies, live, packets, reassembly
from event_protocol.channels import ChannelPattern
from event_protocol.errors import ChannelError
from event_protocol.live import (
    MessageCode,
    Reassembler,
    decode_next,
    decode_packet,
    dev_channel,
    encode_next,
    encode_packet,
    split,
    worker_channel,
)

WORKER = "0123456789abcdef0123456789abcdef"


def test_the_channels_are_those_of_sst():
    assert dev_channel("app", "dev") == "/sst/app/dev/in"
    assert worker_channel("app", "dev", WORKER) == f"/sst/app/dev/{WORKER}/in"


def test_another_namespace_may_be_used():
    assert dev_channel("app", "dev", "live") == "/live/app/dev/in"
    assert worker_channel("app", "dev", WORKER, namespace="live") == f"/live/app/dev/{WORKER}/in"


@pytest.mark.parametrize("name", ["", "my_app", "a/b", "a" * 51, "-a"])
def test_names_that_cannot_be_segments_are_refused(name):
    for build in (
        lambda: dev_channel(name, "dev"),
        lambda: dev_channel("app", name),
        lambda: dev_channel("app", "dev", name),
        lambda: worker_channel("app", "dev", name),
    ):
        with pytest.raises(ChannelError):
            build()


def test_the_developer_does_not_hear_what_is_meant_for_a_worker():
    assert not ChannelPattern.parse(dev_channel("app", "dev")).matches(
        ChannelPattern.parse(worker_channel("app", "dev", WORKER)).base
    )


def test_everything_about_live_is_in_one_place():
    assert set(live.__all__) <= set(vars(live))
    for module in (packets, reassembly, bodies):
        public = {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        }
        assert public <= set(live.__all__)


def test_an_invocation_of_a_megabyte_arrives_through_the_channel():
    event = b'{"pad":"' + b"x" * 1_000_000 + b'"}'
    body = encode_next({"Lambda-Runtime-Aws-Request-Id": "r"}, event)
    texts = [
        encode_packet(each) for each in split(MessageCode.NEXT, source=WORKER, id="m", body=body)
    ]
    assert len(texts) == 8
    reassembler = Reassembler()
    [message] = filter(None, (reassembler.receive(decode_packet(text)) for text in reversed(texts)))
    assert decode_next(message.body).body == event
