import pytest

from relay.command import Command
from relay.errors import ConfigInvalid

PLAIN = ("--plain-port", "0")


def test_without_flags_there_is_one_api_with_one_key_and_one_namespace():
    config = Command.parse(PLAIN).make_config()
    api = config.apis[0]
    assert [one.name for one in api.namespaces] == ["default"]
    assert len(api.api_keys) == 1
    assert api.api_keys[0].id.startswith("da2-")
    assert len(api.label) == 26


def test_two_commands_make_up_different_secrets():
    first, second = (Command.parse(PLAIN).make_config().apis[0] for _ in range(2))
    assert first.api_keys != second.api_keys
    assert first.label != second.label


def test_without_a_certificate_only_the_plain_port_is_opened():
    listen = Command.parse(PLAIN).make_config().listen
    assert (listen.port, listen.plain_port) == (None, 0)
    with pytest.raises(ConfigInvalid, match="needs a certificate"):
        Command.parse(()).make_config()


def test_flags_may_be_repeated():
    command = Command.parse(
        (*PLAIN, "--namespace", "a", "--namespace", "b", "--api-key", "1", "--api-key", "2")
    )
    api = command.make_config().apis[0]
    assert [one.name for one in api.namespaces] == ["a", "b"]
    assert [one.id for one in api.api_keys] == ["1", "2"]


@pytest.mark.parametrize("wrong", ["ID", "ID:", ":SECRET", ""])
def test_an_access_key_without_its_other_half_is_refused_without_showing_it(wrong):
    with pytest.raises(ConfigInvalid) as caught:
        Command.parse((*PLAIN, "--iam", wrong)).make_config()
    assert "SECRET" not in str(caught.value)
    assert "ACCESS_KEY_ID:SECRET" in caught.value.hint


def test_a_wrong_flag_ends_with_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        Command.parse(("--prot", "1"))
    assert caught.value.code == 2
    assert "usage: python -m relay" in capsys.readouterr().err
