"""Packet filter rules into the kernel, and their counters out of it, without the ``nft`` program.

pyroute2 encodes and decodes the netlink attributes. Its own ``table``, ``chain`` and ``rule`` calls
are a transaction each, so a replacement made of them has a moment in which half of the rules are
there. All messages of a replacement therefore go out as one batch, which the kernel applies as a
whole or not at all. Running connections keep their translation, because the new chain is hooked in
before the old one leaves.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFPROTO_INET,
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    NFT_MSG_DELTABLE,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWTABLE,
    Cmp,
    Meta,
    nft_chain_msg,
    nft_rule_msg,
    nft_table_msg,
)
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from natless.vpc.model import Action
from natless.vpc.rules import TABLE, PacketRule, RuleSet

Expression = dict[str, Any]

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_HOOK_INPUT, _HOOK_FORWARD, _HOOK_POSTROUTING = 1, 2, 4
_PRIORITY_FILTER, _PRIORITY_SRCNAT = 0, 100
_DROP, _ACCEPT = 0, 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_OFFSETS = {NFPROTO_IPV4: (12, 16), NFPROTO_IPV6: (8, 24)}  # of source and destination address
_TCP_FLAGS_OFFSET, _FIN_SYN_RST_ACK, _SYN = 13, b"\x17", b"\x02"
_SOURCE_PORT_OFFSET, _DESTINATION_PORT_OFFSET = 0, 2  # in a TCP or UDP header
_CT_STATE, _CT_ESTABLISHED_OR_RELATED = 0, 2 | 4
_HOST_TO_NETWORK = 1
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_REJECT_TCP_RESET, _REJECT_ICMPX = 1, 2
_ICMPX_CODES = {
    Action.NET_UNREACHABLE: 0,
    Action.PORT_UNREACHABLE: 1,
    Action.HOST_UNREACHABLE: 2,
    Action.ADMIN_PROHIBITED: 3,
}


def replace_rules(rules: RuleSet) -> None:
    """Puts the rules into this network namespace in place of all that were there, in one step.

    Raises:
        pyroute2.netlink.exceptions.NetlinkError: the kernel refused; nothing was changed then.
    """
    with NFTables(nfgen_family=NFPROTO_INET) as nft:
        nft.nlm_request_batch(list(_batch(rules)))


def read_counters(rules: RuleSet) -> dict[str, int]:
    """How many packets each rule has matched since it was put in, by its name.

    ``rules`` must be the ones put in last: the kernel knows rules by their order only.
    """
    chains = rules.chains
    counted: dict[str, list[int]] = {name: [] for name in chains}
    with NFTables(nfgen_family=NFPROTO_INET) as nft:
        for message in nft.get_rules():
            if message.get_attr("NFTA_RULE_TABLE") == TABLE:
                counted[message.get_attr("NFTA_RULE_CHAIN")].append(_packets(message))
    return {
        rule.name: packets
        for name, chain in chains.items()
        for rule, packets in zip(chain, counted[name], strict=True)
    }


def _packets(message: Any) -> int:  # noqa: ANN401  pyroute2 has no types
    for expression in message.get_attr("NFTA_RULE_EXPRESSIONS"):
        if expression.get_attr("NFTA_EXPR_NAME") == "counter":
            return int(expression.get_attr("NFTA_EXPR_DATA").get_attr("NFTA_COUNTER_PACKETS"))
    return 0


def _batch(rules: RuleSet) -> Iterator[Any]:
    yield _mark(_BATCH_BEGIN)
    # Deleting a table that is not there is an error, so it is added first; as `nft -f` users do.
    yield _message(nft_table_msg, NFT_MSG_NEWTABLE, NLM_F_CREATE, name=TABLE)
    yield _message(nft_table_msg, NFT_MSG_DELTABLE, 0, name=TABLE)
    yield _message(nft_table_msg, NFT_MSG_NEWTABLE, NLM_F_CREATE, name=TABLE)
    yield _chain("forward", kind="filter", hook=(_HOOK_FORWARD, _PRIORITY_FILTER), policy=_DROP)
    yield from _rules("forward", rules.forward)
    # Always there, even empty: the kernel stops translating running connections without it.
    hook = (_HOOK_POSTROUTING, _PRIORITY_SRCNAT)
    yield _chain("postrouting", kind="nat", hook=hook, policy=_ACCEPT)
    yield from _rules("postrouting", rules.postrouting)
    yield _chain("input", kind="filter", hook=(_HOOK_INPUT, _PRIORITY_FILTER), policy=_ACCEPT)
    yield from _rules("input", rules.input)
    yield _mark(_BATCH_END)


def _mark(kind: int) -> Any:  # noqa: ANN401  pyroute2 has no types
    message = nfgen_msg()
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST
    return message


def _message(make: Any, kind: int, flags: int, **attributes: Any) -> Any:  # noqa: ANN401  likewise
    message = make()
    message["attrs"] = [(make.name2nla(key), value) for key, value in attributes.items()]
    message["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | flags
    message["nfgen_family"] = NFPROTO_INET
    return message


def _chain(name: str, *, kind: str, hook: tuple[int, int], policy: int) -> Any:  # noqa: ANN401
    number, priority = hook
    attributes = [("NFTA_HOOK_HOOKNUM", number), ("NFTA_HOOK_PRIORITY", priority)]
    return _message(
        nft_chain_msg,
        NFT_MSG_NEWCHAIN,
        NLM_F_CREATE,
        table=TABLE,
        name=name,
        type=kind,
        hook={"attrs": attributes},
        policy=policy,
    )


def _rules(chain: str, rules: Iterable[PacketRule]) -> Iterator[Any]:
    for rule in rules:
        yield _message(
            nft_rule_msg,
            NFT_MSG_NEWRULE,
            NLM_F_CREATE | NLM_F_APPEND,
            table=TABLE,
            chain=chain,
            expressions=list(render_expressions(rule)),
        )


def render_expressions(rule: PacketRule) -> Sequence[Expression]:
    """A rule as instructions of the kernel's nft machine: load, mask, compare, count, decide."""
    return (*_matches(rule), genex("counter", {"bytes": 0, "packets": 0}), *_statement(rule))


