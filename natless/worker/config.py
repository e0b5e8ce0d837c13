"""What a worker is told: where the channel is, whose code to run, how long to wait for what."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
    handler: float = 900.0


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """One worker, for one function.

    Attributes:
        url: the channel's realtime URL, ``wss://…/event/realtime``.
        host: the API's HTTP host name, which the authorization object names.
        api_key: the channel's key. A secret.
        app: the second segment of the channels.
        stage: the third.
        folder: the folder with the handler's code; watched for changes.
        handler: ``module.function``.
        ca: a PEM file to trust in place of the system's; None trusts the system's.
        connect: address and port to connect to in place of those of ``url``, whose host name is
            still the one that the certificate is checked for.
        namespace: the channel namespace.
        python: the interpreter that runs the handler.
        bootstrap: the command that starts the handler's runtime, in place of our Python client.
        environment: variables that override the function's own.
        memory: MB that the handler is told it has.
        source: how this side signs its packets; a guest ignores it, other developers' tools do not.
        max_environments: execution environments that are kept in mind at once.
        budgets: every wait.
    """

    url: str
    host: str
    api_key: str = field(repr=False)
    app: str
    stage: str
    folder: Path
    handler: str
    ca: Path | None = None
    connect: tuple[str, int] | None = None
    namespace: str = "sst"
    python: str = sys.executable
    bootstrap: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    memory: int = 1024
    source: str = "dev"
    max_environments: int = 100
    budgets: WorkerBudgets = field(default_factory=WorkerBudgets)
