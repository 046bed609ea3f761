"""TLS listeners: which listener, which certificate, and HTTP/1.1 inside (Gateway API 5.3; RFC 6066 3, RFC 8446, RFC 9110 4.3.4)."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.certificates import EXPIRED
from tests.wire.authorities import AUTHORITY, anybody, gateway, http, https, secret, trusting
from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import DELIVERIES, Delivery, Recorder, Wire, chunked, get, post
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: blue, port: 80}]"
KEPT = "- backendRefs: [{name: kept, port: 80}]"
EXAMPLE = AUTHORITY.issue("example.com")


def names_shown(site: Site, server_name: str | None, port: int = 443) -> tuple[str, ...]:
    """The DNS names of the certificate that a client is shown, which it must be able to trust."""
    context = trusting()
    context.check_hostname = False
    with Wire(site, port, tls=context, server_name=server_name) as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        certificate = wire.socket.getpeercert()
    assert certificate is not None
    return tuple(str(name[1]) for name in certificate["subjectAltName"])


# requests over TLS


def test_requests_over_tls_are_served(serve: Serve) -> None:
    """Backends learn the scheme and the user's port, and the log the version (Listener.protocol HTTPS)."""
    site = serve(gateway(http(), https("https", "example")), secret("example", EXAMPLE), ROUTE)
    answer = site.ask(port=443, tls=trusting())
    assert (answer.status, answer.request.value("x-forwarded-proto"), answer.request.value("x-forwarded-port")) == (200, "https", "443")
    assert site.ask().request.value("x-forwarded-proto") == "http"
    assert [line["tls"] for line in site.log.wait_for(2)] == ["TLSv1.3", None]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_both_versions_and_both_kinds_of_keys_are_spoken(serve: Serve, version: ssl.TLSVersion, key_type: str) -> None:
    """TLS 1.2 and 1.3, ECDSA and RSA (catalogue 2.7)."""
    pair = AUTHORITY.issue("example.com", key_type="rsa" if key_type == "rsa" else "ecdsa")
    site = serve(gateway(https("https", "example")), secret("example", pair), ROUTE)
    context = trusting()
    context.minimum_version = context.maximum_version = version
    assert site.ask(port=443, tls=context).status == 200


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_pipelines_and_bodies_pass_over_tls(serve: Serve, scripted: Callable[..., Scripted], delivery: Delivery) -> None:
    """The same codec on another transport: in order, kept alive, whatever the records."""
    backend = Recorder()
    site = serve(service("kept", scripted(backend).port), gateway(https("https", "example")), secret("example", EXAMPLE), KEPT)
    with Wire(site, 443, tls=trusting(), server_name="example.com") as wire:
        requests = (
            get(target=b"/1") + post(b"Content-Length: 5", body=b"hello") + post(b"Transfer-Encoding: chunked", body=chunked(b"a", b"b"))
        )
        wire.deliver(requests, delivery, get(target=b"/4"))
        assert [wire.response().body for _ in range(3)] == [b"ok"] * 3
    assert [request.line.split()[0] for request in backend.requests[:3]] == [b"GET", b"POST", b"POST"]


def test_large_bodies_pass_over_tls_in_both_directions(serve: Serve, blue: Echo) -> None:
    """Back pressure reaches through the encryption: nothing is lost or reordered."""
    body = hashlib.shake_128(b"seed").digest(8_000_000)
    blue.plan(Planned(body=body, pieces=9))
    site = serve(gateway(https("https", "example")), secret("example", EXAMPLE), ROUTE)
    answer = site.ask(method="POST", body=body, port=443, tls=trusting())
    assert answer.body == answer.request.body == body