def _matches(rule: PacketRule) -> Iterator[Expression]:
    if rule.is_established:
        yield genex("ct", {"key": _CT_STATE, "dreg": 1})
        yield _mask(_CT_ESTABLISHED_OR_RELATED.to_bytes(4, sys.byteorder))
        yield _compare(bytes(4), op=Cmp.NFT_CMP_NEQ)
    yield from _addresses(rule)
    if rule.protocol is not None:
        yield genex("meta", {"key": Meta.NFT_META_L4PROTO, "dreg": 1})
        yield _compare(bytes((_PROTOCOLS[rule.protocol],)))
    if rule.is_stray:
        place = {"base": _TRANSPORT_HEADER, "offset": _TCP_FLAGS_OFFSET, "len": 1}
        yield genex("payload", {"dreg": 1} | place)
        yield _mask(_FIN_SYN_RST_ACK)
        yield _compare(_SYN, op=Cmp.NFT_CMP_NEQ)
    if rule.source_port is not None:
        yield from _port(rule.source_port, offset=_SOURCE_PORT_OFFSET)
    if rule.destination_port is not None:
        yield from _port(rule.destination_port, offset=_DESTINATION_PORT_OFFSET)
    if rule.longer_than is not None:
        swap = {"sreg": 1, "dreg": 1, "op": _HOST_TO_NETWORK, "len": 4, "size": 4}
        yield genex("meta", {"key": Meta.NFT_META_LEN, "dreg": 1})
        yield genex("byteorder", swap)
        yield _compare(rule.longer_than.to_bytes(4, "big"), op=Cmp.NFT_CMP_GT)


def _statement(rule: PacketRule) -> Iterator[Expression]:
    if rule.source_becomes is not None:
        address = _data(socket.inet_aton(rule.source_becomes))
        yield genex("immediate", {"dreg": 1, "data": address})
        yield genex("nat", {"type": 0, "family": NFPROTO_IPV4, "reg_addr_min": 1})
    elif rule.action is Action.RESET:
        yield genex("reject", {"type": _REJECT_TCP_RESET, "icmp_code": 0})
    elif rule.action in _ICMPX_CODES:
        yield genex("reject", {"type": _REJECT_ICMPX, "icmp_code": _ICMPX_CODES[rule.action]})
    else:
        yield from verdict(_ACCEPT if rule.action is Action.ACCEPT else _DROP)


def _addresses(rule: PacketRule) -> Iterator[Expression]:
    """A rule speaks of one family: an address of the other is at another place in the header."""
    wanted = (
        (rule.source, 0, Cmp.NFT_CMP_EQ),
        (rule.destination, 1, Cmp.NFT_CMP_EQ),
        (rule.not_destination, 1, Cmp.NFT_CMP_NEQ),
    )
    family = None
    for text, which, op in wanted:
        if text is None:
            continue
        network = ipaddress.ip_network(text)
        if family is None:
            family = NFPROTO_IPV6 if network.version == 6 else NFPROTO_IPV4
            yield genex("meta", {"key": Meta.NFT_META_NFPROTO, "dreg": 1})
            yield _compare(bytes((family,)))
        size, offset = network.max_prefixlen // 8, _OFFSETS[family][which]
        place = {"base": _NETWORK_HEADER, "offset": offset, "len": size}
        yield genex("payload", {"dreg": 1} | place)
        yield _mask(network.netmask.packed)
        yield _compare(network.network_address.packed, op=op)


def _port(port: int, *, offset: int) -> Iterator[Expression]:
    yield genex("payload", {"dreg": 1, "base": _TRANSPORT_HEADER, "offset": offset, "len": 2})
    yield _compare(port.to_bytes(2, "big"))


def _mask(mask: bytes) -> Expression:
    fields = {"sreg": 1, "dreg": 1, "len": len(mask), "mask": _data(mask)}
    return _generated("bitwise", fields | {"xor": _data(bytes(len(mask)))})


def _compare(value: bytes, *, op: Cmp = Cmp.NFT_CMP_EQ) -> Expression:
    return _generated("cmp", {"sreg": 1, "op": op, "data": _data(value)})


def _generated(name: str, fields: dict[str, Any]) -> Expression:
    made: Expression = genex(name, fields)
    return made


def _data(value: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}
