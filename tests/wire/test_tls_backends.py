"""TLS towards backends: BackendTLSPolicy, and the certificate that a Gateway presents (GatewayBackendTLS.clientCertificateRef)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import EXPIRED, Authority, Pair, self_signed
from tests.wire.backends import Echo
from tests.wire.conftest import Serve
from tests.wire.peers import Recorder, Wire, get
from tests.wire.secure import TlsBackend, backend_policy, condition, first_of, gateway, https, trust, trusting
from tests.wire.serving import certificate, service

TO_SHOP = "- backendRefs: [{name: shop, port: 80}]"
PLAIN = {"name": "http", "port": 80, "protocol": "HTTP"}
SPIFFE = "spiffe://shop.test/api"

TlsBackends = Callable[..., TlsBackend]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority("Stranger")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("shop.test", "other.test", SPIFFE)


@pytest.fixture
def tls_backend(tmp_path: Path) -> Iterator[TlsBackends]:
    """Makes backends that speak TLS."""
    backends: list[TlsBackend] = []

    def make(pair: Pair, demands: Authority | None = None) -> TlsBackend:
        backends.append(TlsBackend(tmp_path, pair, demands))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


def test_a_backend_is_spoken_to_over_tls(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """BackendTLSPolicy: TLS with the policy's hostname as server name; the request is the same, Host included."""
    backend = tls_backend(pair)
    site = serve(TO_SHOP, service("shop", backend.port), trust("ca", authority), backend_policy("shop", "shop.test", "ca"))
    answer = site.ask("/a?b=c", method="POST", body=b"some")
    assert (answer.status, answer.body) == (200, b"ok")
    [request] = backend.recorder.requests
    assert (request.line, request.values(b"host"), request.body) == (b"POST /a?b=c HTTP/1.1", [b"example.com"], b"some")
    assert backend.server_names == ["shop.test"]
    assert backend.client_certificates == [None]


