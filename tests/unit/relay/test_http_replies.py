import json

import pytest

from relay.http_replies import UNSENT_BYTES, Reply, answer_preflight, answer_unknown, refuse


class FakeTransport:
    def __init__(self, unsent=0):
        self.data = b""
        self.unsent = unsent

    def write(self, data):
        self.data += data

    def get_write_buffer_size(self):
        return self.unsent


class FakeRequest:
    """As much of a request as an answer looks at."""

    def __init__(self, *, method="POST", version=(1, 1), keep_alive=True, headers=None, unsent=0):
        self.method = method
        self.version = version
        self.keep_alive = keep_alive
        self.headers = headers or {}
        self.transport = FakeTransport(unsent)
        self.writer = self
        self.protocol = None
        self.drained = 0

    async def drain(self):
        self.drained += 1


async def written(reply, request=None):
    request = request or FakeRequest()
    await reply.prepare(request)
    await reply.write_eof()
    await reply.write_eof()
    head, _, body = request.transport.data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


async def test_an_answer_is_written_once_and_whole():
    reply = Reply(b"{}", request_id="id", headers={"X-More": "1"})
    status, headers, body = await written(reply)
    assert status == "HTTP/1.1 200 OK"
    assert headers.pop("Date").endswith(" GMT")
    assert headers == {
        "Content-Type": "application/json;charset=UTF-8",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": (
            "x-amzn-RequestId,x-amzn-ErrorType,x-amz-user-agent,x-amzn-ErrorMessage,Date,"
            "x-amz-schema-version"
        ),
        "x-amzn-RequestId": "id",
        "Content-Length": "2",
        "X-More": "1",
    }
    assert body == b"{}"
    assert reply.keep_alive is True


@pytest.mark.parametrize(
    ("version", "keep_alive", "said"),
    [
        ((1, 1), True, None),
        ((1, 1), False, "close"),
        ((1, 0), True, "keep-alive"),
        ((1, 0), False, "close"),
    ],
)
async def test_it_says_whether_the_connection_stays_where_that_is_not_plain(
    version, keep_alive, said
):
    request = FakeRequest(version=version, keep_alive=keep_alive)
    reply = Reply(b"", request_id="id")
    _, headers, _ = await written(reply, request)
    assert headers.get("Connection") == said
    assert reply.keep_alive is keep_alive


async def test_an_answer_to_head_tells_the_length_and_sends_nothing():
    _, headers, body = await written(Reply(b"{}", request_id="id"), FakeRequest(method="HEAD"))
    assert (headers["Content-Length"], body) == ("2", b"")


@pytest.mark.parametrize(("unsent", "waits"), [(UNSENT_BYTES, 0), (UNSENT_BYTES + 1, 1)])
async def test_a_client_that_does_not_read_its_answers_is_waited_for(unsent, waits):
    request = FakeRequest(unsent=unsent)
    await written(Reply(b"{}", request_id="id"), request)
    assert request.drained == waits


async def test_a_client_that_is_gone_gets_nothing():
    request = FakeRequest()
    request.transport = None
    reply = Reply(b"{}", request_id="id")
    await reply.prepare(request)
    with pytest.raises(ConnectionResetError):
        await reply.write_eof()


async def test_an_error_has_one_entry_and_its_name_in_a_header():
    reply = refuse("BadRequestException", "Because é.", request_id="id", status=400)
    status, headers, body = await written(reply)
    assert status == "HTTP/1.1 400 Bad Request"
    assert headers["x-amzn-ErrorType"] == "BadRequestException"
    assert body.decode() == (
        '{"errors":[{"errorType":"BadRequestException","message":"Because é."}]}'
    )
    assert int(headers["Content-Length"]) == len(body)


async def test_an_error_without_a_message_is_printed_as_aws_prints_it():
    _, _, body = await written(refuse("Unauthorized", None, request_id="id", status=401))
    assert body.decode() == '{\n  "errors" : [ {\n    "errorType" : "Unauthorized"\n  } ]\n}'
    assert json.loads(body) == {"errors": [{"errorType": "Unauthorized"}]}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [("x-api-key,content-type", "x-api-key,content-type"), ("a\r\nb: c", "*"), ("é", "*")],
)
async def test_a_preflight_repeats_what_is_asked_but_never_a_line_break(asked, allowed):
    request = FakeRequest(headers={"Access-Control-Request-Headers": asked})
    _, headers, _ = await written(answer_preflight(request, request_id="id"))
    assert headers["Access-Control-Allow-Headers"] == allowed


async def test_a_path_that_nobody_serves_is_answered_in_the_words_of_coral():
    status, _, body = await written(answer_unknown(request_id="id"))
    assert status == "HTTP/1.1 404 Not Found"
    assert b"com.amazon.coral.service#UnknownOperationException" in body
