"""Addresses that users type, and the URLs that they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener
from gateway.ir.rule import Binding, HttpRule, Match, PathMatch, TlsRule, UdpRule
from gateway.ir.value import Identity, Source
from tidegate.addresses import listener_url, parse_place, route_urls

SOURCE = Source("HTTPRoute", "default", "r")


def listener(**fields: Any) -> Listener:
    defaults: dict[str, Any] = {"address": "127.0.0.1", "port": 80, "bind_port": 8080, "location_port": 8080, "protocol": "HTTP"}
    return Listener(key="default/g/l", source=SOURCE, gateway="default/g", name="l", **(defaults | fields))


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:15000", ("127.0.0.1", 15000)), ("[::1]:0", ("::1", 0)), ("::1:80", ("::1", 80)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_a_place_is_an_address_and_a_port(text: str, place: tuple[str, int]) -> None:
    """Design 2: --admin ADDR:PORT."""
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text", ["", "15000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80", ":80", "127.0.0.1:\u0663"]
)
def test_what_is_no_place_is_refused_with_an_example(text: str) -> None:
    """Design 8: the message says what to write."""
    with pytest.raises(ValueError, match=r"write for example 127\.0\.0\.1"):
        parse_place(text)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"bind_port": 80}, "http://127.0.0.1"),
        ({"protocol": "HTTPS", "bind_port": 443}, "https://127.0.0.1"),
        ({"protocol": "HTTPS", "hostname": "shop.example"}, "https://shop.example:8080"),
        ({"address": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"address": "::"}, "http://[::1]:8080"),
        ({"address": "fd00::1"}, "http://[fd00::1]:8080"),
        ({"protocol": "TLS", "hostname": "shop.example"}, "tls://shop.example:8080"),
        ({"protocol": "TCP"}, "tcp://127.0.0.1:8080"),
        ({"protocol": "UDP", "bind_port": 80}, "udp://127.0.0.1:80"),
    ],
)
def test_a_listener_is_shown_as_a_client_here_reaches_it(fields: dict[str, Any], url: str) -> None:
    """RFC 3986 3.2: brackets for IPv6, no port that the scheme says; the bound port, since that is what answers."""
    assert listener_url(listener(**fields)) == url


def test_a_route_has_a_url_for_each_hostname_and_path() -> None:
    """Each once, however many rules share it; a listener that is not bound gives none."""
    matches = (Match(PathMatch(value="/a")), Match(PathMatch("Exact", "/b"), method="GET"), Match(PathMatch("RegularExpression", "/c.*")))
    bindings = (Binding("default/g/l", ("a.example", "*.b.example")), Binding("default/g/gone", ("",)))
    rules = {
        ("HttpRule", key): HttpRule(key=key, source=SOURCE, route="default/r", index=index, bindings=bindings, matches=matches)
        for index, key in enumerate(("one", "two"))
    }
    assert route_urls((*rules, ("HttpRule", "absent")), rules, {"default/g/l": listener()}) == (
        "http://a.example:8080/a",
        "http://*.b.example:8080/a",
        "http://a.example:8080/b",
        "http://*.b.example:8080/b",
        "http://a.example:8080 path /c.*",
        "http://*.b.example:8080 path /c.*",
    )


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        ({"hostname": "*.example"}, ("http://a.example:8080/", "http://*.b.example:8080/")),
        ({"hostname": "c.b.example"}, ("http://c.b.example:8080/",)),
        ({"hostname": "c.test"}, ()),
        ({"namespaces": ("default", "team")}, ("http://a.example:8080/", "http://*.b.example:8080/")),
        ({"namespaces": ("team",)}, ()),
    ],
)
def test_a_route_has_urls_of_what_the_listener_serves_of_it(fields: dict[str, Any], urls: tuple[str, ...]) -> None:
    """Hostnames in common with the listener's, and none where it does not take the route's namespace."""
    bindings = (Binding("default/g/l", ("a.example", "*.b.example")),)
    found = HttpRule(key="one", source=SOURCE, route="default/r", index=0, bindings=bindings)
    assert route_urls([found.identity], {found.identity: found}, {"default/g/l": listener(**fields)}) == urls


def test_a_route_of_streams_has_a_url_for_each_hostname() -> None:
    """A TLSRoute is reached by its server names, others by the listener's address."""
    bindings = (Binding("default/g/l", ("a.example", "*.b.example")),)
    rules: dict[Identity, AnyResource] = {
        ("TlsRule", "one"): TlsRule(key="one", source=SOURCE, route="default/r", index=0, bindings=bindings),
        ("UdpRule", "two"): UdpRule(key="two", source=SOURCE, route="default/r", index=0, bindings=(Binding("default/g/u", ("",)),)),
    }
    listeners = {"default/g/l": listener(protocol="TLS"), "default/g/u": listener(protocol="UDP")}
    assert route_urls(rules, rules, listeners) == ("tls://a.example:8080", "tls://*.b.example:8080", "udp://127.0.0.1:8080")
