import sys

import pytest

from natless.vpc.model import Action
from natless.vpc.nft import render_expressions
from natless.vpc.rules import PacketRule


def plain(rule):
    """The expressions as (name, {attribute: value}) without netlink's prefixes."""
    found = []
    for expression in render_expressions(rule):
        (_, name), (_, data) = expression["attrs"]
        prefix = f"NFTA_{name.upper()}_"
        fields = {key.removeprefix(prefix).lower(): unwrap(each) for key, each in data["attrs"]}
        found.append((name, fields))
    return found


def unwrap(value):
    while isinstance(value, dict):
        ((_, value),) = value["attrs"]
    return value


ACCEPT = ("immediate", {"dreg": 0, "data": 1})
DROP = ("immediate", {"dreg": 0, "data": 0})
COUNTER = ("counter", {"bytes": 0, "packets": 0})
IS_IPV4 = [("meta", {"key": 15, "dreg": 1}), ("cmp", {"sreg": 1, "op": 0, "data": b"\x02"})]


def test_a_rule_without_conditions_only_counts_and_decides():
    assert plain(PacketRule("x", Action.DROP)) == [COUNTER, DROP]
    assert plain(PacketRule("x", Action.ACCEPT)) == [COUNTER, ACCEPT]


@pytest.mark.parametrize(
    ("field", "offset", "op"),
    [("source", 12, 0), ("destination", 16, 0), ("not_destination", 16, 1)],
)
def test_an_address_is_masked_and_compared(field, offset, op):
    assert plain(PacketRule("x", **{field: "10.0.1.0/24"})) == [
        *IS_IPV4,
        ("payload", {"dreg": 1, "base": 1, "offset": offset, "len": 4}),
        ("bitwise", {"sreg": 1, "dreg": 1, "len": 4, "mask": b"\xff\xff\xff\0", "xor": bytes(4)}),
        ("cmp", {"sreg": 1, "op": op, "data": b"\x0a\0\x01\0"}),
        COUNTER,
        ACCEPT,
    ]


@pytest.mark.parametrize(("field", "offset"), [("source", 8), ("destination", 24)])
def test_an_ipv6_address_is_elsewhere_and_longer(field, offset):
    mask = b"\xff" * 8 + bytes(8)
    assert plain(PacketRule("x", **{field: "2001:db8:1::/64"})) == [
        ("meta", {"key": 15, "dreg": 1}),
        ("cmp", {"sreg": 1, "op": 0, "data": b"\x0a"}),
        ("payload", {"dreg": 1, "base": 1, "offset": offset, "len": 16}),
        ("bitwise", {"sreg": 1, "dreg": 1, "len": 16, "mask": mask, "xor": bytes(16)}),
        ("cmp", {"sreg": 1, "op": 0, "data": bytes.fromhex("20010db80001") + bytes(10)}),
        COUNTER,
        ACCEPT,
    ]


def test_a_stray_packet_is_one_that_does_not_open_a_connection():
    assert plain(PacketRule("x", protocol="tcp", is_stray=True))[2:5] == [
        ("payload", {"dreg": 1, "base": 2, "offset": 13, "len": 1}),
        ("bitwise", {"sreg": 1, "dreg": 1, "len": 1, "mask": b"\x17", "xor": b"\0"}),
        ("cmp", {"sreg": 1, "op": 1, "data": b"\x02"}),
    ]


@pytest.mark.parametrize(("field", "offset"), [("source_port", 0), ("destination_port", 2)])
@pytest.mark.parametrize(("protocol", "number"), [("tcp", 6), ("udp", 17)])
def test_a_port_is_compared_after_its_protocol(field, offset, protocol, number):
    assert plain(PacketRule("x", protocol=protocol, **{field: 443})) == [
        ("meta", {"key": 16, "dreg": 1}),
        ("cmp", {"sreg": 1, "op": 0, "data": bytes((number,))}),
        ("payload", {"dreg": 1, "base": 2, "offset": offset, "len": 2}),
        ("cmp", {"sreg": 1, "op": 0, "data": b"\x01\xbb"}),
        COUNTER,
        ACCEPT,
    ]


def test_running_connections_are_known_by_two_bits():
    mask = (6).to_bytes(4, sys.byteorder)
    assert plain(PacketRule("x", is_established=True)) == [
        ("ct", {"key": 0, "dreg": 1}),
        ("bitwise", {"sreg": 1, "dreg": 1, "len": 4, "mask": mask, "xor": bytes(4)}),
        ("cmp", {"sreg": 1, "op": 1, "data": bytes(4)}),
        COUNTER,
        ACCEPT,
    ]


def test_a_length_is_compared_in_network_order():
    assert plain(PacketRule("x", Action.DROP, longer_than=100))[:3] == [
        ("meta", {"key": 0, "dreg": 1}),
        ("byteorder", {"sreg": 1, "dreg": 1, "op": 1, "len": 4, "size": 4}),
        ("cmp", {"sreg": 1, "op": 4, "data": b"\0\0\0\x64"}),
    ]


@pytest.mark.parametrize(
    ("action", "kind", "code"),
    [
        (Action.RESET, 1, 0),
        (Action.NET_UNREACHABLE, 2, 0),
        (Action.PORT_UNREACHABLE, 2, 1),
        (Action.HOST_UNREACHABLE, 2, 2),
        (Action.ADMIN_PROHIBITED, 2, 3),
    ],
)
def test_a_rejection_says_why(action, kind, code):
    assert plain(PacketRule("x", action))[-1] == ("reject", {"type": kind, "icmp_code": code})


def test_a_translation_loads_the_new_source():
    assert plain(PacketRule("x", source_becomes="198.51.100.2"))[-2:] == [
        ("immediate", {"dreg": 1, "data": b"\xc6\x33\x64\x02"}),
        ("nat", {"type": 0, "family": 2, "reg_addr_min": 1}),
    ]
