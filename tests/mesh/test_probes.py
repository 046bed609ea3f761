"""Probes as the injector hands them over: what is read, and what is said of what cannot be."""

from __future__ import annotations

import json
import re

import pytest

from mesh.probes import Grpc, Header, HttpGet, Probe, TcpSocket, read_probes, timeout_of

READY = "/app-health/cart/readyz"


def test_all_kinds_of_probes_are_read() -> None:
    """Probe.httpGet, tcpSocket and grpc; fields that say when kubelet asks are kubelet's."""
    get = {"port": 8080, "path": "health", "scheme": "HTTPS", "httpHeaders": [{"name": "X-A", "value": "1"}]}
    text = json.dumps({
        READY: {"httpGet": get, "timeoutSeconds": 3, "periodSeconds": 5},
        "/app-health/db/livez": {"tcpSocket": {"port": 5432}},
        "/app-health/api/startupz": {"grpc": {"port": 9000, "service": None}},
        "/app-health/cart/prestop": {"httpGet": {"port": 8080}},
    })  # fmt: skip
    found = dict(read_probes(text))
    assert found[READY] == Probe(HttpGet(8080, "/health", scheme="HTTPS", http_headers=(Header("X-A", "1"),)), timeout_seconds=3)
    assert found["/app-health/db/livez"] == Probe(tcp_socket=TcpSocket(5432))
    assert found["/app-health/api/startupz"] == Probe(grpc=Grpc(9000))
    assert read_probes("") == ()
    assert [timeout_of(path, probe) for path, probe in found.items()] == [3, 1, 1, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a JSON object of probes by path"),
        ('{"/app-health/cart/readyz": {"httpGet": {"port": "http"}}}', "got `str` - at `$[...].httpGet.port`"),
        ('{"/app-health/cart/readyz": {"tcpSocket": {"port": 0}}}', ">= 1"),
        ('{"/app-health/cart/readyz": {"httpGet": {"port": 1, "scheme": "FTP"}}}', "'FTP'"),
        ('{"/app-health/cart/readyz": {}}', "not just one of httpGet, tcpSocket and grpc at '/app-health/cart/readyz'"),
        ('{"/healthz/ready": {"tcpSocket": {"port": 1}}}', "has the path '/healthz/ready'; write /app-health/CONTAINER/"),
        ('{"/app-health/cart/quit": {"tcpSocket": {"port": 1}}}', "one of livez, readyz, startupz, prestop, poststart"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    """Where it stands, and what to write."""
    with pytest.raises(ValueError, match=re.escape(words)):
        read_probes(text)
