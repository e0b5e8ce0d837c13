import pytest

from relay.auth.base import AuthMode
from relay.command import Command
from relay.config_file import load_config_file
from relay.errors import ConfigInvalid

LABEL = "a" * 26

WHOLE = f"""
time_scale = 0.5
unsent_bytes = 1000000
subscription_lag = 1
public_host = "relay.test"

[listen]
host = "0.0.0.0"
port = 8443
plain_port = 8080
certificate = "tls/server.pem"
key = "/etc/key.pem"

[limits]
events_per_publish = 10
keep_alive = 30
keep_alive_after_ack = false

[budgets]
drain = 1

[[api]]
label = "{LABEL}"
name = "orders"
region = "eu-west-1"
domains = ["events.example.com"]
connect_modes = ["API_KEY", "AWS_IAM"]

[[api.namespace]]
name = "default"
publish_modes = ["AWS_LAMBDA"]

[[api.namespace]]
name = "other"
subscribe_modes = ["AWS_IAM"]

[[api.key]]
id = "da2-1"
expires = 2027-01-01T00:00:00Z
description = "first"

[[api.key]]
id = "da2-2"

[[api.iam]]
access_key_id = "AKIA"
secret_access_key = "secret"
session_token = "token"

[[api]]
name = "second"
"""


def load(tmp_path, text):
    path = tmp_path / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return load_config_file(path)


def configure(tmp_path, text, *flags):
    path = tmp_path / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return Command.parse(["--config", str(path), *flags])


def test_everything_that_a_file_says_is_taken(tmp_path):
    config = configure(tmp_path, WHOLE).make_config()
    listen = config.listen
    assert (listen.host, listen.port, listen.plain_port) == ("0.0.0.0", 8443, 8080)
    assert listen.certificate == tmp_path / "tls/server.pem"
    assert str(listen.key) == "/etc/key.pem"
    assert (config.time_scale, config.unsent_bytes) == (0.5, 1_000_000)
    assert (config.subscription_lag, config.public_host) == (1.0, "relay.test")
    assert config.limits.events_per_publish == 10
    assert config.limits.keep_alive == 30.0
    assert config.limits.keep_alive_after_ack is False
    assert config.budgets.drain == 1.0
    api, second = config.apis
    assert (api.label, api.name, api.region) == (LABEL, "orders", "eu-west-1")
    assert api.domains == ("events.example.com",)
    assert api.connect_modes == {AuthMode.API_KEY, AuthMode.AWS_IAM}
    assert api.publish_modes is None
    assert api.namespaces[0].publish_modes == {AuthMode.LAMBDA}
    assert api.namespaces[1].subscribe_modes == {AuthMode.AWS_IAM}
    assert [key.id for key in api.api_keys] == ["da2-1", "da2-2"]
    assert api.api_keys[0].expires == 1_798_761_600.0
    assert api.api_keys[1].expires is None
    assert (api.iam[0].secret_access_key, api.iam[0].session_token) == ("secret", "token")
    assert '"token"' not in repr(config).replace("'", '"')
    assert second.name == "second"


def test_flags_win_over_the_file(tmp_path):
    command = configure(
        tmp_path,
        WHOLE,
        *("--port", "1", "--region", "us-east-1", "--namespace", "n", "--api-key", "k"),
        *("--iam", "ID:SE:CRET", "--time-scale", "2", "--host", "::1"),
        *("--subscription-lag", "0.25", "--public-host", "localhost", "--name", "sst"),
    )
    config = command.make_config()
    api = config.apis[0]
    assert (config.subscription_lag, config.public_host, api.name) == (0.25, "localhost", "sst")
    assert (config.listen.port, config.listen.host, config.time_scale) == (1, "::1", 2.0)
    assert [one.name for one in api.namespaces] == ["n"]
    assert [one.id for one in api.api_keys] == ["k"]
    assert (api.iam[0].access_key_id, api.iam[0].secret_access_key) == ("ID", "SE:CRET")
    assert (api.region, api.domains) == ("us-east-1", ("events.example.com",))


def test_reading_again_makes_up_nothing_new(tmp_path):
    command = configure(tmp_path, "[listen]\nplain_port = 0\n[[api]]\n[[api]]\n[[api]]\n")
    first, again = command.make_config(), command.make_config()
    assert first == again
    assert len({api.label for api in first.apis}) == 3


def test_an_empty_file_says_nothing(tmp_path):
    said = load(tmp_path, "")
    assert (said.listen, list(said.apis), said.others) == ({}, [], {})


@pytest.mark.parametrize(
    ("text", "complaint", "hint"),
    [
        ("port = 1", "relay.toml: port is unknown", "known are"),
        ("[limits]\nkeep_aliev = 1", "keep_aliev is unknown", "did you mean keep_alive?"),
        ("[listne]", "listne is unknown", "did you mean listen?"),
        ('[listen]\nport = "x"', "port must be a whole number", ""),
        ("[listen]\nport = true", "port must be a whole number", ""),
        ("[limits]\nkeep_alive_after_ack = 1", "must be true or false", ""),
        ("[limits]\nkeep_alive = 0", "limits: keep_alive must be positive", ""),
        ("[budgets]\ndrain = -1", "budgets.drain must be positive", ""),
        ("listen = 1", "listen must be a table", ""),
        ("api = 1", "api must be a list", ""),
        ("[api]\nlabel = 1", "api must be a list", ""),
        ("api = [1]", r"write api as \[\[api\]\]", ""),
        ('[[api]]\nconnect_modes = ["KEY"]', "connect_modes has an unknown mode", "API_KEY"),
        ("[[api]]\nconnect_modes = [1]", "connect_modes has an unknown mode", "API_KEY"),
        ("[[api]]\n[[api.namespace]]", r"\[\[namespace\]\] number 1: name is missing", ""),
        ('[[api]]\n[[api.namespace]]\nname = "_"', "cannot be a channel namespace", "letters"),
        (
            '[[api]]\n[[api.namespace]]\nname = "a"\npublish_modes = []',
            "has an empty list of modes",
            "leave the list out",
        ),
        ("[[api]]\n[[api.key]]", "id is missing", ""),
        ('[[api]]\n[[api.key]]\nid = "k"\nexpires = "soon"', "a date and time", ""),
        ('[[api]]\n[[api.iam]]\naccess_key_id = "k"', "secret_access_key is missing", ""),
        ("[[api]]\nlables = 1", "lables is unknown", "did you mean label?"),
        ("a = ", "is not TOML", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, complaint, hint):
    with pytest.raises(ConfigInvalid, match=complaint) as caught:
        load(tmp_path, text)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_or_not_text_is_said(tmp_path):
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config_file(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigInvalid, match="not text"):
        load_config_file(tmp_path / "binary.toml")
