from ipaddress import ip_address, ip_network

from natless.vpc.docker_seats import (
    NETWORK_OF,
    POWERFUL,
    PROGRAMS_OF,
    Seat,
    gateway_address,
    router_address,
    router_extra_addresses,
)
from natless.vpc.model import ADDRESSES, Role


def test_the_router_ends_up_with_every_address_of_the_model():
    for leg in ADDRESSES.legs.values():
        has = {router_address(leg), *router_extra_addresses(leg)}
        assert set(leg.router) <= has


def test_no_address_is_given_away_twice():
    for leg in ADDRESSES.legs.values():
        taken = [leg.address, router_address(leg), gateway_address(leg)]
        assert len(set(taken)) == 3
        assert all(ip_address(each) in ip_network(leg.network) for each in taken)


def test_nobody_has_the_gateway_of_the_internet():
    internet = ADDRESSES.internet
    assert gateway_address(internet) not in {internet.address, *internet.router}


def test_programs_of_the_function_run_without_powers():
    assert PROGRAMS_OF[Role.FUNCTION] not in POWERFUL
    assert NETWORK_OF[Role.FUNCTION] in POWERFUL
    assert set(NETWORK_OF.values()) | {Seat.FUNCTION} == set(Seat)
