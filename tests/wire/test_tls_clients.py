"""Client certificates on listeners (GatewayTLSConfig.frontend): who must show one, who is let in, and what backends are told of it."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.certificates import EXPIRED, Authority, Pair
from tests.wire.backends import Echo
from tests.wire.conftest import Serve
from tests.wire.peers import Wire, get
from tests.wire.secure import condition, first_of, gateway, https, trust, trusting, validation
from tests.wire.serving import Site, certificate

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
FORGED = ("X-Forwarded-Client-Cert", "Hash=00;Cert=forged")
OTHER = Authority("Other Authority")
STRANGER = Authority("Stranger")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who issues the server's certificate, and those of clients in the default validation."""
    return Authority()


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.issue("example.com", "other.test")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.issue("client.test", usage="client")


def let_in(site: Site, context: ssl.SSLContext, port: int = 443) -> bool:
    """Whether a request comes through; False where the handshake failed with an alert (in TLS 1.3 the client sees it on reading)."""
    try:
        with Wire(site, port, tls=context, server_name="example.com") as wire:
            return wire.ask(get()).status == 200
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            raise
        return False


def identity(pair: Pair) -> str:
    """x-forwarded-client-cert for a client with this certificate."""
    der = first_of(pair)
    return f'Hash={hashlib.sha256(der).hexdigest()};Cert="{quote(ssl.DER_cert_to_PEM_cert(der), safe="")}"'


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_only_a_valid_certificate_lets_a_client_in(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair, version: ssl.TLSVersion
) -> None:
    """AllowValidOnly, the default mode: a certificate of caCertificateRefs, in its time; without one the handshake fails."""
    site = serve(
        gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}),
        certificate("server", server), trust("ca", authority), TO_BLUE,
    )  # fmt: skip
    shows = {
        "valid": client,
        "none": None,
        "of a stranger": STRANGER.issue("client.test"),
        "expired": authority.issue("client.test", validity=EXPIRED),
        "for servers": authority.issue("client.test", usage="server"),
        "by an intermediate": authority.intermediate().issue("client.test"),
    }
    contexts = {sort: trusting(authority, pair, tmp_path) for sort, pair in shows.items()}
    for context in contexts.values():
        context.minimum_version = context.maximum_version = version
    assert [sort for sort, context in contexts.items() if let_in(site, context)] == ["valid", "by an intermediate"]


def test_any_certificate_or_none_passes_in_the_fallback(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair
) -> None:
    """AllowInsecureFallback lets everyone in, and the Gateway says InsecureFrontendValidationMode; only a certificate that verifies is an
    identity."""
    tls = {"frontend": {"default": validation("ca", mode="AllowInsecureFallback")}}
    site = serve(gateway(https("https", "server"), tls=tls), certificate("server", server), trust("ca", authority), TO_BLUE)
    assert condition(site, "InsecureFrontendValidationMode") == ("True", "ConfigurationChanged")
    shows = {"valid": client, "none": None, "of a stranger": STRANGER.issue("client.test")}
    told = {}
    for sort, pair in shows.items():
        answer = site.ask(port=443, tls=trusting(authority, pair, tmp_path), headers=[FORGED])
        assert answer.status == 200
        told[sort] = answer.request.values("x-forwarded-client-cert")
    assert told == {"valid": [identity(client)], "none": [], "of a stranger": []}


def test_the_fallback_asks_for_a_certificate(serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair) -> None:
    """A CertificateRequest is sent in the fallback, too (reference 2.3): a client that has one shows it. Without validation none is."""
    base = (certificate("server", server), trust("ca", authority), TO_BLUE)
    site = serve(gateway(https("https", "server")), *base)
    assert site.ask(port=443, tls=trusting(authority, client, tmp_path)).request.value("x-forwarded-client-cert") is None
    site.change(gateway(https("https", "server"), tls={"frontend": {"default": validation("ca", mode="AllowInsecureFallback")}}), *base)
    site.forget_connections()
    answer = site.ask(port=443, tls=trusting(authority, client, tmp_path))
    assert answer.request.value("x-forwarded-client-cert") == identity(client)


def test_a_port_has_a_validation_of_its_own(serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair) -> None:
    """perPort stands in place of default on its port, also to ask for none (TLSPortConfig)."""
    frontend = {
        "default": validation("ca"),
        "perPort": [{"port": 8443, "tls": validation("other")}, {"port": 9443, "tls": {}}],
    }
    listeners = [https("default", "server"), https("strict", "server", port=8443), https("open", "server", port=9443)]
    site = serve(
        gateway(*listeners, tls={"frontend": frontend}),
        certificate("server", server), trust("ca", authority), trust("other", OTHER), TO_BLUE,
    )  # fmt: skip
    shows = {"default": client, "other": OTHER.issue("client.test"), "none": None}
    contexts = {sort: trusting(authority, pair, tmp_path) for sort, pair in shows.items()}
    passed = {port: [sort for sort, context in contexts.items() if let_in(site, context, port)] for port in (443, 8443, 9443)}
    assert passed == {443: ["default"], 8443: ["other"], 9443: ["default", "other", "none"]}


def test_several_authorities_are_believed(serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair) -> None:
    """Each of caCertificateRefs will do."""
    site = serve(
        gateway(https("https", "server"), tls={"frontend": {"default": validation("ca", "other")}}),
        certificate("server", server), trust("ca", authority), trust("other", OTHER), TO_BLUE,
    )  # fmt: skip
    pairs = (client, OTHER.issue("client.test"), STRANGER.issue("client.test"))
    assert [let_in(site, trusting(authority, pair, tmp_path)) for pair in pairs] == [True, True, False]