def test_a_connection_to_a_tls_backend_is_used_again(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """Handshakes are made once for many requests (RFC 9112 9.3)."""
    backend = tls_backend(pair)
    site = serve(TO_SHOP, service("shop", backend.port), trust("ca", authority), backend_policy("shop", "shop.test", "ca"))
    assert [site.ask().status for _ in range(4)] == [200] * 4
    assert len(backend.server_names) == 1


def test_a_large_body_passes_both_ways(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """Bodies of many TLS records come through whole (RFC 8446 5.1)."""
    data = bytes(range(256)) * 4_000
    backend = tls_backend(pair)
    backend.recorder = Recorder(otherwise=b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
    site = serve(TO_SHOP, service("shop", backend.port), trust("ca", authority), backend_policy("shop", "shop.test", "ca"))
    assert site.ask(method="PUT", body=data).body == data
    assert backend.recorder.requests[0].body == data


def test_an_https_listener_encrypts_again(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """Behind a listener that terminates TLS the way to the backend has a handshake and an identity of its own."""
    backend = tls_backend(pair)
    front = authority.issue("example.com")
    site = serve(
        gateway(https("https", "front")),
        certificate("front", front),
        TO_SHOP,
        service("shop", backend.port),
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca"),
    )
    assert site.ask(port=443, tls=trusting(authority)).status == 200
    assert backend.server_names == ["shop.test"]
    assert backend.recorder.requests[0].values(b"x-forwarded-proto") == [b"https"]


# who is believed


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (("shop.test", []), 200),
        (("other.test", []), 200),
        (("wrong.test", []), 503),
        (("wrong.test", [{"type": "Hostname", "hostname": "shop.test"}]), 200),
        (("wrong.test", [{"type": "Hostname", "hostname": "nobody.test"}, {"type": "Hostname", "hostname": "other.test"}]), 200),
        (("wrong.test", [{"type": "URI", "uri": SPIFFE}]), 200),
        (("wrong.test", [{"type": "Hostname", "hostname": "nobody.test"}, {"type": "URI", "uri": SPIFFE}]), 200),
        (("shop.test", [{"type": "Hostname", "hostname": "nobody.test"}]), 503),
        (("shop.test", [{"type": "URI", "uri": "spiffe://shop.test/other"}]), 503),
        (("shop.test", [{"type": "URI", "uri": SPIFFE + "/more"}]), 503),
    ],
)
def test_the_identity_of_a_backend(
    serve: Serve,
    tls_backend: TlsBackends,
    authority: Authority,
    pair: Pair,
    identity: tuple[str, list[dict[str, str]]],
    expected: int,
) -> None:
    """The hostname is the identity unless subjectAltNames are given, of which any one will do and hostname is the server name only
    (BackendTLSPolicyValidation). Who cannot be believed gets no request: 503."""
    backend = tls_backend(pair)
    hostname, names = identity
    policy = backend_policy("shop", hostname, "ca", names=names)
    site = serve(TO_SHOP, service("shop", backend.port), trust("ca", authority), policy)
    assert site.ask().status == expected
    assert set(backend.server_names) == {hostname}
    assert len(backend.recorder.requests) == (1 if expected == 200 else 0)


def test_a_certificate_of_another_authority_is_not_believed(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, stranger: Authority, pair: Pair
) -> None:
    """caCertificateRefs alone say who is believed; when the ConfigMap is put right the backend serves."""
    backend = tls_backend(pair)
    base = (TO_SHOP, service("shop", backend.port), backend_policy("shop", "shop.test", "ca"))
    site = serve(*base, trust("ca", stranger))
    assert site.ask().status == 503
    assert not backend.recorder.requests
    site.change(*base, trust("ca", stranger, authority))
    assert site.ask().status == 200


@pytest.mark.parametrize("sort", ["self-signed", "expired"])
def test_a_certificate_that_does_not_verify_is_not_believed(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, sort: str
) -> None:
    """Path validation (RFC 5280 6): signed by whom we trust, and in its time."""
    pair = self_signed("shop.test") if sort == "self-signed" else authority.issue("shop.test", validity=EXPIRED)
    backend = tls_backend(pair)
    site = serve(TO_SHOP, service("shop", backend.port), trust("ca", authority), backend_policy("shop", "shop.test", "ca"))
    assert site.ask().status == 503
    assert not backend.recorder.requests


def test_a_backend_that_speaks_no_tls_is_not_asked(serve: Serve, authority: Authority, blue: Echo) -> None:
    """Nothing is sent in plain where a policy demands TLS."""
    site = serve("- backendRefs: [{name: blue, port: 80}]", trust("ca", authority), backend_policy("blue", "shop.test", "ca"))
    answer = site.ask()
    assert (answer.status, blue.requests) == (503, [])


def test_an_invalid_policy_closes_its_backend(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """An invalid caCertificateRef fails the requests with 5xx, never falls back to plain HTTP; the ConfigMap restored, it serves."""
    backend = tls_backend(pair)
    base = (TO_SHOP, service("shop", backend.port), backend_policy("shop", "shop.test", "ca"))
    site = serve(*base, trust("ca", authority))
    assert site.ask().status == 200
    site.change(*base)
    assert site.ask().status in (500, 502, 503)
    site.change(*base, trust("ca", authority))
    assert site.ask().status == 200


def test_what_a_backend_showed_before_is_not_believed_after_a_change(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, stranger: Authority, pair: Pair
) -> None:
    """A pooled connection whose backend would no longer be believed carries no more requests."""
    backend = tls_backend(pair)
    base = (TO_SHOP, service("shop", backend.port), backend_policy("shop", "shop.test", "ca"))
    site = serve(*base, trust("ca", authority))
    assert site.ask().status == 200
    site.change(*base, trust("ca", stranger))
    assert site.ask().status == 503
    assert len(backend.recorder.requests) == 1


# which port


def two_ports(name: str, first: int, second: int) -> str:
    """A Service with the ports `plain` (80) and `secure` (443)."""
    described = {
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"name": "plain", "port": 80}, {"name": "secure", "port": 443}]},
    }
    endpoints = {
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "plain", "port": first}, {"name": "secure", "port": second}],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    }
    return json.dumps(described) + "\n---\n" + json.dumps(endpoints)


BOTH_PORTS = """
- matches: [{path: {value: /plain}}]
  backendRefs: [{name: shop, port: 80}]
- backendRefs: [{name: shop, port: 443}]
"""


def test_a_section_name_limits_a_policy_to_a_port(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair, blue: Echo
) -> None:
    """targetRefs.sectionName is the name of a Service port; the other ports are spoken to in plain."""
    backend = tls_backend(pair)
    policy = backend_policy("shop", "shop.test", "ca", section="secure")
    site = serve(two_ports("shop", blue.port, backend.port), BOTH_PORTS, trust("ca", authority), policy)
    assert site.ask("/plain").backend == "blue"
    assert site.ask("/secure").body == b"ok"
    assert [request.line for request in backend.recorder.requests] == [b"GET /secure HTTP/1.1"]


def test_a_policy_of_a_port_goes_before_that_of_the_service(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair
) -> None:
    """A policy with a sectionName holds on its port in place of the one for the whole Service."""
    first, second = tls_backend(pair), tls_backend(pair)
    site = serve(
        two_ports("shop", first.port, second.port),
        BOTH_PORTS,
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca", name="whole"),
        backend_policy("shop", "other.test", "ca", section="secure", name="port"),
    )
    assert (site.ask("/plain").status, site.ask("/secure").status) == (200, 200)
    assert (first.server_names, second.server_names) == (["shop.test"], ["other.test"])


