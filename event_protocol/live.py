"""An invocation on a channel, as SST Live speaks it: one place to import it all from.

::

    guest ── /sst/<app>/<stage>/in ──────────▶ developer        INIT, NEXT
    guest ◀─ /sst/<app>/<stage>/<worker>/in ── developer        PING, RESPONSE, ERROR, REBOOT

``packets.py`` cuts messages into events, ``reassembly.py`` puts them together again, ``bodies.py``
knows what INIT and NEXT contain. Nothing is acknowledged and nothing is sent again. Codes from 100
on are ours, ``extension.py``; they are sent only to a peer that announced them: the guest in its
INIT, the developer's side by answering HELLO.
"""

from __future__ import annotations

from event_protocol.bodies import (
    ENVIRONMENT_NOT_SENT,
    InitBody,
    NextEvent,
    decode_init,
    decode_next,
    encode_init,
    encode_next,
)
from event_protocol.channels import is_segment
from event_protocol.errors import ChannelError
from event_protocol.extension import (
    FEATURES,
    KEPT_HEADER,
    Accepted,
    Beat,
    Cancel,
    Feature,
    Hello,
    Probe,
    decode_report,
    encode_report,
)
from event_protocol.limits import SEGMENT_LENGTH
from event_protocol.packets import (
    CHUNK_BYTES,
    MessageCode,
    Packet,
    decode_packet,
    encode_packet,
    split,
)
from event_protocol.reassembly import Message, Reassembler

__all__ = [
    "CHUNK_BYTES",
    "ENVIRONMENT_NOT_SENT",
    "FEATURES",
    "KEPT_HEADER",
    "Accepted",
    "Beat",
    "Cancel",
    "Feature",
    "Hello",
    "InitBody",
    "Message",
    "MessageCode",
    "NextEvent",
    "Packet",
    "Probe",
    "Reassembler",
    "decode_init",
    "decode_next",
    "decode_packet",
    "decode_report",
    "dev_channel",
    "encode_init",
    "encode_next",
    "encode_packet",
    "encode_report",
    "split",
    "worker_channel",
]


def dev_channel(app: str, stage: str, namespace: str = "sst") -> str:
    """Where every guest publishes and the developer's side listens.

    Raises:
        ChannelError: a name cannot be a segment of a channel.
    """
    return _join(namespace, app, stage)


def worker_channel(app: str, stage: str, worker: str, namespace: str = "sst") -> str:
    """Where one guest listens; ``worker`` is its source.

    Raises:
        ChannelError: a name cannot be a segment of a channel.
    """
    return _join(namespace, app, stage, worker)


def _join(*names: str) -> str:
    for name in names:
        if not is_segment(name):
            raise ChannelError(
                "namespace, app, stage and worker must each be one segment of a channel: 1 to"
                f" {SEGMENT_LENGTH} letters, digits or dashes"
            )
    return "/" + "/".join((*names, "in"))
