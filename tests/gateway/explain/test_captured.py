"""What is explained of captured connections: the listener by where they were going, and what follows as for others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.explain import Explanation
from gateway.ir.batch import AnyResource
from gateway.ir.workload import MutualTls
from gateway.offline import Offline
from tests.certificates import Authority
from tests.wire.capturing import going, identity, inbound, outbound
from tests.wire.streaming import backend, http_rule, tcp_rule

SERVICE = (
    outbound("cart", 80, "10.0.0.1", "fd00::1"), outbound("rest", 0, protocol="TCP"), *backend("cart", 8080, protocol="http/1.1"),
    *backend("raw", 9090), going("Elsewhere"), http_rule("cart", "cart"), tcp_rule("cart", "raw"),
    tcp_rule("rest", "Elsewhere", name="elsewhere"),
)  # fmt: skip
OF_SHOP = (
    replace(outbound("cart", 80, "10.0.0.1"), name="shop/cart:80"), *backend("cart", 8080, protocol="http/1.1"), http_rule("cart", "cart"),
)  # fmt: skip


def explain(*resources: AnyResource, **question: Any) -> Explanation:
    with Offline(resources) as offline:
        assert offline.rejections == ()
        return msgspec.convert(offline.explain(question), Explanation)


def test_the_destination_chooses_and_the_url_is_what_is_asked() -> None:
    """Argument.destination: the address in whatever form; the host of the URL chooses nothing."""
    said = explain(*SERVICE, url="http://anything.example/a", destination=["fd00:0::1", 80])
    assert said.listener is not None
    assert (said.listener.name, said.listener.bound) == ("cart", "[::]:15001")
    assert said.listener.why == "captured on its way to [fd00::1]:80; it is for this address and port"
    assert "what does not begin as a request of HTTP within 50 ms is passed on as TCP" in said.notes
    assert said.rule is not None
    assert [endpoint.address for endpoint in said.portions[0].endpoints] == ["127.0.0.1:8080"]


def test_the_same_listener_passes_other_bytes_on() -> None:
    """Of protocol Detect the question says what the client speaks."""
    said = explain(*SERVICE, method="CONNECT", url="tcp://cart:80", destination=["10.0.0.1", 80])
    assert said.rule is not None
    assert said.rule.route == "default/route"
    assert [endpoint.address for endpoint in said.portions[0].endpoints] == ["127.0.0.1:9090"]


def test_elsewhere_is_the_destination_itself() -> None:
    """Backend.original_destination Elsewhere: no endpoint stands anywhere, and the question names it."""
    said = explain(*SERVICE, method="CONNECT", url="tcp://other:443", destination=["10.9.9.9", 443])
    assert said.listener is not None
    assert said.listener.why.endswith("it is for every destination that no other listener names")
    [portion] = said.portions
    assert portion.balancing == "where the connection was going"
    assert [(each.address, each.percent, each.fault) for each in portion.endpoints] == [("10.9.9.9:443", 100.0, "")]


def test_the_own_pod_is_reached_from_its_own_address() -> None:
    """OwnPod: from 127.0.0.6 or ::6, and never to a port of the proxy itself."""
    resources = (*identity(Authority()), inbound("in", 0, "Strict"), going("OwnPod", "client"), http_rule("in", "OwnPod"))
    said = explain(*resources, url="http://cart/", destination=["10.0.0.7", 8080], direction="Inbound", caller="shop/web")
    assert "callers must prove an identity of the mesh by mutual TLS, or the connection is refused" in said.notes
    [portion] = said.portions
    assert portion.protocol == "what the client speaks, HTTP/2 or HTTP/1.1"
    assert portion.balancing == "where the connection was going, from 127.0.0.6 or ::6"
    assert [(each.address, each.fault) for each in portion.endpoints] == [("10.0.0.7:8080", "")]
    own = explain(*resources, url="http://cart/", destination=["10.0.0.7", 15006], direction="Inbound", caller="shop/web")
    assert [each.fault for each in own.portions[0].endpoints] == ["an address of this proxy itself: never asked"]


PLAIN = "plain text, and PeerAuthentication asks for mutual TLS [NR]"
FOREIGN = "TLS that is not the mesh's, and PeerAuthentication asks for mutual TLS [NR]"
HELLO = "a TLS handshake, and plain HTTP is spoken here; write http:// [DPE]"
OWN_TLS = "TLS of the client's own is passed on as it is; write CONNECT tls://cart:80"


@pytest.mark.parametrize(
    ("mode", "protocol", "question", "closed"),
    [
        ("Strict", "HTTP", {"url": "http://cart/"}, PLAIN),
        ("Strict", "HTTP", {"url": "http://cart/", "caller": "shop/web"}, ""),
        ("Strict", "HTTP", {"url": "https://cart:80/", "caller": "shop/web"}, FOREIGN),
        ("Strict", "TCP", {"url": "tcp://cart:80", "method": "CONNECT"}, PLAIN),
        ("Strict", "TCP", {"url": "tcp://cart:80", "method": "CONNECT", "caller": "shop/web"}, ""),
        ("Strict", "HTTP", {"url": "tls://cart:80", "method": "CONNECT"}, FOREIGN),
        ("Permissive", "HTTP", {"url": "http://cart/"}, ""),
        ("Permissive", "HTTP", {"url": "https://cart:80/"}, OWN_TLS),
        ("Permissive", "HTTP", {"url": "tls://cart:80", "method": "CONNECT"}, ""),
        ("Disable", "HTTP", {"url": "tls://cart:80", "method": "CONNECT"}, HELLO),
        ("Disable", "HTTP", {"url": "https://cart:80/"}, HELLO),
        ("Disable", "Detect", {"url": "tls://cart:80", "method": "CONNECT"}, ""),
        ("Disable", "Detect", {"url": "https://cart:80/"}, OWN_TLS),
    ],
)
def test_who_is_let_in(mode: MutualTls, protocol: Any, question: dict[str, Any], closed: str) -> None:
    """PeerAuthentication, of a caller that is named and so proves it, of one in plain, and of TLS that is the application's own."""
    rules = (going("OwnPod", "client", "web"), going("OwnPod", name="raw"), http_rule("in", "web"), tcp_rule("in", "raw"))
    said = explain(*identity(Authority()), inbound("in", 80, mode, protocol), *rules, direction="Inbound", **question)
    assert said.closed == closed
    assert said.listener is not None
    assert (len(said.portions) == 1) is (not closed)


