"""Mutual TLS between proxies of the mesh: who is reached by it, who is refused on either side, and what is known of the caller."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.ir.backend import HealthCheck, HttpCheck
from gateway.ir.batch import AnyResource
from gateway.ir.filters import ExternalAuth, RequestMirror
from gateway.ir.policy import AuthorizationPolicy, AuthorizationRule, SourceMatch
from gateway.ir.value import Source
from gateway.ir.workload import ALPN, WorkloadPort
from tests.certificates import EXPIRED, Authority, Pair
from tests.faults.waiting import until
from tests.wire.backends import Conversation, Echo, Scripted
from tests.wire.flights import Connection
from tests.wire.http2_backends import Http2Echo
from tests.wire.meshes import identity, inbound, only_at, own, proof, roots, spiffe_id, workload
from tests.wire.peers import Recorder
from tests.wire.streaming import StreamSite, backend, echo, http_rule, listener, read_exactly, tcp_rule, tls_rule

MakeScripted = Callable[..., Scripted]
Resources = AnyResource | tuple[AnyResource, ...]

AUTHORITY = Authority()
_URI = b"spiffe://cluster.local\0/ns/shop/sa/web"
AHEAD = (timedelta(hours=1), timedelta(hours=25))
"""Validity of what is issued by a clock that is an hour ahead, or judged by one that is an hour behind."""
NUL = bytes((0x30, len(_URI) + 2, 0x86, len(_URI))) + _URI
"""A subjectAltName with one URI that has a NUL in it."""


@contextmanager
def called(blue: Echo, *more: Resources) -> Iterator[StreamSite]:
    """The callee: the proxy of shop/db with blue beside it."""
    beside = backend("own", blue.port, protocol="http/1.1")
    with StreamSite(proof(AUTHORITY, "db"), inbound("http", 443, "HTTPS"), beside, http_rule("http", "own"), *more) as site:
        yield site


@contextmanager
def calling(port: int, *resources: Resources) -> Iterator[StreamSite]:
    """The caller: a plain port that leads to the callee's."""
    to = backend("db", port, protocol="http/1.1")
    with StreamSite(only_at(port), listener("http", 80, "HTTP"), to, http_rule("http", "db"), *resources) as site:
        yield site
        let_go(site)


def let_go(site: StreamSite) -> None:
    """Kept connections end in their own time, since TLS is ended by both sides."""
    connections = site.runtime._live.backends["default/db:80"].connections
    site.put(remove=(("EndpointSet", "default/db:80"),))
    until(lambda: not connections.count, "the end of kept connections")


@contextmanager
def passing(callee: StreamSite, account: str = "web", namespace: str = "shop", **options: Any) -> Iterator[StreamSite]:
    """A caller that passes on what comes."""
    port = callee.sockets.bound[443]
    resources = (only_at(port), listener("tcp", 90), backend("db", port, **options), tcp_rule("tcp", "db"))
    with StreamSite(proof(AUTHORITY, account, namespace), *resources) as site:
        yield site


def ask(site: StreamSite, *fields: tuple[str, str]) -> int:
    """The status of one request on a connection of its own."""
    connection = Connection(("127.0.0.1", site.sockets.bound[80]))
    try:
        connection.send("GET", "/", [("Host", "db.shop"), *fields], b"")
        return connection.response()[0]
    finally:
        connection.close()


def reason(site: StreamSite, count: int = 1) -> str:
    """Why what was logged last ended as it did."""
    return str(site.log.wait_for(count)[-1]["reason"])


