import pytest

from natless.vpc.model import Action, Direction, Far, Rule, Topology, WayOut
from natless.vpc.rules import PacketRule, RuleSet, render_rules, render_text
from natless.vpc.topologies import TOPOLOGIES, find


def make_topology(**changes):
    return Topology(name="x", title="x", purpose="x", promise=find("nat").promise, **changes)


def names(rules):
    return [rule.name for rule in rules]


def test_a_private_subnet_without_nat_drops_what_leaves_and_counts_it():
    assert render_text(render_rules(find("no-nat"))) == (
        "add table inet natless\n"
        "delete table inet natless\n"
        "table inet natless {\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter; policy drop;\n"
        '    ip saddr 10.0.1.0/24 ip daddr 10.0.0.2/32 counter accept comment "dns-query"\n'
        '    ip saddr 10.0.0.2/32 ip daddr 10.0.1.0/24 counter accept comment "dns-answer"\n'
        "    ct state established,related ip saddr 10.0.1.0/24 ip daddr 198.51.100.0/24"
        ' counter drop comment "route-lost"\n'
        "    ct state established,related ip saddr 198.51.100.0/24 ip daddr 10.0.1.0/24"
        ' counter drop comment "route-lost-return"\n'
        '    ct state established,related counter accept comment "established"\n'
        "    ip saddr 10.0.1.0/24 ip daddr 198.51.100.0/24 counter drop"
        ' comment "no-way-out"\n'
        '    counter drop comment "unwanted"\n'
        "  }\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        "  }\n"
        "  chain input {\n"
        "    type filter hook input priority filter; policy accept;\n"
        '    ip saddr 198.51.100.0/24 meta l4proto tcp counter drop comment "nat-stray"\n'
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("nat", "198.51.100.2"),
        ("no-vpc", "198.51.100.3"),
        ("nat-replaced", "198.51.100.5"),
    ],
)
def test_a_way_out_translates_the_source_of_what_leaves_the_vpc_only(name, address):
    assert render_rules(find(name)).postrouting == (
        PacketRule(
            "nat", source="10.0.0.0/16", not_destination="10.0.0.0/16", source_becomes=address
        ),
    )


def test_a_public_subnet_lets_packets_out_with_their_private_source():
    rules = render_rules(make_topology(way_out=WayOut.INTERNET_GATEWAY))
    assert "way-out" in names(rules.forward)
    assert rules.postrouting == ()


def test_the_endpoint_is_reached_on_443_and_only_when_there_is_one():
    (rule,) = [each for each in render_rules(find("endpoint")).forward if each.name == "endpoint"]
    assert (rule.destination, rule.protocol, rule.destination_port) == ("10.0.9.10/32", "tcp", 443)
    assert "endpoint" not in names(render_rules(find("no-nat")).forward)


def test_dns_comes_first_then_stateless_then_running_connections_then_stateful():
    drop = Rule(Direction.OUT, Action.DROP)
    rules = render_rules(make_topology(stateless=(drop, drop), stateful=(drop,)))
    assert names(rules.forward) == [
        "dns-query",
        "dns-answer",
        "stateless-0",
        "stateless-1",
        "route-lost",
        "route-lost-return",
        "established",
        "stateful-0",
        "no-way-out",
        "unwanted",
    ]


def test_a_blackhole_ends_running_connections_in_both_directions():
    rules = names(render_rules(find("nat-deleted")).forward)
    assert rules.index("blackhole") < rules.index("established")
    assert rules.index("blackhole-return") < rules.index("established")
    assert render_rules(find("nat-deleted")).postrouting == ()


def test_a_nat_gateway_resets_what_it_does_not_know_before_it_lets_anything_out():
    rules = names(render_rules(find("nat")).forward)
    assert rules.index("established") < rules.index("nat-forgotten") < rules.index("way-out")
    assert "nat-forgotten" not in names(render_rules(find("no-vpc")).forward)
    (rule,) = [each for each in render_rules(find("nat")).forward if each.name == "nat-forgotten"]
    assert render_text(RuleSet(forward=(rule,))).count(
        "meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn counter reject with tcp reset"
    )


def test_a_proxy_has_names_and_a_way_out_with_an_address_of_its_own():
    rules = render_rules(find("egress-proxy"))
    assert {"proxy-dns-query", "proxy-dns-answer", "proxy", "proxy-way-out"} <= set(
        names(rules.forward)
    )
    assert rules.postrouting == (
        PacketRule(
            "proxy-nat",
            source="10.0.8.10/32",
            not_destination="10.0.0.0/16",
            source_becomes="198.51.100.4",
        ),
    )
    assert not {each for each in names(render_rules(find("nat")).forward) if "proxy" in each}


def test_ipv6_is_let_out_and_nobody_translates_it():
    rules = render_rules(find("ipv6-dual-stack"))
    (rule,) = [each for each in rules.forward if each.name == "ipv6-way-out"]
    assert rules.postrouting == ()
    assert "ip6 saddr 2001:db8:1::/64 ip6 daddr 2001:db8:100::/64" in render_text(rules)
    assert rule.destination == "2001:db8:100::/64"
    assert "ipv6-way-out" not in names(render_rules(find("nat")).forward)


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_what_no_rule_wants_is_dropped_and_every_counter_has_its_own_name(topology):
    rules = render_rules(topology)
    assert rules.forward[-1] == PacketRule("unwanted", Action.DROP)
    every = [name for chain in rules.chains.values() for name in names(chain)]
    assert len(every) == len(set(every))


def test_a_rule_for_what_leaves_looks_at_the_destination_port():
    rules = render_rules(make_topology(stateful=(Rule(Direction.OUT, Action.RESET),)))
    (rule,) = [each for each in rules.forward if each.name == "stateful-0"]
    assert (rule.source, rule.destination) == ("10.0.1.0/24", "198.51.100.0/24")
    assert (rule.source_port, rule.destination_port) == (None, 443)


def test_a_rule_for_what_returns_looks_at_the_source_port():
    rules = render_rules(make_topology(stateless=(Rule(Direction.IN, Action.DROP),)))
    (rule,) = [each for each in rules.forward if each.name == "stateless-0"]
    assert (rule.source, rule.destination) == ("198.51.100.0/24", "10.0.1.0/24")
    assert (rule.source_port, rule.destination_port) == (443, None)


@pytest.mark.parametrize(
    ("far", "network"),
    [
        (Far.INTERNET, "198.51.100.0/24"),
        (Far.ENDPOINT, "10.0.9.0/24"),
        (Far.ANYWHERE, None),
    ],
)
def test_a_rule_can_be_about_any_far_end(far, network):
    rules = render_rules(make_topology(stateful=(Rule(Direction.OUT, Action.DROP, far),)))
    (rule,) = [each for each in rules.forward if each.name == "stateful-0"]
    assert rule.destination == network


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action.ACCEPT, "accept"),
        (Action.DROP, "drop"),
        (Action.RESET, "reject with tcp reset"),
        (Action.PORT_UNREACHABLE, "reject with icmpx port-unreachable"),
        (Action.ADMIN_PROHIBITED, "reject with icmpx admin-prohibited"),
        (Action.HOST_UNREACHABLE, "reject with icmpx host-unreachable"),
        (Action.NET_UNREACHABLE, "reject with icmpx no-route"),
    ],
)
def test_every_action_has_its_words(action, words):
    rule = PacketRule("x", action, protocol="tcp", source_port=443, longer_than=100)
    text = render_text(RuleSet(forward=(rule,)))
    wanted = f'meta l4proto tcp th sport 443 meta length > 100 counter {words} comment "x"\n'
    assert wanted in text
