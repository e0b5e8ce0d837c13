"""Who wins among command line, environment and file, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from event_protocol.phases import Strategy
from natless.dev import find_topology
from natless.errors import UsageError
from natless.settings import Fallback, example_folder, load_settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_example_runs(here):
    settings = load_settings()
    assert settings.function.folder == example_folder()
    assert (example_folder() / "handler.py").exists()


def test_the_line_wins_over_the_environment_and_that_over_the_file(here, monkeypatch):
    (here / "natless.toml").write_text("[demo]\ninvocations = 1\nseed = 1\nenvironments = 1\n")
    monkeypatch.setenv("NATLESS_DEMO__INVOCATIONS", "2")
    monkeypatch.setenv("NATLESS_DEMO__SEED", "2")
    demo = load_settings({"demo": {"invocations": 3, "seed": None}}).demo
    assert (demo.invocations, demo.seed, demo.environments) == (3, 2, 1)


def test_a_folder_in_a_file_is_meant_from_where_the_file_lies(here):
    (here / "sub").mkdir()
    (here / "sub" / "natless.toml").write_text('[function]\nfolder = "app"\n')
    settings = load_settings(file=Path("sub/natless.toml"))
    assert settings.function.folder == Path("sub/app")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[demo]\nspeed = 1\n", "demo.speed"),
        ("[demo]\ninvocations = 0\n", "demo.invocations"),
        ("[function]\nfallbacks = ['magic']\n", "function.fallbacks"),
        ("region = 'here'\n", "region"),
        ("= 1\n", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(here, text, words):
    (here / "natless.toml").write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_settings()
    assert "natless.toml" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("NATLESS_FUNCTION__ENVIRONMENT", "{", "NATLESS_FUNCTION__ENVIRONMENT is not JSON"),
        ("NATLESS_DEMO__TOPOLOGIES", "nat", "NATLESS_DEMO__TOPOLOGIES is not JSON"),
        ("NATLESS_FUNCTIONS", "[", "NATLESS_FUNCTIONS is not JSON"),
        ("NATLESS_DEMO", "[1]", "demo"),
        ("NATLESS_DEMO__SPEED", "1", "demo.speed: there is no such key"),
        ("NATLESS_FUNCTION__ENVIRONMENT", '{"A=B": "x"}', "function.environment"),
        ("NATLESS_FUNCTION__ENVIRONMENT", '{"A": "\\u0000"}', "function.environment"),
    ],
)
def test_a_mistake_in_a_variable_is_named_with_the_next_step(
    here, monkeypatch, variable, value, words
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=words) as caught:
        load_settings()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[demo]\nspeed = 1\n", "did you mean seed?"),
        ("[demo]\nxyzzy = 1\n", "there are the keys topologies, invocations"),
        ("[demo]\nnetwork = 'dokcer'\n", 'By default "auto".'),
        ("demo = 3\n", "begin it with [demo]"),
        ("a = " + "[" * 3000 + "]" * 3000, "reference page"),
    ],
)
def test_the_next_step_says_what_may_stand_there(here, text, hint):
    (here / "natless.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings({"demo": {"invocations": 2}})
    assert hint in caught.value.hint


def test_a_folder_is_no_settings_file(here):
    with pytest.raises(UsageError, match="Is a directory"):
        load_settings(file=here)


def test_without_a_registry_there_is_the_one_function(here):
    assert [each.name for each in load_settings().registry()] == ["hello"]


def test_each_table_is_a_function_that_lies_beside_the_file(here):
    (here / "sub").mkdir()
    (here / "sub" / "natless.toml").write_text(
        "[functions.orders]\nhandler = 'app.run'\nfolder = 'orders'\ntimeout = 3\n"
        "[functions.mail]\nfallbacks = ['static', 'error']\n"
    )
    orders, mail = load_settings(file=Path("sub/natless.toml")).registry()
    assert (orders.name, orders.handler, orders.folder) == ("orders", "app.run", Path("sub/orders"))
    assert (orders.timeout, mail.name, mail.folder) == (3.0, "mail", Path("sub"))
    assert mail.fallbacks == ["static", "error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[functions.'a b']\n", "functions.a b"),
        ("[functions.a]\nname = 'b'\n", "functions.a.name"),
        ("[functions.a]\nruntime = 'cobol'\n", "functions.a.runtime"),
        ("functions = 3\n", "functions"),
        ("[functions]\na = 3\n", "functions.a"),
    ],
)
def test_a_mistake_in_the_registry_is_named_with_its_place(here, text, words):
    (here / "natless.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_settings()


def test_every_fallback_of_the_guest_can_be_configured():
    assert {*get_args(Fallback)} == {*Strategy} - {Strategy.WORKER}


def test_places_of_extensions_and_records_are_meant_from_where_the_file_lies(here):
    (here / "sub").mkdir()
    (here / "sub" / "natless.toml").write_text(
        "[functions.orders]\nextensions = 'ext'\non_failure = './lost.jsonl'\non_success = 'mail'\n"
    )
    [orders] = load_settings(file=Path("sub/natless.toml")).registry()
    assert orders.extensions == Path("sub/ext")
    assert (orders.on_failure, orders.on_success) == (str(here / "sub" / "lost.jsonl"), "mail")


def test_a_function_has_its_own_network_concurrency_and_patience(here):
    (here / "natless.toml").write_text(
        "[dev]\ntopology = 'nat'\n"
        "[functions.orders]\ntopology = 'no-nat'\nreserved_concurrency = 0\nretry_attempts = 0\n"
        "[functions.mail]\ntopology = ''\nfreeze = false\nurl_mode = 'RESPONSE_STREAM'\n"
        "[functions.plain]\n"
    )
    settings = load_settings()
    orders, mail, plain = settings.registry()
    assert [find_topology(each, settings) for each in (orders, mail, plain)] == [
        "no-nat",
        "",
        "nat",
    ]
    assert (orders.reserved_concurrency, orders.retry_attempts, plain.retry_attempts) == (0, 0, 2)
    assert (mail.freeze, mail.url_mode, plain.url_mode) == (False, "RESPONSE_STREAM", "BUFFERED")
