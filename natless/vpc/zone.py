"""What names mean in a topology, as a resolver knows it. Pure.

The VPC resolver answers for the names of AppSync in one region, of which the relay serves all APIs
there are, for the custom domain of our Event API, and knows nothing else: the lab has no other
hosts. With an interface endpoint that has private DNS, the names of *all* AppSync APIs of the
region mean the endpoint (AWS AppSync developer guide, using-private-apis).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from natless.vpc.model import ADDRESSES, CUSTOM_DOMAIN, Addresses, Api, DnsMode, Topology


@dataclass(frozen=True, slots=True)
class Record:
    """One name, or all names with one more label when it starts with ``*.``, and its addresses."""

    pattern: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Whether ``name`` (lower case, no dot at its end) is meant."""
        if not self.pattern.startswith("*."):
            return name == self.pattern
        label, _, rest = name.partition(".")
        return bool(label) and rest == self.pattern[2:]


@dataclass(frozen=True, slots=True)
class Zone:
    """Everything that a resolver knows, and how it behaves."""

    mode: DnsMode = DnsMode.ANSWER
    records: tuple[Record, ...] = ()

    def find(self, name: str) -> Record | None:
        """The first record that covers a name; letter case and the last dot do not matter."""
        plain = name.rstrip(".").lower()
        return next((record for record in self.records if record.covers(plain)), None)


def render_zone(topology: Topology, *, api: Api, addresses: Addresses = ADDRESSES) -> Zone:
    """What the resolver knows in a topology."""
    view = topology.dns
    ipv6 = (addresses.relay_ipv6,) if view.ipv6 else ()
    public = (addresses.internet.address,) if view.ipv4 else ()
    every_api = [
        f"*.{host.lower().partition('.')[2]}" for host in (api.http_host, api.realtime_host)
    ]
    names = (*every_api, api.control_host.lower(), CUSTOM_DOMAIN)
    records = [Record(name, public, ipv6) for name in names]
    if topology.endpoint is not None and topology.endpoint.private_dns:
        private = (addresses.endpoint.address,) if view.ipv4 else ()
        records = [Record(name, private) for name in every_api] + records
    return Zone(view.mode, tuple(records))


def decode_zone(raw: Mapping[str, Any]) -> Zone:
    """The zone behind its JSON, which is that of its fields.

    Raises:
        KeyError: a field is missing.
        ValueError: there is no such mode.
    """
    return Zone(
        DnsMode(raw["mode"]),
        tuple(
            Record(each["pattern"], tuple(each["ipv4"]), tuple(each["ipv6"]))
            for each in raw["records"]
        ),
    )
