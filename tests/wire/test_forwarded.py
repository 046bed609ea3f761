"""What a backend is told of where a request came from, and whom the proxy believes (ListenerPolicy trustedHops, trustedAddresses)."""

from __future__ import annotations

import re

import pytest

from tests.wire.conftest import Serve
from tests.wire.pairings import every_pairing

pytestmark = every_pairing

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"


def trusting(fields: str, section: str = "") -> str:
    """A ListenerPolicy on the Gateway, or on one of its listeners."""
    target = f"{{name: web{f', sectionName: {section}' if section else ''}}}"
    return f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {{targetRefs: [{target}], reasonHeader: true, {fields}}}\n"


INVENTED = [
    ("X-Forwarded-For", "203.0.113.7, 198.51.100.2"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "invented.example"),
    ("X-Forwarded-Port", "4443"),
    ("X-Forwarded-Client-Cert", "Hash=00"),
    ("X-Real-IP", "203.0.113.7"),
    ("Forwarded", "for=203.0.113.7"),
    ("X-Request-Id", "mine"),
]


def test_the_proxy_says_where_a_request_came_from(serve: Serve) -> None:
    """Address of the client, scheme, host as asked and the listener's own port are told (design.md section 7)."""
    request = serve(TO_BLUE).ask(host="shop.example.com:8080").request
    assert request.value("x-forwarded-for") == "127.0.0.1"
    assert request.value("x-forwarded-proto") == "http"
    assert request.value("x-forwarded-host") == "shop.example.com:8080"
    assert request.value("x-forwarded-port") == "80"


def test_every_request_has_an_id_of_its_own(serve: Serve) -> None:
    """x-request-id is 32 hexadecimal digits, another for each request, and what the log says."""
    site = serve(TO_BLUE)
    ids = [site.ask().request.value("x-request-id") or "" for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert [line["request_id"] for line in site.log.wait_for(20)] == ids


def test_nobody_is_believed_by_default(serve: Serve) -> None:
    """x-forwarded-for is appended to, every other field that tells of an origin is replaced or dropped (issue 3: none by default)."""
    site = serve(TO_BLUE)
    request = site.ask(headers=INVENTED).request
    assert request.value("x-forwarded-for") == "203.0.113.7, 198.51.100.2, 127.0.0.1"
    assert request.value("x-forwarded-proto") == "http"
    assert request.value("x-forwarded-host") == "example.com"
    assert request.value("x-forwarded-port") == "80"
    for name in ("x-forwarded-client-cert", "x-real-ip", "forwarded"):
        assert request.values(name) == []
    assert request.value("x-request-id") != "mine"
    assert site.log.wait_for(1)[0]["client"] == "127.0.0.1"


def test_look_alikes_are_dropped(serve: Serve) -> None:
    """Names that some servers take for the protected ones do not pass (x_forwarded_for in CGI and WSGI)."""
    request = serve(TO_BLUE).ask(headers=[("X_Forwarded_For", "203.0.113.7"), ("X.Forwarded.Proto", "https"), ("X_Other", "stays")]).request
    assert [name for name, _ in request.fields if "_" in name or "." in name] == ["x_other"]


def test_a_trusted_hop_is_believed(serve: Serve) -> None:
    """With trustedHops 1 the client is the address that the proxy in front wrote last; what it says of the request is kept."""
    site = serve(TO_BLUE, trusting("trustedHops: 1"))
    request = site.ask(headers=INVENTED).request
    assert request.value("x-forwarded-for") == "203.0.113.7, 198.51.100.2, 127.0.0.1"
    assert request.value("x-forwarded-proto") == "https"
    assert request.value("x-forwarded-host") == "invented.example"
    assert request.value("x-forwarded-port") == "4443"
    assert request.value("x-request-id") == "mine"
    line = site.log.wait_for(1)[0]
    assert (line["client"], line["request_id"]) == ("198.51.100.2", "mine")


@pytest.mark.parametrize(("hops", "client"), [(1, "198.51.100.2"), (2, "203.0.113.7"), (3, "203.0.113.7")])
def test_hops_count_from_the_right(serve: Serve, hops: int, client: str) -> None:
    """Each trusted hop is one more address from the right; beyond the first there is none (ListenerPolicy.trustedHops)."""
    site = serve(TO_BLUE, trusting(f"trustedHops: {hops}"))
    site.ask(headers=INVENTED)
    assert site.log.wait_for(1)[0]["client"] == client


def test_trusted_addresses(serve: Serve) -> None:
    """A peer inside trustedAddresses is believed; the client is the last address that no trusted block covers."""
    site = serve(TO_BLUE, trusting("trustedAddresses: [127.0.0.0/8, 198.51.100.0/24]"))
    assert site.ask(headers=INVENTED).request.value("x-forwarded-proto") == "https"
    assert site.log.wait_for(1)[0]["client"] == "203.0.113.7"


def test_other_addresses_are_not_believed(serve: Serve) -> None:
    """A peer outside trustedAddresses is nobody (ListenerPolicy.trustedAddresses)."""
    site = serve(TO_BLUE, trusting("trustedAddresses: [10.0.0.0/8]"))
    assert site.ask(headers=INVENTED).request.value("x-forwarded-proto") == "http"
    assert site.log.wait_for(1)[0]["client"] == "127.0.0.1"


def test_a_trusted_peer_that_says_nothing(serve: Serve) -> None:
    """What a trusted peer does not say is ours to say."""
    request = serve(TO_BLUE, trusting("trustedHops: 1")).ask().request
    assert (request.value("x-forwarded-for"), request.value("x-forwarded-proto")) == ("127.0.0.1", "http")
    assert (request.value("x-forwarded-host"), request.value("x-forwarded-port")) == ("example.com", "80")


def test_an_id_that_is_no_id_is_replaced(serve: Serve) -> None:
    """Even a trusted peer's x-request-id must be printable and of reasonable length, since it goes into logs."""
    site = serve(TO_BLUE, trusting("trustedHops: 1"))
    assert re.fullmatch("[0-9a-f]{32}", site.ask(headers=[("X-Request-Id", "x" * 200)]).request.value("x-request-id") or "")


def test_a_policy_of_one_listener_holds_there_alone(serve: Serve) -> None:
    """A ListenerPolicy with sectionName leaves the other listeners of the Gateway as they are."""
    gateway = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: inner, port: 80, protocol: HTTP}, {name: outer, port: 8080, protocol: HTTP}]
"""
    site = serve(gateway, TO_BLUE, trusting("trustedHops: 1", "inner"))
    told = [site.ask(port=port, headers=INVENTED).request.value("x-forwarded-proto") for port in (80, 8080)]
    assert told == ["https", "http"]
