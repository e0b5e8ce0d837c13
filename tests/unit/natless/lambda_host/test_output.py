import asyncio

import pytest

from natless.lambda_host.output import Redactor, Tail, is_secret, read_lines


async def lines_of(*blocks: bytes, limit: int = 1000) -> list[str]:
    reader = asyncio.StreamReader()
    lines: list[str] = []
    reading = asyncio.create_task(read_lines(reader, lines.append, limit=limit))
    for block in blocks:
        reader.feed_data(block)
        await asyncio.sleep(0)
    reader.feed_eof()
    await reading
    return lines


async def test_lines_are_handed_over_one_by_one():
    assert await lines_of(b"one\ntwo\r\nthree\n") == ["one", "two", "three"]


async def test_a_line_may_come_in_pieces():
    assert await lines_of(b"o", b"ne\ntw", b"o\n") == ["one", "two"]


async def test_a_last_line_without_newline_counts():
    assert await lines_of(b"one\ntwo") == ["one", "two"]


async def test_empty_lines_are_left_out():
    assert await lines_of(b"\n\none\n\n") == ["one"]


async def test_a_carriage_return_inside_a_line_stays():
    assert await lines_of(b"[ERROR] a\rTraceback\n") == ["[ERROR] a\rTraceback"]


async def test_a_line_that_is_too_long_is_cut_once_and_the_next_one_is_whole():
    text = b"x" * 25
    assert await lines_of(text[:9], text[9:], text + b"\nnext\n", limit=10) == [
        "xxxxxxxxxx [cut after 10 bytes]",
        "next",
    ]


async def test_a_line_of_exactly_the_limit_is_not_cut():
    assert await lines_of(b"x" * 10 + b"\n", limit=10) == ["x" * 10]


async def test_bytes_that_are_no_text_do_not_stop_the_reading():
    assert await lines_of(b"\xff\xfe\nnext\n") == ["��", "next"]


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "db_password", "NATLESS_API_KEY"]
)
def test_secrets_are_known_by_their_names(name):
    assert is_secret(name)
    assert Redactor({name: "s3cr3t-value"})("it is s3cr3t-value!") == "it is ***!"


def test_ordinary_variables_and_short_values_are_not_blotted_out():
    redact = Redactor({"HOME": "/home/someone", "DB_PASSWORD": "abc"})
    assert redact("abc in /home/someone") == "abc in /home/someone"


def test_a_secret_inside_another_one_leaves_nothing_behind():
    redact = Redactor({"A_TOKEN": "12345678", "B_TOKEN": "1234567890"})
    assert redact("1234567890 12345678") == "*** ***"


def test_a_tail_keeps_the_last_bytes():
    tail = Tail(limit=8)
    tail.add(["first", "second"])
    assert bytes(tail) == b"\nsecond\n"
