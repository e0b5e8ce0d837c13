"""Every cause on the evidence that it is for, and that all of them together leave nothing out."""

import importlib
import pkgutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import natless.explain.causes
from event_protocol.phases import Outcome, Phase, Strategy
from natless.explain import Certainty, Dropper, Hop, NetworkFacts, explain
from natless.explain.causes import CAUSES, endpoint_silent, syn_unanswered, unknown
from natless.measure import CallerResult
from tests.unit.natless.explain.calls import INSIDE, PUBLIC, answered_call, evidence, failed_call

O, P = Outcome, Phase  # noqa: E741  a table of these is to be read at a glance

NO_WAY_OUT = NetworkFacts(in_vpc=True, has_way_out=False, dropper=Dropper.ROUTE_TABLE)
VPC = NetworkFacts(in_vpc=True)
IN_ENDPOINT = NetworkFacts(in_vpc=True, endpoint_address=INSIDE, private_dns=True)
SLOW, AT_ONCE = {"seconds": 3.0}, {"seconds": 0.001}
AT_INSIDE = {"address": INSIDE}

TABLE = [
    # phase, outcome, more of the call, network; and then cause, hop, how sure
    (P.RESOLVE, O.NAME_NOT_FOUND, AT_ONCE, VPC, "dns-no-such-name", Hop.RESOLVER, "alike"),
    (P.RESOLVE, O.NAME_TIMEOUT, SLOW, VPC, "dns-silent", Hop.RESOLVER, "alike"),
    (P.RESOLVE, O.TIMEOUT, SLOW, VPC, "dns-silent", Hop.RESOLVER, "alike"),
    (P.RESOLVE, O.NAME_TIMEOUT, AT_ONCE, VPC, "dns-failing", Hop.RESOLVER, "alike"),
    (P.CONNECT, O.TIMEOUT, SLOW, NO_WAY_OUT, "no-route-out", Hop.ROUTER, "proven"),
    (P.CONNECT, O.TIMEOUT, SLOW, NetworkFacts(in_vpc=True, has_way_out=False), "no-route-out",
     Hop.ROUTER, "proven"),
    (P.CONNECT, O.TIMEOUT, SLOW, VPC, "syn-unanswered", Hop.ROUTER, "alike"),
    (P.CONNECT, O.TIMEOUT, SLOW, NetworkFacts(), "syn-unanswered", Hop.ROUTER, "alike"),
    (P.CONNECT, O.TIMEOUT, SLOW, NetworkFacts(in_vpc=False), "syn-unanswered", Hop.CHANNEL,
     "alike"),
    (P.CONNECT, O.TIMEOUT, AT_INSIDE, VPC, "endpoint-sg", Hop.ENDPOINT, "likely"),
    (P.CONNECT, O.REFUSED, AT_ONCE, VPC, "connection-refused", Hop.ROUTER, "alike"),
    (P.CONNECT, O.REFUSED, AT_INSIDE, VPC, "connection-refused", Hop.ENDPOINT, "alike"),
    (P.CONNECT, O.UNREACHABLE, {"address": "2001:db8::1"}, VPC, "ipv6-no-route", Hop.FUNCTION,
     "likely"),
    (P.CONNECT, O.UNREACHABLE, {"address": "2001:db8::1", "errno": 101}, VPC, "ipv6-no-route",
     Hop.FUNCTION, "proven"),
    (P.CONNECT, O.UNREACHABLE, AT_ONCE, VPC, "unreachable", Hop.ROUTER, "alike"),
    (P.TLS, O.TIMEOUT, SLOW, VPC, "firewall-sni", Hop.ROUTER, "likely"),
    (P.TLS, O.TIMEOUT, SLOW, NetworkFacts(dropper=Dropper.FIREWALL), "firewall-sni", Hop.ROUTER,
     "proven"),
    (P.TLS, O.RESET, AT_ONCE, VPC, "firewall-sni", Hop.ROUTER, "likely"),
    (P.TLS, O.CLOSED, AT_ONCE, VPC, "firewall-sni", Hop.ROUTER, "likely"),
    (P.TLS, O.TLS_ERROR, {"message": "self-signed certificate"}, VPC, "certificate", Hop.CHANNEL,
     "alike"),
    (P.TLS, O.TLS_ERROR, {"message": "certificate has expired"} | AT_INSIDE, VPC, "certificate",
     Hop.ENDPOINT, "alike"),
    (P.TLS, O.TLS_ERROR, {"message": "WRONG_VERSION_NUMBER"}, VPC, "tls-protocol", Hop.CHANNEL,
     "alike"),
    (P.TLS, O.TLS_ERROR, AT_INSIDE, VPC, "tls-protocol", Hop.ENDPOINT, "alike"),
    (P.UPGRADE, O.HTTP_ERROR, {"status": 403} | AT_INSIDE, IN_ENDPOINT, "endpoint-captures",
     Hop.ENDPOINT, "proven"),
    (P.UPGRADE, O.HTTP_ERROR, {"status": 404} | AT_INSIDE, VPC, "endpoint-captures", Hop.ENDPOINT,
     "likely"),
    (P.UPGRADE, O.HTTP_ERROR, {"status": 403}, VPC, "authorization-denied", Hop.CHANNEL, "alike"),
    (P.UPGRADE, O.HTTP_ERROR, {"status": 404}, VPC, "http-refused", Hop.CHANNEL, "likely"),
    (P.UPGRADE, O.HTTP_ERROR, {}, VPC, "http-refused", Hop.CHANNEL, "likely"),
    (P.UPGRADE, O.TIMEOUT, SLOW, VPC, "channel-silent", Hop.CHANNEL, "alike"),
    (P.UPGRADE, O.CLOSED, AT_ONCE, VPC, "channel-closed", Hop.CHANNEL, "alike"),
    (P.INIT, O.DENIED, {"error_type": "UnauthorizedException"}, VPC, "authorization-denied",
     Hop.CHANNEL, "alike"),
    (P.INIT, O.TIMEOUT, SLOW, VPC, "channel-silent", Hop.CHANNEL, "alike"),
    (P.SUBSCRIBE, O.DENIED, {"error_type": "UnauthorizedException"}, VPC, "authorization-denied",
     Hop.CHANNEL, "alike"),
    (P.SUBSCRIBE, O.DENIED, {"message": "Namespace not found"}, VPC, "subscribe-refused",
     Hop.CHANNEL, "likely"),
    (P.SUBSCRIBE, O.TIMEOUT, SLOW, VPC, "channel-silent", Hop.CHANNEL, "alike"),
    (P.PROBE, O.TIMEOUT, SLOW | {"budget": "subscribe.live"}, VPC, "subscription-not-live",
     Hop.CHANNEL, "alike"),
    (P.PROBE, O.CLOSED, AT_ONCE, VPC, "channel-closed", Hop.CHANNEL, "alike"),
    (P.PUBLISH, O.DENIED, {"message": "Namespace not found"}, VPC, "publish-refused", Hop.CHANNEL,
     "likely"),
    (P.PUBLISH, O.TIMEOUT, SLOW | {"budget": "publish.answer"}, VPC, "channel-silent", Hop.CHANNEL,
     "alike"),
    (P.PUBLISH, O.TIMEOUT, SLOW | {"budget": "publish.tcp"}, NO_WAY_OUT, "no-route-out", Hop.ROUTER,
     "proven"),
    (P.DELIVER, O.TIMEOUT, SLOW | {"budget": "dev.first"}, VPC, "worker-absent", Hop.WORKER,
     "likely"),
    (P.HANDLE, O.TIMEOUT, SLOW | {"budget": "dev.total"}, VPC, "handler-slow", Hop.HANDLER,
     "likely"),
    (P.DELIVER, O.TIMEOUT, SLOW | {"budget": "dev.known"}, VPC, "worker-absent", Hop.WORKER,
     "likely"),
    (P.HANDLE, O.TIMEOUT, SLOW | {"budget": "dev.silence"}, VPC, "worker-lost", Hop.WORKER,
     "likely"),
    (P.HANDLE, O.CLOSED, AT_ONCE, VPC, "channel-closed", Hop.CHANNEL, "alike"),
    (P.HANDLE, O.RESET, AT_ONCE, VPC, "channel-closed", Hop.CHANNEL, "alike"),
    (P.HANDLE, O.CANCELLED, SLOW, VPC, "deadline", Hop.FUNCTION, "likely"),
]  # fmt: skip


