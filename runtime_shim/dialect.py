"""How an environment and the developer's side talk: SST's packets, or Stelvio's requests.

::

    message ── write ──▶ events on the developer's channel
    message ◀── read ─── events on our own

The rest of the guest knows messages only: a code, an id and a body. What Stelvio has no word for is
not said, and what it says is read as the message of ours that means the same.
"""

from __future__ import annotations

import json
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from event_protocol import stelvio
from event_protocol.live import (
    MessageCode,
    NextEvent,
    Packet,
    decode_next,
    decode_packet,
    dev_channel,
    encode_packet,
    split,
    worker_channel,
)

if TYPE_CHECKING:  # it names this module's enum
    from runtime_shim.config import ShimConfig

_PROOF = "natless-proof-"


class DialectName(StrEnum):
    """What may be spoken."""

    SST = "sst"
    STELVIO = "stelvio"


class Dialect(Protocol):
    """One way to talk; made anew for each channel.

    Attributes:
        developer: where the developer's side listens.
        own: where we do.
        introduces: whether the developer's side is told who we are before the first event.
    """

    developer: str
    own: str
    introduces: bool

    def write(self, code: MessageCode, body: bytes) -> list[str]:
        """The events that a message of ours travels in."""

    def write_proof(self, packet: Packet) -> str:
        """An event for our own channel that means nothing to anybody else."""

    def read(self, text: str) -> Packet | None:
        """What an event of our own channel says; None when more of it must come.

        Raises:
            RemoteProtocolError: it is another publisher's.
        """


class SstDialect:
    """Packets, each with its source, on a channel of our own."""

    introduces = True

    def __init__(self, config: ShimConfig) -> None:
        self._source = config.worker_id
        self.developer = dev_channel(config.app, config.stage, config.namespace)
        self.own = worker_channel(config.app, config.stage, config.worker_id, config.namespace)

    def write(self, code: MessageCode, body: bytes) -> list[str]:
        """Packets under a new id."""
        packets = split(code, source=self._source, id=secrets.token_hex(12), body=body)
        return [encode_packet(packet) for packet in packets]

    def write_proof(self, packet: Packet) -> str:
        """The packet itself."""
        return encode_packet(packet)

    def read(self, text: str) -> Packet | None:
        """A packet."""
        return decode_packet(text)


class StelvioDialect:
    """Requests and answers on two channels that all stubs of a stage share."""

    introduces = False

    def __init__(self, config: ShimConfig) -> None:
        self._source = config.worker_id
        self._endpoint = config.function_id
        self._function = config.environment.get("AWS_LAMBDA_FUNCTION_NAME", config.function_id)
        self._chunks = stelvio.Chunks()
        self.developer = stelvio.request_channel(config.app, config.stage)
        self.own = stelvio.answer_channel(config.app, config.stage)

    def write(self, code: MessageCode, body: bytes) -> list[str]:
        """A request, in chunks if it is long; there are no other words."""
        if code is not MessageCode.NEXT:
            return []
        request = self._request(decode_next(body))
        text = stelvio.encode_request(request)
        chunk_id = secrets.token_hex(16)
        return list(stelvio.split(text, request_id=request.request_id, chunk_id=chunk_id))

    def write_proof(self, packet: Packet) -> str:
        """An answer to a request that nobody made."""
        return stelvio.encode_answer(stelvio.Answer(_PROOF + packet.id))

    def read(self, text: str) -> Packet | None:
        """An answer, as one packet under the id of its request."""
        whole = self._chunks.receive(text)
        if whole is None:
            return None
        answer = stelvio.decode_answer(whole)
        if answer.request_id.startswith(_PROOF):
            token = answer.request_id.removeprefix(_PROOF)
            return Packet(MessageCode.PROBE, self._source, token, 0, b"", final=True)
        code, body = MessageCode.RESPONSE, answer.result
        if answer.error is not None:
            code = MessageCode.ERROR
            body = {
                "errorMessage": answer.error,
                "errorType": answer.error_type,
                "stackTrace": list(answer.trace),
            }
        data = json.dumps(body).encode()
        return Packet(code, stelvio.NAMESPACE, answer.request_id, 0, data, final=True)

    def _request(self, event: NextEvent) -> stelvio.Request:
        headers = event.headers
        deadline = headers.get("lambda-runtime-deadline-ms", "")
        identity = _json(headers.get("lambda-runtime-cognito-identity", ""))
        return stelvio.Request(
            request_id=headers.get("lambda-runtime-aws-request-id", ""),
            endpoint_id=self._endpoint,
            function_name=self._function,
            event=_json(event.body),
            deadline=int(deadline) / 1000 if deadline.isdigit() else None,
            arn=headers.get("lambda-runtime-invoked-function-arn", ""),
            client_context=_json(headers.get("lambda-runtime-client-context", "")),
            identity=_identity(identity),
            tenant_id=headers.get("lambda-runtime-aws-tenant-id") or None,
        )


def make_dialect(config: ShimConfig) -> Dialect:
    """The one that is configured."""
    if config.dialect is DialectName.STELVIO:
        return StelvioDialect(config)
    return SstDialect(config)


def _json(text: str | bytes) -> object:
    """A JSON value; a text that is none stays one, and an empty one is null."""
    try:
        value: object = json.loads(text or b"null")
    except ValueError:
        return text if isinstance(text, str) else text.decode(errors="replace")
    return value


def _identity(value: object) -> object:
    """Cognito's identity in the words of Stelvio's stub."""
    if not isinstance(value, dict):
        return None
    names = {
        "cognito_identity_id": "cognitoIdentityId",
        "cognito_identity_pool_id": "cognitoIdentityPoolId",
    }
    return {written: value.get(name) for written, name in names.items()}
