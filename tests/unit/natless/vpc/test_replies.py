import pytest
from dnslib import QTYPE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from natless.vpc.model import Api, DnsMode, DnsView, Endpoint, Topology
from natless.vpc.replies import decide_reply
from natless.vpc.topologies import find
from natless.vpc.zone import Record, Zone, render_zone

API = Api(label="abcdefghijklmnopqrstuvwxyz", region="us-east-1")
OTHER = Api(label="zyxwvutsrqponmlkjihgfedcba", region="us-east-1")


def make_topology(**changes):
    return Topology(name="x", title="x", purpose="x", promise=find("nat").promise, **changes)


def ask(zone, name, kind="A"):
    reply = decide_reply(DNSRecord.question(name, kind).pack(), zone=zone)
    assert reply.packet is not None
    return DNSRecord.parse(reply.packet), reply


@pytest.mark.parametrize("name", ["no-vpc", "nat", "no-nat"])
@pytest.mark.parametrize("host", [API.http_host, API.realtime_host, API.control_host])
def test_the_names_of_the_api_mean_the_relay(name, host):
    answer, reply = ask(render_zone(find(name), api=API), host)
    assert [str(each.rdata) for each in answer.rr] == ["198.51.100.10"]
    assert reply.addresses == ("198.51.100.10",)
    assert (reply.kind, reply.rcode) == ("A", "NOERROR")


@pytest.mark.parametrize("host", [OTHER.http_host, OTHER.realtime_host])
def test_an_api_that_the_control_plane_made_is_found_as_well(host):
    assert ask(render_zone(find("nat"), api=API), host)[1].addresses == ("198.51.100.10",)


def test_nobody_else_has_a_name():
    for host in ("x." + OTHER.http_host, "example.com", "appsync-api.us-east-1.amazonaws.com", "."):
        answer, reply = ask(render_zone(find("nat"), api=API), host)
        assert (reply.rcode, answer.header.rcode, answer.rr) == ("NXDOMAIN", 3, [])


@pytest.mark.parametrize("api", [API, OTHER])
def test_private_dns_takes_over_the_names_of_all_apis_of_the_region(api):
    zone = render_zone(find("endpoint"), api=API)
    for host in (api.http_host, api.realtime_host):
        assert ask(zone, host)[1].addresses == ("10.0.9.10",)


def test_private_dns_leaves_the_control_plane_alone():
    zone = render_zone(find("endpoint"), api=API)
    assert ask(zone, API.control_host)[1].addresses == ("198.51.100.10",)


def test_an_endpoint_without_private_dns_leaves_the_names_alone():
    zone = render_zone(make_topology(endpoint=Endpoint(private_dns=False)), api=API)
    assert ask(zone, API.http_host)[1].addresses == ("198.51.100.10",)


@pytest.mark.parametrize("kind", ["AAAA", "HTTPS", "TXT", "CNAME"])
def test_a_name_without_such_a_record_has_an_empty_answer(kind):
    answer, reply = ask(render_zone(find("nat"), api=API), API.http_host, kind)
    assert (answer.header.rcode, answer.rr, reply.kind) == (0, [], kind)


def test_a_view_of_ipv6_only_has_no_a_record():
    zone = render_zone(make_topology(dns=DnsView(ipv4=False, ipv6=True)), api=API)
    assert ask(zone, API.http_host, "A")[1].addresses == ()
    answer, _ = ask(zone, API.http_host, "AAAA")
    assert [str(each.rdata) for each in answer.rr] == ["2001:db8:100::10"]


def test_letter_case_does_not_matter_and_comes_back_as_asked():
    asked = API.http_host.upper()
    answer, _ = ask(render_zone(find("nat"), api=API), asked)
    assert str(answer.q.qname) == str(answer.rr[0].rname) == f"{asked}."


@pytest.mark.parametrize(
    ("mode", "rcode"),
    [(DnsMode.NXDOMAIN, 3), (DnsMode.SERVFAIL, 2), (DnsMode.REFUSED, 5)],
)
def test_a_resolver_that_refuses_says_so_for_every_name(mode, rcode):
    zone = render_zone(make_topology(dns=DnsView(mode)), api=API)
    answer, reply = ask(zone, API.http_host)
    assert (answer.header.rcode, answer.rr, reply.rcode) == (rcode, [], mode.name)


def test_a_silent_resolver_says_nothing_and_still_tells_what_was_asked():
    zone = render_zone(make_topology(dns=DnsView(DnsMode.SILENT)), api=API)
    reply = decide_reply(DNSRecord.question(API.http_host).pack(), zone=zone)
    assert reply.packet is None
    assert reply.name == f"{API.http_host}."


def test_an_answer_belongs_to_its_question():
    query = DNSRecord.question(API.http_host)
    reply = decide_reply(query.pack(), zone=render_zone(find("nat"), api=API))
    answer = DNSRecord.parse(reply.packet)
    assert answer.header.id == query.header.id
    assert answer.header.qr == answer.header.ra == 1
    assert answer.q.qtype == QTYPE.A


def test_an_answer_is_not_answered():
    zone = render_zone(find("nat"), api=API)
    packet = decide_reply(DNSRecord.question(API.http_host).pack(), zone=zone).packet
    assert decide_reply(packet, zone=zone).packet is None


@given(st.binary(max_size=600))
def test_garbage_meets_silence_or_an_answer_and_never_an_exception(packet):
    decide_reply(packet, zone=Zone(records=(Record("*.a", ("192.0.2.1",)),)))


@given(st.binary(max_size=60))
def test_a_query_with_garbage_at_its_end_is_survived(rest):
    query = DNSRecord.question(API.http_host).pack()
    decide_reply(query[:-20] + rest, zone=render_zone(find("nat"), api=API))
