from __future__ import annotations

import json

import pytest

from relay.auth.base import AccessRequest, Operation
from relay.auth.iam_policy import Policies, PolicyError, action_of, resources_of

API = "arn:aws:appsync:us-east-1:000000000000:apis/" + "a" * 26
ORDERS = f"{API}/channelNamespace/orders"


def allow(action, resource, **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action, resource):
    return {"Effect": "Deny", "Action": action, "Resource": resource}


def policies(*statements) -> Policies:
    return Policies.parse([{"Version": "2012-10-17", "Statement": list(statements)}])


def request(operation, path="/event", namespace=None):
    return AccessRequest(operation, {}, api_id="a" * 26, host="h", namespace=namespace, path=path)


def test_nothing_is_allowed_by_default():
    assert not Policies().allow("appsync:EventConnect", [API])


def test_an_exact_action_on_an_exact_resource_is_allowed():
    subject = policies(allow("appsync:EventPublish", ORDERS))
    assert subject.allow("appsync:EventPublish", [ORDERS])
    assert not subject.allow("appsync:EventSubscribe", [ORDERS])
    assert not subject.allow("appsync:EventPublish", [ORDERS + "2"])


def test_an_explicit_deny_wins_wherever_it_stands():
    for statements in (
        [deny("appsync:EventPublish", ORDERS), allow("*", "*")],
        [allow("*", "*"), deny("appsync:EventPublish", ORDERS)],
    ):
        assert not policies(*statements).allow("appsync:EventPublish", [ORDERS])
        assert policies(*statements).allow("appsync:EventSubscribe", [ORDERS])


@pytest.mark.parametrize("action", ["appsync:Event*", "appsync:*", "*", "appsync:eventpublis?"])
def test_actions_take_wildcards_and_any_case(action):
    assert policies(allow(action, "*")).allow("appsync:EventPublish", [ORDERS])


@pytest.mark.parametrize("resource", [f"{API}/*", "arn:aws:appsync:*:*:apis/*", f"{API[:-1]}?/*"])
def test_resources_take_wildcards(resource):
    assert policies(allow("*", resource)).allow("appsync:EventPublish", [ORDERS])


def test_resources_are_case_sensitive():
    assert not policies(allow("*", ORDERS.upper())).allow("appsync:EventPublish", [ORDERS])


def test_other_letters_of_a_pattern_are_literal():
    subject = policies(allow("appsync:Event.ublish", "*"))
    assert not subject.allow("appsync:EventPublish", [ORDERS])


def test_lists_of_actions_and_resources_are_alternatives():
    subject = policies(allow(["x:Y", "appsync:EventPublish"], ["arn:x", ORDERS]))
    assert subject.allow("appsync:EventPublish", [ORDERS])


def test_not_action_and_not_resource_mean_all_others():
    subject = policies(
        {"Effect": "Allow", "NotAction": "appsync:EventConnect", "NotResource": ORDERS}
    )
    assert subject.allow("appsync:EventPublish", [API + "/channelNamespace/other"])
    assert not subject.allow("appsync:EventPublish", [ORDERS])
    assert not subject.allow("appsync:EventConnect", [API])


def test_documents_may_be_json_text_and_add_up():
    texts = [
        json.dumps({"Statement": allow("appsync:EventConnect", "*")}),
        json.dumps({"Statement": [allow("appsync:EventPublish", "*")]}),
    ]
    subject = Policies.parse(texts)
    assert subject.allow("appsync:EventConnect", [API])
    assert subject.allow("appsync:EventPublish", [ORDERS])


def test_allow_all_allows_all():
    assert Policies.allow_all().allow("appsync:EventConnect", [API])


def test_operations_have_their_actions_and_resources():
    found = {
        operation: (
            action_of(request(operation, namespace="orders")),
            resources_of(
                request(operation, namespace="orders"), region="us-east-1", account="0" * 12
            ),
        )
        for operation in Operation
    }
    assert found == {
        Operation.CONNECT: ("appsync:EventConnect", (API, API + "/")),
        Operation.PUBLISH: ("appsync:EventPublish", (ORDERS,)),
        Operation.SUBSCRIBE: ("appsync:EventSubscribe", (ORDERS,)),
    }


def test_the_sample_policy_for_all_operations_covers_connect():
    subject = policies(allow("appsync:Event*", f"{API}/*"))
    where = resources_of(request(Operation.CONNECT), region="us-east-1", account="0" * 12)
    assert subject.allow("appsync:EventConnect", where)


def test_graphql_operations_are_fields_of_a_type():
    def names(operation, path):
        asked = request(operation, path)
        assert action_of(asked) == "appsync:GraphQL"
        return resources_of(asked, region="us-east-1", account="0" * 12)

    assert names(Operation.CONNECT, "/graphql/connect") == (API, API + "/")
    assert names(Operation.SUBSCRIBE, "/graphql") == (f"{API}/types/Subscription/fields/subscribe",)
    assert names(Operation.PUBLISH, "/graphql") == (f"{API}/types/Mutation/fields/publish",)
    assert names(Operation.CONNECT, "/graphql") == (f"{API}/types/Query/fields/getChannel",)


@pytest.mark.parametrize(
    "document",
    [
        "no JSON",
        "[]",
        {},
        {"Statement": "x"},
        {"Statement": ["x"]},
        {"Statement": {"Effect": "Maybe", "Action": "*", "Resource": "*"}},
        {"Statement": {"Effect": "Allow", "Resource": "*"}},
        {"Statement": {"Effect": "Allow", "Action": "*"}},
        {"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}},
        {"Statement": {"Effect": "Allow", "Action": [], "Resource": "*"}},
        {"Statement": {"Effect": "Allow", "Action": [1], "Resource": "*"}},
        {"Statement": {"Effect": "Allow", "Action": 1, "Resource": "*"}},
        {"Statement": allow("*", "*", Principal="*")},
    ],
)
def test_a_document_that_cannot_be_evaluated_is_refused(document):
    with pytest.raises(PolicyError):
        Policies.parse([document])


def test_a_condition_is_refused_because_ignoring_it_would_allow_too_much():
    with pytest.raises(PolicyError, match="Condition"):
        policies(allow("*", "*", Condition={"Bool": {"aws:SecureTransport": "true"}}))
