"""How a resolver answers one query from what it knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord

from natless.vpc.model import DnsMode
from natless.vpc.zone import Zone

TTL = 60
"""Seconds that an answer may be kept: short, as a name means something else after a switch."""


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
