"""Channels, patterns of channels, and which channel a pattern matches.

A channel is one to five segments. It is case-sensitive; a leading and a trailing slash are optional
and mean nothing, so all three spellings of ``default/x`` are one channel (AWS AppSync Events
developer guide, event-api-websocket-protocol). The first segment is the channel namespace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from event_protocol.errors import ChannelError
from event_protocol.limits import SEGMENT_LENGTH, SEGMENTS_PER_CHANNEL

_SEGMENT = rf"[A-Za-z0-9](?:[A-Za-z0-9-]{{0,{SEGMENT_LENGTH - 2}}}[A-Za-z0-9])?"
_is_segment = re.compile(_SEGMENT).fullmatch
_is_path = re.compile(rf"(?:/{_SEGMENT}){{1,{SEGMENTS_PER_CHANNEL}}}").fullmatch

_RULE = (
    f"a channel is 1 to {SEGMENTS_PER_CHANNEL} segments between slashes, each 1 to {SEGMENT_LENGTH}"
    " letters, digits or dashes that begin and end with a letter or digit"
)
_WILDCARD = "/*"


def is_segment(text: str) -> bool:
    """Whether the text can be a segment of a channel, and so the name of a channel namespace."""
    return _is_segment(text) is not None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that can exist.

    Attributes:
        path: with a leading and without a trailing slash.

    Raises:
        ChannelError: the path is not of that form; use :meth:`parse` for text as clients send it.
    """

    path: str

    def __post_init__(self) -> None:
        if _is_path(self.path) is None:
            raise ChannelError(_RULE)

    @classmethod
    def parse(cls, text: str) -> Channel:
        """The channel that a client wrote, its slashes normalized.

        Raises:
            ChannelError: no channel is written so. A wildcard is not a channel.
        """
        return cls(_normalize(text))

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments in order, the namespace first."""
        return tuple(self.path[1:].split("/"))

    @property
    def namespace(self) -> str:
        """The first segment."""
        return self.path[1:].partition("/")[0]


@dataclass(frozen=True, slots=True)
class ChannelPattern:
    """What a subscription asks for: one channel, or all channels below a prefix.

    Attributes:
        base: the channel itself, or the prefix before the wildcard.
        is_wildcard: whether the pattern ends in ``/*``.
    """

    base: Channel
    is_wildcard: bool

    @classmethod
    def parse(cls, text: str) -> ChannelPattern:
        """The pattern that a client wrote, its slashes normalized.

        A wildcard is only the last segment, takes the place of one (so at most four come before
        it), and needs a namespace before it (AWS's create-event-api-tutorial).

        Raises:
            ChannelError: no pattern is written so.
        """
        path = _normalize(text)
        if not path.endswith(_WILDCARD):
            return cls(Channel(path), is_wildcard=False)
        base = Channel(path.removesuffix(_WILDCARD))
        if len(base.segments) == SEGMENTS_PER_CHANNEL:
            raise ChannelError("nothing can be below a channel that has all its segments")
        return cls(base, is_wildcard=True)

    @property
    def path(self) -> str:
        """The pattern's normalized text."""
        return self.base.path + _WILDCARD if self.is_wildcard else self.base.path

    @property
    def namespace(self) -> str:
        """The first segment, which is never a wildcard."""
        return self.base.namespace

    def matches(self, channel: Channel) -> bool:
        """Whether events of this channel are wanted.

        A wildcard matches at any depth below its prefix, but not the prefix itself (shown by AWS's
        create-event-api-tutorial and by the LocalStack documentation, whose tests run on AWS).
        """
        if self.is_wildcard:
            return channel.path.startswith(self.base.path + "/")
        return channel.path == self.base.path


def _normalize(text: str) -> str:
    return "/" + text.removeprefix("/").removesuffix("/")
