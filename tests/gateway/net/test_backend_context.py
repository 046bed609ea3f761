"""TLS to backends (BackendTLSPolicy): whom we trust, what name we send, and whose answer we take."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.ir.backend import BackendProtocol, BackendTls, SubjectAltName
from gateway.ir.listener import Certificate
from gateway.net.backend_context import ALPN, BackendIdentityError, BackendTlsSettings, backend_context
from gateway.net.key_material import TlsConfigurationError
from tests.certificates import EXPIRED, Authority, Pair, self_signed
from tests.gateway.net.serving import on_uvloop

AUTHORITY = Authority(key_identifiers=False)
CLIENTS = Authority("Client Authority")
SPIFFE = "spiffe://abc.example.com/test-identity"
PAIR = AUTHORITY.issue("abc.example.com", SPIFFE, "*.wild.example.com", "10.0.0.1")


def host(value: str) -> SubjectAltName:
    return SubjectAltName("Hostname", value)


def uri(value: str) -> SubjectAltName:
    return SubjectAltName("URI", value)


def settings(
    hostname: str, *names: SubjectAltName, client: Certificate | None = None, trust: str = AUTHORITY.certificate
) -> BackendTlsSettings:
    return backend_context(BackendTls(hostname, ("default/ca",), names), [trust], client)


class Backend:
    """A TLS backend in memory, and what it saw."""

    def __init__(
        self, folder: Path, pair: Pair = PAIR, *, clients: str | None = None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*pair.write(folder))
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = self._named
        if newest < ssl.TLSVersion.TLSv1_2:
            self.context.minimum_version = newest
        self.context.maximum_version = newest
        if clients is not None:
            self.context.load_verify_locations(cadata=clients)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.server_name: str | None = None
        self.server: ssl.SSLObject

    def _named(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.server_name = name

    def meet(self, settings: BackendTlsSettings) -> ssl.SSLObject:
        """Our side of the connection, its handshake done and checked."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = settings.context.wrap_bio(to_client, to_server, server_hostname=settings.server_hostname)
        self.server = self.context.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(2):
            for side in (client, self.server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    pass
        settings.check(client)
        return client


def test_the_hostname_is_the_name_sent_and_the_identity_demanded(tmp_path: Path) -> None:
    """BackendTLSPolicyValidation.hostname."""
    backend = Backend(tmp_path)
    client = backend.meet(settings("abc.example.com"))
    assert backend.server_name == "abc.example.com"
    assert client.selected_alpn_protocol() is None
    assert client.version() == "TLSv1.3"
    backend.meet(settings("one.wild.example.com"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        backend.meet(settings("other.example.com"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        backend.meet(settings("two.one.wild.example.com"))


@pytest.mark.parametrize(("protocol", "chosen"), [("http/1.1", "http/1.1"), ("h2c", "h2"), ("auto", "h2"), ("tcp", None)])
def test_the_protocols_of_a_backend_are_offered(tmp_path: Path, protocol: BackendProtocol, chosen: str | None) -> None:
    """RFC 7301 3.1: what the backend may be spoken to in, and nothing where bytes are relayed."""
    offering = backend_context(BackendTls("abc.example.com", ("default/ca",)), [AUTHORITY.certificate], None, ALPN.get(protocol, ()))
    assert Backend(tmp_path).meet(offering).selected_alpn_protocol() == chosen


def test_a_common_name_is_no_identity(tmp_path: Path) -> None:
    """RFC 9525 6.4, and what every browser does."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        Backend(tmp_path, AUTHORITY.issue(common_name="abc.example.com")).meet(settings("abc.example.com"))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((host("abc.example.com"),), id="host"),
        pytest.param((host("ABC.example.com"),), id="host without case"),
        pytest.param((uri(SPIFFE),), id="URI"),
        pytest.param((host("no.example.com"), uri("spiffe://no"), uri(SPIFFE)), id="any of several"),
        pytest.param((host("one.wild.example.com"),), id="wildcard in the certificate"),
        pytest.param((host("*.wild.example.com"),), id="wildcard in both"),
    ],
)
def test_any_subject_alternative_name_will_do_and_the_hostname_is_only_sent(names: tuple[SubjectAltName, ...], tmp_path: Path) -> None:
    """BackendTLSPolicyValidation.subjectAltNames (BackendTLSPolicySANValidation): the hostname need not be in the certificate."""
    backend = Backend(tmp_path)
    backend.meet(settings("only-sent.example.com", *names))
    assert backend.server_name == "only-sent.example.com"


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((host("other.example.com"),), id="another host"),
        pytest.param((host(SPIFFE),), id="URI asked for as a host"),
        pytest.param((uri("abc.example.com"),), id="host asked for as a URI"),
        pytest.param((uri(SPIFFE.upper()),), id="URI in another case"),
        pytest.param((uri(SPIFFE + "/"),), id="URI with a slash more"),
        pytest.param((uri(SPIFFE[:-1]),), id="part of the URI"),
        pytest.param((host("wild.example.com"),), id="wildcard for nothing"),
        pytest.param((host("two.one.wild.example.com"),), id="wildcard for two labels"),
        pytest.param((host("*.example.com"),), id="wildcard wider than the certificate's"),
        pytest.param((host("10.0.0.1"),), id="address"),
    ],
)
def test_no_other_name_will_do_even_if_the_hostname_is_right(names: tuple[SubjectAltName, ...], tmp_path: Path) -> None:
    """URIs are compared byte by byte (RFC 5280 7.4 is too lenient for identities)."""
    with pytest.raises(BackendIdentityError) as refused:
        Backend(tmp_path).meet(settings("abc.example.com", *names))
    assert f"wanted: {names[0].type} {names[0].value}" in str(refused.value)
    assert f"URI '{SPIFFE}'" in str(refused.value)


def test_a_certificate_without_names_has_none_that_could_be_demanded(tmp_path: Path) -> None:
    """The error says so."""
    with pytest.raises(BackendIdentityError, match="the subject alternative names none; wanted: Hostname a"):
        Backend(tmp_path, AUTHORITY.issue(common_name="a")).meet(settings("a", host("a")))


@pytest.mark.parametrize("name", ["abc.example.com\0.evil.example", "spiffe://abc.example.com/test-identity\0/evil"])
def test_a_nul_in_any_name_refuses_the_certificate(name: str, tmp_path: Path) -> None:
    """CVE-2009-2408: others would read the name only up to the NUL; even if another name is the demanded one."""
    pair = AUTHORITY.issue(name, "abc.example.com")
    for demanded in (host("abc.example.com"), uri(SPIFFE)):
        with pytest.raises(BackendIdentityError, match="NUL"):
            Backend(tmp_path, pair).meet(settings("abc.example.com", demanded))
    with pytest.raises(ssl.SSLCertVerificationError):
        Backend(tmp_path, AUTHORITY.issue(name)).meet(settings("abc.example.com"))


@pytest.mark.parametrize("names", [(), (host("abc.example.com"),)])
def test_a_name_that_is_no_text_refuses_the_certificate_too(names: tuple[SubjectAltName, ...], tmp_path: Path) -> None:
    """And as a certificate error at that: loops ask for the certificate, and would report another as a fault of ours."""
    alternatives = wrap(0x30, wrap(0x82, b"abc.example.com") + wrap(0x82, b"\xff\xfe"))
    pair = AUTHORITY.issue("abc.example.com", extension=alternatives)
    if names:
        with pytest.raises(BackendIdentityError, match="malformed"):
            Backend(tmp_path, pair).meet(settings("abc.example.com", *names))
    else:
        client = Backend(tmp_path, pair).meet(settings("abc.example.com"))
        with pytest.raises(ssl.SSLCertVerificationError, match="malformed"):
            client.getpeercert()


def wrap(tag: int, body: bytes) -> bytes:
    return bytes([tag, len(body)]) + body


@pytest.mark.parametrize(
    ("pair", "trust"),
    [
        pytest.param(PAIR, Authority(key_identifiers=False).certificate, id="another authority of the same name"),
        pytest.param(self_signed("abc.example.com"), AUTHORITY.certificate, id="self-signed"),
        pytest.param(AUTHORITY.issue("abc.example.com", validity=EXPIRED), AUTHORITY.certificate, id="expired"),
        pytest.param(AUTHORITY.issue("abc.example.com", usage="client"), AUTHORITY.certificate, id="for clients only"),
    ],
)
@pytest.mark.parametrize("names", [(), (host("abc.example.com"),)])
def test_a_certificate_that_does_not_verify_fails(pair: Pair, trust: str, names: tuple[SubjectAltName, ...], tmp_path: Path) -> None:
    """With the right name in it, and with demanded names too: fail closed."""
    with pytest.raises(ssl.SSLCertVerificationError):
        Backend(tmp_path, pair).meet(settings("abc.example.com", *names, trust=trust))


def test_a_self_signed_certificate_is_trusted_by_itself(tmp_path: Path) -> None:
    """As the conformance suite's web-backend has it, without key identifiers."""
    pair = self_signed("web.example.com")
    Backend(tmp_path, pair).meet(settings("web.example.com", trust=pair.chain))


def test_several_bundles_are_all_trusted(tmp_path: Path) -> None:
    """BackendTLSPolicyValidation.caCertificateRefs holds up to eight."""
    bundles = [CLIENTS.certificate, "# comment\n" + AUTHORITY.certificate]
    Backend(tmp_path).meet(backend_context(BackendTls("abc.example.com", ("a", "b")), bundles))


def test_the_client_certificate_is_presented_to_a_backend_that_asks(tmp_path: Path) -> None:
    """Gateway.spec.tls.backend.clientCertificateRef (GatewayTLSBackendClientCertificate)."""
    ours = CLIENTS.issue("gateway.test")
    backend = Backend(tmp_path, clients=CLIENTS.certificate)
    backend.meet(settings("abc.example.com", client=ours.resource()))
    assert backend.server.getpeercert(True) == ssl.PEM_cert_to_DER_cert(ours.chain)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        backend.meet(settings("abc.example.com"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_a_backend_of_old_versions_is_refused(tmp_path: Path) -> None:
    """RFC 8996."""
    backend = Backend(tmp_path, newest=ssl.TLSVersion.TLSv1_1)
    backend.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"VERSION|PROTOCOL"):
        backend.meet(settings("abc.example.com"))


def test_bad_material_is_told_before_any_connection() -> None:
    """BackendTLSPolicyInvalidCACertificateRef and GatewayInvalidTLSBackendConfiguration."""
    with pytest.raises(TlsConfigurationError, match="validation of the backend: holds no CERTIFICATE block"):
        settings("a.test", trust="")
    wrong = Pair(PAIR.chain, CLIENTS.issue("a").private_key).resource("default/client")
    with pytest.raises(TlsConfigurationError, match=r"Certificate default/client: its private key .* does not match"):
        settings("a.test", client=wrong)


def test_without_bundles_the_system_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wellKnownCACertificates: System. SSL_CERT_FILE says where, as for every program of OpenSSL."""
    system = tmp_path / "system.crt"
    system.write_text(AUTHORITY.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    Backend(tmp_path).meet(backend_context(BackendTls("abc.example.com"), []))
    system.write_text(CLIENTS.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        Backend(tmp_path).meet(backend_context(BackendTls("abc.example.com"), []))


def test_a_system_without_authorities_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As slim container images are; every connection would fail without a word of why."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        with pytest.raises(TlsConfigurationError, match="install the package ca-certificates, set SSL_CERT_FILE"):
            backend_context(BackendTls("abc.example.com"), [])


class Checking(asyncio.Protocol):
    """Checks the backend before it sends anything, as a pool's connection does."""

    def __init__(self, settings: BackendTlsSettings) -> None:
        self.settings = settings
        self.received = b""
        self.error: Exception | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        try:
            self.settings.check(transport.get_extra_info("ssl_object"))
        except BackendIdentityError as error:
            self.error = error
            transport.close()
        else:
            transport.write(b"ping")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@pytest.mark.parametrize(("name", "sent"), [(uri(SPIFFE), b"ping"), (uri("spiffe://other"), b"")])
@on_uvloop
async def test_nothing_is_sent_to_a_backend_before_its_check(name: SubjectAltName, sent: bytes, tmp_path: Path) -> None:
    """Over a real connection of the event loop."""
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.put_nowait(await reader.read(100))
        writer.write(b"pong")
        writer.close()

    ours = settings("abc.example.com", name)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=Backend(tmp_path).context) as server:
        port = server.sockets[0].getsockname()[1]
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: Checking(ours), "127.0.0.1", port, ssl=ours.context, server_hostname=ours.server_hostname
        )
        assert await received.get() == sent
        await protocol.lost
        assert (protocol.error is None) is bool(sent)
        assert protocol.received == (b"pong" if sent else b"")
