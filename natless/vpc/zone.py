"""What names mean in a topology, and how a resolver would say it. Pure.

The VPC resolver answers for the names of AppSync in one region, of which the relay serves all APIs
there are, and knows nothing else: the lab has no other hosts. With an interface endpoint that has
private DNS, the names of *all* AppSync APIs of the region mean the endpoint (AWS AppSync developer
guide, using-private-apis).
"""

from __future__ import annotations

from dataclasses import dataclass

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord

from natless.vpc.model import ADDRESSES, Addresses, Api, DnsMode, Topology

TTL = 60
"""Seconds that an answer may be kept: short, as a name means something else after a switch."""


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


@dataclass(frozen=True, slots=True)
class Reply:
    """A resolver's decision about one query.

    Attributes:
        packet: the answer, None for silence.
        name: what was asked for, empty when the query could not be read.
        kind: the type asked for, such as ``A``.
        rcode: such as ``NOERROR``; empty for silence.
        addresses: what was answered.
    """

    packet: bytes | None
    name: str = ""
    kind: str = ""
    rcode: str = ""
    addresses: tuple[str, ...] = ()


def render_zone(topology: Topology, *, api: Api, addresses: Addresses = ADDRESSES) -> Zone:
    """What the resolver knows in a topology."""
    view = topology.dns
    ipv6 = (addresses.relay_ipv6,) if view.ipv6 else ()
    public = (addresses.internet.address,) if view.ipv4 else ()
    every_api = [
        f"*.{host.lower().partition('.')[2]}" for host in (api.http_host, api.realtime_host)
    ]
    records = [Record(name, public, ipv6) for name in (*every_api, api.control_host.lower())]
    if topology.endpoint is not None and topology.endpoint.private_dns:
        private = (addresses.endpoint.address,) if view.ipv4 else ()
        records = [Record(name, private) for name in every_api] + records
    return Zone(view.mode, tuple(records))


_RCODES = {
    DnsMode.NXDOMAIN: "NXDOMAIN",
    DnsMode.SERVFAIL: "SERVFAIL",
    DnsMode.REFUSED: "REFUSED",
}


def decide_reply(packet: bytes, *, zone: Zone) -> Reply:
    """What a resolver with this zone does with a query.

    Garbage, and anything that is not a query with exactly one question, meets silence.
    """
    try:
        query = DNSRecord.parse(packet)
    except DNSError:
        return Reply(None)
    if query.header.qr or len(query.questions) != 1:
        return Reply(None)
    name, kind = str(query.q.qname), str(QTYPE.get(query.q.qtype))
    if zone.mode is DnsMode.SILENT:
        return Reply(None, name, kind)
    answer = query.reply(ra=1, aa=0)
    record = zone.find(name) if zone.mode is DnsMode.ANSWER else None
    if record is None:
        rcode = _RCODES.get(zone.mode, "NXDOMAIN")
        answer.header.rcode = getattr(RCODE, rcode)
        return Reply(bytes(answer.pack()), name, kind, rcode)
    found = {"A": record.ipv4, "AAAA": record.ipv6}.get(kind, ())
    make = AAAA if kind == "AAAA" else A
    for address in found:
        answer.add_answer(RR(query.q.qname, query.q.qtype, ttl=TTL, rdata=make(address)))
    return Reply(bytes(answer.pack()), name, kind, "NOERROR", found)
