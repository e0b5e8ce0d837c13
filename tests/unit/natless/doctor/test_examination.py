"""What findings mean together."""

from __future__ import annotations

import pytest

from natless.doctor import CHECKS, Ability, Check, Finding, Seen, State, conclude, examine

NETNS, DOCKER, COMPOSE = Ability.NETNS, Ability.DOCKER, Ability.COMPOSE


def finding(name: str, state: State, *needed_for: Ability) -> Finding:
    return Finding(name, state, f"{name} was seen", f"mend {name}", needed_for)


def test_findings_come_in_order_and_as_they_are_found() -> None:
    tried: list[str] = []

    def check(name: str) -> Check:
        def look() -> Seen:
            tried.append(name)
            return Seen.ok("works")

        return Check(name, look, (NETNS,))

    found = examine((check("a"), check("b")))
    assert next(found) == Finding("a", State.OK, "works", "", (NETNS,))
    assert tried == ["a"]
    assert [each.name for each in found] == ["b"]


def test_a_check_that_breaks_is_a_finding_and_the_others_are_made() -> None:
    def fail() -> Seen:
        raise ZeroDivisionError("oh")

    broken, other = examine((Check("a", fail, (NETNS,)), Check("b", lambda: Seen.ok("works"))))
    assert broken.state is State.LACKS
    assert "ZeroDivisionError: oh" in broken.said
    assert broken.fix
    assert other.state is State.OK


def test_where_nothing_is_in_the_way_everything_works() -> None:
    found = conclude([finding("a", State.OK, *Ability), finding("b", State.WARNING, *Ability)])
    assert found.works == tuple(Ability)
    assert found.sentence == (
        "`natless demo`, `natless demo --network docker` and `docker compose up` work on this"
        " machine."
    )
    assert found.next_steps == ("natless demo",)


def test_without_docker_the_demo_works() -> None:
    found = conclude([finding("engine", State.LACKS, DOCKER, COMPOSE)])
    assert found.works == (Ability.DEMO, NETNS)
    assert found.sentence == (
        "`natless demo` works on this machine; `natless demo --network docker` and"
        " `docker compose up` do not: engine: engine was seen."
    )


def test_without_namespaces_the_demo_works_on_docker() -> None:
    found = conclude([finding("a", State.LACKS, NETNS), finding("b", State.LACKS)])
    assert found.works == (Ability.DEMO, DOCKER, COMPOSE)
    assert found.sentence == (
        "`natless demo` and `docker compose up` work on this machine;"
        " `natless demo --network netns` does not: a: a was seen."
    )
    assert found.next_steps == ("natless demo",)


def test_with_compose_alone_that_is_what_to_type() -> None:
    found = conclude([finding("a", State.LACKS, NETNS), finding("b", State.LACKS, DOCKER)])
    assert found.works == (COMPOSE,)
    assert found.sentence == (
        "`docker compose up` works on this machine; `natless demo` does not: a: a was seen; b: b"
        " was seen."
    )
    assert found.next_steps == ("docker compose up",)


def test_what_could_not_be_tried_counts_as_not_working_and_its_cause_is_told() -> None:
    found = conclude(
        [finding("skipped", State.SKIPPED, NETNS), finding("cause", State.LACKS, NETNS)]
    )
    assert NETNS not in found.works
    assert "cause was seen" in found.sentence
    assert "skipped" not in found.sentence
    assert NETNS not in conclude([finding("skipped", State.SKIPPED, NETNS)]).works


def test_where_nothing_works_the_fix_comes_first_and_then_the_doctor_again() -> None:
    found = conclude([finding("a", State.LACKS, *Ability)])
    assert found.works == ()
    assert found.sentence == (
        "Neither `natless demo` nor `docker compose up` works on this machine yet: a: a was seen."
    )
    assert found.next_steps == ("mend a", "natless doctor")


@pytest.mark.parametrize("ability", [NETNS, DOCKER, COMPOSE])
def test_every_ability_needs_something(ability: Ability) -> None:
    assert [check.name for check in CHECKS if ability in check.needed_for]


def test_names_are_unique() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
