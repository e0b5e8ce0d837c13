from __future__ import annotations

import json
from dataclasses import replace

import pytest

from event_protocol import stelvio
from event_protocol.errors import RemoteProtocolError
from event_protocol.live import MessageCode, Packet, decode_packet, encode_next
from runtime_shim.config import Endpoint, ShimConfig
from runtime_shim.dialect import DialectName, SstDialect, StelvioDialect, make_dialect

WORKER = "w" * 32
SST = ShimConfig(
    runtime_api="127.0.0.1:9001",
    realtime=Endpoint("h"),
    http_host="h",
    api_key="da2-z",
    ca=None,
    app="my_app",
    stage="dev",
    namespace="sst",
    function_id="ep-1",
    worker_id=WORKER,
    dialect=DialectName.SST,
    environment={"AWS_LAMBDA_FUNCTION_NAME": "fn"},
)
STELVIO = replace(SST, dialect=DialectName.STELVIO)
HEADERS = {
    "Lambda-Runtime-Aws-Request-Id": "r1",
    "Lambda-Runtime-Deadline-Ms": "1893456000000",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:x",
}


def say(event: bytes, **headers: str) -> stelvio.Request:
    """What Stelvio's listener is told of an event."""
    (text,) = StelvioDialect(STELVIO).write(MessageCode.NEXT, encode_next(HEADERS | headers, event))
    return stelvio.decode_request(text)


def hear(answer: stelvio.Answer) -> Packet:
    packet = StelvioDialect(STELVIO).read(stelvio.encode_answer(answer))
    assert packet is not None
    return packet


def test_the_configuration_says_which_it_is() -> None:
    assert isinstance(make_dialect(STELVIO), StelvioDialect)
    assert isinstance(make_dialect(replace(SST, app="app")), SstDialect)


def test_sst_is_spoken_in_packets_on_a_channel_of_our_own() -> None:
    dialect = SstDialect(replace(SST, app="app"))
    assert (dialect.developer, dialect.own) == ("/sst/app/dev/in", f"/sst/app/dev/{WORKER}/in")
    assert dialect.introduces
    first, second = dialect.write(MessageCode.NEXT, b"x" * 131_073)
    assert decode_packet(first).id == decode_packet(second).id
    assert dialect.read(first) == decode_packet(first)
    packet = decode_packet(second)
    assert dialect.read(dialect.write_proof(packet)) == packet


def test_stelvio_is_spoken_on_channels_that_all_share() -> None:
    dialect = StelvioDialect(STELVIO)
    assert dialect.developer == "/stelvio/my-app/dev/in"
    assert dialect.own == "/stelvio/my-app/dev/out"
    assert not dialect.introduces
    assert [dialect.write(code, b"{}") for code in MessageCode if code is not MessageCode.NEXT] == [
        []
    ] * (len(MessageCode) - 1)


def test_an_event_becomes_a_request_of_stelvios() -> None:
    assert say(b'{"body":"hello"}') == stelvio.Request(
        request_id="r1",
        endpoint_id="ep-1",
        function_name="fn",
        event={"body": "hello"},
        deadline=1893456000.0,
        arn="arn:x",
    )


def test_what_is_told_beside_the_event_goes_along() -> None:
    request = say(
        b"",
        **{
            "Lambda-Runtime-Client-Context": '{"custom":{"a":1}}',
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i"}',
            "Lambda-Runtime-Aws-Tenant-Id": "t",
        },
    )
    assert request.event is None
    assert request.client_context == {"custom": {"a": 1}}
    assert request.identity == {"cognito_identity_id": "i", "cognito_identity_pool_id": None}
    assert request.tenant_id == "t"


def test_an_event_that_is_no_json_travels_as_a_text() -> None:
    assert say(b"not json").event == "not json"


def test_an_answer_is_a_response_under_its_request() -> None:
    packet = hear(stelvio.Answer("r1", {"statusCode": 200}))
    assert (packet.type, packet.id, packet.final) == (MessageCode.RESPONSE, "r1", True)
    assert json.loads(packet.data) == {"statusCode": 200}
    assert packet.source != WORKER


def test_an_error_has_lambdas_words() -> None:
    packet = hear(stelvio.Answer("r1", error="no", error_type="ValueError", trace=["a"]))
    assert packet.type == MessageCode.ERROR
    assert json.loads(packet.data) == {
        "errorMessage": "no",
        "errorType": "ValueError",
        "stackTrace": ["a"],
    }


def test_a_long_answer_is_read_when_its_last_chunk_is_here() -> None:
    dialect = StelvioDialect(STELVIO)
    text = stelvio.encode_answer(stelvio.Answer("r1", "x" * 450_000))
    *first, last = stelvio.split(text, request_id="r1", chunk_id="c")
    assert [dialect.read(event) for event in first] == [None] * len(first)
    packet = dialect.read(last)
    assert packet is not None
    assert json.loads(packet.data) == "x" * 450_000


def test_a_proof_comes_back_as_our_own_probe_and_means_nothing_to_a_stub() -> None:
    dialect = StelvioDialect(STELVIO)
    text = dialect.write_proof(Packet(MessageCode.PROBE, WORKER, "token", 0, b"", final=True))
    packet = dialect.read(text)
    assert packet is not None
    assert (packet.type, packet.source, packet.id) == (MessageCode.PROBE, WORKER, "token")
    assert stelvio.decode_answer(text).request_id not in ("token", "r1")


def test_what_is_no_answer_is_somebody_elses() -> None:
    with pytest.raises(RemoteProtocolError):
        StelvioDialect(STELVIO).read("[]")