@pytest.mark.parametrize(("phase", "outcome", "more", "network", "cause", "hop", "sure"), TABLE)
def test_each_kind_of_failure_has_its_cause(phase, outcome, more, network, cause, hop, sure):
    verdict = explain(evidence(failed_call(phase, outcome, **more), network=network))
    assert (verdict.cause, verdict.hop, verdict.certainty) == (cause, hop, sure)
    assert verdict.phase is phase
    assert not verdict.works
    assert verdict.next_steps
    assert verdict.evidence


@pytest.mark.parametrize(
    ("dropper", "cause"),
    [
        (Dropper.ROUTE_TABLE, "no-route-out"),
        (Dropper.NAT_GONE, "nat-gone"),
        (Dropper.PUBLIC_SUBNET, "public-subnet"),
        (Dropper.SECURITY_GROUP, "sg-egress"),
        (Dropper.ACL_OUT, "nacl-egress"),
        (Dropper.ACL_RETURN, "nacl-return"),
        (Dropper.FIREWALL, "firewall-drop"),
    ],
)
def test_a_known_dropper_is_named_exactly(dropper, cause):
    call = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    verdict = explain(evidence(call, network=NetworkFacts(in_vpc=True, dropper=dropper)))
    assert (verdict.cause, verdict.certainty, verdict.candidates) == (cause, Certainty.PROVEN, ())


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (["2001:db8::1"], "a NAT gateway would not help"),
        (["2001:db8::1", "198.51.100.10"], "or a NAT gateway for IPv4"),
    ],
)
def test_a_nat_is_advised_for_ipv6_only_when_the_name_has_an_ipv4_address(addresses, words):
    call = failed_call(
        Phase.CONNECT, Outcome.UNREACHABLE, address="2001:db8::1", addresses=addresses
    )
    assert words in explain(evidence(call)).sentence