def test_each_side_proves_who_it_is(blue: Echo) -> None:
    """Both SPIFFE IDs are in x-forwarded-client-cert as Envoy's SANITIZE_SET has it, and what a client says there is not; the log has the
    version of TLS and the caller. TLS of the mesh does not show in x-forwarded-proto."""
    with called(blue) as callee, calling(callee.sockets.bound[443], proof(AUTHORITY, "web")) as caller:
        assert ask(caller, ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin")) == 200
        request = blue.requests[-1]
        [line] = callee.log.wait_for(1)
        sent = request.values("x-forwarded-client-cert")
        assert sent == [f'By={spiffe_id("db")};Hash={line["peer"]};Subject="";URI={spiffe_id("web")}']
        assert request.value("x-forwarded-proto") == "http"
        assert (line["tls"], line["peer_identity"]) == ("TLSv1.3", spiffe_id("web"))
        [line] = caller.log.wait_for(1)
        assert (line["tls"], line["peer_identity"]) == (None, None)


def test_what_is_passed_on_goes_by_mutual_tls_too(scripted: MakeScripted) -> None:
    """A relay at either side: the bytes are those of the connection, and the callee's log says who called."""
    server = scripted(echo(b"hello "))
    ended = inbound("tls", 443, "TLS")
    with StreamSite(proof(AUTHORITY, "db"), ended, backend("own", server.port), tls_rule("tls", "own")) as callee:
        with passing(callee) as caller, caller.connect(90) as client:
            client.sendall(b"world")
            assert read_exactly(client, 11) == b"hello world"
        [line] = callee.log.wait_for(1)
        assert (line["tls"], line["peer_identity"], line["bytes_received"]) == ("TLSv1.3", spiffe_id("web"), 5)


def test_a_proxy_header_is_inside(scripted: MakeScripted) -> None:
    """BackendPolicy.proxyProtocol: within TLS of the mesh, where it would stand on the plain connection."""
    own_rule = (*backend("own", scripted(echo(b"")).port), tls_rule("tls", "own"))
    callee = StreamSite(proof(AUTHORITY, "db"), inbound("tls", 443, "TLS"), own_rule)
    with callee, passing(callee, proxy_protocol="v1") as caller, caller.connect(90) as client:
        header = f"PROXY TCP4 127.0.0.1 127.0.0.1 {client.getsockname()[1]} {caller.sockets.bound[90]}\r\n".encode()
        assert read_exactly(client, len(header)) == header


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param((proof(AUTHORITY, "web"), workload("")), id="the workload has no sidecar"),
        pytest.param((proof(AUTHORITY, "web"), workload(mutual_tls="Disable")), id="its sidecar takes none"),
        pytest.param((proof(AUTHORITY, "web"), workload(addresses=("127.0.0.2",))), id="it is at another address"),
        pytest.param((roots(AUTHORITY), workload()), id="the caller has no identity"),
        pytest.param((own(AUTHORITY.issue(spiffe_id())), workload()), id="the caller has no roots"),
    ],
)
def test_others_are_reached_in_plain(resources: tuple[Resources, ...], blue: Echo) -> None:
    """Mutual TLS exactly with a workload that has an identity, in a mode other than Disable, if the caller has one itself."""
    with calling(blue.port, *resources) as caller:
        assert ask(caller) == 200


def test_the_mode_of_a_port_comes_before_that_of_the_workload(blue: Echo) -> None:
    """PeerAuthentication.portLevelMtls."""
    ports = (WorkloadPort(blue.port, mutual_tls="Disable"),)
    with calling(blue.port, proof(AUTHORITY, "web"), workload(ports=ports, mutual_tls="Strict")) as caller:
        assert ask(caller) == 200


# who is refused

