"""What extensions may ask of the Extensions API, and in which order: a machine without I/O.

::

    Started ──register──▶ Registered ──next──▶ Ready ──event──▶ Running ──next──▶ Ready …
                              │ init/error       │ exit/error     │ exit/error
                              ▼                  ▼                ▼
                          InitError           ExitError        ExitError     (all else is refused)

States, their names, error types and texts are those of the open core of Lambda
(aws-lambda-runtime-interface-emulator, ``internal/lambda/core`` and ``rapi/handler/agent*.go``). An
*external* extension is a file that was started; whoever registers by another name is an *internal*
one, a part of the runtime's process, and hears nothing of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from natless.lambda_host.runtime_session import Refusal

MAX_EXTENSIONS = 10  # AWS Lambda developer guide, "Lambda Extensions API"


class ExtensionEvent(StrEnum):
    """What an extension may ask to hear of."""

    INVOKE = "INVOKE"
    SHUTDOWN = "SHUTDOWN"


class ExtensionState(StrEnum):
    """Where an extension is; the value is the name that refusals and the log carry."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    LAUNCH_ERROR = "LaunchError"


_MAY_ASK = (ExtensionState.REGISTERED, ExtensionState.RUNNING)
_MAY_FAIL = {
    ExtensionState.INIT_ERROR: (ExtensionState.REGISTERED,),
    ExtensionState.EXIT_ERROR: (
        ExtensionState.REGISTERED,
        ExtensionState.READY,
        ExtensionState.RUNNING,
    ),
}


@dataclass(slots=True)
class Extension:
    """One extension.

    Attributes:
        name: the file's name, or whatever an internal one calls itself.
        identifier: a UUID, by which it calls.
        is_external: whether it is a process of its own.
        events: what it asked to hear of, in its order.
        state: where it is.
        error_type: what it said went wrong.
    """

    name: str
    identifier: str
    is_external: bool
    events: tuple[ExtensionEvent, ...] = ()
    state: ExtensionState = ExtensionState.STARTED
    error_type: str = field(default="")


class ExtensionRegistry:
    """The extensions of one execution environment, from its start to its end."""

    def __init__(self, *, new_id: Callable[[], str]) -> None:
        self.fatal_error = ""  # the first of Extension.InitError and Extension.ExitError
        self._new_id = new_id
        self._by_id: dict[str, Extension] = {}
        self._is_open = True

    def __iter__(self) -> Iterator[Extension]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def expect(self, name: str) -> Extension:
        """An external extension that is about to be started."""
        return self._add(name, is_external=True)

    def close_registration(self) -> None:
        """The runtime is initialized: nobody may register any more."""
        self._is_open = False

    @property
    def has_registered(self) -> bool:
        """Whether every external extension that was started has registered."""
        return all(each.state is not ExtensionState.STARTED for each in self if each.is_external)

    @property
    def is_ready(self) -> bool:
        """Whether every extension has asked for its first event."""
        return all(each.state is ExtensionState.READY for each in self)

    def subscribers(self, event: ExtensionEvent) -> list[Extension]:
        """Those who asked to hear of ``event``."""
        return [each for each in self if event in each.events]

    def register(self, name: str, events: Iterable[str]) -> Extension | Refusal:
        """An extension registers, under the name in its header."""
        if not name:
            return _refuse("Extension.InvalidExtensionName", "Empty extension name")
        extension = next((each for each in self if each.name == name and each.is_external), None)
        chosen: list[ExtensionEvent] = []
        for event in events:
            if event not in ExtensionEvent.__members__:
                return _refuse("Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
            if extension is None and event == ExtensionEvent.SHUTDOWN:
                reason = "ShutdownEventNotSupportedForInternalExtension"
                return _refuse("Extension.InvalidEventType", f"{event}: {reason}")
            chosen.append(ExtensionEvent(event))
        if extension is None:
            refusal = self._refuse_internal(name)
            if refusal is not None:
                return refusal
            extension = self._add(name, is_external=False)
        elif extension.state is not ExtensionState.STARTED:
            return self._not_allowed(extension, ExtensionState.REGISTERED, named=name)
        extension.events = tuple(dict.fromkeys(chosen))
        extension.state = ExtensionState.REGISTERED
        return extension

    def find(self, identifier: str) -> Extension | Refusal:
        """Whose identifier that is."""
        return self._by_id.get(identifier.lower()) or _refuse(
            "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}"
        )

    def ask(self, extension: Extension) -> Refusal | None:
        """An extension asks for its next event; unless refused it is ready for one."""
        if extension.state not in _MAY_ASK:
            return self._not_allowed(extension, ExtensionState.READY)
        extension.state = ExtensionState.READY
        return None

    def serve(self, extension: Extension) -> None:
        """An extension was given an event."""
        if extension.state is ExtensionState.READY:
            extension.state = ExtensionState.RUNNING

    def fail(
        self, extension: Extension, target: ExtensionState, *, error_type: str
    ) -> Refusal | None:
        """An extension says that it cannot go on, by ``init/error`` or ``exit/error``."""
        if extension.state not in _MAY_FAIL[target]:
            return self._not_allowed(extension, target)
        extension.state = target
        extension.error_type = error_type
        self.fatal_error = self.fatal_error or f"Extension.{target}"
        return None

    def _add(self, name: str, *, is_external: bool) -> Extension:
        extension = Extension(name, self._new_id(), is_external)
        self._by_id[extension.identifier] = extension
        return extension

    def _refuse_internal(self, name: str) -> Refusal | None:
        if not self._is_open:
            return _refuse("Extension.RegistrationClosed", "Extension registration closed already")
        if any(each.name == name for each in self):
            return _refuse(
                "Extension.InvalidExtensionState", "Extension with this name already registered"
            )
        if len(self) >= MAX_EXTENSIONS:
            return _refuse(
                "Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached"
            )
        return None

    def _not_allowed(
        self, extension: Extension, target: ExtensionState, *, named: str = ""
    ) -> Refusal:
        return _refuse(
            "Extension.InvalidExtensionState",
            f"State transition from {extension.state} to {target} failed for extension "
            f"{named or extension.identifier}. Error: State transition is not allowed",
        )


def _refuse(error_type: str, message: str) -> Refusal:
    return Refusal(403, error_type, message)