def test_without_facts_a_silent_syn_names_candidates_and_how_to_tell_them_apart():
    verdict = explain(evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT)))
    assert verdict.candidates[0].cause == "no-route-out"
    assert {"public-subnet", "sg-egress", "nacl-return"} <= {c.cause for c in verdict.candidates}
    assert all(candidate.check for candidate in verdict.candidates)


def test_the_missing_nat_is_told_in_one_sentence():
    call = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    assert explain(evidence(call, network=NO_WAY_OUT)).sentence == (
        "The name resolved to 198.51.100.10, but the SYN got no answer in 3.0 s: the subnet's "
        "route table has no way out. Add a NAT gateway, or run the function outside the VPC in dev."
    )


def test_the_endpoint_is_told_with_what_it_said_and_that_a_nat_does_not_help():
    call = failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, status=403, address=INSIDE)
    sentence = explain(evidence(call, network=IN_ENDPOINT)).sentence
    assert "resolved to 10.0.9.10, inside the VPC" in sentence
    assert "HTTP 403" in sentence
    assert "A NAT alone does not help" in sentence


def test_silence_from_inside_the_vpc_is_no_missing_nat_whatever_the_order_of_causes():
    inside = evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT, address=INSIDE), network=VPC)
    assert syn_unanswered.explain(inside) is None
    assert endpoint_silent.explain(evidence(failed_call(Phase.CONNECT, Outcome.TIMEOUT))) is None


def test_a_cause_that_is_not_proven_does_not_sound_so():
    for network, words in ((IN_ENDPOINT, ": the private DNS"), (VPC, ": most likely the private")):
        call = failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, status=403, address=INSIDE)
        assert words in explain(evidence(call, network=network)).sentence


def test_no_advice_about_a_nat_for_a_function_outside_any_vpc():
    call = failed_call(Phase.CONNECT, Outcome.TIMEOUT)
    verdict = explain(evidence(call, network=NetworkFacts(in_vpc=False)))
    assert not any("NAT" in step for step in verdict.next_steps)


