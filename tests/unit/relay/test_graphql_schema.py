from __future__ import annotations

import pytest

from relay.graphql_schema import (
    Publication,
    RequestIllegal,
    perform,
    read_request,
    subscribe,
)


def do(query, **variables):
    return perform(read_request({"query": query, "variables": variables or None}))


def selection(query, **variables):
    return subscribe(read_request({"query": query, "variables": variables or None}))


def messages(outcome) -> list[str]:
    assert outcome.answer["data"] is None
    return [error["message"] for error in outcome.answer["errors"]]


PUBLISH = 'mutation P($d: AWSJSON!) { publish(name: "x", data: $d) { name data } }'


def test_a_mutation_echoes_its_arguments_and_is_a_publication():
    outcome = do(PUBLISH, d='{"a": 1}')
    assert outcome.answer == {"data": {"publish": {"name": "x", "data": '{"a": 1}'}}}
    (published,) = outcome.publications
    assert (published.name, published.data) == ("x", '{"a": 1}')
    assert published.selected == {"name", "data"}


def test_what_a_mutation_selects_is_known_through_aliases_fragments_and_conditions():
    outcome = do(
        'mutation { a: publish(name: "x", data: "1") { ...F } '
        'b: publish(name: "y", data: "2") { n: name data @skip(if: true) } '
        'c: publish(name: "z", data: "3") { __typename } } '
        "fragment F on Channel { d: data }"
    )
    assert [(p.name, p.selected) for p in outcome.publications] == [
        ("x", {"data"}),
        ("y", {"name"}),
        ("z", set()),
    ]
    assert outcome.answer["data"] == {
        "a": {"d": "1"},
        "b": {"n": "y"},
        "c": {"__typename": "Channel"},
    }


def test_a_subscriber_sees_only_what_the_mutation_selected():
    chosen = selection('subscription { subscribe(name: "x") { name data __typename } }')
    everything = Publication("x", "1", {"name", "data"})
    assert chosen.fill(everything) == {
        "data": {"subscribe": {"name": "x", "data": "1", "__typename": "Channel"}}
    }
    only_name = Publication("x", "1", {"name"})
    assert chosen.fill(only_name)["data"]["subscribe"]["data"] is None
    assert chosen.fill(Publication("x", "1"))["data"]["subscribe"]["name"] is None


def test_a_subscriber_gets_only_what_it_asked_for_under_its_own_names():
    chosen = selection(
        "subscription S($n: String!) { c: subscribe(name: $n) { ...F } } "
        "fragment F on Channel { d: data }",
        n="room",
    )
    assert chosen.name == "room"
    assert chosen.fill(Publication("room", "1", {"name", "data"})) == {"data": {"c": {"d": "1"}}}


def test_a_name_that_looks_like_a_mark_is_only_a_name():
    chosen = selection("subscription S($n: String!) { subscribe(name: $n) { name } }", n="\0data")
    assert chosen.name == "\0data"
    assert chosen.fields == (("name", "name"),)


def test_selections_that_are_alike_are_equal():
    query = 'subscription { subscribe(name: "x") { name } }'
    assert selection(query) == selection(query)
    assert hash(selection(query)) == hash(selection(query))


def test_the_filler_query_and_introspection_work():
    assert do("{ getChannel { name } }").answer == {"data": {"getChannel": None}}
    answer = do("{ __schema { mutationType { name } } }").answer
    assert answer == {"data": {"__schema": {"mutationType": {"name": "Mutation"}}}}


@pytest.mark.parametrize("value", ["{", "", "NaN,", {"a": 1}, 1, None, "[" * 50_000])
def test_data_must_be_a_string_that_holds_json(value):
    outcome = perform(read_request({"query": PUBLISH, "variables": {"d": value}}))
    assert messages(outcome)
    assert list(outcome.publications) == []


@pytest.mark.parametrize("literal", ['"{"', "{a: 1}", "1", "true"])
def test_a_literal_must_be_a_string_that_holds_json(literal):
    assert messages(do(f'mutation {{ publish(name: "x", data: {literal}) {{ name }} }}'))


def test_an_invalid_query_has_no_data_and_says_where():
    outcome = do("{ getChannel { nothing } }")
    (error,) = outcome.answer["errors"]
    assert error["locations"] == [{"line": 1, "column": 16, "sourceName": None}]
    assert "nothing" in error["message"]


def test_one_operation_of_several_must_be_named():
    query = 'query A { getChannel { name } } mutation B { publish(name: "x", data: "1") { name } }'
    assert messages(perform(read_request({"query": query})))
    named = read_request({"query": query, "operationName": "B"})
    assert named.kind == "mutation"
    assert len(perform(named).publications) == 1
    assert messages(perform(read_request({"query": query, "operationName": "C"})))


def test_a_subscription_is_not_performed():
    assert messages(do('subscription { subscribe(name: "x") { name } }'))


@pytest.mark.parametrize(
    "query",
    [
        "subscription { __typename }",
        "subscription { subscribe { name } }",
        "subscription { subscribe(name: 1) { name } }",
        'subscription { subscribe(name: "x") { nothing } }',
        'subscription { a: subscribe(name: "x") { name } b: subscribe(name: "y") { name } }',
        'subscription { subscribe(name: "x") { name } } fragment F on Channel { name }',
        "subscription S($n: String!) { subscribe(name: $n) { name } }",
    ],
)
def test_a_subscription_that_is_none_is_refused(query):
    with pytest.raises(RequestIllegal):
        selection(query)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"query": 1},
        {"query": ""},
        {"query": "{"},
        {"query": "{" * 50_000},
        {"query": "# " + "x" * 70_000},
        {"query": "{a}", "variables": []},
        {"query": "{a}", "operationName": 1},
        {"query": "{" + "getChannel{name} " * 300 + "}"},
    ],
)
def test_a_request_that_is_none_is_refused(document):
    with pytest.raises(RequestIllegal):
        read_request(document)


def test_introspection_cannot_be_made_to_explode():
    levels = 12
    query = (
        "{ __schema { types { " + "fields { type { " * levels + "name" + " } }" * levels + " } } }"
    )
    assert "depth" in messages(do(query))[0]


def test_fragments_cannot_be_made_to_explode():
    fragments = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
    query = "{ ...F0 } " + fragments + " fragment F60 on Query { getChannel { name } }"
    assert do(query).answer == {"data": {"getChannel": None}}
