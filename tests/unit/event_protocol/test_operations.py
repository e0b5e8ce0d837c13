from __future__ import annotations

import pytest

from event_protocol.frames import Publish, Subscribe
from event_protocol.limits import Limits
from event_protocol.operations import Publications, Subscriptions, Violation
from event_protocol.states import (
    SUBSCRIPTION,
    PublicationEvent,
    SubscriptionEvent,
    SubscriptionState,
)

S, E = SubscriptionState, SubscriptionEvent

WAY = {
    S.UNUSED: (),
    S.REQUESTED: (E.SUBSCRIBE,),
    S.WITHDRAWN: (E.SUBSCRIBE, E.UNSUBSCRIBE),
    S.ACKED: (E.SUBSCRIBE, E.SUBSCRIBE_SUCCESS),
    S.LIVE: (E.SUBSCRIBE, E.SUBSCRIBE_SUCCESS, E.DATA),
    S.ENDING: (E.SUBSCRIBE, E.SUBSCRIBE_SUCCESS, E.UNSUBSCRIBE),
}
"""How each state is reached."""


def act(subscriptions, event):
    if event is E.SUBSCRIBE:
        subscriptions.begin(Subscribe("a", "/a"))
    elif event is E.UNSUBSCRIBE:
        subscriptions.withdraw("a")
    else:
        subscriptions.move("a", event)


def in_state(state):
    subscriptions = Subscriptions(Limits())
    for event in WAY[state]:
        act(subscriptions, event)
    return subscriptions


def state_of(subscriptions):
    return subscriptions["a"].state if "a" in subscriptions else S.UNUSED


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_a_subscription_moves_as_its_table_says_and_no_other_way(state, event):
    subscriptions = in_state(state)
    assert state_of(subscriptions) is state
    expected = SUBSCRIPTION.get((state, event))
    if expected is None:
        with pytest.raises(Violation):
            act(subscriptions, event)
        expected = state
    else:
        act(subscriptions, event)
    assert state_of(subscriptions) is expected


def test_a_subscription_keeps_its_channel_as_it_was_sent():
    subscriptions = Subscriptions(Limits())
    subscriptions.begin(Subscribe("a", "news/"))
    subscriptions.move("a", E.SUBSCRIBE_SUCCESS)
    assert subscriptions["a"].channel == "news/"


def test_an_id_in_use_is_a_duplicated_operation():
    subscriptions = in_state(S.LIVE)
    with pytest.raises(Violation) as caught:
        subscriptions.begin(Subscribe("a", "/other"))
    assert caught.value.error_type == "DuplicatedOperationError"
    assert (subscriptions["a"].channel, subscriptions["a"].state) == ("/a", S.LIVE)


@pytest.mark.parametrize("state", [S.UNUSED, S.WITHDRAWN, S.ENDING])
def test_an_id_that_does_not_run_is_an_unknown_operation(state):
    with pytest.raises(Violation, match="Unknown operation id a") as caught:
        in_state(state).withdraw("a")
    assert caught.value.error_type == "UnknownOperationError"


def test_one_subscription_too_many_is_refused_until_another_ends():
    subscriptions = Subscriptions(Limits(subscriptions_per_connection=2))
    subscriptions.begin(Subscribe("a", "/a"))
    subscriptions.begin(Subscribe("b", "/a"))
    with pytest.raises(Violation, match="limit of 2") as caught:
        subscriptions.begin(Subscribe("c", "/a"))
    assert caught.value.error_type == "MaxSubscriptionsReachedError"
    subscriptions.move("a", E.SUBSCRIBE_ERROR)
    subscriptions.begin(Subscribe("c", "/a"))
    assert list(subscriptions) == ["b", "c"]
    assert len(subscriptions) == 2


def test_a_publication_is_forgotten_when_it_is_answered():
    publications = Publications(Limits())
    publications.begin(Publish("p", "/a", ("1",)))
    assert "p" in publications
    publications.answer("p", PublicationEvent.PUBLISH_SUCCESS)
    assert "p" not in publications
    assert len(publications) == 0


@pytest.mark.parametrize(
    "event", [e for e in PublicationEvent if e is not PublicationEvent.PUBLISH]
)
def test_a_publication_that_nobody_made_cannot_be_answered(event):
    with pytest.raises(Violation, match="not legal while the publication is unused"):
        Publications(Limits()).answer("p", event)


def test_two_publications_with_one_id_need_two_answers():
    publications = Publications(Limits())
    for _ in range(2):
        publications.begin(Publish("p", "/a", ("1",)))
    publications.answer("p", PublicationEvent.PUBLISH_SUCCESS)
    assert len(publications) == 1
    publications.answer("p", PublicationEvent.PUBLISH_ERROR)
    assert len(publications) == 0
    with pytest.raises(Violation):
        publications.answer("p", PublicationEvent.PUBLISH_ERROR)


def test_six_events_are_refused_in_the_words_that_aws_uses_on_a_websocket():
    publications = Publications(Limits())
    publications.begin(Publish("p", "/a", ("1",) * 5))
    with pytest.raises(Violation, match=r"^input exceeded 5 event limit$") as caught:
        publications.begin(Publish("q", "/a", ("1",) * 6))
    assert caught.value.error_type == "InvalidInputError"
    assert "q" not in publications


def test_only_so_many_publications_may_wait():
    publications = Publications(Limits(publishes_in_flight=1))
    publications.begin(Publish("p", "/a", ("1",)))
    with pytest.raises(Violation, match="Rate limit exceeded") as caught:
        publications.begin(Publish("q", "/a", ("1",)))
    assert caught.value.error_type == "LimitExceededError"
