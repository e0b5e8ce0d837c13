"""The catalogue: every topology that can be asked for by name. Adding one is adding one entry."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from event_protocol.phases import Outcome, Phase
from natless.errors import UsageError
from natless.vpc.model import (
    ADDRESSES,
    Endpoint,
    FarSide,
    Promise,
    Topology,
    WayOut,
)

_CATALOGUE = (
    Topology(
        name="no-vpc",
        title="not in a VPC",
        purpose="The function runs in Lambda's own network, which reaches the internet.",
        way_out=WayOut.LAMBDA_NETWORK,
        promise=Promise("works", peer=ADDRESSES.lambda_network, counter="way-out"),
    ),
    Topology(
        name="nat",
        title="private subnet with a NAT gateway",
        purpose="The subnet's default route leads to a NAT gateway in a public subnet.",
        way_out=WayOut.NAT_GATEWAY,
        promise=Promise("works", peer=ADDRESSES.nat_gateway, counter="way-out"),
    ),
    Topology(
        name="no-nat",
        title="private subnet without a NAT gateway",
        purpose=(
            "The subnet's route table has the VPC's local route and nothing else. Names still"
            " resolve, because the VPC resolver answers whatever the routes are, and then the"
            " first packet gets no answer."
        ),
        way_out=WayOut.NONE,
        promise=Promise(
            "SYN gets no answer",
            Phase.CONNECT,
            Outcome.TIMEOUT,
            far_side=FarSide.NOTHING,
            counter="no-way-out",
        ),
    ),
    Topology(
        name="endpoint",
        title="private subnet with an AppSync interface endpoint",
        purpose=(
            "An interface endpoint with private DNS takes over the names of all AppSync APIs of"
            " the region, connects, and refuses: endpoints serve private GraphQL APIs, never an"
            " Event API."
        ),
        way_out=WayOut.NONE,
        endpoint=Endpoint(),
        promise=Promise(
            "endpoint refuses",
            Phase.UPGRADE,
            Outcome.HTTP_ERROR,
            http_status=403,
            address=ADDRESSES.endpoint.address,
            peer=ADDRESSES.function.address,
            counter="endpoint",
        ),
    ),
)

TOPOLOGIES: Mapping[str, Topology] = MappingProxyType({each.name: each for each in _CATALOGUE})
"""By name, in the order in which reports show them."""


def find(name: str) -> Topology:
    """The topology of that name.

    Raises:
        UsageError: there is none; the message lists them all and the hint names a close one.
    """
    if name in TOPOLOGIES:
        return TOPOLOGIES[name]
    close = difflib.get_close_matches(name, TOPOLOGIES, n=1)
    raise UsageError(
        f"there is no topology {name!r}; there are {', '.join(TOPOLOGIES)}",
        hint=f"Did you mean {close[0]!r}?" if close else "Take one of these names.",
    )
