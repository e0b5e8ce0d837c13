from __future__ import annotations

import math
from pathlib import Path

import pytest

from event_protocol.phases import Strategy
from runtime_shim.config import Endpoint, ShimConfig, parse_command, parse_fallbacks, worker_id
from runtime_shim.errors import ConfigError

HEX = "0123456789abcdef0123456789abcdef"
KEY = "da2-zzzzzzzzzzzzzzzzzzzzzzzzzz"
ENVIRONMENT = {
    "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
    "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/11/24/[$LATEST]{HEX}",
    "NATLESS_REALTIME": "x.appsync-realtime-api.us-east-1.amazonaws.com",
    "NATLESS_HTTP": "x.appsync-api.us-east-1.amazonaws.com",
    "NATLESS_API_KEY": KEY,
    "NATLESS_APP": "app",
    "NATLESS_STAGE": "dev",
    "NATLESS_FUNCTION_ID": "fn",
    "TABLE": "t",
}


def test_an_environment_becomes_a_config() -> None:
    config = ShimConfig.from_environment(ENVIRONMENT)
    assert config.realtime == Endpoint("x.appsync-realtime-api.us-east-1.amazonaws.com", 443)
    assert (config.namespace, config.worker_id, config.ca) == ("sst", HEX, None)
    assert config.fallbacks == (Strategy.DEPLOYED, Strategy.HTTP, Strategy.ERROR)
    assert config.budgets.connect_tcp == 3.0


def test_the_guests_own_variables_go_no_further() -> None:
    config = ShimConfig.from_environment(ENVIRONMENT)
    assert config.environment["TABLE"] == "t"
    assert not [name for name in config.environment if name.startswith("NATLESS_")]


def test_a_config_shows_no_secret() -> None:
    text = repr(ShimConfig.from_environment(ENVIRONMENT | {"AWS_SESSION_TOKEN": "token"}))
    assert KEY not in text
    assert "token" not in text


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {"TABLE", "AWS_LAMBDA_LOG_STREAM_NAME"}))
def test_what_is_missing_is_named(name: str) -> None:
    for value in ({}, {name: ""}):
        environment = {k: v for k, v in ENVIRONMENT.items() if k != name} | value
        with pytest.raises(ConfigError, match=f"{name} is not set"):
            ShimConfig.from_environment(environment)


@pytest.mark.parametrize(
    "host", ["https://x.test", "x.test/path", "x.test:0", "x.test:99999", "x:y:z"]
)
def test_a_host_must_be_bare(host: str) -> None:
    with pytest.raises(ConfigError, match="expected host or host:port"):
        ShimConfig.from_environment(ENVIRONMENT | {"NATLESS_REALTIME": host})


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("x.test", "x.test", 443, "x.test:443"),
        ("x.test:8443", "x.test", 8443, "x.test:8443"),
        ("[::1]:8443", "::1", 8443, "[::1]:8443"),
        ("[::1]", "::1", 443, "[::1]:443"),
    ],
)
def test_an_endpoint_has_443_unless_said(text: str, host: str, port: int, shown: str) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port, str(endpoint)) == (host, port, shown)


def test_names_that_no_channel_can_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be part of a channel"):
        ShimConfig.from_environment(ENVIRONMENT | {"NATLESS_STAGE": "my_stage"})


def test_a_dialect_is_known_and_has_names_of_its_own() -> None:
    stelvio = {"NATLESS_DIALECT": "stelvio", "NATLESS_STAGE": "my_stage"}
    assert ShimConfig.from_environment(ENVIRONMENT | stelvio).dialect == "stelvio"
    with pytest.raises(ConfigError, match="'esperanto' is none of sst, stelvio"):
        ShimConfig.from_environment(ENVIRONMENT | {"NATLESS_DIALECT": "esperanto"})


def test_the_authority_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NATLESS_CA"):
        ShimConfig.from_environment(ENVIRONMENT | {"NATLESS_CA": str(tmp_path / "none.pem")})


def test_a_worker_is_the_end_of_its_log_stream() -> None:
    assert worker_id(f"2026/11/24/[$LATEST]{HEX}") == HEX