STRANGERS = [
    pytest.param(None, "certificate_missing", id="without a certificate"),
    pytest.param(Authority().issue(spiffe_id("web")), "certificate_refused", id="of another root"),
    pytest.param(AUTHORITY.issue(spiffe_id("web"), validity=EXPIRED), "certificate has expired", id="expired"),
    pytest.param(AUTHORITY.issue(spiffe_id("web"), validity=AHEAD), "certificate is not yet valid", id="an hour ahead"),
    pytest.param(AUTHORITY.issue(spiffe_id("web", domain="other.test")), "the trust domain here is cluster.local", id="of another domain"),
    pytest.param(AUTHORITY.issue(spiffe_id("web"), spiffe_id("api")), "2 names, 2 of them URIs", id="with two URIs"),
    pytest.param(AUTHORITY.issue(spiffe_id("web"), "web.shop"), "2 names, 1 of them URIs", id="with a DNS name besides"),
    pytest.param(AUTHORITY.issue("web.shop"), "1 names, 0 of them URIs", id="without a URI"),
    pytest.param(AUTHORITY.issue(common_name="web"), "0 names", id="without a name"),
    pytest.param(AUTHORITY.issue("x", extension=NUL), "malformed", id="with a NUL"),
    pytest.param(AUTHORITY.issue("spiffe://cluster.local/shop/web"), "is not spiffe://", id="of another path"),
    pytest.param(AUTHORITY.issue("spiffe://cluster.local/ns/../sa/web"), "is not spiffe://", id="with a dot segment"),
]


def arm(context: ssl.SSLContext, pair: Pair | None, folder: Path) -> ssl.SSLContext:
    """A context that speaks as the mesh does, and trusts whom it trusts."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=AUTHORITY.certificate)
    context.set_alpn_protocols([ALPN])
    if pair is not None:
        context.load_cert_chain(*pair.write(folder, "peer"))
    return context


def client_of(pair: Pair | None, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return arm(context, pair, folder)


def served(site: StreamSite, context: ssl.SSLContext) -> bool:
    """Whether a request over TLS gets an answer."""
    try:
        with site.connect(443) as connection, context.wrap_socket(connection) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: db.shop\r\n\r\n")
            return secure.recv(65_536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize(("pair", "why"), STRANGERS)
def test_a_caller_that_is_nobody_is_refused(pair: Pair | None, why: str, blue: Echo, tmp_path: Path) -> None:
    """X509-SVID 5: the chain, exactly one name, which is a SPIFFE ID of this trust domain. Nothing of it is served; the log says why."""
    before = len(blue.requests)
    with called(blue) as callee:
        assert not served(callee, client_of(pair, tmp_path))
        assert why in reason(callee)
        assert callee.log.wait_for(1)[0]["flags"] == "DPE"
        assert len(blue.requests) == before
        assert served(callee, client_of(AUTHORITY.issue(spiffe_id("web")), tmp_path))


@pytest.mark.parametrize(("protocols", "newest", "why"), [
    pytest.param(["http/1.1"], ssl.TLSVersion.TLSv1_3, "no_application_protocol", id="another protocol"),
    pytest.param(None, ssl.TLSVersion.TLSv1_3, "(ALPN)", id="no protocol"),
    pytest.param([ALPN], ssl.TLSVersion.TLSv1_2, "no_common_version", id="TLS 1.2"),
])  # fmt: skip
def test_a_caller_that_is_no_proxy_is_refused(
    protocols: list[str] | None, newest: ssl.TLSVersion, why: str, blue: Echo, tmp_path: Path
) -> None:
    """An identity is not enough: TLS 1.3 and the protocol of the mesh (RFC 7301 3.2)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    context.load_verify_locations(cadata=AUTHORITY.certificate)
    context.load_cert_chain(*AUTHORITY.issue(spiffe_id("web")).write(tmp_path, "peer"))
    if protocols is not None:
        context.set_alpn_protocols(protocols)
    with called(blue) as callee:
        assert not served(callee, context)
        assert why in reason(callee)


def test_a_plain_request_to_the_port_is_refused(blue: Echo) -> None:
    """It is answered as on any TLS port, and logged."""
    with called(blue) as callee, callee.connect(443) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: db.shop\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 400")
        assert "plain_http" in reason(callee)


def test_nothing_is_resumed(blue: Echo, tmp_path: Path) -> None:
    """No ticket is given (RFC 8446 4.6.1), so that each connection is judged anew."""
    with called(blue) as callee:
        context = client_of(AUTHORITY.issue(spiffe_id("web")), tmp_path)
        with callee.connect(443) as connection, context.wrap_socket(connection) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: db.shop\r\n\r\n")
            assert secure.recv(65_536)
            assert secure.session is not None
            assert not secure.session.has_ticket


