import sys

import pytest

from natless.vpc.routes import find_overlap, parse_routes

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def table(*routes):
    lines = []
    for interface, address, mask in routes:
        numbers = [
            int.from_bytes(bytes(int(part) for part in text.split(".")), sys.byteorder)
            for text in (address, mask)
        ]
        lines.append(f"{interface}\t{numbers[0]:08X}\t00000000\t0001\t0\t0\t0\t{numbers[1]:08X}\t0")
    return HEAD + "\n".join(lines) + "\n"


DEFAULT = ("eth0", "0.0.0.0", "0.0.0.0")
LAN = ("eth0", "192.168.1.0", "255.255.255.0")


def test_routes_are_read_as_the_kernel_prints_them():
    text = (
        HEAD + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    if sys.byteorder == "little":
        assert [(each, str(network)) for each, network in parse_routes(text)] == [
            ("eth0", "0.0.0.0/0"),
            ("eth0", "192.168.1.0/24"),
        ]


def test_a_machine_without_routes_has_no_overlap():
    assert find_overlap("", network="198.51.100.0/24") is None
    assert find_overlap(HEAD, network="198.51.100.0/24") is None


def test_the_default_route_is_no_overlap():
    assert find_overlap(table(DEFAULT, LAN), network="198.51.100.0/24") is None


def test_a_default_route_that_a_vpn_has_split_in_two_is_no_overlap():
    halves = (("tun0", "0.0.0.0", "128.0.0.0"), ("tun0", "128.0.0.0", "128.0.0.0"))
    assert find_overlap(table(DEFAULT, *halves), network="198.51.100.0/24") is None


@pytest.mark.parametrize(
    ("address", "mask", "said"),
    [
        ("198.51.100.0", "255.255.255.0", "198.51.100.0/24 dev vpn0"),
        ("198.51.100.128", "255.255.255.128", "198.51.100.128/25 dev vpn0"),
        ("198.0.0.0", "255.0.0.0", "198.0.0.0/8 dev vpn0"),
        ("198.51.100.10", "255.255.255.255", "198.51.100.10/32 dev vpn0"),
    ],
)
def test_a_real_route_into_the_range_is_named(address, mask, said):
    routes = table(DEFAULT, LAN, ("vpn0", address, mask))
    assert find_overlap(routes, network="198.51.100.0/24") == said