def test_the_end_of_a_connection_is_said(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """A close_notify ends the stream, so that a body until close cannot be cut by a third party (RFC 8446 6.1, RFC 9112 9.8)."""
    answer = b"HTTP/1.0 200 OK\r\n\r\nhello"

    def script(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(answer)

    site = serve(service("kept", scripted(script).port), gateway(https("https", "example")), secret("example", EXAMPLE), KEPT)
    raw = site.connect(443)
    with trusting().wrap_socket(raw, server_hostname="example.com", suppress_ragged_eofs=False) as client:
        client.sendall(get(version=b"1.0"))
        received = b""
        while data := client.recv(65_536):  # SSLEOFError without a close_notify
            received += data
    assert received.endswith(b"connection: close\r\n\r\nhello")


def test_a_refusal_over_tls_reaches_a_client_that_still_sends(serve: Serve) -> None:
    """The answer is not lost to a reset (RFC 9112 9.6)."""
    site = serve(gateway(https("https", "example")), secret("example", EXAMPLE), ROUTE)
    with Wire(site, 443, tls=trusting(), server_name="example.com") as wire:
        wire.send(post(b"Content-Length: 1000", b"Content-Length: 1000", body=b"x" * 1000))
        assert wire.response().status == 400
        assert wire.is_ended()


def test_openssl_finds_nothing_to_complain_of(serve: Serve, tmp_path: Path) -> None:
    """Chain with its intermediate, and the protocol agreed on (RFC 7301)."""
    below = AUTHORITY.intermediate()
    (tmp_path / "ca.crt").write_text(AUTHORITY.certificate)
    site = serve(gateway(https("https", "example")), secret("example", below.issue("example.com")), ROUTE)
    output = s_client(site, "-CAfile", str(tmp_path / "ca.crt"), "-verify_return_error", "-servername", "example.com", "-alpn", "http/1.1")
    assert "Verify return code: 0 (ok)" in output
    assert "ALPN protocol: http/1.1" in output


def s_client(site: Site, *options: str) -> str:
    """What openssl s_client prints of a handshake."""
    address, port = site.address(443)
    command = ["openssl", "s_client", "-connect", f"{address}:{port}", *options]
    return subprocess.run(command, input="", capture_output=True, timeout=LIMIT, check=False, text=True).stdout


# which certificate

SITE = (
    gateway(
        http(),
        https("all", "default", "other"),
        https("exact", "exact", hostname="a.example.com"),
        https("wild", "wild", hostname="*.example.com"),
        https("deep", "deep", hostname="*.b.example.com"),
    ),
    secret("default", AUTHORITY.issue("default.test")),
    secret("other", AUTHORITY.issue("other.test", "*.other.test")),
    secret("exact", AUTHORITY.issue("a.example.com", "exact.test")),
    secret("wild", AUTHORITY.issue("*.example.com", "wild.test")),
    secret("deep", AUTHORITY.issue("*.b.example.com", "deep.test")),
    ROUTE,
)


@pytest.mark.parametrize(
    ("server_name", "shown"),
    [
        ("a.example.com", ("a.example.com", "exact.test")),
        ("A.EXAMPLE.COM", ("a.example.com", "exact.test")),
        ("c.example.com", ("*.example.com", "wild.test")),
        ("c.d.example.com", ("*.example.com", "wild.test")),
        ("c.b.example.com", ("*.b.example.com", "deep.test")),
        ("b.example.com", ("*.example.com", "wild.test")),
        ("example.com", ("default.test",)),
        ("default.test", ("default.test",)),
        ("other.test", ("other.test", "*.other.test")),
        ("x.other.test", ("other.test", "*.other.test")),
        ("x.y.other.test", ("default.test",)),
        ("exact.test", ("default.test",)),
        (None, ("default.test",)),
    ],
)
def test_the_listener_is_chosen_by_server_name_and_then_its_certificate(
    one_site: Callable[[Sequence[str]], Site], server_name: str | None, shown: tuple[str, ...]
) -> None:
    """The exact hostname before the longest wildcard before none; in the listener the certificate for the name, else its first; never
    the certificate of another listener (Gateway API 5.3, GatewayTLSConfig.certificateRefs)."""
    assert names_shown(one_site(SITE), server_name) == shown


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory, running_echoes: object) -> Callable[[Sequence[str]], Site]:
    """A gateway that several cases share; made when the first one asks."""
    sites: dict[int, Site] = {}

    def make(texts: Sequence[str]) -> Site:
        if id(texts) not in sites:
            site = sites[id(texts)] = Site(tmp_path_factory.mktemp("site"), getattr(running_echoes, "echoes"))  # noqa: B009
            site.change(*texts)
        return sites[id(texts)]

    return make


def test_a_name_has_certificates_of_both_kinds(serve: Serve) -> None:
    """What the client can do decides between RSA and ECDSA (RFC 8446 4.2.3)."""
    site = serve(
        gateway(https("https", "first", "second")),
        secret("first", AUTHORITY.issue("example.com", key_type="rsa")),
        secret("second", AUTHORITY.issue("example.com")),
        ROUTE,
    )
    kinds = set()
    for ciphers in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        with Wire(site, 443, tls=context, server_name="example.com") as wire:
            assert isinstance(wire.socket, ssl.SSLSocket)
            kinds.add(wire.socket.cipher())
    assert len(kinds) == 2


def test_listeners_on_two_ports_have_their_own_certificates(serve: Serve) -> None:
    """A port is chosen before a name."""
    site = serve(
        gateway(https("one", "first"), https("two", "second", port=8443)),
        secret("first", AUTHORITY.issue("example.com", "first.test")),
        secret("second", AUTHORITY.issue("example.com", "second.test")),
        ROUTE,
    )
    assert names_shown(site, "example.com") == ("example.com", "first.test")
    assert names_shown(site, "example.com", 8443) == ("example.com", "second.test")
    assert site.ask(port=8443, tls=trusting()).request.value("x-forwarded-port") == "8443"


def test_an_expired_certificate_is_shown_all_the_same(serve: Serve) -> None:
    """Clients are the judges of that; other listeners are not harmed."""
    site = serve(gateway(https("https", "example")), secret("example", AUTHORITY.issue("example.com", validity=EXPIRED)), ROUTE)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        Wire(site, 443, tls=trusting(), server_name="example.com")
    assert site.ask(port=443, tls=anybody()).status == 200


# what is refused


@pytest.mark.parametrize("options", [("-servername", "stranger.test"), ("-noservername",)], ids=["unknown", "none"])
def test_a_name_that_no_listener_has_ends_the_handshake(serve: Serve, options: tuple[str, ...]) -> None:
    """With the alert unrecognized_name, and without showing any certificate (RFC 6066 3, catalogue 2.7)."""
    site = serve(gateway(https("https", "example", hostname="example.com")), secret("example", EXAMPLE), ROUTE)
    output = s_client(site, *options)
    assert "no peer certificate available" in output
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        Wire(site, 443, tls=anybody(), server_name="stranger.test")
    assert site.ask(port=443, tls=trusting()).status == 200


def test_a_protocol_that_is_not_spoken_ends_the_handshake(serve: Serve) -> None:
    """With the alert no_application_protocol; a client that offers nothing speaks HTTP/1.1 (RFC 7301 3.2)."""
    site = serve(gateway(https("https", "example")), secret("example", EXAMPLE), ROUTE)
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        Wire(site, 443, tls=trusting(alpn=["spdy/3"]), server_name="example.com")
    assert site.ask(port=443, tls=trusting(alpn=[])).status == 200
    assert site.ask(port=443, tls=trusting(alpn=["h3", "http/1.1"])).status == 200


def test_a_handshake_that_takes_too_long_is_ended(serve: Serve) -> None:
    """Before its first byte, or in the middle (ListenerPolicy.timeouts.header, catalogue 2.5); a changed limit holds at once."""
    policy = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], timeouts: {header: 100ms}}"
    texts = (gateway(https("https", "example")), secret("example", EXAMPLE), ROUTE)
    site = serve(*texts)
    site.change(*texts, policy)
    with Wire(site, 443) as silent, Wire(site, 443) as begun:
        begun.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert silent.is_ended()
        with contextlib.suppress(ConnectionResetError):  # what was peeked at and never read makes the end a reset
            begun.rest()


