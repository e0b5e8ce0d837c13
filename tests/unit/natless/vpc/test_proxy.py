import pytest

from natless.vpc.proxy import Refused, Target, parse_request


def head(first):
    return f"{first}\r\nHost: whoever\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("first", "target"),
    [
        ("CONNECT api.example.com:443 HTTP/1.1", Target("api.example.com", 443)),
        ("CONNECT api.example.com:443 HTTP/1.0", Target("api.example.com", 443)),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1", Target("2001:db8::1", 443)),
    ],
)
def test_a_tunnel_leads_where_it_was_asked_to(first, target):
    assert parse_request(head(first)) == target


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET http://api.example.com/ HTTP/1.1", 405),
        ("CONNECT api.example.com:22 HTTP/1.1", 403),
        ("CONNECT api.example.com HTTP/1.1", 400),
        ("CONNECT :443 HTTP/1.1", 400),
        ("CONNECT api.example.com:https HTTP/1.1", 400),
        ("CONNECT api.example.com:443 SPDY/3", 400),
        ("CONNECT api.example.com:443", 400),
        ("\x16\x03\x01", 400),
        ("", 400),
    ],
)
def test_everything_else_is_refused_with_its_reason(first, status):
    with pytest.raises(Refused) as raised:
        parse_request(head(first))
    assert raised.value.status == status
