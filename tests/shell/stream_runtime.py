"""A runtime that streams what its event says, as AWS's Node.js client does; run by its path.

``{"type": "text/plain", "prelude": {…}, "parts": ["a", "b"], "gates": [null, "/x"], "error": {…}}``
sends each part when the file beside it is there, and the error as trailers; ``{"times": 9}`` sends
it as often. ``{"exit": 3}`` ends in the middle, ``{"plain": 1}`` answers in one piece.
"""

import base64
import json
import os
import socket
import time
from pathlib import Path

HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
ROOT = "/2018-06-01/runtime/invocation"


def call(head: str, pieces) -> tuple[dict[str, str], bytes]:
    with socket.create_connection((HOST, int(PORT))) as connection:
        connection.sendall((head + "\r\nHost: x\r\nConnection: close\r\n").encode())
        for piece in pieces:
            connection.sendall(piece)
        reply = b""
        while block := connection.recv(65536):
            reply += block
    lines, _, body = reply.partition(b"\r\n\r\n")
    fields = [line.partition(": ") for line in lines.decode().split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in fields}, body


def chunks(event):
    yield (
        "Transfer-Encoding: chunked\r\n"
        f"Content-Type: {event.get('type', 'application/octet-stream')}\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
    ).encode()
    if "prelude" in event:
        yield chunk(json.dumps(event["prelude"]).encode() + b"\0" * 8)
    gates = event.get("gates") or []
    for number, part in enumerate(event.get("parts", [])):
        gate = gates[number] if number < len(gates) else None
        while gate is not None and not Path(gate).exists():
            time.sleep(0.002)
        for _ in range(event.get("times", 1)):
            yield chunk(part.encode())
    if "exit" in event:
        os._exit(event["exit"])
    yield b"0\r\n"
    if "error" in event:
        body = base64.b64encode(json.dumps(event["error"]).encode()).decode()
        yield (
            "Lambda-Runtime-Function-Error-Type: Function.Boom\r\n"
            f"Lambda-Runtime-Function-Error-Body: {body}\r\n"
        ).encode()
    yield b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


while True:
    headers, body = call(f"GET {ROOT}/next HTTP/1.1", [b"\r\n"])
    event = json.loads(body)
    if "body" in event and "requestContext" in event:  # behind a function URL
        event = json.loads(event["body"])
    print("streaming", len(event.get("parts", [])), flush=True)
    post = f"POST {ROOT}/{headers['lambda-runtime-aws-request-id']}/response HTTP/1.1"
    if "plain" in event:
        answer = json.dumps(event["plain"]).encode()
        call(post, [b"Content-Length: %d\r\n\r\n" % len(answer), answer])
    else:
        call(post, chunks(event))
