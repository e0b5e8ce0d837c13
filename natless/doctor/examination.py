"""The checks in their order, and what they mean together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from natless.doctor.docker_command import (
    check_build,
    check_compose,
    check_engine,
    check_network,
)
from natless.doctor.docker_lab import check_docker_lab
from natless.doctor.finding import Ability, Finding, Seen, State
from natless.doctor.handlers import check_handlers
from natless.doctor.leftovers import check_leftovers
from natless.doctor.machine import (
    check_clock,
    check_localhost,
    check_ports,
    check_proxy,
    check_python,
)
from natless.doctor.network import check_addresses, check_lab, check_names, check_namespaces
from natless.doctor.trust import check_certificates, check_node

AGAIN = "natless doctor"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try.

    Attributes:
        name: what, in a word or two.
        look: tries it.
        needed_for: what does not work without it.
    """

    name: str
    look: Callable[[], Seen]
    needed_for: tuple[Ability, ...] = ()

    def make(self) -> Finding:
        """Tries it; a check that breaks is a finding, too."""
        try:
            seen = self.look()
        except Exception as error:  # whatever a machine may have in store: the others still count
            said = f"the check itself failed: {type(error).__name__}: {error}"
            seen = Seen.lacks(said, "Please report it with this output.")
        fix = seen.fix.removeprefix("Run: ")  # of hints that stand in a sentence elsewhere
        return Finding(self.name, seen.state, seen.said, fix, self.needed_for)


_DEMOS = (Ability.NETNS, Ability.DOCKER)
_DOCKERS = (Ability.DOCKER, Ability.COMPOSE)
_ALL = (*_DEMOS, Ability.COMPOSE)

CHECKS: tuple[Check, ...] = (
    Check("python", check_python, _DEMOS),
    Check("clock", check_clock, _DEMOS),
    Check("localhost", check_localhost, _ALL),
    Check("proxy", check_proxy),
    Check("ports", check_ports),
    Check("certificates", check_certificates, _DEMOS),
    Check("node", check_node),
    Check("handlers", check_handlers, _DEMOS),
    Check("names", check_names, _DEMOS),
    Check("addresses", check_addresses, _DEMOS),
    Check("namespaces", check_namespaces, (Ability.NETNS,)),
    Check("lab", check_lab, (Ability.NETNS,)),
    Check("docker engine", check_engine, _DOCKERS),
    Check("docker network", check_network, _DOCKERS),
    Check("docker build", check_build, (Ability.DOCKER,)),
    Check("docker lab", check_docker_lab, (Ability.DOCKER,)),
    Check("docker compose", check_compose, (Ability.COMPOSE,)),
    Check("leftovers", check_leftovers),
)


def examine(checks: Iterable[Check] = CHECKS) -> Iterator[Finding]:
    """Tries one after the other; what was found comes as it is found."""
    for check in checks:
        yield check.make()


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the findings mean together.

    Attributes:
        works: what this machine can do.
        sentence: the same for a reader, with what is in the way of the rest.
        next_steps: what to type or to do, in this order.
    """

    works: tuple[Ability, ...]
    sentence: str
    next_steps: tuple[str, ...]


def conclude(findings: Sequence[Finding]) -> Conclusion:
    """What works, what does not and why, and what to do next."""
    obstacles = {ability: _first_obstacle(findings, ability) for ability in _ALL}
    works = {ability for ability, finding in obstacles.items() if finding is None}
    if works & {*_DEMOS}:
        works.add(Ability.DEMO)
    if not works:
        first = obstacles[Ability.NETNS]
        assert first is not None
        return Conclusion(
            (),
            f"Neither {_join((Ability.DEMO, Ability.COMPOSE), word='nor')} works on this machine"
            f" yet: {_tell(first)}.",
            (first.fix, AGAIN),
        )
    in_order = tuple(ability for ability in Ability if ability in works)
    told = _choose_words(works)
    sentence = f"{_join(told)} {'works' if len(told) == 1 else 'work'} on this machine"
    others = {ability: finding for ability, finding in obstacles.items() if finding is not None}
    return Conclusion(in_order, _add_rest(sentence, others, works), (told[0].command,))


def _choose_words(works: set[Ability]) -> tuple[Ability, ...]:
    """What to name: how the demo does it matters only where one can choose."""
    unsaid = {Ability.NETNS} if works >= {*_DEMOS} else {*_DEMOS}
    return tuple(ability for ability in Ability if ability in works - unsaid)


def _first_obstacle(findings: Sequence[Finding], ability: Ability) -> Finding | None:
    """The one to look at: a lack explains what was skipped because of it."""
    needed = [each for each in findings if ability in each.needed_for and each.is_in_the_way]
    lacks = [each for each in needed if each.state is State.LACKS]
    return next(iter(lacks or needed), None)


def _add_rest(sentence: str, others: dict[Ability, Finding], works: set[Ability]) -> str:
    if not others:
        return f"{sentence}."
    told = tuple(others) if Ability.DEMO in works else (Ability.DEMO,)
    reasons = list(dict.fromkeys(_tell(finding) for finding in others.values()))
    verb = "does" if len(told) == 1 else "do"
    return f"{sentence}; {_join(told)} {verb} not: {'; '.join(reasons)}."


def _tell(finding: Finding) -> str:
    return f"{finding.name}: {finding.said}"


def _join(abilities: Sequence[Ability], *, word: str = "and") -> str:
    *rest, last = [f"`{ability.command}`" for ability in abilities]
    return f"{', '.join(rest)} {word} {last}" if rest else last