def test_a_publish_of_its_own_says_that_the_socket_stands():
    call = failed_call(
        Phase.PUBLISH, Outcome.TIMEOUT, budget="publish.tcp", host="abc.appsync-api.example"
    )
    sentence = explain(evidence(call, network=NO_WAY_OUT)).sentence
    assert sentence.startswith("The realtime connection stands")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (101, "switched protocols, but not as an Event API does"),
        (302, "captive portals"),
        (400, "did not accept the request"),
        (404, "no such API"),
        (429, "quota"),
        (503, "service itself failed"),
    ],
)
def test_each_status_has_its_meaning(status, words):
    call = failed_call(Phase.UPGRADE, Outcome.HTTP_ERROR, status=status)
    assert words in explain(evidence(call)).sentence


def test_what_the_channel_said_is_in_the_sentence():
    call = failed_call(
        Phase.INIT, Outcome.DENIED, error_type="UnauthorizedException", message="You shall not"
    )
    assert "UnauthorizedException: You shall not" in explain(evidence(call)).sentence


def test_a_run_that_the_worker_answered_works():
    verdict = explain(evidence(answered_call("r1"), answered_call("r2")))
    assert (verdict.cause, verdict.works) == ("works", True)
    assert "all 2 calls, half of them within 10 ms" in verdict.sentence


def test_a_single_call_that_worked_is_one_call():
    assert explain(evidence(answered_call("r1"))).sentence == (
        "The developer's side answered the call in 10 ms."
    )


def failing(*errors: CallerResult):
    records = [answered_call(each.request_id) for each in errors]
    return explain(evidence(*records, results=errors))


def test_an_error_of_the_handler_is_told_with_its_words_and_its_place():
    trace = ("app.py:5 in handler: return charge(event)", "app.py:3 in charge: raise ValueError()")
    error = CallerResult(
        "r1", 0, 1, error_type="ValueError", error_message="no price", error_trace=trace
    )
    verdict = failing(error)
    assert verdict.sentence.endswith("ValueError: no price, at app.py:3 in charge.")
    assert verdict.excerpt == (*trace, "ValueError: no price")


def test_of_several_errors_the_most_frequent_is_told():
    kinds = ["KeyError", "ValueError", "ValueError", "OSError"]
    verdict = failing(
        *(CallerResult(f"r{n}", 0, 1, error_type=kind) for n, kind in enumerate(kinds))
    )
    assert "4 of 4 calls with an error: ValueError (and 2 other kinds)." in verdict.sentence


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Runtime exited with error: exit status 3", "ended the process with status 3"),
        ("Runtime exited without providing a reason", "ended the process with status 0"),
        ("Runtime exited with error: signal: killed", "was ended by a signal (killed)"),
    ],
)
def test_a_handler_that_exits_is_told_how_it_did(message, words):
    error = CallerResult(
        "r1", 0, 1, error_type="Runtime.ExitError", error_message=f"RequestId: r1 Error: {message}"
    )
    verdict = failing(error)
    assert (verdict.cause, verdict.hop, verdict.works) == ("handler-exit", Hop.HANDLER, True)
    assert f"your handler {words} in 1 of 1 calls" in verdict.sentence


def test_a_guest_that_refuses_to_start_is_told_with_its_words():
    said = "NATLESS_BUDGET_CONNECT_TPC is not a budget"
    lost = CallerResult(
        "r1", 0, 1, answered=False, error_type="LiveBridge.ConfigInvalid", error_message=said
    )
    verdict = explain(evidence(results=(lost,)))
    assert (verdict.cause, verdict.hop, verdict.works) == ("guest-refused", Hop.FUNCTION, False)
    assert f"1 of 1 calls got no answer: {said}. Correct that" in verdict.sentence
    assert f"init error LiveBridge.ConfigInvalid: {said}" in verdict.evidence


def test_lost_calls_are_told_with_the_last_line_of_the_log_where_it_is_known():
    lost = CallerResult("r1", 0, 20, answered=False, error_type="Sandbox.Timedout")
    assert "Raise its timeout" in explain(evidence(results=(lost,))).sentence
    last = replace(lost, error_trace=("connect: no answer after 19 s",))
    verdict = explain(evidence(results=(last,)))
    assert verdict.cause == "function-lost"
    assert verdict.sentence.endswith("The last line of its log: connect: no answer after 19 s.")
    assert "the function's log ended with: connect: no answer after 19 s" in verdict.evidence


