"""The head of a request, read strictly: what is not plainly written is left to aiohttp."""

from __future__ import annotations

import re

HEAD_BYTES = 4096  # of a request line and headers; longer ones are not looked at
END = b"\r\n\r\n"

_HEAD = re.compile(
    rb"(?P<method>[A-Z]+) (?P<target>[!-~]+) HTTP/1\.1\r\n"
    rb"(?P<fields>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)*)\r\n"
)

Fields = list[tuple[str, str]]


def read_fields(head: bytes) -> tuple[str, str, Fields] | None:
    """Method, target, and name and value of each header; None where anything is odd.

    Args:
        head: request line and headers, the empty line included.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    fields = []
    for line in match["fields"].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        fields.append((name, value.strip(" \t")))
    return match["method"].decode("ascii"), match["target"].decode("ascii"), fields