def test_validation_does_not_touch_plain_listeners(serve: Serve, authority: Authority, server: Pair) -> None:
    """frontend applies to HTTPS listeners only; a CA that is missing closes those, and no other."""
    site = serve(
        gateway(
            {"name": "http", "port": 80, "protocol": "HTTP"}, https("https", "server"),
            tls={"frontend": {"default": validation("absent")}},
        ),
        certificate("server", server), TO_BLUE,
    )  # fmt: skip
    assert condition(site, "ResolvedRefs", "https") == ("False", "InvalidCACertificateRef")
    assert condition(site, "Accepted", "https") == ("False", "NoValidCACertificate")
    assert site.ask().status == 200
    assert 443 not in site.sockets.bound
    assert authority.certificate not in str(site.runtime.listeners())


# what backends are told


def test_backends_are_told_of_a_verified_certificate(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair
) -> None:
    """x-forwarded-client-cert says who the client is, and what the client itself says of it is dropped (a client must not forge it)."""
    site = serve(
        gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}),
        certificate("server", server), trust("ca", authority), TO_BLUE,
    )  # fmt: skip
    answer = site.ask(port=443, tls=trusting(authority, client, tmp_path), headers=[FORGED, FORGED])
    assert answer.request.values("x-forwarded-client-cert") == [identity(client)]


@pytest.mark.parametrize("port", [80, 443])
def test_nobody_else_has_an_identity(serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair, port: int) -> None:
    """Without validation there is no x-forwarded-client-cert, whatever the client says or has."""
    listeners = ({"name": "http", "port": 80, "protocol": "HTTP"}, https("https", "server"))
    site = serve(gateway(*listeners), certificate("server", server), TO_BLUE)
    context = trusting(authority, client, tmp_path) if port == 443 else None
    answer = site.ask(port=port, tls=context, headers=[FORGED, ("x-forwarded-client-cert", ""), ("X-FORWARDED-CLIENT-CERT", "Hash=1")])
    assert answer.request.values("x-forwarded-client-cert") == []


# no way around


def test_a_session_is_not_resumed_where_certificates_are_demanded(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair
) -> None:
    """A session begun with a certificate is no ticket for later handshakes (design 6 TLS; RFC 8446 2.2)."""
    site = serve(
        gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}),
        certificate("server", server), trust("ca", authority), TO_BLUE,
    )  # fmt: skip
    context = trusting(authority, client, tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Wire(site, 443, tls=context, server_name="example.com") as wire:
        assert wire.ask(get()).status == 200
        assert isinstance(wire.socket, ssl.SSLSocket)
        session = wire.socket.session
    with (
        site.connect(443) as plain,
        context.wrap_socket(plain, server_hostname="example.com", session=session) as secured,
    ):
        assert not secured.session_reused


def test_connections_end_when_their_authority_is_believed_no_more(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair
) -> None:
    """A change of caCertificateRefs' content holds for open connections, also for those that a renewal of the server's certificate left."""
    base = (gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}), TO_BLUE)
    site = serve(*base, certificate("server", server), trust("ca", authority))
    context = trusting(authority, client, tmp_path)
    with Wire(site, 443, tls=context, server_name="example.com") as first:
        assert first.ask(get()).status == 200
        renewed = certificate("server", authority.issue("example.com"))
        site.change(*base, renewed, trust("ca", authority))
        with Wire(site, 443, tls=context, server_name="example.com") as second:
            assert (first.ask(get()).status, second.ask(get()).status) == (200, 200)
            site.change(*base, renewed, trust("ca", OTHER))
            assert (first.is_ended(), second.is_ended()) == (True, True)
    assert not let_in(site, context)


def test_a_handshake_under_way_does_not_outlive_its_authority(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair, blue: Echo
) -> None:
    """A client whose handshake began before the change and ended after it is served by nobody who would not let it in now."""
    base = (gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}), TO_BLUE)
    site = serve(*base, certificate("server", server), trust("ca", authority))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting(authority, client, tmp_path).wrap_bio(incoming, outgoing, server_hostname="example.com")
    with Wire(site, 443) as wire:
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        wire.send(outgoing.read())
        while True:
            incoming.write(wire.socket.recv(65_536))
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        site.change(*base, certificate("server", server), trust("ca", OTHER))
        session.write(get())
        wire.send(outgoing.read())
        incoming.write(wire.socket.recv(65_536))
        assert session.read(65_536).startswith(b"HTTP/1.1 421 ")
    assert not blue.requests


def test_connections_end_when_a_certificate_is_demanded(
    serve: Serve, tmp_path: Path, authority: Authority, server: Pair, client: Pair
) -> None:
    """Who was let in before a certificate was demanded is not served after."""
    base = (certificate("server", server), trust("ca", authority), TO_BLUE)
    site = serve(gateway(https("https", "server")), *base)
    with Wire(site, 443, tls=trusting(authority), server_name="example.com") as wire:
        assert wire.ask(get()).status == 200
        site.change(gateway(https("https", "server"), tls={"frontend": {"default": validation("ca")}}), *base)
        assert wire.is_ended()
    assert let_in(site, trusting(authority, client, tmp_path))