IMPOSTORS = [
    pytest.param(Authority().issue(spiffe_id()), "unable to get local issuer certificate", id="of another root"),
    pytest.param(AUTHORITY.issue(spiffe_id(), validity=EXPIRED), "certificate has expired", id="expired"),
    pytest.param(AUTHORITY.issue(spiffe_id(), validity=AHEAD), "certificate is not yet valid", id="an hour ahead"),
    pytest.param(AUTHORITY.issue(spiffe_id("web")), f"it is {spiffe_id('web')}, and not {spiffe_id()}", id="another workload"),
    pytest.param(AUTHORITY.issue(spiffe_id(namespace="other")), f"and not {spiffe_id()}", id="another namespace"),
    pytest.param(AUTHORITY.issue(spiffe_id(), spiffe_id("web")), "2 names, 2 of them URIs", id="with two URIs"),
    pytest.param(AUTHORITY.issue("db.shop"), "1 names, 0 of them URIs", id="without a URI"),
    pytest.param(AUTHORITY.issue("x", extension=NUL), "malformed", id="with a NUL"),
    pytest.param(AUTHORITY.issue(spiffe_id(), usage="client"), "unsuitable certificate purpose", id="for clients only"),
]


def secured(recorder: Recorder, context: ssl.SSLContext) -> Callable[[Conversation], None]:
    def script(conversation: Conversation) -> None:
        try:
            conversation.connection = context.wrap_socket(conversation.connection, server_side=True)
        except OSError:
            return
        with conversation.connection:
            recorder(conversation)

    return script


@pytest.mark.parametrize(("pair", "why"), IMPOSTORS)
def test_a_callee_must_be_the_workload_at_its_address(pair: Pair, why: str, scripted: MakeScripted, tmp_path: Path) -> None:
    """The exact SPIFFE ID of the Workload, checked after the handshake: nothing of the request is sent to anybody else."""
    recorder = Recorder()
    server = scripted(secured(recorder, arm(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair, tmp_path)))
    with calling(server.port, proof(AUTHORITY, "web")) as caller:
        assert ask(caller) == 503
        [line] = caller.log.wait_for(1)
        assert why in line["reason"]
        assert line["flags"] == "UF"
    assert not recorder.requests


