"""One Gateway with listeners and routes of TCP, TLS and UDP beside each other, and the policies that hold for them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.conftest import Serve
from tests.wire.datagrams import Answering
from tests.wire.secure import trusting
from tests.wire.serving import certificate
from tests.wire.streaming import echo, read_exactly, serving

MakeScripted = Callable[..., Scripted]

GATEWAY = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
  - {name: db, port: 5432, protocol: TCP}
  - {name: dns, port: 53, protocol: UDP}
  - {name: ended, port: 443, protocol: TLS, hostname: ended.test, tls: {mode: Terminate, certificateRefs: [{name: pair}]}}
  - {name: passed, port: 443, protocol: TLS, hostname: '*.passed.test', tls: {mode: Passthrough}}
"""


def route(kind: str, section: str, port: int, **spec: object) -> str:
    described = {"parentRefs": [{"name": "web", "sectionName": section}], "rules": [{"backendRefs": [{"name": section, "port": port}]}]}
    return json.dumps({"kind": kind, "metadata": {"name": section}, "spec": described | spec})


def service(name: str, port: int, target: int, protocol: str = "TCP") -> str:
    labels = {"kubernetes.io/service-name": name}
    described = {"kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port, "protocol": protocol}]}}
    endpoints = {
        "kind": "EndpointSlice", "metadata": {"name": name, "labels": labels}, "addressType": "IPv4",
        "ports": [{"port": target, "protocol": protocol}], "endpoints": [{"addresses": ["127.0.0.1"]}],
    }  # fmt: skip
    return "\n---\n".join((json.dumps(described), json.dumps(endpoints)))


def test_routes_of_all_kinds_pass_on_what_comes_to_their_listeners(serve: Serve, scripted: MakeScripted, tmp_path: Path) -> None:
    """TCPRoute, UDPRoute and TLSRoute in both modes, on one Gateway."""
    authority = Authority()
    inner = serving(authority, "a.passed.test", tmp_path)

    def secure(conversation: Conversation) -> None:
        with inner.wrap_socket(conversation.connection, server_side=True) as connection:
            connection.sendall(connection.recv(5))

    plain, passed, dns = scripted(echo()), scripted(secure), Answering(b"re: ")
    site = serve(
        GATEWAY, certificate("pair", authority.issue("ended.test")),
        service("db", 5432, plain.port), route("TCPRoute", "db", 5432),
        service("dns", 53, dns.port, "UDP"), route("UDPRoute", "dns", 53),
        service("ended", 1, plain.port), route("TLSRoute", "ended", 1, hostnames=["ended.test"]),
        service("passed", 2, passed.port), route("TLSRoute", "passed", 2, hostnames=["a.passed.test"]),
    )  # fmt: skip
    with site.connect(5432) as client:
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    for name in ("ended.test", "a.passed.test"):
        with trusting(authority).wrap_socket(site.connect(443), server_hostname=name) as secured:
            secured.sendall(b"hello")
            assert secured.recv(5) == b"hello"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(LIMIT)
        asking.connect(("127.0.0.1", site.sockets.datagrams[53]))
        asking.send(b"question")
        assert asking.recv(100) == b"re: question"
    dns.close()


def test_a_listener_policy_and_a_backend_policy_hold_for_relays(serve: Serve, scripted: MakeScripted) -> None:
    """ListenerPolicy and BackendPolicy on a TCP listener and the Service of a TCPRoute."""
    plain = scripted(echo())
    documents = (GATEWAY, service("db", 5432, plain.port), route("TCPRoute", "db", 5432))
    policies = (
        "{kind: ListenerPolicy, metadata: {name: p}, spec: {targetRefs: [{name: web, sectionName: db}], proxyProtocol: {mode: Require}}}",
        "{kind: BackendPolicy, metadata: {name: p}, spec: {targetRefs: [{name: db}], proxyProtocol: V1}}",
    )
    site = serve(*documents)
    with site.connect(5432) as client:
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
        site.change(*documents, *policies)
        client.sendall(b"still")
        assert read_exactly(client, 5) == b"still"
    header = b"PROXY TCP4 203.0.113.7 198.51.100.1 5555 443\r\n"
    with site.connect(5432) as client:
        client.sendall(header + b"hello")
        assert read_exactly(client, len(header) + 5) == header + b"hello"
