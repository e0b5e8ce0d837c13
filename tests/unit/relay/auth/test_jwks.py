from __future__ import annotations

import asyncio
import json
import os

import pytest

from relay.auth.issuer import Issuer
from relay.auth.jwks import (
    FetchedKeys,
    FileKeys,
    FixedKeys,
    KeysInvalid,
    KeysUnavailable,
    parse_jwks,
)

URL = "https://issuer.example"


def key_set(*kids: str) -> dict:
    return {"keys": [{"kty": "oct", "kid": kid, "k": "c2VjcmV0"} for kid in kids]}


class Server:
    """Answers questions by address and counts them."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def get(self, url: str) -> bytes:
        self.asked.append(url)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers[url.rpartition("/")[2].partition("-")[0]]
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def kids(source, kid=None) -> list:
    return [key.kid for key in await source.find(kid)]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "HS256"])
def test_the_set_of_an_issuer_can_be_read(algorithm):
    issuer = Issuer.generate(URL, algorithm=algorithm)
    (key,) = parse_jwks(json.dumps(issuer.jwks()))
    assert (key.kid, key.algorithm) == ("natless-1", algorithm)


def test_a_key_does_not_show_its_secret():
    (key,) = parse_jwks(key_set("a"))
    assert key.key == b"secret"
    assert "secret" not in repr(key)


def test_keys_for_encryption_and_of_unknown_kinds_are_left_out():
    document = key_set("a")
    document["keys"] += [
        {"kty": "oct", "use": "enc", "k": "c2VjcmV0"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {},
    ]
    assert [key.kid for key in parse_jwks(document)] == ["a"]


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "[" * 20_000,
        {},
        {"keys": {}},
        {"keys": ["x"]},
        {"keys": [{"kty": "RSA"}]},
        {"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}]},
        {"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [{"kty": "oct", "k": "c2Vj=="}]},
        {"keys": [{"kty": "oct", "k": "a+/b"}]},
        {"keys": [{}] * 101},
    ],
)
def test_what_is_no_key_set_is_refused(document):
    with pytest.raises(KeysInvalid):
        parse_jwks(document)


async def test_fixed_keys_are_found_by_id_or_all():
    source = FixedKeys(key_set("a", "b"))
    assert await kids(source) == ["a", "b"]
    assert await kids(source, "b") == ["b"]
    assert await kids(source, "c") == []


async def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(key_set("a")))
    source = FileKeys(path)
    assert await kids(source) == ["a"]
    path.write_text(json.dumps(key_set("b")))
    os.utime(path, ns=(1, 1))
    assert await kids(source) == ["b"]


@pytest.mark.parametrize("content", [None, "{"])
async def test_a_file_that_cannot_be_used_means_no_keys(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeysUnavailable, match=r"keys\.json"):
        await FileKeys(path).find(None)


async def test_a_fetched_set_is_kept():
    server = Server(keys=key_set("a"))
    source = FetchedKeys("https://x/keys", get=server.get, clock=Clock())
    for _ in range(3):
        assert await kids(source, "a") == ["a"]
    assert len(server.asked) == 1


async def test_those_who_come_together_share_one_fetch():
    server = Server(keys=key_set("a"))
    server.gate = asyncio.Event()
    source = FetchedKeys("https://x/keys", get=server.get, clock=Clock())
    asking = [asyncio.create_task(kids(source, "a")) for _ in range(5)]
    await asyncio.sleep(0)
    server.gate.set()
    assert await asyncio.gather(*asking) == [["a"]] * 5
    assert len(server.asked) == 1


async def test_an_unknown_id_fetches_again_but_not_at_once():
    server, clock = Server(keys=key_set("a")), Clock()
    source = FetchedKeys("https://x/keys", get=server.get, clock=clock)
    assert await kids(source, "a") == ["a"]
    server.answers["keys"] = key_set("b")
    assert await kids(source, "b") == []
    clock.now += 10.0
    assert await kids(source, "b") == ["b"]
    assert len(server.asked) == 2


async def test_a_set_is_fetched_again_after_an_hour():
    server, clock = Server(keys=key_set("a")), Clock()
    source = FetchedKeys("https://x/keys", get=server.get, clock=clock)
    await source.find("a")
    clock.now += 3600.0
    await source.find("a")
    assert len(server.asked) == 2


async def test_old_keys_stay_in_use_while_new_ones_cannot_be_had():
    server, clock = Server(keys=key_set("a")), Clock()
    source = FetchedKeys("https://x/keys", get=server.get, clock=clock)
    await source.find("a")
    clock.now += 3600.0
    server.answers["keys"] = OSError("refused")
    assert await kids(source, "a") == ["a"]


async def test_keys_that_were_never_had_are_unavailable_and_not_asked_for_at_once():
    server, clock = Server(keys=OSError("refused")), Clock()
    source = FetchedKeys("https://x/keys", get=server.get, clock=clock)
    for _ in range(3):
        with pytest.raises(KeysUnavailable, match="refused"):
            await source.find("a")
    assert len(server.asked) == 1
    server.answers["keys"] = key_set("a")
    clock.now += 10.0
    assert await kids(source, "a") == ["a"]


async def test_an_issuer_is_asked_where_its_keys_are():
    server = Server(openid={"jwks_uri": "https://y/keys"}, keys=key_set("a"))
    source = FetchedKeys("https://x/", get=server.get, clock=Clock(), is_issuer=True)
    assert await kids(source, "a") == ["a"]
    assert server.asked == ["https://x/.well-known/openid-configuration", "https://y/keys"]


@pytest.mark.parametrize("document", [{}, {"jwks_uri": 1}, []])
async def test_a_discovery_document_must_name_the_keys(document):
    server = Server(openid=document)
    source = FetchedKeys("https://x", get=server.get, clock=Clock(), is_issuer=True)
    with pytest.raises(KeysUnavailable):
        await source.find("a")


def test_the_discovery_document_of_an_issuer_names_its_keys():
    issuer = Issuer.generate(URL, algorithm="HS256")
    document = issuer.discovery("https://y/keys")
    assert document["issuer"] == URL
    assert document["jwks_uri"] == "https://y/keys"
    assert document["id_token_signing_alg_values_supported"] == ["HS256"]
