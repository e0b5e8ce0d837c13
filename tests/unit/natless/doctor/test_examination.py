"""What findings mean together."""

from __future__ import annotations

import pytest

from natless.doctor import CHECKS, Ability, Check, Finding, Seen, State, conclude, examine

DEMO, DOCKER_DEMO, COMPOSE = Ability.DEMO, Ability.DOCKER_DEMO, Ability.COMPOSE


def finding(name: str, state: State, *needed_for: Ability) -> Finding:
    return Finding(name, state, f"{name} was seen", f"mend {name}", needed_for)


def test_findings_come_in_order_and_as_they_are_found() -> None:
    tried: list[str] = []

    def check(name: str) -> Check:
        def look() -> Seen:
            tried.append(name)
            return Seen.ok("works")

        return Check(name, look, (DEMO,))

    found = examine((check("a"), check("b")))
    assert next(found) == Finding("a", State.OK, "works", "", (DEMO,))
    assert tried == ["a"]
    assert [each.name for each in found] == ["b"]


def test_a_check_that_breaks_is_a_finding_and_the_others_are_made() -> None:
    def fail() -> Seen:
        raise ZeroDivisionError("oh")

    broken, other = examine((Check("a", fail, (DEMO,)), Check("b", lambda: Seen.ok("works"))))
    assert broken.state is State.LACKS
    assert "ZeroDivisionError: oh" in broken.said
    assert broken.fix
    assert other.state is State.OK


def test_where_nothing_is_in_the_way_everything_works() -> None:
    found = conclude([finding("a", State.OK, *Ability), finding("b", State.WARNING, *Ability)])
    assert found.works == (DEMO, DOCKER_DEMO, COMPOSE)
    assert found.sentence == (
        "`natless demo`, `natless demo --network docker` and `docker compose up` work on this"
        " machine."
    )
    assert found.next_step == "natless demo"


def test_a_lack_takes_only_what_needs_it() -> None:
    found = conclude([finding("a", State.LACKS, DEMO), finding("b", State.LACKS)])
    assert found.works == (DOCKER_DEMO, COMPOSE)
    assert found.sentence == (
        "`natless demo --network docker` and `docker compose up` work on this machine;"
        " `natless demo` does not: a: a was seen."
    )
    assert found.next_step == "natless demo --network docker"


def test_one_reason_is_told_once() -> None:
    found = conclude([finding("engine", State.LACKS, DOCKER_DEMO, COMPOSE)])
    assert found.sentence == (
        "`natless demo` works on this machine; `natless demo --network docker` and"
        " `docker compose up` do not: engine: engine was seen."
    )


def test_what_could_not_be_tried_counts_as_not_working_and_its_cause_is_told() -> None:
    found = conclude([finding("skipped", State.SKIPPED, DEMO), finding("cause", State.LACKS, DEMO)])
    assert DEMO not in found.works
    assert "cause was seen" in found.sentence
    assert "skipped" not in found.sentence
    assert DEMO not in conclude([finding("skipped", State.SKIPPED, DEMO)]).works


def test_where_nothing_works_the_fix_comes_first_and_then_the_doctor_again() -> None:
    found = conclude([finding("a", State.LACKS, *Ability)])
    assert found.works == ()
    assert found.sentence == (
        "Neither `natless demo`, `natless demo --network docker` nor `docker compose up` works on"
        " this machine yet: a: a was seen."
    )
    assert found.next_step == "mend a. Then again: natless doctor"


@pytest.mark.parametrize("ability", Ability)
def test_every_ability_needs_something(ability: Ability) -> None:
    assert [check.name for check in CHECKS if ability in check.needed_for]


def test_names_are_unique() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
