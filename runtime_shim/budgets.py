"""Every wait of the guest: its name, its default, and the constant it imitates.

A budget is named as in the report, ``connect.tcp``; its field is ``connect_tcp`` and its variable
``NATLESS_BUDGET_CONNECT_TCP``, in seconds. No wait may outlive the invocation: what is left until
the deadline, less ``answer.reserve``, clips each.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from runtime_shim.errors import ConfigError

PREFIX = "NATLESS_BUDGET_"
UNLIMITED = sys.maxsize  # of a count; a wait without a limit is infinite


@dataclass(frozen=True, slots=True)
class Budgets:
    """Seconds for each wait, except where a field says otherwise; the profile ``default``.

    "SST" is the bridge of SST 4.17.1, whose limits were measured; most of its waits have none.
    A name is here because the guest waits under it. The channel is opened before the first event is
    asked for, as the function's own time does not run yet then, but in no more than ``init.share``.
    """

    connect_dns: float = 2.0  # Go's resolver: 5 s, two tries a server
    connect_tcp: float = 3.0  # SST has none, the kernel gives up after 134 s
    connect_tls: float = 5.0  # Go's HTTP client: 10 s
    connect_upgrade: float = 5.0  # gorilla/websocket's default dialer: 45 s, unused by SST
    connect_ack: float = 5.0  # Stelvio's listener 10 s, Amplify 15 s, SST none
    subscribe_ack: float = 3.0  # SST: 3 s, after which it goes on deaf
    subscribe_live: float = 2.0  # until a probe to our own channel is back; 0 does not send one
    init_share: float = (
        8.0  # to open the channel ahead of the first event; 0: only with it; Lambda 10 s
    )
    publish_tcp: float = 3.0  # name and connection of a publish over HTTP; Go's dialer: 30 s
    publish_tls: float = 5.0  # TLS of a publish over HTTP; Go's HTTP client: 10 s
    publish_answer: float = 5.0  # one publish to its result; Go's HTTP client has none
    publish_total: float = 8.0  # all packets of one message, repeats included
    publish_attempts: int = (
        3  # a count: tries of one packet, or of `retry`; SST repeats without end
    )
    dev_first: float = 16.0  # until the developer's first word: SST 16 s, Stelvio 16 s
    dev_known: float = 5.0  # the same, from a side that said HELLO; Lambda Live Debugger: 5 s
    dev_silence: float = 15.0  # between two beats of a side that announced them; SST's tasks: 10 s
    dev_total: float = 900.0  # from that word to the answer: SST 15 min, the longest function
    chunk_gap: float = (
        30.0  # between two packets of one answer: Stelvio drops its buffer after 30 s
    )
    answer_reserve: float = 0.5  # kept from every wait for the answer itself
    answer_post: float = 5.0  # an answer to the Runtime API; its request for an event has no limit
    publish_pause: float = 0.2  # before a refused packet is sent again, doubled each time
    publish_pause_max: float = 1.6  # the longest such pause; SST has none, Lambda's loop is 5 ms
    warm_max_age: float = (
        240.0  # a kept channel: Stelvio 240 s; NAT gateways cut idle ones at 350 s
    )
    deployed_init: float = (
        10.0  # the container's own code until it asks for an event: Lambda's 10 s
    )
    reconnect_first: float = 0.1  # before a channel lost in mid-call is opened again; SST 1 ms
    reconnect_max: float = (
        5.0  # the longest such pause, and `faithful`'s between its tries: SST 5 s
    )
    reconnect_total: float = (
        3.0  # to find a developer's side that has the event again; SST has none
    )
    poll_wait: float = 20.0  # `poll`: how long the relay may hold a question; ours
    spool_replay: float = 5.0  # `ok`: for kept events, once a call was answered; ours
    observe_copy: float = 1.0  # `observe` waits for the developer's answer behind the caller's
    link_close: float = 0.3  # the WebSocket's farewell when the environment ends


class Profile(StrEnum):
    """A set of constants and the transport that goes with them."""

    DEFAULT = "default"  # ours: every wait has an end, events are published over the channel
    SST = "sst"  # the bridge's, to reproduce what it does: events are published over HTTP


PROFILES = {
    Profile.DEFAULT: Budgets(),
    Profile.SST: Budgets(
        connect_dns=10.0,
        connect_tcp=math.inf,
        connect_tls=math.inf,
        connect_upgrade=math.inf,
        connect_ack=math.inf,
        subscribe_ack=3.0,
        subscribe_live=0.0,
        init_share=math.inf,
        publish_tcp=30.0,
        publish_tls=10.0,
        publish_answer=math.inf,
        publish_total=math.inf,
        publish_attempts=UNLIMITED,
        dev_first=16.0,
        dev_known=16.0,
        dev_silence=900.0,
        dev_total=900.0,
        chunk_gap=math.inf,
        answer_reserve=0.0,
        answer_post=math.inf,
        publish_pause=0.0,
        publish_pause_max=0.0,
        warm_max_age=math.inf,
        reconnect_first=0.001,
        reconnect_total=0.0,
    ),
}
"""What each profile allows, before any ``NATLESS_BUDGET_…``; what SST has no word for is ours."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait that is about to begin.

    Attributes:
        name: the budget's name, ``connect.tcp``.
        seconds: what it may last.
        is_clipped: the invocation's deadline allows less than the budget does.
    """

    name: str
    seconds: float
    is_clipped: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """The budgets as one invocation may use them.

    Attributes:
        budgets: seconds by name.
        deadline: monotonic seconds at which Lambda ends the invocation.
    """

    budgets: Budgets
    deadline: float = math.inf

    def wait(self, name: str, *, now: float, since: float | None = None) -> Wait:
        """What is left of a budget that began ``since`` (now, if not given), never below zero."""
        full = float(getattr(self.budgets, name.replace(".", "_")))
        if since is not None:
            full -= now - since
        left = self.deadline - self.budgets.answer_reserve - now
        return Wait(name, max(0.0, min(full, left)), is_clipped=left < full)

    def left(self, *, now: float) -> float:
        """Seconds that a fallback may still use: four fifths of the reserve are its own."""
        return max(0.0, self.deadline - self.budgets.answer_reserve / 5 - now)


def budgets_from_environment(
    environment: Mapping[str, str], profile: Profile = Profile.DEFAULT
) -> Budgets:
    """A profile's budgets with every ``NATLESS_BUDGET_…`` of the environment in their place.

    Raises:
        ConfigError: a name that is no budget, or a value that is neither a number nor ``none``.
    """
    known = {PREFIX + each.name.upper(): each for each in fields(Budgets)}
    wanted: dict[str, float | int] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            raise ConfigError(f"{variable} is not a budget{_nearest(variable, known)}")
        wanted[known[variable].name] = _parse_number(
            variable, text, is_count=known[variable].type == "int"
        )
    return replace(PROFILES[profile], **wanted)  # type: ignore[arg-type]  # counts were told apart


def _nearest(variable: str, known: Iterable[str]) -> str:
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(variable, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"


def _parse_number(variable: str, text: str, *, is_count: bool) -> float | int:
    if text == "none":
        return UNLIMITED if is_count else math.inf
    try:
        number = int(text) if is_count else float(text)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf) and not (number == 0 and not is_count):
        kind = "a count from 1" if is_count else "a number of seconds"
        raise ConfigError(f"{variable} is {text!r}, not {kind} and not none")
    return number
