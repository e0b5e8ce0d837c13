"""What stands on this side for one execution environment on the other.

::

    INIT ──▶ its variables, a process with the handler; HELLO to a guest that announced features
    NEXT ──▶ ping at once ──▶ the handler's answer ──▶ RESPONSE or ERROR, once per request id
      └─ no INIT seen yet: REBOOT, and the event waits for the INIT that follows

An execution environment has one invocation at a time, so this side has one, too: a NEXT with
another request id means that the function has given up the one before. A guest that announced it
is told more: ACCEPTED in place of the ping, BEAT while the handler runs, and the answer once more
for a request id that was answered before. SST's bridge announces nothing and is told none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from event_protocol.live import Feature, MessageCode
from natless.journal import Journal
from natless.lambda_host.clock import Clock, Timer, wait_first
from natless.lambda_host.invocation import Failure
from natless.lambda_host.launcher import Launcher
from natless.lambda_host.runtime_session import Answer, Event
from natless.measure.function_error import UNKNOWN, FunctionError
from natless.worker.answers import Answers
from natless.worker.config import LocalFunction, WorkerConfig
from natless.worker.debug_door import DebugDoor
from natless.worker.debug_doors import DebugDoors
from natless.worker.errors import PublishFailed
from natless.worker.failures import describe_failure
from natless.worker.process import SOURCE
from natless.worker.program import make_program
from natless.worker.reload import Edit
from natless.worker.reserve import Reserves, Spawn
from natless.worker.slot import RELOADED, HandlerSlot, NotLoaded
from natless.worker.voice import Send, Voice
from natless.worker.work import Work

SUPERSEDED = "superseded"
FORGOTTEN = "forgotten"
STOPPED = "stopped"
CANCELLED = "cancelled"
_LOST = {
    SUPERSEDED: "the function went on to another invocation",
    FORGOTTEN: "more execution environments are active than the worker keeps in mind",
    STOPPED: "the worker was stopped",
    CANCELLED: "the function has its answer from somebody else",
}


class Counterpart:
    """Serves the invocations of one execution environment with the developer's code.

    Args:
        worker_id: the environment's name.
        config: whose code, and every wait.
        journal: takes the facts.
        clock: for every wait.
        launcher: starts the processes.
        send: publishes to the guest.
        spawn: runs a coroutine beside the caller.
        reserves: which environments keep a process for the next edit.
        doors: where debuggers attach.
        instance: which developer's side this is, for guests that want to tell two apart.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        config: WorkerConfig,
        journal: Journal,
        clock: Clock,
        launcher: Launcher,
        send: Send,
        spawn: Spawn,
        reserves: Reserves,
        doors: DebugDoors | None = None,
        instance: str = "",
    ) -> None:
        self.worker_id = worker_id
        self._config = config
        self._journal = journal
        self._clock = clock
        self._send = send
        self._spawn = spawn
        self._slot = HandlerSlot(
            worker_id,
            budgets=config.budgets,
            launcher=launcher,
            journal=journal,
            clock=clock,
            spawn=spawn,
            reserves=reserves,
        )
        self._doors = doors
        self._door: DebugDoor | None = None
        self._function: LocalFunction | None = None
        self._unknown: Failure | None = None
        self._environment: dict[str, str] | None = None
        self._introduced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work: Work | None = None
        self._voice = Voice(
            worker_id,
            instance=instance,
            budgets=config.budgets,
            clock=clock,
            send=send,
            spawn=spawn,
            fact=self._fact,
        )
        self._answers = Answers()
        self._rest: Timer | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an invocation is on its way."""
        return self._work is not None

    @property
    def function(self) -> LocalFunction | None:
        """Whose code it runs; None before its INIT."""
        return self._function

    def introduce(
        self, function_id: str, environment: Mapping[str, str], features: Sequence[str] = ()
    ) -> None:
        """Takes an INIT: which function it is, its variables, and what its guest can do.

        Other variables than before mean other credentials. What both sides can do is agreed by a
        HELLO.
        """
        self._voice.agree(features)
        function = self._config.find(function_id)
        if function is None:
            self._unknown = _not_here(function_id, tuple(self._config.functions))
        elif environment != self._environment or function != self._function:
            self._unknown = None
            self._function, self._environment = function, dict(environment)
            self._open_door(function_id)
            self._slot.begin(make_program(function, environment, worker_id=self.worker_id))
        if not self._introduced.done():
            self._introduced.set_result(None)

    def _open_door(self, function_id: str) -> None:
        """Has debuggers come through one port, whichever process serves."""
        if self._door is not None or self._doors is None:
            return
        self._door = self._doors.take(function_id, self._debugger_came_or_went)
        if self._door is not None:
            self._slot.debug_through(self._door)

    def _debugger_came_or_went(self, is_attached: bool) -> None:
        self._voice.note_debugger(is_attached=is_attached)

    def take(self, work: Work) -> None:
        """Begins an invocation, and says so. One that was seen already is not begun again."""
        if work.attempt in self._answers:
            self._fact("worker.invocation.repeated", request_id=work.request_id)
            answer = self._answers.find(work.attempt)
            if answer is not None and Feature.REPEAT in self._voice.features:
                self._spawn(self._answer_again(work, *answer))
            else:
                self._voice.acknowledge(work.request_id)
            return
        self._voice.acknowledge(work.request_id)
        self._answers.begin(work.attempt, is_kept=work.is_kept)
        self._withdraw(SUPERSEDED)
        self._work = work
        self._fact("worker.invocation.received", at=work.received, request_id=work.request_id)
        self._voice.begin(work.request_id)
        self._spawn(self._serve(work))

    def cancel(self, request_id: str, *, reason: str) -> None:
        """Nobody waits for this answer any more: its handler is stopped."""
        if self._work is not None and self._work.request_id == request_id:
            self._fact("worker.invocation.cancelled", request_id=request_id, reason=reason)
            self._withdraw(CANCELLED)

    def reload(self, edit: Edit) -> None:
        """Starts the edited code."""
        self._slot.begin(edit=edit)

    def shut(self) -> None:
        """Starts nothing more of its own accord; :meth:`close` must follow."""
        self._voice.end()
        if self._rest is not None:
            self._rest.cancel()
        if self._door is not None and self._doors is not None:
            self._doors.give_back(self._door)
        self._slot.shut()

    async def close(self) -> None:
        """Ends its processes; an invocation that is on its way is reported lost."""
        self.shut()
        self._withdraw(FORGOTTEN)
        await self._slot.close()

    def _withdraw(self, reason: str) -> None:
        if self._work is not None and not self._work.withdrawn.done():
            self._work.withdrawn.set_result(reason)

    # -- one invocation ----------------------------------------------------------------------

    async def _answer_again(self, work: Work, code: MessageCode, body: bytes) -> None:
        give_up = max(work.deadline, self._clock.now() + self._config.budgets.publish)
        try:
            await self._send(self.worker_id, code, body, name=work.request_id, give_up=give_up)
        except PublishFailed as error:
            self._failed(work, "not published", message=str(error), answered=False)

    async def _serve(self, work: Work) -> None:
        try:
            await self._bring_answer(work)
        except asyncio.CancelledError:
            self._lost(work, STOPPED)
            raise

    async def _bring_answer(self, work: Work) -> None:
        outcome, is_init = await self._handle(work)
        work.handled = self._clock.now()
        if outcome is None:
            outcome = self._withdrawn(work)
        if outcome is not None:
            await self._answer(work, outcome, is_init=is_init)
        if self._work is work:
            self._work = None
            self._voice.end()
            self._rest_later()

    async def _handle(self, work: Work) -> tuple[Answer | Failure | None, bool]:
        """The handler's answer or its failure; None when it is no longer wanted.

        The second value tells whether the handler could not be loaded while the event waited.
        """
        if not await self._await_init(work):
            return _not_introduced(self._config.budgets.boot), False
        if self._unknown is not None:
            return self._unknown, False
        process = await self._slot.ready(deadline=work.deadline, withdrawn=work.withdrawn)
        if process is None:
            return None if work.withdrawn.done() else _late("was not ready"), False
        if isinstance(process, NotLoaded):
            return process.failure, process.is_news
        work.process = process
        work.started = self._clock.now()
        self._fact("worker.invocation.started", at=work.started, request_id=work.request_id)
        outcome = await process.handle(work.event, deadline=work.deadline, withdrawn=work.withdrawn)
        if not isinstance(outcome, Answer):
            self._slot.replace(process)
        return outcome, False

    async def _await_init(self, work: Work) -> bool:
        if self._introduced.done():
            return True
        limit = min(work.deadline, self._clock.now() + self._config.budgets.boot)
        try:
            await self._send(self.worker_id, MessageCode.REBOOT, b"{}\n", give_up=limit)
        except PublishFailed:
            return False
        await wait_first(self._clock, limit, self._introduced, work.withdrawn)
        return self._introduced.done()

    def _withdrawn(self, work: Work) -> Failure | None:
        """What is still said about work that was withdrawn: nothing to a function that moved on."""
        if work.withdrawn.result() == RELOADED:
            return Failure(
                "LiveWorker.Reloaded",
                "the handler was reloaded while this invocation ran and did not finish within "
                f"{self._config.budgets.reload_finish:g} s; invoke it again",
            )
        self._lost(work, work.withdrawn.result())
        return None

    async def _answer(self, work: Work, outcome: Answer | Failure, *, is_init: bool) -> None:
        is_error = isinstance(outcome, Failure) or outcome.is_error
        answer = outcome.answer_for(work.request_id) if isinstance(outcome, Failure) else outcome
        code = MessageCode.RESPONSE
        if is_error:
            code = MessageCode.INIT_ERROR if is_init else MessageCode.ERROR
        give_up = max(work.deadline, self._clock.now() + self._config.budgets.publish)
        name = "" if code is MessageCode.INIT_ERROR else work.request_id
        if code is MessageCode.INIT_ERROR:
            self._answers.lose(work.attempt)  # the next try may find mended code
        elif Feature.REPEAT in self._voice.features:
            self._answers.keep(work.attempt, code, answer.body)
        try:
            await self._send(self.worker_id, code, answer.body, name=name, give_up=give_up)
        except PublishFailed as error:
            self._failed(work, "not published", message=str(error), answered=False)
            return
        self._first_answer(work)
        if is_error:
            failure = Failure(answer.error_type, "", posted=answer)
            said = describe_failure(failure, environment=self._environment)
            # A Runtime API knows only Lambda's own types; the developer's is in the body.
            named = FunctionError.parse(answer.body).error_type
            reason = answer.error_type if named == UNKNOWN else named
            self._failed(work, reason, message=said["message"], answered=True)
        else:
            self._fact("worker.invocation.complete", **_times(work), bytes=len(answer.body))

    def _lost(self, work: Work, reason: str) -> None:
        if Feature.REPEAT in self._voice.features:
            self._answers.lose(work.attempt)
        self._failed(work, reason, message=_LOST[reason], answered=False)

    def _failed(self, work: Work, reason: str, *, message: str, answered: bool) -> None:
        self._fact(
            "worker.invocation.failed",
            **_times(work),
            reason=reason,
            message=message[:1000],
            answered=answered,
        )

    def _first_answer(self, work: Work) -> None:
        """Measures an edit from its save to the first answer of the code that it made."""
        edit = work.process.edit if work.process else None
        if work.process is not None and edit is not None:
            work.process.edit = None
            self._fact(
                "worker.reload.first_answer",
                request_id=work.request_id,
                seconds=round(self._clock.wall() - edit.saved, 6),
                files=edit.files,
            )

    # -- the process -------------------------------------------------------------------------

    def _rest_later(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        idle = self._config.budgets.idle
        if idle > 0:
            self._rest = self._clock.call_at(self._clock.now() + idle, self._rest_now)

    def _rest_now(self) -> None:
        if self._work is None:
            self._slot.rest()

    def _fact(self, kind: str, *, at: float | None = None, **data: Any) -> None:  # noqa: ANN401  facts are any JSON
        self._journal.record(
            kind,
            source=SOURCE,
            at=self._clock.now() if at is None else at,
            worker_id=self.worker_id,
            **data,
        )


def _times(work: Work) -> dict[str, Any]:
    return {
        "request_id": work.request_id,
        "received": round(work.received, 6),
        "started": round(work.started, 6),
        "handled": round(work.handled, 6),
    }


def _not_introduced(seconds: float) -> Failure:
    return Failure(
        "LiveWorker.NotIntroduced",
        f"the function did not send its environment within {seconds:g} s of being asked",
    )


def _not_here(function_id: str, known: tuple[str, ...]) -> Failure:
    names = ", ".join(known)
    return Failure(
        "LiveWorker.UnknownFunction",
        f"the worker does not run a function {function_id!r}; it runs {names}",
    )


def _late(what: str) -> Failure:
    return Failure(
        "Sandbox.Timedout", f"the handler {what} before the function's time was up", is_timeout=True
    )


def monotonic_deadline(event: Event, *, now: float, wall: float, longest: float) -> float:
    """The function's deadline on this machine's monotonic clock.

    Args:
        event: its ``lambda-runtime-deadline-ms`` is in milliseconds since 1970.
        now: monotonic seconds.
        wall: the same moment in seconds since 1970.
        longest: seconds that count when the event names no deadline, or one further away.
    """
    try:
        left = int(event.headers.get("lambda-runtime-deadline-ms", "")) / 1000 - wall
    except ValueError:
        left = longest
    return now + min(max(left, 0.0), longest)