def test_a_server_that_has_the_identity_and_is_no_proxy_is_refused(scripted: MakeScripted, tmp_path: Path) -> None:
    """An application may have a certificate of its own: what is for its proxy does not go to it (ALPN)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue(spiffe_id()).write(tmp_path, "peer"))
    recorder = Recorder()
    server = scripted(secured(recorder, context))
    with calling(server.port, proof(AUTHORITY, "web")) as caller:
        assert ask(caller) == 503
        assert "(ALPN)" in reason(caller)
    assert not recorder.requests


def test_explain_says_who_is_reached_and_as_whom() -> None:
    """The endpoint's identity, and the caller's own."""
    with calling(9, proof(AUTHORITY, "web")) as caller:
        question = {"method": "GET", "url": "http://127.0.0.1:80/", "headers": []}
        raw = caller._thread.run(caller.runtime.explain(question))
        [endpoint] = json.loads(bytes(raw))["portions"][0]["endpoints"]
        assert (endpoint["identity"], endpoint["as_identity"]) == (spiffe_id("db"), spiffe_id("web"))


# what its identity is good for

PRINCIPALS = [
    pytest.param(SourceMatch(principals=("cluster.local/ns/shop/sa/web",)), "web", "shop", True, id="its principal"),
    pytest.param(SourceMatch(principals=("*/sa/web",)), "web", "other", True, id="the end of its principal"),
    pytest.param(SourceMatch(principals=("*",)), "web", "shop", True, id="any principal"),
    pytest.param(SourceMatch(principals=("cluster.local/ns/shop/sa/web",)), "api", "shop", False, id="another principal"),
    pytest.param(SourceMatch(not_principals=("cluster.local/ns/shop/sa/web",)), "web", "shop", False, id="all but its principal"),
    pytest.param(SourceMatch(namespaces=("shop",)), "api", "shop", True, id="its namespace"),
    pytest.param(SourceMatch(namespaces=("shop",)), "api", "other", False, id="another namespace"),
    pytest.param(SourceMatch(not_namespaces=("other",)), "api", "shop", True, id="all but another namespace"),
]


def policy(source: SourceMatch) -> AuthorizationPolicy:
    rule = AuthorizationRule("0", (source,))
    return AuthorizationPolicy("shop/p", Source("AuthorizationPolicy", "shop", "p"), ("default/web",), "ALLOW", (rule,))


@pytest.mark.parametrize(("source", "account", "namespace", "allowed"), PRINCIPALS)
def test_requests_are_judged_by_the_caller_s_identity(
    source: SourceMatch, account: str, namespace: str, allowed: bool, blue: Echo
) -> None:
    """AuthorizationPolicy Source.principals and namespaces: those of the certificate, whatever the request says."""
    with called(blue, policy(source)) as callee, calling(callee.sockets.bound[443], proof(AUTHORITY, account, namespace)) as caller:
        assert ask(caller) == (200 if allowed else 403)
        [line] = callee.log.wait_for(1)
        assert line["peer_identity"] == spiffe_id(account, namespace)
        assert line["flags"] == ("-" if allowed else "RBAC")


@pytest.mark.parametrize(("source", "account", "namespace", "allowed"), PRINCIPALS)
def test_what_is_passed_on_is_judged_by_it_too(
    source: SourceMatch, account: str, namespace: str, allowed: bool, scripted: MakeScripted
) -> None:
    """The same for a relay: one that is denied ends without a byte."""
    own_rule = (*backend("own", scripted(echo(b"hello")).port), tls_rule("tls", "own"))
    with StreamSite(proof(AUTHORITY, "db"), inbound("tls", 443, "TLS"), own_rule, policy(source)) as callee:
        with passing(callee, account, namespace) as caller, caller.connect(90) as client:
            assert read_some(client) == (b"hello" if allowed else b"")
        [line] = callee.log.wait_for(1)
        assert line["peer_identity"] == spiffe_id(account, namespace)
        assert (line["flags"] == "RBAC") is not allowed


def read_some(client: socket.socket) -> bytes:
    try:
        return client.recv(5)
    except ConnectionResetError:
        return b""


# what changes while connections stand


def test_a_renewal_is_for_connections_to_come(blue: Echo) -> None:
    """Neither side's connections end, kept ones are used, and who connects anew shows and sees the new certificate."""
    with called(blue) as callee, calling(callee.sockets.bound[443], proof(AUTHORITY, "web")) as caller:
        assert ask(caller) == 200
        callee.put(proof(AUTHORITY, "db"))
        caller.put(proof(AUTHORITY, "web"))
        assert ask(caller) == 200
        caller.put(workload("db", key="shop/other"))  # another Pod there, of the same identity
        assert ask(caller) == 200
        lines = callee.log.wait_for(3)
        assert len({line["peer"] for line in lines}) == 1
        caller.put(proof(AUTHORITY, "api"))  # another identity of ours: what was proven before is not used
        assert ask(caller) == 200
        assert [line["peer_identity"] for line in callee.log.wait_for(4)] == [*[spiffe_id("web")] * 3, spiffe_id("api")]


