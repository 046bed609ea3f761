"""TLSRoute from YAML to sockets: who ends TLS, and which hostnames reach which backend."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Pair
from tests.wire.backends import Conversation, Scripted
from tests.wire.conftest import Serve
from tests.wire.secure import backend_policy, careless, gateway, https, shown, trust, trusting
from tests.wire.serving import Site, certificate, service
from tests.wire.streaming import echo, serving

OURS, THEIRS = Authority(), Authority()
"""Who vouches for the gateway, and who for backends."""
LISTENING = OURS.issue("ours.test", "*.ours.test")

Scripting = Callable[..., Scripted]
Securing = Callable[..., str]


def tls(name: str, mode: str, hostname: str = "") -> dict[str, Any]:
    """A listener of protocol TLS on port 443."""
    options = {"mode": mode, "certificateRefs": [{"name": "pair"}]} if mode == "Terminate" else {"mode": mode}
    return {"name": name, "port": 443, "protocol": "TLS", "tls": options} | ({"hostname": hostname} if hostname else {})


def route(backend: str, *hostnames: str, kind: str = "TLSRoute", section: str = "", name: str = "") -> str:
    """A route to a Service, by default of the same name."""
    spec: dict[str, Any] = {"rules": [{"backendRefs": [{"name": backend, "port": 80}]}]}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    if section:
        spec["parentRefs"] = [{"name": "web", "sectionName": section}]
    return json.dumps({"kind": kind, "metadata": {"name": name or backend}, "spec": spec})


@pytest.fixture
def secured(scripted: Scripting, tmp_path: Path) -> Securing:
    """Makes Services of servers that end TLS themselves and say their name."""

    def make(name: str, *names: str) -> str:
        context = serving(THEIRS, names[0], tmp_path)

        def script(conversation: Conversation) -> None:
            with context.wrap_socket(conversation.connection, server_side=True) as connection:
                connection.sendall(name.encode())

        return service(name, scripted(script).port)

    return make


def ask(site: Site, server_name: str, *, trusts: Authority | None = None) -> str:
    """What a backend says over a connection with this server name; '' where there is none."""
    context = careless() if trusts is None else trusting(trusts)
    try:
        with site.connect(443) as connection, context.wrap_socket(connection, server_hostname=server_name) as client:
            return client.recv(64).decode()
    except (ConnectionResetError, ssl.SSLError):
        return ""


def test_passthrough_leaves_tls_to_the_backend(serve: Serve, secured: Securing) -> None:
    """TLSRoute at a listener with tls.mode Passthrough: the certificate is the backend's (TLSRouteSimpleSameNamespace)."""
    site = serve(gateway(tls("tls", "Passthrough")), secured("one", "one.test"), route("one", "one.test"))
    assert ask(site, "one.test", trusts=THEIRS) == "one"


def test_terminate_gives_the_backend_what_was_in_it(serve: Serve, scripted: Scripting) -> None:
    """TLSRoute at a listener with tls.mode Terminate: the certificate is the listener's (TLSRouteTerminateSimpleSameNamespace)."""
    one = service("one", scripted(echo(b"one")).port)
    site = serve(gateway(tls("tls", "Terminate")), certificate("pair", LISTENING), one, route("one", "ours.test"))
    assert ask(site, "ours.test", trusts=OURS) == "one"


def test_both_modes_and_https_share_a_port(serve: Serve, scripted: Scripting, secured: Securing) -> None:
    """Listeners of one port with hostnames of their own: each connection is treated as its server name wants it
    (TLSRouteModeMixed, TLSRouteMixedTerminationSameNamespace)."""
    listeners = (
        tls("ended", "Terminate", "a.ours.test"),
        tls("passed", "Passthrough", "b.test"),
        https("https", "pair", hostname="ours.test"),
    )
    site = serve(
        gateway(*listeners),
        certificate("pair", LISTENING),
        service("ended", scripted(echo(b"ended")).port),
        secured("passed", "b.test"),
        route("ended", "a.ours.test", section="ended"),
        route("passed", "b.test", section="passed"),
        route("blue", "ours.test", kind="HTTPRoute"),
    )
    assert ask(site, "a.ours.test", trusts=OURS) == "ended"
    assert ask(site, "b.test", trusts=THEIRS) == "passed"
    assert site.ask(host="ours.test", port=443, tls=trusting(OURS)).backend == "blue"