def test_a_client_hello_may_come_byte_by_byte(serve: Serve) -> None:
    """However slowly, within the limit; and over several records (RFC 8446 5.1)."""
    site = serve(gateway(https("https", "example", hostname="example.com")), secret("example", EXAMPLE), ROUTE)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing, server_hostname="example.com")
    with Wire(site, 443) as wire:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        body = hello[5:]
        records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:100], body[100:]))
        wire.send(*[records[at : at + 1] for at in range(len(records))])
        while True:
            incoming.write(wire.socket.recv(65_536))
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        client.write(get())
        wire.send(outgoing.read())
        received = b""
        while b"echo" not in received:
            incoming.write(wire.socket.recv(65_536))
            try:
                received += client.read()
            except ssl.SSLWantReadError:
                pass
        assert received.startswith(b"HTTP/1.1 200 OK")


# WebSocket over TLS


def tls_tunnel(site: Site) -> Wire:
    """A raw tunnel through the gateway."""
    wire = Wire(site, 443, tls=trusting(), server_name="example.com")
    wire.send(
        get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    )
    wire.read_until(b"\r\n\r\n")
    return wire


ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def test_a_tunnel_over_tls_ends_when_its_backend_leaves(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """There is no half close over TLS to pass on, so that the whole tunnel ends instead of hanging."""

    def leaving(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(ACCEPTED + b"bye")

    site = serve(service("kept", scripted(leaving).port), gateway(https("https", "example")), secret("example", EXAMPLE), KEPT)
    with tls_tunnel(site) as wire:
        assert wire.rest() == b"bye"


def test_a_backend_sees_a_client_leave_a_tunnel_over_tls(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Also with nothing but a close_notify."""
    ended: list[bytes] = []

    def waiting(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(ACCEPTED)
        ended.append(conversation.connection.recv(100))

    backend = scripted(waiting)
    site = serve(service("kept", backend.port), gateway(https("https", "example")), secret("example", EXAMPLE), KEPT)
    with tls_tunnel(site) as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        wire.socket.unwrap()
    assert site.log.wait_for(1)[0]["status"] == 101
    backend.close()
    assert ended == [b""]


def test_websocket_over_tls(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """wss:// by the websockets library, with a close in good order."""

    def answering(conversation: Conversation) -> None:
        head = conversation.read_head()
        key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = __import__("websockets.utils", fromlist=["accept_key"]).accept_key(key.decode()).encode()
        conversation.send(ACCEPTED.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept) + b"\x81\x02hi")
        frame = conversation.connection.recv(100)
        assert frame[0] == 0x88  # the client's close, answered with ours
        conversation.send(b"\x88\x02\x03\xe8")

    site = serve(service("kept", scripted(answering).port), gateway(https("https", "example")), secret("example", EXAMPLE), KEPT)
    with connect("wss://example.com/", sock=site.connect(443), ssl=trusting(), proxy=None, compression=None) as opened:
        assert opened.recv(LIMIT) == "hi"
    assert opened.close_code == 1000
