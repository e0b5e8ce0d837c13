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
        return Finding(self.name, seen.state, seen.said, seen.fix, self.needed_for)


_ALL = tuple(Ability)
_DEMOS = (Ability.DEMO, Ability.DOCKER_DEMO)
_DOCKER = (Ability.DOCKER_DEMO, Ability.COMPOSE)

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
    Check("namespaces", check_namespaces, (Ability.DEMO,)),
    Check("lab", check_lab, (Ability.DEMO,)),
    Check("docker engine", check_engine, _DOCKER),
    Check("docker network", check_network, _DOCKER),
    Check("docker build", check_build, (Ability.DOCKER_DEMO,)),
    Check("docker lab", check_docker_lab, (Ability.DOCKER_DEMO,)),
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
        next_step: a command to type, or what to do before.
    """

    works: tuple[Ability, ...]
    sentence: str
    next_step: str


def conclude(findings: Sequence[Finding]) -> Conclusion:
    """What works, what does not and why, and what to do next."""
    in_the_way = {ability: _first_obstacle(findings, ability) for ability in Ability}
    works = tuple(ability for ability, finding in in_the_way.items() if finding is None)
    others = {ability: finding for ability, finding in in_the_way.items() if finding is not None}
    if works:
        sentence = f"{_join(works)} {'works' if len(works) == 1 else 'work'} on this machine"
        return Conclusion(works, _add_rest(sentence, others), works[0].command)
    commands = _join(tuple(Ability), conjunction="nor")
    first = others[Ability.DEMO]
    return Conclusion(
        (),
        f"Neither {commands} works on this machine yet: {_tell(first)}.",
        f"{first.fix.rstrip('.')}. Then again: {AGAIN}",
    )


def _first_obstacle(findings: Sequence[Finding], ability: Ability) -> Finding | None:
    """The one to look at: a lack explains what was skipped because of it."""
    needed = [each for each in findings if ability in each.needed_for and each.is_in_the_way]
    lacks = [each for each in needed if each.state is State.LACKS]
    return next(iter(lacks or needed), None)


def _add_rest(sentence: str, others: dict[Ability, Finding]) -> str:
    if not others:
        return f"{sentence}."
    reasons = list(dict.fromkeys(_tell(finding) for finding in others.values()))
    verb = "does" if len(others) == 1 else "do"
    commands = _join(tuple(others), conjunction="and")
    return f"{sentence}; {commands} {verb} not: {'; '.join(reasons)}."


def _tell(finding: Finding) -> str:
    return f"{finding.name}: {finding.said}"


def _join(abilities: Sequence[Ability], *, conjunction: str = "and") -> str:
    commands = [f"`{ability.command}`" for ability in abilities]
    *rest, last = commands
    return f"{', '.join(rest)} {conjunction} {last}" if rest else last
