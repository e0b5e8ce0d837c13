import pytest

from event_protocol.phases import Outcome, Phase
from natless.errors import UsageError
from natless.vpc.model import ADDRESSES, WayOut
from natless.vpc.topologies import TOPOLOGIES, find


def test_the_four_networks_of_the_story_are_there_in_its_order():
    assert list(TOPOLOGIES)[:4] == ["no-vpc", "nat", "no-nat", "endpoint"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no-vpc", "works"),
        ("nat", "works"),
        ("no-nat", "SYN gets no answer"),
        ("endpoint", "endpoint refuses"),
    ],
)
def test_each_promises_what_reports_print(name, text):
    assert find(name).promise.text == text


def test_a_name_is_found_under_itself():
    assert all(find(name).name == name for name in TOPOLOGIES)


@pytest.mark.parametrize(("name", "meant"), [("nonat", "no-nat"), ("no_vpc", "no-vpc")])
def test_a_misspelt_name_is_answered_with_the_close_one(name, meant):
    with pytest.raises(UsageError) as raised:
        find(name)
    assert meant in raised.value.hint
    assert all(each in str(raised.value) for each in TOPOLOGIES)


def test_a_name_like_none_is_answered_with_the_list():
    with pytest.raises(UsageError, match="no-vpc, nat, no-nat, endpoint") as raised:
        find("zzz")
    assert raised.value.hint


def test_those_that_work_have_a_way_out_and_show_whose():
    peers = {find(name).way_out: find(name).promise.peer for name in ("no-vpc", "nat")}
    assert peers == {
        WayOut.LAMBDA_NETWORK: ADDRESSES.lambda_network,
        WayOut.NAT_GATEWAY: ADDRESSES.nat_gateway,
    }
    assert ADDRESSES.lambda_network != ADDRESSES.nat_gateway


def test_without_nat_the_silence_begins_at_the_first_packet():
    promise = find("no-nat").promise
    assert (promise.phase, promise.outcome) == (Phase.CONNECT, Outcome.TIMEOUT)
    assert not promise.is_working


def test_the_endpoint_answers_from_inside_the_vpc():
    promise = find("endpoint").promise
    assert (promise.phase, promise.http_status) == (Phase.UPGRADE, 403)
    assert promise.address == "10.0.9.10"
    assert promise.peer == "10.0.1.10"