@pytest.mark.parametrize(
    ("question", "closed"),
    [
        ({"destination": ["10.0.0.2", 80]}, "no listener is for 10.0.0.2:80, where the connection was going [NR]"),
        ({"destination": ["10.0.0.1", 80], "direction": "Inbound"}, "no inbound connections are captured here"),
        ({"destination": ["10.0.0.1", 80], "url": "https://cart/"}, "TLS of the client's own is passed on as it is"),
        ({"destination": ["10.0.0.1", 80], "url": "udp://cart:80", "method": "CONNECT"}, "datagrams are not captured"),
    ],
)
def test_what_is_not_served_says_why(question: dict[str, Any], closed: str) -> None:
    """`closed`: no listener for it, no capture in that direction, TLS of the client's own, datagrams."""
    said = explain(outbound("cart", 80, "10.0.0.1"), **{"url": "http://cart/", **question})
    assert said.closed.startswith(closed)


def test_a_destination_is_an_address() -> None:
    """A name has no capture: the kernel knows addresses alone."""
    with pytest.raises(ValueError, match="'cart' is no IP address"):
        explain(outbound("cart", 80, "10.0.0.1"), url="http://cart/", destination=["cart", 80])


@pytest.mark.parametrize("host", ["cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local", "10.0.0.1"])
def test_a_service_is_found_by_its_names(host: str) -> None:
    """Without a destination the URL is what the workload would dial: a Service by a name that the cluster's DNS has, or an address."""
    said = explain(*OF_SHOP, url=f"http://{host}/")
    assert said.listener is not None
    assert said.listener.why == "captured on its way to 10.0.0.1:80; it is for this address and port"


def test_a_short_name_is_of_the_workload_s_own_namespace() -> None:
    """The search path of a Pod begins with its namespace."""
    assert explain(*OF_SHOP, *identity(Authority()), inbound("shop", 0, "Strict"), url="http://cart/").listener is None
    said = explain(*OF_SHOP, *identity(Authority()), replace(inbound("in", 0, "Strict"), gateway="shop/@mesh"), url="http://cart/")
    assert said.listener is not None
    assert said.listener.name == "shop/cart:80"


def test_what_comes_in_is_told_apart_by_its_port() -> None:
    """Direction Inbound: whatever name of the Pod a caller uses."""
    resources = (*identity(Authority()), inbound("in", 8080, "Permissive"), going("OwnPod", "client"), http_rule("in", "OwnPod"))
    said = explain(*resources, url="http://cart:8080/", direction="Inbound")
    assert said.listener is not None
    assert said.listener.name == "in"


UNCAPTURED = tuple(
    replace(one, address="127.77.3.16", bind_port=80, capture=replace(one.capture, destination="127.77.0.16"))
    for one in (replace(outbound("cart", 80, "127.77.0.16"), name="shop/cart:80"),)
    if one.capture is not None
)


@pytest.mark.parametrize("url", ["http://127.77.3.16/", "http://127.77.0.16/", "http://cart.shop/"])
def test_without_capture_a_place_stands_for_its_destination(url: str) -> None:
    """Capture.destination: the place itself, the destination and the name of its Service lead to the same listener."""
    said = explain(*UNCAPTURED, *backend("cart", 8080, protocol="http/1.1"), http_rule("cart", "cart"), url=url)
    assert said.listener is not None
    assert said.listener.why == "captured on its way to 127.77.0.16:80; it is for this address and port"
    assert said.listener.bound == "127.77.3.16:80"


def test_without_capture_what_comes_in_goes_to_the_applications_address() -> None:
    """Whatever the host of the URL: of what comes in the port alone chooses."""
    own = inbound("in", 8080, protocol="HTTP")
    assert own.capture is not None
    own = replace(own, address="127.77.3.1", bind_port=8080, capture=replace(own.capture, destination="127.77.3.2"))
    said = explain(own, going("Elsewhere", "client"), http_rule("in", "Elsewhere"), url="http://cart:8080/", direction="Inbound")
    assert [(each.address, each.fault) for each in said.portions[0].endpoints] == [("127.77.3.2:8080", "")]