def test_a_mirror_is_spoken_to_over_tls(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """A policy holds for its Service as a mirror, too."""
    backend = tls_backend(pair)
    rules = """
- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shop, port: 80}}}]
  backendRefs: [{name: blue, port: 80}]
"""
    site = serve(rules, service("shop", backend.port), trust("ca", authority), backend_policy("shop", "shop.test", "ca"))
    assert site.ask().backend == "blue"
    backend.recorder.wait_for(lambda recorder: len(recorder.requests) == 1)
    assert backend.server_names == ["shop.test"]


# who we are


def test_a_gateway_presents_its_client_certificate(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """spec.tls.backend.clientCertificateRef is presented to a backend that demands one, on all listeners of the Gateway."""
    ours = authority.issue("gateway.test", usage="client")
    backend = tls_backend(pair, authority)
    presents = {"backend": {"clientCertificateRef": {"name": "ours"}}}
    site = serve(
        gateway(PLAIN, https("https", "front"), tls=presents),
        certificate("ours", ours),
        certificate("front", authority.issue("example.com")),
        TO_SHOP,
        service("shop", backend.port),
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca"),
    )
    assert site.ask().status == 200
    assert site.ask(port=443, tls=trusting(authority)).status == 200
    assert set(backend.client_certificates) == {first_of(ours)}


@pytest.mark.parametrize("presented", ["none", "of a stranger"])
def test_a_backend_that_does_not_believe_the_gateway(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, stranger: Authority, pair: Pair, presented: str
) -> None:
    """A backend that refuses the handshake is a backend that cannot be reached: 5xx, and no request came to it."""
    backend = tls_backend(pair, authority)
    presents = {"backend": {"clientCertificateRef": {"name": "ours"}}} if presented != "none" else None
    site = serve(
        gateway(PLAIN, tls=presents),
        certificate("ours", stranger.issue("gateway.test")),
        TO_SHOP,
        service("shop", backend.port),
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca"),
    )
    assert site.ask().status in (502, 503)
    assert not backend.recorder.requests


def test_a_renewed_client_certificate_is_presented(serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair) -> None:
    """After a change of the Secret new connections to backends present the new certificate."""
    old, new = authority.issue("gateway.test"), authority.issue("gateway.test")
    backend = tls_backend(pair, authority)
    base = (
        gateway(PLAIN, tls={"backend": {"clientCertificateRef": {"name": "ours"}}}),
        TO_SHOP,
        service("shop", backend.port),
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca"),
    )
    site = serve(*base, certificate("ours", old))
    assert site.ask().status == 200
    site.change(*base, certificate("ours", new))
    assert site.ask().status == 200
    assert backend.client_certificates == [first_of(old), first_of(new)]


def test_a_missing_client_certificate_is_said_and_harms_no_plain_backend(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, pair: Pair
) -> None:
    """A clientCertificateRef that cannot be resolved: the Gateway says ResolvedRefs False InvalidClientCertificateRef, stays Accepted, and
    serves what needs none; a backend that demands it refuses us."""
    backend = tls_backend(pair, authority)
    rules = """
- matches: [{path: {value: /plain}}]
  backendRefs: [{name: blue, port: 80}]
- backendRefs: [{name: shop, port: 80}]
"""
    site = serve(
        gateway(PLAIN, tls={"backend": {"clientCertificateRef": {"name": "absent"}}}),
        rules,
        service("shop", backend.port),
        trust("ca", authority),
        backend_policy("shop", "shop.test", "ca"),
    )
    assert condition(site, "ResolvedRefs") == ("False", "InvalidClientCertificateRef")
    assert condition(site, "Accepted")[0] == "True"
    assert site.ask("/plain").backend == "blue"
    assert site.ask("/").status in (500, 502, 503)


def test_an_exchange_outlives_a_change_of_trust(
    serve: Serve, tls_backend: TlsBackends, authority: Authority, stranger: Authority, pair: Pair
) -> None:
    """An exchange in flight finishes on what it began with, when the policy's authorities are replaced under it."""
    backend = tls_backend(pair)
    base = (TO_SHOP, service("shop", backend.port), backend_policy("shop", "shop.test", "ca"))
    site = serve(*base, trust("ca", authority))
    with Wire(site) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nso")
        backend.recorder.wait_for(lambda recorder: recorder.connections == 1)
        site.change(*base, trust("ca", stranger))
        wire.send(b"me")
        assert wire.response("POST").status == 200
        assert wire.ask(get()).status == 503
    assert [request.body for request in backend.recorder.requests] == [b"some"]