def test_roots_come_and_go_without_harm(blue: Echo) -> None:
    """The order of a rotation: the new root is trusted, then used, then the old one is forgotten. The first two end nothing; the last
    has connections that the old root vouched for end after their exchange."""
    newer = Authority()
    with called(blue) as callee, calling(callee.sockets.bound[443], proof(AUTHORITY, "web")) as caller:
        port = callee.runtime._live.ports
        assert ask(caller) == 200
        for site in (callee, caller):
            site.put(roots(AUTHORITY, newer))
        assert ask(caller) == 200
        callee.put(identity(newer, "db"))
        caller.put(identity(newer, "web"))
        assert ask(caller) == 200
        assert len({line["peer"] for line in callee.log.wait_for(3)}) == 1
        assert sum(len(each.connections) for each in port.values()) == 1
        callee.put(roots(newer))
        caller.put(roots(newer))
        assert ask(caller) == 200
        assert len({line["peer"] for line in callee.log.wait_for(4)}) == 2


def test_another_workload_at_the_address_gets_nothing_on_a_kept_connection(blue: Echo) -> None:
    """The connection was verified for the one before; a new one is made, and fails where the identity is not the one that is due."""
    with called(blue) as callee, calling(callee.sockets.bound[443], proof(AUTHORITY, "web")) as caller:
        assert ask(caller) == 200
        before = len(blue.requests)
        caller.put(only_at(callee.sockets.bound[443], "cache"))
        assert ask(caller) == 503
        assert f"it is {spiffe_id('db')}, and not {spiffe_id('cache')}" in reason(caller, 2)
        assert len(blue.requests) == before


def test_health_checks_go_the_same_way(blue: Echo) -> None:
    """BackendPolicy.healthCheck: by mutual TLS, with the Host of the plain connection."""
    check = HealthCheck(HttpCheck("/healthy"), interval=50)
    with called(blue) as callee:
        port = callee.sockets.bound[443]
        to = backend("db", port, protocol="http/1.1", health_check=check)
        with StreamSite(proof(AUTHORITY, "web"), only_at(port), listener("http", 80, "HTTP"), to, http_rule("http", "db")) as caller:
            [line] = callee.log.wait_for(1)[:1]
            assert (line["path"], line["status"], line["peer_identity"]) == ("/healthy", 200, spiffe_id("web"))
            assert line["authority"] == f"127.0.0.1:{port}"
            assert ask(caller) == 200
            let_go(caller)


def test_http2_goes_by_mutual_tls(http2_echo: Callable[..., Http2Echo]) -> None:
    """appProtocol kubernetes.io/h2c: the prior knowledge is inside, whatever ALPN says outside."""
    own_rule = (*backend("own", http2_echo("two").port), tls_rule("tls", "own"))
    with StreamSite(proof(AUTHORITY, "db"), inbound("tls", 443, "TLS"), own_rule) as callee:
        port = callee.sockets.bound[443]
        to = (*backend("db", port, protocol="h2c"), http_rule("http", "db"))
        with StreamSite(proof(AUTHORITY, "web"), only_at(port), listener("http", 80, "HTTP"), to) as caller:
            assert ask(caller) == 200
            let_go(caller)


@pytest.mark.parametrize("kind", ["mirror", "authorization"])
def test_other_requests_of_ours_go_the_same_way(kind: str, blue: Echo) -> None:
    """HTTPRequestMirrorFilter and HTTPExternalAuthFilter: a copy, or a question, to a workload of the mesh."""
    with called(blue) as callee:
        port = callee.sockets.bound[443]
        to = backend("db", port, protocol="http/1.1")
        asked = RequestMirror("default/db:80") if kind == "mirror" else ExternalAuth("default/db:80", "/may")
        rule = msgspec.structs.replace(http_rule("http", "plain"), filters=(asked,))
        plain = backend("plain", blue.port, protocol="http/1.1")
        with StreamSite(proof(AUTHORITY, "web"), only_at(port), listener("http", 80, "HTTP"), to, plain, rule) as caller:
            assert ask(caller) == 200
            [line] = callee.log.wait_for(1)
            assert (line["status"], line["peer_identity"]) == (200, spiffe_id("web"))
            assert line["path"] == ("/" if kind == "mirror" else "/may/")
            let_go(caller)
