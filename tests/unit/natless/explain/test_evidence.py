import pytest

from event_protocol.phases import InvocationRecord, Outcome, Phase, Span, Strategy
from natless.explain import is_inside, observe_failure
from tests.unit.natless.explain.calls import HOST, PUBLIC, answered_call, evidence, failed_call


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.9.10", True),
        ("172.31.0.1", True),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("198.51.100.10", False),  # stands for the internet in the lab, though IANA reserves it
        ("52.1.2.3", False),
        ("2001:db8::1", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_an_address_is_inside_or_public(address, inside):
    assert is_inside(address) is inside


def test_calls_that_were_answered_have_no_failure():
    assert observe_failure([answered_call()]) is None


def test_the_most_frequent_way_to_fail_is_described():
    silent = [failed_call(Phase.CONNECT, Outcome.TIMEOUT, seconds=s) for s in (3.0, 3.2, 3.1)]
    reset = failed_call(Phase.TLS, Outcome.RESET)
    failure = observe_failure([reset, *silent, answered_call()])
    assert failure is not None
    assert (failure.phase, failure.count, failure.total) == (Phase.CONNECT, 3, 5)
    assert failure.is_partial
    assert failure.seconds == pytest.approx(3.1)


def test_a_failed_upgrade_is_one_to_the_address_that_was_connected_to():
    resolve = Span(Phase.RESOLVE, 0, 1, detail={"host": HOST, "addresses": ["192.0.2.1", PUBLIC]})
    connect = Span(Phase.CONNECT, 1, 2, detail={"address": PUBLIC, "port": 443})
    upgrade = Span(Phase.UPGRADE, 2, 3, Outcome.HTTP_ERROR, detail={"status": 403})
    spans = (resolve, connect, upgrade)
    failure = observe_failure([InvocationRecord("r", "w", True, Strategy.ERROR, 0, 4, spans)])
    assert failure is not None
    assert (failure.host, failure.address, failure.port, failure.status) == (HOST, PUBLIC, 443, 403)
    assert failure.addresses == ("192.0.2.1", PUBLIC)


def test_a_publish_to_another_host_borrows_no_address_of_the_socket():
    failure = observe_failure(
        [failed_call(Phase.PUBLISH, Outcome.TIMEOUT, host="other.example", address="")]
    )
    assert failure is not None
    assert (failure.host, failure.address) == ("other.example", "")


@pytest.mark.parametrize(
    ("outcome", "budget", "step"),
    [
        (Outcome.NAME_NOT_FOUND, "", Phase.RESOLVE),
        (Outcome.REFUSED, "", Phase.CONNECT),
        (Outcome.TLS_ERROR, "", Phase.TLS),
        (Outcome.TIMEOUT, "publish.tcp", Phase.CONNECT),
        (Outcome.TIMEOUT, "publish.tls", Phase.TLS),
        (Outcome.TIMEOUT, "publish.answer", Phase.PUBLISH),
        (Outcome.DENIED, "publish.answer", Phase.PUBLISH),
    ],
)
def test_a_publish_has_network_steps_of_its_own(outcome, budget, step):
    failure = observe_failure([failed_call(Phase.PUBLISH, outcome, budget=budget)])
    assert failure is not None
    assert failure.step is step


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ({"message": "no"}, "no"),
        ({"error_type": "BadRequest", "message": "no"}, "BadRequest: no"),
        ({"error_type": "BadRequest"}, "BadRequest"),
        ({"body": '{"message": "Forbidden"}'}, "Forbidden"),
        ({"body": '{"errors": [{"errorType": "X", "message": "no API"}]}'}, "no API"),
        ({"body": " <html>denied</html> "}, "<html>denied</html>"),
        ({"body": '["odd"]'}, '["odd"]'),
        ({"body": "x" * 1000}, "x" * 300),
        ({}, ""),
    ],
)
def test_what_was_said_is_read_from_wherever_it_stands(detail, message):
    failure = observe_failure([failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, **detail)])
    assert failure is not None
    assert failure.message == message


def test_facts_of_an_unexpected_type_are_left_out():
    odd = {"status": ["403"], "errno": "x", "port": "https", "addresses": 7, "message": {"a": 1}}
    failure = observe_failure([failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, **odd)])
    assert failure is not None
    assert (failure.status, failure.errno, failure.port, failure.addresses) == (None, None, 0, ())
    assert failure.message == "{'a': 1}"


def test_the_total_is_what_either_side_knows():
    assert evidence(answered_call("a"), answered_call("b")).total == 2