def test_only_what_listener_and_route_have_in_common_is_served(serve: Serve, secured: Securing) -> None:
    """Listener.hostname and TLSRoute.spec.hostnames: their intersection, by server name (TLSRouteHostnameIntersection)."""
    names = ("exact.test", "a.wide.test", "b.a.wide.test", "a.other.test", "wide.test")
    site = serve(
        gateway(tls("exact", "Passthrough", "exact.test"), tls("wide", "Passthrough", "*.wide.test")),
        secured("one", *names),
        secured("two", *names),
        secured("three", *names),
        route("one", "exact.test", "a.other.test"),
        route("two", "*.a.wide.test"),
        route("three", "a.wide.test"),
    )
    found = {name: ask(site, name) for name in names}
    assert found == {"exact.test": "one", "a.wide.test": "three", "b.a.wide.test": "two", "a.other.test": "", "wide.test": ""}


def test_a_route_without_a_common_hostname_serves_nothing(serve: Serve, secured: Securing) -> None:
    """Accepted False, NoMatchingListenerHostname (TLSRouteInvalidNoMatchingListenerHostname); the connection is closed."""
    site = serve(gateway(tls("tls", "Passthrough", "one.test")), secured("one", "two.test"), route("one", "two.test"))
    assert "NoMatchingListenerHostname" in site.conditions("TLSRoute", "one")
    assert ask(site, "two.test") == ""
    assert site.explain_stream("tls://two.test:443")["closed"] == "port 443 serves one.test, not server name two.test"


def test_a_route_at_https_alone_serves_nothing(serve: Serve) -> None:
    """HTTPS takes no TLSRoute: Accepted False (TLSRouteInvalidNoMatchingListener); its HTTPRoutes go on."""
    site = serve(
        gateway(https("https", "pair")),
        certificate("pair", LISTENING),
        route("green", "ours.test"),
        route("blue", "ours.test", kind="HTTPRoute"),
    )
    assert "Accepted', status='False'" in site.conditions("TLSRoute", "green")
    assert site.ask(host="ours.test", port=443, tls=trusting(OURS)).backend == "blue"


def test_a_backend_of_an_unknown_kind_ends_connections(serve: Serve) -> None:
    """ResolvedRefs False, InvalidKind (TLSRouteInvalidBackendRefUnknownKind)."""
    bucket = route("one", "one.test").replace('{"name": "one", "port": 80}', '{"group": "example.com", "kind": "Bucket", "name": "one"}')
    site = serve(gateway(tls("tls", "Passthrough")), bucket)
    assert "InvalidKind" in site.conditions("TLSRoute", "one")
    assert ask(site, "one.test") == ""


def test_a_terminated_connection_may_go_on_over_tls(serve: Serve, secured: Securing) -> None:
    """BackendTLSPolicy of a Service behind a TLSRoute: ended here, and begun anew with the name that the policy says."""
    site = serve(
        gateway(tls("tls", "Terminate")),
        certificate("pair", LISTENING),
        secured("one", "inner.test"),
        trust("ca", THEIRS),
        backend_policy("one", "inner.test", "ca"),
        route("one", "ours.test", "*.ours.test"),
    )
    assert ask(site, "b.ours.test", trusts=OURS) == "one"


def test_a_renewed_certificate_is_shown_by_the_next_handshake(serve: Serve, scripted: Scripting) -> None:
    """A Secret of a listener of protocol TLS follows its file like any other."""

    def texts(pair: Pair) -> tuple[str, ...]:
        return gateway(tls("tls", "Terminate")), certificate("pair", pair), one, route("one", "ours.test")

    one = service("one", scripted(echo(b"one")).port)
    site = serve(*texts(LISTENING))
    before = shown(site, "ours.test")
    site.change(*texts(OURS.issue("ours.test")))
    assert shown(site, "ours.test") != before
