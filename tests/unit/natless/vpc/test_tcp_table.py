import sys

import pytest

from natless.vpc.tcp_table import TcpSocket, TcpState, parse_tcp_table

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
REST = "00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0"

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the samples are little-endian")


def test_a_connection_is_read_from_both_ends():
    text = HEAD + f"   1: 0A6433C6:01BB 026433C6:C8F2 01 {REST}\n"
    assert parse_tcp_table(text) == (
        TcpSocket("198.51.100.10", 443, "198.51.100.2", 51442, TcpState.ESTABLISHED),
    )


def test_an_ipv6_address_is_read_word_by_word():
    own = "B80D0120000000010000000010000000"
    text = HEAD + f"   1: {own}:01BB {own}:C8F2 01 {REST}\n"
    (found,) = parse_tcp_table(text)
    assert (found.local, found.local_port) == ("2001:db8:100::10", 443)


def test_who_listens_is_left_out():
    assert parse_tcp_table(HEAD + f"   0: 0A6433C6:01BB 00000000:0000 0A {REST}\n") == ()


def test_an_empty_table_has_nobody():
    assert parse_tcp_table(HEAD) == parse_tcp_table("") == ()


@pytest.mark.parametrize(("state", "half_open"), [("03", True), ("0C", True), ("01", False)])
def test_a_syn_that_was_answered_and_not_confirmed_is_half_open(state, half_open):
    (found,) = parse_tcp_table(HEAD + f"   1: 0A6433C6:01BB 0A01000A:C8F2 {state} {REST}\n")
    assert found.is_half_open is half_open
