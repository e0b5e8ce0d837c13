"""The developer's side of Live mode: subscribed to the channel, it runs the handler and answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from event_protocol.errors import RemoteProtocolError
from event_protocol.live import (
    Cancel,
    Message,
    MessageCode,
    NextEvent,
    Reassembler,
    decode_init,
    decode_next,
    decode_packet,
    decode_report,
    dev_channel,
    encode_packet,
    split,
    worker_channel,
)
from event_protocol.phases import InvocationRecord
from natless.errors import ComponentFailed, UsageError
from natless.journal import Fact, Journal
from natless.lambda_host.clock import Clock, SystemClock
from natless.lambda_host.launcher import HostLauncher, Launcher
from natless.lambda_host.runtime_session import Event
from natless.worker.config import LocalFunction, WorkerConfig
from natless.worker.counterpart import Counterpart, monotonic_deadline
from natless.worker.debug_doors import DebugDoors
from natless.worker.errors import PublishFailed
from natless.worker.link import Link
from natless.worker.presence import Presence
from natless.worker.process import SOURCE
from natless.worker.reload import Edit, watch_folders
from natless.worker.report import describe_record
from natless.worker.reserve import Reserves
from natless.worker.work import Work

_PACKETS_AT_ONCE = 8  # of one answer on their way; 1.4 MB of base64
_REQUEST_ID = "lambda-runtime-aws-request-id"
# They describe how the Runtime API's answer travelled over there; ours says it anew.
_HOP_HEADERS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "trailer", "transfer-encoding"}
)


class Worker:
    """Answers the invocations of a stage's functions for as long as its block lasts.

    ::

        async with Worker(config, journal):
            ...                      # subscribed; invocations are answered in the background

    Entering raises ``ComponentFailed`` when the channel refuses the worker or is not there, and
    ``UsageError`` when the folder or the authority's file is not.
    """

    def __init__(
        self,
        config: WorkerConfig,
        journal: Journal,
        *,
        clock: Clock | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        self.config = config
        self._journal = self._name_functions(journal)
        self._names: dict[str, str] = {}  # of functions, by the ids of their environments
        self._reserves = Reserves(config.max_reserves)
        self._doors = DebugDoors(config.functions, record=self._fact)
        self._clock = clock or SystemClock()
        self._launcher = launcher or HostLauncher()
        self._reassembler = Reassembler()
        self._counterparts: OrderedDict[str, Counterpart] = OrderedDict()
        self._instance = secrets.token_hex(8)
        self._presence = Presence(self._instance)
        self._report_listeners: list[Callable[[InvocationRecord], None]] = []
        self._link: Link | None = None
        self._main: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._link = self._make_link()
        self._main = asyncio.create_task(self._run(self._link))
        try:
            await self._doors.open()
            await self._ready(self._link, self._main)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    @property
    def is_live(self) -> bool:
        """Whether it is subscribed right now."""
        return self._link is not None and self._link.is_live

    @property
    def debug_ports(self) -> Mapping[str, int]:
        """Where debuggers attach, by the ids of functions that may be debugged."""
        return self._doors.ports

    def is_debugged(self, function_id: str) -> bool:
        """Whether a debugger is connected for that function, so that its time stands still."""
        return self._doors.stop_time(function_id)

    def on_report(self, listener: Callable[[InvocationRecord], None]) -> Callable[[], None]:
        """Calls ``listener`` with what guests of ours have measured, once they have answered.

        Returns:
            What ends that.
        """
        self._report_listeners.append(listener)
        return lambda: self._report_listeners.remove(listener)

    def _make_link(self) -> Link:
        config = self.config
        for folder in config.folders:
            if not folder.is_dir():
                raise UsageError(
                    f"{folder}: no such folder", hint="name the folder with your handler"
                )
        try:
            return Link(
                config,
                channel=self._own_channel(),
                journal=self._journal,
                on_event=self._take_event,
                on_live=self._on_live,
            )
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"{config.ca}: cannot be read as a certificate authority: {error}",
                hint="it is a PEM file; the relay says which when it is ready",
            ) from error

    def _own_channel(self) -> str:
        """Where guests publish."""
        config = self.config
        return dev_channel(config.app, config.stage, config.namespace)

    def _on_live(self) -> None:
        self._spawn(self._announce())

    async def _announce(self) -> None:
        """Says to the stage's other workers, if there are any, that there is one more."""
        link = self._link
        assert link is not None
        body = self._presence.announcement(now=self._clock.wall())
        name = secrets.token_hex(12)
        [packet] = split(MessageCode.HELLO, source=self.config.source, id=name, body=body)
        give_up = self._clock.now() + self.config.budgets.publish
        try:
            await link.publish(self._own_channel(), encode_packet(packet), give_up=give_up)
        except PublishFailed as error:
            self._fact("worker.word.failed", word="hello", request_id="", reason=str(error))

    def _hear_worker(self, body: bytes) -> None:
        developer = self._presence.hear(body)
        if developer is not None:
            self._fact("worker.stage.shared", stage=self.config.stage, developer=developer)
            self._spawn(self._announce())

    async def _ready(self, link: Link, main: asyncio.Task[None]) -> None:
        await asyncio.wait(
            {link.first_word, main},
            timeout=self.config.budgets.ready,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if main.done():
            await main
        if not link.is_live:
            reason = link.last_failure or f"no answer in {self.config.budgets.ready:g} s"
            raise ComponentFailed(
                f"the worker cannot use the channel at {self.config.url}: {reason}",
                hint="is the relay running, and are its URL, API key and namespace these?",
            )

    async def _run(self, link: Link) -> None:
        """Everything that goes on beside the caller."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._watch())
                group.create_task(link.run())
                try:
                    await asyncio.Event().wait()
                finally:
                    for counterpart in self._counterparts.values():
                        counterpart.shut()  # the group takes no more tasks from here on
        finally:
            self._group = None
            closing = [counterpart.close() for counterpart in self._counterparts.values()]
            await asyncio.gather(*closing)
            await self._doors.close()

    async def _end(self) -> None:
        """Ends all that goes on.

        Raises:
            ExceptionGroup: something had gone wrong in it that nobody else was told.
        """
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await main

    async def _watch(self) -> None:
        quiet = self.config.budgets.reload_quiet
        functions = self.config.functions or {"": self.config.only}
        folders = {each.code.folder for each in functions.values()}
        try:
            async for burst in watch_folders(folders, quiet=quiet):
                for name, function in functions.items():
                    if (edit := burst.edit_of(function.code)) is not None:
                        self._reload(name, function, edit)
        except OSError as error:  # such as too many watches: the work goes on without reloading
            self._fact("worker.reload.unavailable", reason=str(error))

    def _reload(self, name: str, function: LocalFunction, edit: Edit) -> None:
        self._fact(
            "worker.reload.noticed", files=edit.files, **({"function": name} if name else {})
        )
        for counterpart in self._counterparts.values():
            if counterpart.function == function:
                counterpart.reload(edit)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._group is None:
            coroutine.close()
            raise RuntimeError("the worker is not running")
        return self._group.create_task(coroutine)

    # -- what arrives ------------------------------------------------------------------------

    def _take_event(self, text: str) -> None:
        try:
            packet = decode_packet(text)
            if packet.type == MessageCode.HELLO:
                self._hear_worker(packet.data)
            if packet.source == self.config.source or packet.type == MessageCode.HELLO:
                return
            message = self._reassembler.receive(packet)
            if message is not None:
                self._take_message(message)
        except RemoteProtocolError as error:
            self._fact("worker.event.refused", reason=str(error))

    def _take_message(self, message: Message) -> None:
        self._channel(message.source)  # whom we could not answer, we do not listen to
        if message.code == MessageCode.INIT:
            init = decode_init(message.body)
            self._names[message.source] = init.function_id
            self._fact(
                "worker.init.received",
                worker_id=message.source,
                function_id=init.function_id,
                variables=len(init.environment),
                features=list(init.features),
            )
            self._counterpart(message.source).introduce(
                init.function_id, init.environment, init.features
            )
        elif message.code == MessageCode.NEXT:
            self._take_next(message)
        elif message.code == MessageCode.CANCEL and message.source in self._counterparts:
            cancel = Cancel.decode(message.body)
            self._counterparts[message.source].cancel(cancel.request_id, reason=cancel.reason)
        elif message.code == MessageCode.REPORT:
            self._take_report(message)

    def _take_next(self, message: Message) -> None:
        now = self._clock.now()
        invocation = decode_next(message.body)
        event = _read_event(invocation)
        longest = self.config.budgets.handler
        deadline = monotonic_deadline(event, now=now, wall=self._clock.wall(), longest=longest)
        withdrawn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._counterpart(message.source).take(Work(event, now, deadline, withdrawn))

    def _take_report(self, message: Message) -> None:
        """What a guest of ours has measured; that of a function elsewhere comes no other way."""
        record = decode_report(message.body)
        if record.worker_id != message.source:
            return
        self._fact("worker.report.received", **describe_record(record))
        for listener in self._report_listeners:
            listener(record)

    def _counterpart(self, worker_id: str) -> Counterpart:
        counterpart = self._counterparts.get(worker_id)
        if counterpart is None:
            self._make_room()
            counterpart = self._counterparts[worker_id] = Counterpart(
                worker_id,
                config=self.config,
                journal=self._journal,
                clock=self._clock,
                launcher=self._launcher,
                send=self._send,
                spawn=self._spawn,
                reserves=self._reserves,
                doors=self._doors,
                instance=self._instance,
            )
        self._counterparts.move_to_end(worker_id)
        return counterpart

    def _make_room(self) -> None:
        """Forgets the environment that was silent longest; should it return, it is rebooted."""
        if len(self._counterparts) < self.config.max_environments:
            return
        oldest = next(
            (name for name, each in self._counterparts.items() if not each.is_busy),
            next(iter(self._counterparts)),
        )
        self._spawn(self._forget(oldest, self._counterparts.pop(oldest)))

    async def _forget(self, worker_id: str, counterpart: Counterpart) -> None:
        await counterpart.close()
        if worker_id not in self._counterparts:
            self._names.pop(worker_id, None)

    # -- what is sent ------------------------------------------------------------------------

    async def _send(
        self,
        worker_id: str,
        code: MessageCode,
        body: bytes,
        *,
        name: str = "",
        give_up: float,
    ) -> None:
        link, config = self._link, self.config
        assert link is not None
        channel = self._channel(worker_id)
        packets = split(code, source=config.source, id=name or secrets.token_hex(12), body=body)
        window = asyncio.Semaphore(_PACKETS_AT_ONCE)

        async def publish(event: str) -> None:
            async with window:
                await link.publish(channel, event, give_up=give_up)

        events = [encode_packet(packet) for packet in packets]
        if len(events) == 1:
            await link.publish(channel, events[0], give_up=give_up)
            return
        results = await asyncio.gather(*map(publish, events), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _channel(self, worker_id: str) -> str:
        config = self.config
        return worker_channel(config.app, config.stage, worker_id, config.namespace)

    def _name_functions(self, journal: Journal) -> Journal:
        """A journal whose facts go into ``journal`` and say which function they are about."""
        own = Journal()

        def pass_on(fact: Fact) -> None:
            name = self._names.get(str(fact.data.get("worker_id", "")))
            data = fact.data if name is None else {"function": name, **fact.data}
            journal.record(fact.kind, source=fact.source, at=fact.at, **data)

        own.listen(pass_on)
        return own

    def _fact(self, kind: str, **data: object) -> None:
        self._journal.record(kind, source=SOURCE, at=self._clock.now(), **data)


def _read_event(invocation: NextEvent) -> Event:
    """The invocation as the handler's Runtime API hands it out.

    Raises:
        RemoteProtocolError: it has no usable request id, or a header that cannot be passed on.
    """
    request_id = invocation.headers.get(_REQUEST_ID, "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", request_id):
        raise RemoteProtocolError("the invocation has no request id")
    headers = {k: v for k, v in invocation.headers.items() if k not in _HOP_HEADERS}
    try:
        "".join(headers.values()).encode()
    except UnicodeEncodeError:
        raise RemoteProtocolError("a header of the invocation is not UTF-8") from None
    return Event(request_id, headers, invocation.body)
