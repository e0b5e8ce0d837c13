"""The folder in memory that all containers of a lab share, and what lies in it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from natless.errors import ComponentFailed

DEFAULT_FOLDER = "/dev/shm/natless"

WAIT_BUDGET = 30.0
"""Seconds until the control part must have written the identity; it takes less than one."""

READY_FILE = Path("/tmp/ready")
"""There while every part of the lab is in its place: what the health check looks at."""

_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """What the parts of one lab must agree on.

    Attributes:
        label: the label of the Event API, 26 word characters.
        region: the region that is imitated.
        api_key: the only key that the relay accepts. The function gets it, as on AWS.
        app: the second segment of the channels.
        stage: the third.
        namespace: the channel namespace.
        function: the function's name.
        handler: ``module.function``.
    """

    label: str
    region: str
    api_key: str = field(repr=False)
    app: str = "natless"
    stage: str = "dev"
    namespace: str = "sst"
    function: str = "hello"
    handler: str = "handler.handler"


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The folder, by its path."""

    path: Path

    @classmethod
    def here(cls) -> SharedFolder:
        """Where ``NATLESS_SHARED`` says, or in the memory that the containers share."""
        return cls(Path(os.environ.get("NATLESS_SHARED", DEFAULT_FOLDER)))

    @property
    def archives(self) -> Path:
        """The guest and the agent, for containers of other images."""
        return self.path / "archives"

    def _named(self, variable: str, name: str) -> Path:
        """A file of the folder, unless somebody put it elsewhere."""
        return Path(os.environ.get(variable) or self.path / name)

    @property
    def switchboard(self) -> Path:
        """The socket at which agents report."""
        return self._named("NATLESS_SWITCHBOARD", "switchboard.sock")

    @property
    def ca(self) -> Path:
        """The authority's certificate, for everybody to trust."""
        return self.path / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The certificate of relay and endpoint."""
        return self._named("NATLESS_CERTIFICATE", "server.pem")

    @property
    def key(self) -> Path:
        """Its private key, for the lab's own user only."""
        return self._named("NATLESS_KEY", "server-key.pem")

    @property
    def identity(self) -> Path:
        """The identity as JSON, written last: who can read it finds all the rest."""
        return self.path / "lab.json"

    @property
    def worker_mark(self) -> Path:
        """There once the worker has subscribed."""
        return self.path / "ready" / "worker"

    def make(self) -> None:
        """Makes the folder, and in it a place for marks that parts of other users may set."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        marks = self.worker_mark.parent
        marks.mkdir(exist_ok=True)
        marks.chmod(0o1777)

    def mark_worker(self) -> None:
        """Says that the worker has subscribed."""
        self.worker_mark.touch()

    def has_worker(self) -> bool:
        """Whether the worker has said so."""
        return self.worker_mark.exists()

    def write_identity(self, identity: Identity) -> None:
        """Says that everything in the folder is there."""
        draft = self.identity.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(identity)), encoding="utf-8")
        draft.replace(self.identity)

    def wait_identity(self, *, budget: float = WAIT_BUDGET) -> Identity:
        """The identity, as soon as it is there. Blocks.

        Raises:
            ComponentFailed: it did not come.
        """
        give_up = time.monotonic() + budget
        while not self.identity.exists():
            if time.monotonic() > give_up:
                raise ComponentFailed(
                    f"{self.identity} did not come up in {budget:.0f} s",
                    hint="does the control container run?  docker compose logs control",
                )
            time.sleep(_PAUSE)
        return Identity(**json.loads(self.identity.read_text(encoding="utf-8")))


def mark_ready() -> None:
    """Tells the engine that the lab is whole."""
    READY_FILE.touch()


def mark_lost() -> None:
    """Tells the engine that something is missing."""
    READY_FILE.unlink(missing_ok=True)