@pytest.mark.parametrize("stream", ["", "$LATEST", "2026/11/24/[$LATEST]" + "x" * 8])
def test_a_log_stream_that_gives_no_worker_gives_a_random_one(stream: str) -> None:
    first, second = worker_id(stream), worker_id(stream)
    assert first != second
    assert len(first) == 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["deployed", "http", "error"]),
        ("http", ["http", "error"]),
        (" error , deployed ", ["deployed", "error"]),
        ("http,http,error,error", ["http", "error"]),
        ("error", ["error"]),
    ],
)
def test_error_closes_every_list(text: str, expected: list[str]) -> None:
    assert list(parse_fallbacks(text)) == expected


@pytest.mark.parametrize("text", ["worker", "polls", "http;error"])
def test_an_unknown_fallback_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is none of deployed, http, error, retry"):
        parse_fallbacks(text)


def test_a_command_is_a_json_list_or_a_shells_words() -> None:
    assert parse_command("  ") is None
    assert parse_command("/var/runtime/bootstrap 'a b'") == ("/var/runtime/bootstrap", "a b")
    assert parse_command('["python3", "-m", "awslambdaric"]') == ("python3", "-m", "awslambdaric")


@pytest.mark.parametrize("text", ["[", "[1]", '[""]', "'open", "[]"])
def test_a_command_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NATLESS_DEPLOYED_COMMAND"):
        parse_command(text)


def config(**variables: str) -> ShimConfig:
    return ShimConfig.from_environment(ENVIRONMENT | variables)


def test_the_profile_of_sst_has_its_constants_and_its_fallback() -> None:
    sst = config(NATLESS_PROFILE="sst")
    assert sst.fallbacks == (Strategy.FAITHFUL, Strategy.ERROR)
    budgets = sst.budgets
    assert (budgets.publish_tcp, budgets.publish_tls, budgets.publish_answer) == (30, 10, math.inf)
    assert (budgets.connect_tcp, budgets.subscribe_ack, budgets.dev_first) == (math.inf, 3, 16)
    assert (budgets.dev_total, budgets.answer_reserve) == (900, 0)


def test_a_budget_goes_before_the_profile_and_may_be_none() -> None:
    changed = config(NATLESS_PROFILE="sst", NATLESS_BUDGET_CONNECT_TCP="1.5")
    assert changed.budgets.connect_tcp == 1.5
    assert config(NATLESS_BUDGET_CONNECT_TCP="none").budgets.connect_tcp == math.inf


def test_an_empty_word_of_a_command_is_a_word() -> None:
    assert parse_command("python3 ''") == ("python3", "")


def test_observe_stands_before_whoever_could_answer() -> None:
    assert parse_fallbacks("http,observe") == (Strategy.OBSERVE, Strategy.HTTP, Strategy.ERROR)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"NATLESS_PROFILE": "bridge"}, "none of default, sst"),
        ({"NATLESS_FALLBACKS": "static"}, "NATLESS_STATIC is not set"),
        ({"NATLESS_STATIC": "{"}, "NATLESS_STATIC is not JSON"),
        ({"NATLESS_STATIC": "@/no/such/file"}, "/no/such/file cannot be read"),
        ({"NATLESS_FALLBACKS": "observe,faithful"}, "exclude each other"),
        ({"NATLESS_SPOOL_BYTES": "1e3"}, "NATLESS_SPOOL_BYTES"),
        ({"NATLESS_BREAKER": "often"}, "NATLESS_BREAKER"),
        ({"NATLESS_ROUTES": "https://x"}, "NATLESS_ROUTES"),
        ({"NATLESS_FALLBACKS": "route", "HTTPS_PROXY": "ftp://x"}, "HTTPS_PROXY"),
    ],
)
def test_what_cannot_be_meant_is_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**variables)


def test_a_proxy_of_a_kind_that_we_do_not_speak_is_no_concern_without_route() -> None:
    assert config(HTTPS_PROXY="ftp://x").proxy is None


def test_the_first_way_goes_through_the_functions_own_proxy() -> None:
    assert str(config(HTTPS_PROXY="http://10.0.8.10:3128").route).endswith(
        "through the proxy 10.0.8.10:3128"
    )
    assert config(HTTPS_PROXY="http://10.0.8.10:3128", NO_PROXY="*").route.proxy is None


def test_a_static_payload_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[1]")
    text = f"@{tmp_path / 'p.json'}"
    assert config(NATLESS_FALLBACKS="static", NATLESS_STATIC=text).static == b"[1]"
