"""What can go wrong in the language of the channel, and who broke it.

::

    EventProtocolError
    ├── LocalProtocolError      we broke it: the caller asked for something the protocol forbids
    └── RemoteProtocolError     they broke it: .error_type .frame_id .frame_type, enough to answer
        └── ChannelError        a channel, or a pattern of channels, that cannot exist
"""

from __future__ import annotations


class EventProtocolError(Exception):
    """The root of all errors of this room."""


class LocalProtocolError(EventProtocolError):
    """Our side asked for something that the protocol forbids; nothing was sent or changed."""


class RemoteProtocolError(EventProtocolError):
    """The peer sent something that the protocol forbids; nothing was changed by it.

    The sentence never repeats what the peer sent, so it can be logged and answered as it stands.

    Attributes:
        error_type: AWS's name for it, what an answer carries as ``errorType``.
        frame_id: the ``id`` of the offending frame, None where it has no legal one.
        frame_type: the ``type`` of the offending frame, None where it is missing or unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        error_type: str = "BadRequestException",
        frame_id: str | None = None,
        frame_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.frame_id = frame_id
        self.frame_type = frame_type


class ChannelError(RemoteProtocolError):
    """The text is not a channel, or not a pattern of channels."""
