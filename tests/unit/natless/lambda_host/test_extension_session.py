"""The order in which extensions may call."""

from __future__ import annotations

import itertools

import pytest

from natless.lambda_host.extension_session import (
    MAX_EXTENSIONS,
    Extension,
    ExtensionEvent,
    ExtensionRegistry,
    ExtensionState,
)
from natless.lambda_host.runtime_session import Refusal


@pytest.fixture
def registry() -> ExtensionRegistry:
    ids = itertools.count(1)
    return ExtensionRegistry(new_id=lambda: f"id-{next(ids)}")


def register(registry: ExtensionRegistry, name: str, *events: str) -> Extension:
    found = registry.register(name, events)
    assert isinstance(found, Extension), found
    return found


def refused(found: object) -> str:
    assert isinstance(found, Refusal)
    assert found.status == 403
    return found.error_type


def test_an_external_extension_registers_for_the_file_that_was_started(registry):
    expected = registry.expect("agent")
    assert not registry.has_registered
    found = register(registry, "agent", "INVOKE", "SHUTDOWN")
    assert found is expected
    assert found.events == (ExtensionEvent.INVOKE, ExtensionEvent.SHUTDOWN)
    assert registry.has_registered
    assert not registry.is_ready


def test_it_goes_round_between_ready_and_running(registry):
    extension = register(registry, "agent", "INVOKE")
    for _ in range(2):
        assert registry.ask(extension) is None
        assert extension.state is ExtensionState.READY
        assert registry.is_ready
        registry.serve(extension)
        assert extension.state is ExtensionState.RUNNING


def test_asking_twice_for_an_event_is_refused(registry):
    extension = register(registry, "agent", "INVOKE")
    registry.ask(extension)
    refusal = registry.ask(extension)
    assert refused(refusal) == "Extension.InvalidExtensionState"
    assert refusal.message == (
        f"State transition from Ready to Ready failed for extension {extension.identifier}. "
        "Error: State transition is not allowed"
    )


def test_registering_twice_is_refused(registry):
    registry.expect("agent")
    register(registry, "agent")
    assert refused(registry.register("agent", [])) == "Extension.InvalidExtensionState"
    register(registry, "inner")
    assert refused(registry.register("inner", [])) == "Extension.InvalidExtensionState"


def test_a_part_of_the_runtime_hears_nothing_of_the_end(registry):
    assert refused(registry.register("inner", ["SHUTDOWN"])) == "Extension.InvalidEventType"
    assert not register(registry, "inner", "INVOKE").is_external
    assert registry.subscribers(ExtensionEvent.SHUTDOWN) == []


@pytest.mark.parametrize("name", ["agent", "inner"])
def test_an_event_that_nobody_knows_is_refused(registry, name):
    registry.expect("agent")
    assert refused(registry.register(name, ["RESTORE"])) == "Extension.InvalidEventType"


def test_no_name_is_refused(registry):
    assert refused(registry.register("", [])) == "Extension.InvalidExtensionName"


def test_once_the_runtime_is_there_nobody_new_may_register(registry):
    registry.expect("late")
    registry.close_registration()
    assert refused(registry.register("inner", [])) == "Extension.RegistrationClosed"


def test_there_are_ten_at_most(registry):
    for number in range(MAX_EXTENSIONS):
        register(registry, f"inner-{number}")
    assert refused(registry.register("one more", [])) == "Extension.TooManyExtensions"


def test_an_identifier_is_needed_and_known(registry):
    extension = register(registry, "agent")
    assert registry.find(extension.identifier) is extension
    assert refused(registry.find("other")) == "Extension.UnknownExtensionIdentifier"


@pytest.mark.parametrize(
    ("steps", "target", "is_taken"),
    [
        ([], ExtensionState.INIT_ERROR, True),
        (["ask"], ExtensionState.INIT_ERROR, False),
        ([], ExtensionState.EXIT_ERROR, True),
        (["ask"], ExtensionState.EXIT_ERROR, True),
        (["ask", "serve"], ExtensionState.EXIT_ERROR, True),
    ],
)
def test_an_extension_may_give_up_when_it_has_begun(registry, steps, target, is_taken):
    extension = register(registry, "agent", "INVOKE")
    for step in steps:
        getattr(registry, step)(extension)
    refusal = registry.fail(extension, target, error_type="Extension.Mine")
    assert (refusal is None) is is_taken
    if is_taken:
        assert registry.fatal_error == f"Extension.{target}"
        assert refused(registry.ask(extension)) == "Extension.InvalidExtensionState"
        assert refused(registry.fail(extension, target, error_type="x"))


def test_the_first_error_is_the_one_that_counts(registry):
    one, other = register(registry, "one"), register(registry, "other")
    registry.ask(other)
    registry.fail(one, ExtensionState.INIT_ERROR, error_type="a")
    registry.fail(other, ExtensionState.EXIT_ERROR, error_type="b")
    assert registry.fatal_error == "Extension.InitError"
