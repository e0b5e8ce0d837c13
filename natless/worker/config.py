"""What a worker is told: where the channel is, whose code to run, how long to wait for what."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from natless.runtimes import Code
from natless.runtimes.python import PythonRuntime


@dataclass(frozen=True, slots=True)
class WorkerBudgets:
    """The waits of a worker, in seconds. Names in brackets are those of the journal.

    Attributes:
        ready: from the start until subscribed (``worker.ready``).
        open: TCP, TLS and upgrade of one attempt (``connect.open``).
        ack: ``connection_ack`` (``connect.ack``; Stelvio's listener 10, Amplify 15).
        subscribe: ``subscribe_success`` (``subscribe.ack``; SST 3).
        publish: one publish until it is acknowledged (``publish.answer``).
        reconnect_first: the pause before a lost connection is opened again; it doubles
            (``reconnect.first``).
        reconnect_max: the longest such pause (``reconnect.max``; SST 5).
        boot: from asking a guest for its INIT until it is there (``init.answer``).
        init: a handler's process until it asks for its first event; more than Lambda's 10, since a
            developer's machine compiles what it imports for the first time (``init.share``).
        idle: how long a handler's process is kept without work; 0 keeps it (``worker.idle``).
        reload_quiet: pause in a burst of file changes that ends it (``reload.quiet``; SST 0.5). It
            can be short, as a later change overtakes the start that an earlier one began.
        reload_finish: how long an invocation may go on with the old code once the new code is
            ready (``reload.finish``).
        reserve: how long after an invocation a process is started in reserve, which waits for the
            next edit and then has only the handler to load (``reload.reserve``).
        beat: between two signs that a handler is still at work, for guests that announced to wait
            for them (SST's tasks ping every 5 s).
        handler: the longest a handler may take when its event has no deadline; Lambda's own
            longest timeout (``dev.total``).
    """

    ready: float = 10.0
    open: float = 10.0
    ack: float = 10.0
    subscribe: float = 3.0
    publish: float = 5.0
    reconnect_first: float = 0.1
    reconnect_max: float = 5.0
    boot: float = 10.0
    init: float = 30.0
    idle: float = 900.0
    reload_quiet: float = 0.01
    reload_finish: float = 5.0
    reserve: float = 0.3
    beat: float = 5.0
    handler: float = 900.0


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """One function as the developer's machine runs it.

    Attributes:
        code: where it is and what runs it; its folder is watched for changes.
        bootstrap: the command that runs it in place of its runtime's own.
        environment: variables that override the function's own.
        memory: MB that the handler is told it has.
        debug: whether a debugger may attach.
    """

    code: Code
    bootstrap: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: int = 1024
    debug: bool = False

    @property
    def can_be_held(self) -> bool:
        """Whether a process of it can be started before it is needed."""
        return self.bootstrap is None and self.code.runtime.can_be_held

    @property
    def command(self) -> tuple[str, ...]:
        """What starts its process."""
        return self.bootstrap or self.code.runtime.command(self.code.folder)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """One worker, for the functions of one stage.

    There are two ways to say which: ``functions``, by the id that each function introduces itself
    with; or ``folder`` and ``handler``, a Python handler that answers for whatever id.

    Attributes:
        url: the channel's realtime URL, ``wss://…/event/realtime``.
        host: the API's HTTP host name, which the authorization object names.
        api_key: the channel's key. A secret.
        app: the second segment of the channels.
        stage: the third.
        functions: the functions by their ids; any other id is answered with an error.
        folder: the folder with the handler's code.
        handler: ``module.function``.
        ca: a PEM file to trust in place of the system's; None trusts the system's.
        connect: address and port to connect to in place of those of ``url``, whose host name is
            still the one that the certificate is checked for.
        namespace: the channel namespace.
        python: the interpreter that runs that handler.
        bootstrap: the command that starts its runtime, in place of our Python client.
        environment: variables that override its own.
        memory: MB that it is told it has.
        source: how this side signs its packets; a guest ignores it, other developers' tools do not.
        max_environments: execution environments that are kept in mind at once.
        max_reserves: processes in reserve for the next edit, for those used last; 0 keeps none.
        budgets: every wait.
    """

    url: str
    host: str
    api_key: str = field(repr=False)
    app: str
    stage: str
    functions: Mapping[str, LocalFunction] = field(default_factory=dict)
    folder: Path | None = None
    handler: str = ""
    ca: Path | None = None
    connect: tuple[str, int] | None = None
    namespace: str = "sst"
    python: str = sys.executable
    bootstrap: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: int = 1024
    source: str = "dev"
    max_environments: int = 100
    max_reserves: int = 2
    budgets: WorkerBudgets = field(default_factory=WorkerBudgets)

    def find(self, function_id: str) -> LocalFunction | None:
        """The function of that id; None when it is not run here."""
        return self.functions.get(function_id) if self.functions else self.only

    @property
    def folders(self) -> frozenset[Path]:
        """Where code lies."""
        functions = self.functions.values() if self.functions else (self.only,)
        return frozenset(each.code.folder for each in functions)

    @property
    def only(self) -> LocalFunction:
        """The function that answers for every id, when there are no ``functions``."""
        if self.folder is None:
            raise ValueError("a worker needs functions, or a folder and a handler")
        source = self.folder / f"{self.handler.rpartition('.')[0]}.py"
        runtime = PythonRuntime("python", Path(self.python))
        return LocalFunction(
            Code(self.folder, self.handler, runtime, source),
            bootstrap=self.bootstrap,
            environment=self.environment,
            memory=self.memory,
        )
