"""Misdirected requests: the Host of a request against the listener that the server name chose (reference 5.3, RFC 9110 7.4)."""

from __future__ import annotations

import pytest

from tests.certificates import Pair, self_signed
from tests.wire.conftest import Serve
from tests.wire.http2_clients import Http2Client, offering_h2
from tests.wire.pairings import any_client
from tests.wire.peers import Wire, get
from tests.wire.secure import careless, gateway, https
from tests.wire.serving import certificate

LISTENERS = {
    "all": "",
    "second": "second-example.org",
    "wildcard": "*.wildcard.org",
    "fourth": "fourth-example.wildcard.org",
}

ROUTES = "".join(
    f"""
---
kind: HTTPRoute
metadata: {{name: {listener}}}
spec:
  parentRefs: [{{name: web, sectionName: {listener}}}]
  hostnames: ["{hostname or "example.org"}"]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
"""
    for (listener, hostname), backend in zip(LISTENERS.items(), ("blue", "green", "red", "blue"), strict=True)
)

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"


@pytest.fixture(scope="module")
def pair() -> Pair:
    return self_signed("example.org", "second-example.org", "*.wildcard.org")


@any_client
@pytest.mark.parametrize(
    ("server_name", "host", "expected"),
    [
        ("example.org", "example.org", "blue"),
        ("example.org", "second-example.org", 421),
        ("example.org", "third-example.wildcard.org", 421),
        ("example.org", "fourth-example.wildcard.org", 421),
        ("example.org", "unknown-example.org", 404),
        ("second-example.org", "second-example.org", "green"),
        ("second-example.org", "example.org", 421),
        ("second-example.org", "third-example.wildcard.org", 421),
        ("second-example.org", "fourth-example.wildcard.org", 421),
        ("second-example.org", "unknown-example.org", 421),
        ("third-example.wildcard.org", "third-example.wildcard.org", "red"),
        ("third-example.wildcard.org", "fifth-example.wildcard.org", "red"),
        ("third-example.wildcard.org", "example.org", 421),
        ("third-example.wildcard.org", "second-example.org", 421),
        ("third-example.wildcard.org", "fourth-example.wildcard.org", 421),
        ("third-example.wildcard.org", "unknown-example.org", 421),
        ("fourth-example.wildcard.org", "fourth-example.wildcard.org", "blue"),
        ("fourth-example.wildcard.org", "third-example.wildcard.org", 421),
        ("fourth-example.wildcard.org", "second-example.org", 421),
        ("fourth-example.wildcard.org", "unknown-example.org", 421),
        ("unknown-example.org", "example.org", "blue"),
        ("unknown-example.org", "second-example.org", 421),
        ("unknown-example.org", "unknown-example.org", 404),
        ("unknown-example.org", "other-example.org", 404),
        ("", "example.org", "blue"),
        ("", "second-example.org", 421),
    ],
)
def test_a_request_is_served_only_where_its_host_belongs(
    serve: Serve, pair: Pair, server_name: str, host: str, expected: int | str
) -> None:
    """421 if another listener of the port is the better match for Host, 404 if the chosen one has no route for it (reference 5.3)."""
    listeners = [https(name, "pair", hostname=hostname) for name, hostname in LISTENERS.items()]
    site = serve(gateway(*listeners), certificate("pair", pair), ROUTES)
    answer = site.ask(host=host, port=443, tls=careless(), server_name=server_name)
    assert (answer.backend or answer.status) == expected


@any_client
@pytest.mark.parametrize(
    ("host", "expected"), [("one.test", 200), ("one.test:443", 200), ("ONE.test", 200), ("two.test", 421), ("three.test", 404)]
)
def test_without_a_listener_for_all_hosts(serve: Serve, host: str, expected: int) -> None:
    """If the chosen listener does not cover Host: 421 where another one does, 404 where none does (reference 5.3)."""
    listeners = [https("one", "pair", hostname="one.test"), https("two", "pair", hostname="two.test")]
    site = serve(gateway(*listeners), certificate("pair", self_signed("one.test")), TO_BLUE)
    assert site.ask(host=host, port=443, tls=careless(), server_name="one.test").status == expected


def test_a_listener_of_another_port_misdirects_nothing(serve: Serve) -> None:
    """Only listeners of the same port compete for a Host (reference 5.3)."""
    listeners = [https("one", "pair"), https("two", "pair", hostname="two.test", port=8443)]
    site = serve(gateway(*listeners), certificate("pair", self_signed("one.test")), TO_BLUE)
    assert site.ask(host="two.test", port=443, tls=careless(), server_name="one.test").status == 200


def test_a_misdirected_request_costs_the_connection_nothing(serve: Serve, pair: Pair) -> None:
    """The client may try the host elsewhere (RFC 9110 15.5.20) and go on here with what belongs here."""
    listeners = [https(name, "pair", hostname=hostname) for name, hostname in LISTENERS.items()]
    site = serve(gateway(*listeners), certificate("pair", pair), ROUTES)
    with Wire(site, 443, tls=careless(), server_name="example.org") as wire:
        hosts = (b"example.org", b"second-example.org", b"nowhere.org", b"example.org")
        assert [wire.ask(get(host=host)).status for host in hosts] == [200, 421, 404, 200]


def test_streams_of_a_connection_are_judged_one_by_one(serve: Serve, pair: Pair) -> None:
    """A client of HTTP/2 may send what it likes on a connection whose certificate covers it (RFC 9113 9.1.1): what belongs to another
    listener is 421, which lets it ask there (9.1.2), and the others are served."""
    listeners = [https(name, "pair", hostname=hostname) for name, hostname in LISTENERS.items()]
    site = serve(gateway(*listeners), certificate("pair", pair), ROUTES)
    with Http2Client(site.address(443), tls=offering_h2(), server_name="example.org") as client:
        hosts = ("example.org", "second-example.org", "nowhere.org", "third-example.wildcard.org", "example.org")
        streams = [client.begin(authority=host, scheme="https") for host in hosts]
        assert [client.answer(stream).status for stream in streams] == [200, 421, 404, 421, 200]
        assert client.goaway is None


def test_a_new_listener_takes_its_host_from_open_connections(serve: Serve, pair: Pair) -> None:
    """Which listener is the better match is asked for each request, with the listeners of that moment."""
    before = gateway(https("all", "pair"))
    site = serve(before, certificate("pair", pair), TO_BLUE)
    with Wire(site, 443, tls=careless(), server_name="second-example.org") as wire:
        assert wire.ask(get(host=b"second-example.org")).status == 200
        after = gateway(https("all", "pair"), https("second", "pair", hostname="second-example.org"))
        site.change(after, certificate("pair", pair), TO_BLUE)
        assert wire.ask(get(host=b"second-example.org")).status == 421
        assert wire.ask(get(host=b"example.org")).status == 200


def test_the_authority_of_an_absolute_target_is_held_to_the_listener(serve: Serve) -> None:
    """An absolute target must agree with Host (RFC 9112 3.2.2): neither smuggles another listener's host in."""
    listeners = [https("one", "pair", hostname="one.test"), https("two", "pair", hostname="two.test")]
    site = serve(gateway(*listeners), certificate("pair", self_signed("one.test")), TO_BLUE)
    with Wire(site, 443, tls=careless(), server_name="one.test") as wire:
        assert wire.ask(get(target=b"https://two.test/", host=b"one.test")).status == 400
