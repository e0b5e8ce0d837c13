from dataclasses import replace
from pathlib import Path

import pytest

from event_protocol.limits import Limits
from relay.auth.api_key import ApiKey
from relay.auth.base import AuthMode
from relay.config import (
    ApiConfig,
    Budgets,
    IamCredential,
    Listen,
    NamespaceConfig,
    RelayConfig,
    api_id_of,
)
from relay.errors import ConfigInvalid

LABEL = "a" * 26
PLAIN = Listen(port=None, plain_port=0)


def test_the_hosts_have_the_shape_that_clients_recognize():
    api = ApiConfig(label=LABEL, region="eu-west-1")
    assert api.http_host == f"{LABEL}.appsync-api.eu-west-1.amazonaws.com"
    assert api.realtime_host == f"{LABEL}.appsync-realtime-api.eu-west-1.amazonaws.com"
    china = replace(api, region="cn-north-1")
    assert china.http_host.endswith(".cn-north-1.amazonaws.com.cn")


def test_an_api_id_is_26_characters_and_not_the_label():
    api = ApiConfig(label=LABEL)
    assert api.api_id == api_id_of(LABEL) != LABEL
    assert len(api.api_id) == 26
    assert api_id_of("b" * 26) != api.api_id


@pytest.mark.parametrize("label", ["", "short", "a" * 27, "a" * 25 + "-", "a" * 25 + "é"])
def test_a_label_is_26_letters_or_digits(label):
    with pytest.raises(ConfigInvalid, match="label"):
        ApiConfig(label=label)


@pytest.mark.parametrize("region", ["", "nowhere", "us-east", "US-EAST-1", "us-east-1/"])
def test_a_region_looks_like_one(region):
    with pytest.raises(ConfigInvalid, match="not a region"):
        ApiConfig(label=LABEL, region=region)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a.b", "*", "a" * 51, "a/b"])
def test_a_namespace_is_one_segment(name):
    with pytest.raises(ConfigInvalid, match="cannot be a channel namespace"):
        NamespaceConfig(name=name)


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_would_let_everybody_in(key):
    with pytest.raises(ConfigInvalid, match="an API key is empty"):
        ApiConfig(label=LABEL, api_keys=(ApiKey("da2-one"), ApiKey(key)))


def test_an_address_to_listen_on_is_not_empty():
    with pytest.raises(ConfigInvalid, match="address to listen on is empty"):
        Listen(host="", port=None, plain_port=0)


@pytest.mark.parametrize("url", ["", "foo", "ftp://here", "http://"])
def test_where_authorizers_are_invoked_is_a_url(url):
    with pytest.raises(ConfigInvalid, match="is no URL"):
        RelayConfig(listen=PLAIN, apis=(ApiConfig(label=LABEL),), lambda_endpoint=url)


def test_a_namespace_is_there_once():
    two = (NamespaceConfig(name="a"), NamespaceConfig(name="a"))
    with pytest.raises(ConfigInvalid, match="'a' is there twice"):
        ApiConfig(label=LABEL, namespaces=two)


def test_every_configured_mode_opens_everything_unless_said_otherwise():
    api = ApiConfig(
        label=LABEL,
        api_keys=(ApiKey("k"),),
        iam=(IamCredential(access_key_id="a", secret_access_key="s"),),
        publish_modes=frozenset({AuthMode.AWS_IAM}),
    )
    assert api.modes.connect == {AuthMode.API_KEY, AuthMode.AWS_IAM}
    assert api.modes.publish == {AuthMode.AWS_IAM}
    assert api.modes.subscribe == {AuthMode.API_KEY, AuthMode.AWS_IAM}


def test_an_api_without_credentials_opens_for_nobody():
    assert ApiConfig(label=LABEL).modes.connect == frozenset()


def test_tls_needs_a_certificate():
    with pytest.raises(ConfigInvalid, match="needs a certificate"):
        Listen(port=0)
    with pytest.raises(ConfigInvalid, match="needs a certificate"):
        Listen(port=None, fds=(5,))
    Listen(port=0, certificate=Path("c"), key=Path("k"))
    Listen(port=None, plain_port=0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_is_one(port):
    with pytest.raises(ConfigInvalid, match="is not a port"):
        Listen(port=None, plain_port=port)


@pytest.mark.parametrize("name", ["refusal", "close", "drain", "idle", "request"])
def test_no_budget_is_nothing(name):
    with pytest.raises(ConfigInvalid, match=f"budgets.{name}"):
        Budgets(**{name: 0.0})


def test_one_scale_shortens_all_durations_of_the_protocol_and_nothing_else():
    config = RelayConfig(
        listen=PLAIN, apis=(ApiConfig(label=LABEL),), time_scale=0.001, subscription_lag=300.0
    )
    limits = config.scaled_limits
    assert limits.keep_alive == pytest.approx(0.06)
    assert limits.connection_timeout == pytest.approx(0.3)
    assert limits.connection_life == pytest.approx(86.4)
    assert config.scaled_subscription_lag == pytest.approx(0.3)
    assert limits.event_bytes == Limits().event_bytes


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"apis": ()}, "there is no API"),
        ({"apis": (ApiConfig(label=LABEL), ApiConfig(label=LABEL))}, "same label"),
        (
            {
                "apis": (
                    ApiConfig(label=LABEL, api_id="x" * 26),
                    ApiConfig(label="b" * 26, api_id="x" * 26),
                )
            },
            "same api_id",
        ),
        ({"time_scale": 0.0}, "time_scale"),
        ({"subscription_lag": -0.1}, "subscription_lag"),
        ({"subscription_lag": float("nan")}, "subscription_lag"),
        ({"public_host": "https://localhost"}, "is not a host"),
        ({"unsent_bytes": 1000}, "unsent_bytes"),
    ],
)
def test_what_cannot_work_is_said_at_once(change, complaint):
    with pytest.raises(ConfigInvalid, match=complaint):
        RelayConfig(**{"listen": PLAIN, "apis": (ApiConfig(label=LABEL),)} | change)


def test_secrets_do_not_show_in_what_is_printed():
    api = ApiConfig(
        label=LABEL,
        api_keys=(ApiKey("da2-hidden"),),
        iam=(IamCredential(access_key_id="AKIA", secret_access_key="hidden"),),
    )
    assert "hidden" not in repr(RelayConfig(listen=PLAIN, apis=(api,)))
