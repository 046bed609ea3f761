"""Policies on listeners and Services of streams, from YAML to sockets."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.wire.backends import Conversation, Scripted
from tests.wire.conftest import Serve
from tests.wire.secure import backend_policy, gateway, trust, trusting
from tests.wire.serving import certificate, service
from tests.wire.streaming import echo, read_exactly, serving

MakeScripted = Callable[..., Scripted]


def route(kind: str, name: str, **spec: object) -> str:
    """To the Service of that name, at every listener of the route's protocol."""
    described = {"parentRefs": [{"name": "web"}], "rules": [{"backendRefs": [{"name": name, "port": 80}]}]}
    return json.dumps({"kind": kind, "metadata": {"name": name}, "spec": described | spec})


def speaking_tls(context: ssl.SSLContext) -> Callable[[Conversation], None]:
    """A backend that ends TLS, and says which protocol was agreed on."""

    def script(conversation: Conversation) -> None:
        with context.wrap_socket(conversation.connection, server_side=True) as secured:
            secured.sendall((secured.selected_alpn_protocol() or "none").encode().ljust(8))
            secured.recv(1)

    return script


def test_a_listener_policy_and_a_backend_policy_hold_for_relays(serve: Serve, scripted: MakeScripted) -> None:
    """ListenerPolicy and BackendPolicy on a TCP listener and the Service of a TCPRoute: from the next connection on."""
    documents = (
        gateway({"name": "db", "port": 5432, "protocol": "TCP"}), service("db", scripted(echo()).port), route("TCPRoute", "db"),
    )  # fmt: skip
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


@pytest.mark.parametrize("mode", ["Passthrough", "Terminate"])
def test_a_backend_tls_policy_begins_tls_only_where_it_was_ended(
    serve: Serve, scripted: MakeScripted, tmp_path: Path, mode: str
) -> None:
    """BackendTLSPolicy on the Service of a TLSRoute: what is passed through is encrypted once, by its client, whose protocol is agreed on;
    what is ended here is encrypted anew, and offers no protocol, since nobody knows what the client speaks."""
    authority = Authority()
    server = scripted(speaking_tls(serving(authority, "a.test", tmp_path, "own/1", "h2", "http/1.1")))
    listener = {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": mode, "certificateRefs": [{"name": "pair"}]}}
    if mode == "Passthrough":
        del listener["tls"]["certificateRefs"]  # type: ignore[attr-defined]  # a dict of dicts
    site = serve(
        gateway(listener), certificate("pair", authority.issue("a.test")), service("own", server.port),
        route("TLSRoute", "own", hostnames=["a.test"]), backend_policy("own", "a.test", "ca"), trust("ca", authority),
    )  # fmt: skip
    context = trusting(authority)
    if mode == "Passthrough":
        context.set_alpn_protocols(["own/1"])
    with context.wrap_socket(site.connect(443), server_hostname="a.test") as secured:
        assert secured.recv(8).strip() == (b"own/1" if mode == "Passthrough" else b"none")
