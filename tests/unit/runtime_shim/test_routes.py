from __future__ import annotations

import socket

import pytest

from runtime_shim.errors import ConfigError
from runtime_shim.routes import Endpoint, Proxy, Route, other_families, parse_routes, proxy_for

HOST = "x.appsync-realtime-api.us-east-1.amazonaws.com"


def test_routes_are_hosts_with_or_without_another_http_host() -> None:
    assert parse_routes(" a.test , b.test:8443=c.test ,", http_host="h.test") == (
        Route(Endpoint("a.test"), "h.test"),
        Route(Endpoint("b.test", 8443), "c.test"),
    )
    assert parse_routes("", http_host="h.test") == ()


@pytest.mark.parametrize("text", ["https://a.test", "a.test=https://b", "a.test/x", "=b.test"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="NATLESS_ROUTES"):
        parse_routes(text, http_host="h.test")


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p.test:3128"}, Proxy(Endpoint("p.test", 3128))),
        ({"https_proxy": "p.test:3128"}, Proxy(Endpoint("p.test", 3128))),
        ({"HTTPS_PROXY": "http://p.test"}, Proxy(Endpoint("p.test", 80))),
        ({"HTTPS_PROXY": "http://u:p%40@p.test:1"}, Proxy(Endpoint("p.test", 1), "Basic dTpwQA==")),
        ({"HTTPS_PROXY": "http://p.test:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p.test:1", "no_proxy": "a.test, .amazonaws.com"}, None),
        (
            {"HTTPS_PROXY": "http://p.test:1", "NO_PROXY": "zonaws.com"},
            Proxy(Endpoint("p.test", 1)),
        ),
        ({"HTTP_PROXY": "http://p.test:1"}, None),
    ],
)
def test_the_proxy_is_the_environments(variables: dict[str, str], proxy: Proxy | None) -> None:
    assert proxy_for(HOST, variables) == proxy


@pytest.mark.parametrize("text", ["socks5://u:secret@p:1", "http://u:secret@p:99999", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        proxy_for(HOST, {"HTTPS_PROXY": text})
    assert "secret" not in str(caught.value)


def test_a_proxys_password_is_not_shown() -> None:
    assert "dTpw" not in repr(Proxy(Endpoint("p"), "Basic dTpw"))


def test_a_route_says_what_is_special_about_it() -> None:
    plain = Route(Endpoint("a.test"), "h")
    assert str(plain) == "a.test:443"
    assert str(Route(plain.target, "h", family=socket.AF_INET6)) == "a.test:443 over IPv6"
    proxied = Route(plain.target, "h", proxy=Proxy(Endpoint("p", 1), "Basic x"))
    assert str(proxied) == "a.test:443 through the proxy p:1"


@pytest.mark.parametrize(
    ("address", "families"),
    [("", ()), ("198.51.100.1", (socket.AF_INET6,)), ("2001:db8::1", (socket.AF_INET,))],
)
def test_the_other_family_is_the_one_that_has_not_failed(
    address: str, families: tuple[int, ...]
) -> None:
    assert other_families(address) == families
