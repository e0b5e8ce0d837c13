import ipaddress

import pytest

from natless.vpc.model import ADDRESSES, LEAVES, Api, Role


def test_the_names_have_the_shape_of_aws():
    api = Api(label="a" * 26, region="eu-west-3")
    assert api.http_host == f"{'a' * 26}.appsync-api.eu-west-3.amazonaws.com"
    assert api.realtime_host == f"{'a' * 26}.appsync-realtime-api.eu-west-3.amazonaws.com"
    assert api.control_host == "appsync.eu-west-3.amazonaws.com"


def test_the_resolver_is_the_base_of_the_vpc_plus_two():
    base = ipaddress.ip_network(ADDRESSES.vpc).network_address
    assert ipaddress.ip_address(ADDRESSES.resolver.address) == base + 2


def test_everybody_but_the_router_has_a_leg():
    assert tuple(ADDRESSES.legs) == LEAVES
    assert Role.ROUTER not in ADDRESSES.legs


@pytest.mark.parametrize("role", LEAVES)
def test_every_address_of_a_leg_is_in_its_network(role):
    leg = ADDRESSES.legs[role]
    network = ipaddress.ip_network(leg.network)
    everyone = (leg.address, *leg.router)
    assert all(ipaddress.ip_address(each) in network for each in everyone)
    assert len(set(everyone)) == len(everyone)


def test_the_internet_is_outside_the_vpc_and_the_rest_is_inside():
    vpc = ipaddress.ip_network(ADDRESSES.vpc)
    inside = {role: ipaddress.ip_network(leg.network) for role, leg in ADDRESSES.legs.items()}
    assert not inside.pop(Role.INTERNET).overlaps(vpc)
    assert all(network.subnet_of(vpc) for network in inside.values())


@pytest.mark.parametrize("forbidden", ["203.0.113.0/24", "192.0.2.0/24"])
def test_the_lab_keeps_off_ranges_that_machines_were_seen_to_use(forbidden):
    network = ipaddress.ip_network(forbidden)
    legs = ADDRESSES.legs.values()
    assert not any(ipaddress.ip_network(leg.network).overlaps(network) for leg in legs)