def test_calls_of_which_the_developer_only_got_a_copy_work():
    notes = ("alike", "alike", "otherwise")
    calls = [
        replace(
            answered_call(f"r{number}"),
            strategy=Strategy.OBSERVE,
            note=f"observed; answered by observe; the developer's side answers the copy {how}",
        )
        for number, how in enumerate(notes)
    ]
    verdict = explain(evidence(*calls))
    assert (verdict.cause, verdict.works) == ("observed", True)
    assert "got a copy of each and answered 2 alike, 1 otherwise." in verdict.sentence
    late = replace(calls[0], note="observed; …; the developer's side has not answered the copy yet")
    assert "answered 1 not in time." in explain(evidence(late)).sentence


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Strategy.RETRY, "2 of them only when the event was published again"),
        (Strategy.ROUTE, "2 of them only by another route"),
        (Strategy.POLL, "2 of them only by polling over HTTPS"),
    ],
)
def test_an_answer_that_came_later_is_an_answer_and_told_as_late(strategy, words):
    late = replace(failed_call(Phase.CONNECT, Outcome.TIMEOUT), strategy=strategy)
    verdict = explain(evidence(late, late, answered_call("r2")))
    assert (verdict.cause, verdict.works) == ("answered-later", True)
    assert f"Your code answered all 3 calls, {words}" in verdict.sentence
    assert "at first, connect: no answer in 3.0 s" in verdict.sentence
    assert verdict.next_steps


def test_a_raising_handler_is_not_blamed_on_the_network():
    results = (CallerResult("r1", 0, 1, error_type="ValueError"), CallerResult("r2", 0, 1))
    verdict = explain(evidence(answered_call("r1"), answered_call("r2"), results=results))
    assert (verdict.cause, verdict.works, verdict.hop) == ("handler-error", True, Hop.HANDLER)
    assert "1 of 2" in verdict.sentence
    assert "ValueError" in verdict.sentence


def test_a_function_that_lambda_ended_is_lost():
    result = CallerResult("r1", 0.0, 20.0, answered=False, error_type="Sandbox.Timedout")
    verdict = explain(evidence(results=(result,)))
    assert (verdict.cause, verdict.hop) == ("function-lost", Hop.FUNCTION)
    assert "after 20.0 s" in verdict.sentence


def test_nothing_measured_is_unknown_and_not_well():
    verdict = explain(evidence())
    assert (verdict.cause, verdict.certainty, verdict.works) == ("unknown", Certainty.OPEN, False)


def test_a_fallback_that_tells_no_phase_is_unknown_with_its_note():
    from dataclasses import replace

    from event_protocol.phases import Strategy

    call = replace(answered_call(), strategy=Strategy.DEPLOYED, note="the channel was known down")
    verdict = explain(evidence(call))
    assert verdict.cause == "unknown"
    assert "the function noted: the channel was known down" in verdict.evidence


@given(
    phase=st.sampled_from(Phase),
    outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.OK]),
    address=st.sampled_from([PUBLIC, INSIDE, "2001:db8::1", ""]),
    status=st.sampled_from([None, 101, 302, 400, 401, 403, 404, 429, 500, 503]),
    seconds=st.sampled_from([0.0, 0.001, 3.0, 900.0]),
    network=st.sampled_from([NetworkFacts(), VPC, NO_WAY_OUT, IN_ENDPOINT]),
)
def test_whatever_fails_gets_a_verdict_that_never_says_that_it_works(
    phase, outcome, address, status, seconds, network
):
    call = failed_call(phase, outcome, address=address, status=status, seconds=seconds)
    verdict = explain(evidence(call, network=network))
    assert not verdict.works
    assert verdict.phase is phase
    assert verdict.sentence
    assert verdict.sentence[0].isupper() or verdict.sentence[0].isdigit()
    assert verdict.next_steps
    assert (verdict.certainty is Certainty.OPEN) == (verdict.cause == "unknown")


def test_every_cause_that_has_a_file_is_asked():
    names = [module.name for module in pkgutil.iter_modules(natless.explain.causes.__path__)]
    modules = [importlib.import_module(f"natless.explain.causes.{name}") for name in names]
    files = {module.explain for module in modules}
    assert files == {*CAUSES, unknown.explain}
    assert len(set(CAUSES)) == len(CAUSES)
