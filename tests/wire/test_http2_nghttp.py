"""nghttp2's client and server on either side of the gateway: with themselves, and with curl and httpx as clients."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.certificates import Authority
from tests.wire.backends import Echo
from tests.wire.conftest import Serve
from tests.wire.http2_backends import Nghttpd
from tests.wire.http2_clients import curl, nghttp
from tests.wire.http2_fixtures import with_curl, with_nghttp
from tests.wire.secure import backend_policy, gateway, https, trust
from tests.wire.serving import Site, certificate, service

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("example.com")
PAGE = bytes(range(256)) * 2048
"""More than the windows of 65,535 bytes."""
LISTENERS = gateway({"name": "http", "port": 80, "protocol": "HTTP"}, https("https", "pair"))

Serving = Callable[..., Nghttpd]


def route(name: str) -> str:
    rule = {"backendRefs": [{"name": name, "port": 80}]}
    return json.dumps({"kind": "HTTPRoute", "metadata": {"name": "route"}, "spec": {"parentRefs": [{"name": "web"}], "rules": [rule]}})


@pytest.fixture(params=["h2c", "TLS"])
def before_nghttpd(request: pytest.FixtureRequest, serve: Serve, nghttpd: Serving) -> Site:
    """A gateway before an nghttpd that is spoken to by prior knowledge, or over TLS by what ALPN chooses."""
    tls = request.param == "TLS"
    server = nghttpd({"page": PAGE}, PAIR if tls else None)
    described = service("files", server.port)
    if tls:
        more = (backend_policy("files", "example.com", "ca"), trust("ca", AUTHORITY))
    else:
        described = described.replace('"name": "http", "protocol"', '"name": "http", "appProtocol": "kubernetes.io/h2c", "protocol"')
        more = ()
    return serve(LISTENERS, certificate("pair", PAIR), described, route("files"), *more)


@with_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_gets_and_uploads(before_nghttpd: Site, version: str) -> None:
    """RFC 9113 8.1: a body larger than the windows, both ways."""
    address = before_nghttpd.address()
    got = curl(address, version, "@site/page")
    assert (got.status, got.body) == (200, PAGE)
    returned = curl(address, version, "--data-binary", "@-", "@site/page", data=PAGE)
    assert (returned.status, returned.body) == (200, PAGE)


def test_httpx_gets_over_one_connection(before_nghttpd: Site) -> None:
    """HTTP/1.1 from the client, several requests on a connection."""
    host, port = before_nghttpd.address()
    with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
        for _ in range(3):
            assert client.get("/page").content == PAGE
        assert client.get("/missing").status_code == 404


@with_nghttp
@pytest.mark.parametrize("tls", [False, True], ids=["prior knowledge", "TLS"])
def test_nghttp_asks_for_many_at_once(before_nghttpd: Site, tls: bool) -> None:
    """RFC 9113 5: streams of one connection, each answered whole."""
    told = nghttp(before_nghttpd.address(443 if tls else 80), "--multiply=8", path="/page", tls=tls)
    assert told.values(":status") == ["200"] * 8
    ends = [frame for frame in told.frames if frame.direction == "recv" and frame.type == "DATA" and "END_STREAM" in frame.text]
    assert len(ends) == 8


@with_nghttp
def test_nghttp_asks_a_backend_of_http1(serve: Serve, blue: Echo) -> None:
    """HTTP/2 to HTTP/1.1, with a body of known length."""
    site = serve(LISTENERS, certificate("pair", PAIR), service("files", blue.port), route("files"))
    told = nghttp(site.address(), "--multiply=4", path="/a?b")
    assert told.values(":status") == ["200"] * 4
    assert {request.target for request in blue.requests} == {"/a?b"}
