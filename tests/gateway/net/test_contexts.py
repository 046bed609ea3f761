"""Contexts from certificates: which one a name gets, and what is said of those that cannot be used."""

from __future__ import annotations

import datetime
import os
import ssl
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.ir.listener import Certificate, Secret
from gateway.ir.value import Source
from gateway.net.contexts import Mode, ServerContexts, server_contexts
from gateway.net.key_material import TlsConfigurationError
from tests.certificates import EXPIRED, Authority, Pair, self_signed

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("a.test", "*.b.test")
NOW = datetime.datetime.now(datetime.UTC)


def shown(contexts: ServerContexts, server_name: bytes) -> set[str]:
    """The DNS names of the certificate that a client with that server name is shown."""
    context = contexts.choose(server_name)
    assert isinstance(context, ssl.SSLContext)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.load_verify_locations(cadata=AUTHORITY.certificate)
    client_context.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = client_context.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    certificate = client.getpeercert()
    assert certificate is not None
    return {str(name[1]) for name in certificate["subjectAltName"] if name[0] == "DNS"}


def refusal(chain: str, private_key: str, validation: str | None = None) -> str:
    with pytest.raises(TlsConfigurationError) as refused:
        server_contexts([Certificate("default/web", Source("Secret", "default", "web"), chain, Secret(private_key), "")], validation)
    return refused.value.reason


@pytest.mark.parametrize(
    ("server_name", "names"),
    [
        pytest.param(b"a.test", {"a.test", "*.b.test"}, id="exact"),
        pytest.param(b"x.b.test", {"x.b.test"}, id="exact before wildcard"),
        pytest.param(b"y.b.test", {"a.test", "*.b.test"}, id="wildcard"),
        pytest.param(b"z.y.b.test", {"first.test"}, id="a wildcard is one label"),
        pytest.param(b"b.test", {"first.test"}, id="a wildcard is not nothing"),
        pytest.param(b"elsewhere.test", {"first.test"}, id="unknown"),
        pytest.param(b"localhost", {"first.test"}, id="one label"),
        pytest.param(b"", {"first.test"}, id="none"),
        pytest.param(b"twice.test", {"twice.test", "one.test"}, id="two claim it"),
    ],
)
def test_the_certificate_is_chosen_by_its_names(server_name: bytes, names: set[str]) -> None:
    """RFC 9525 6.3: exact, then a wildcard in the place of one label, else the listener's first certificate."""
    issued = [("first.test",), ("a.test", "*.b.test"), ("x.b.test",), ("twice.test", "one.test"), ("twice.test", "two.test")]
    contexts = server_contexts([AUTHORITY.issue(*of).resource(f"default/{place}") for place, of in enumerate(issued)])
    assert shown(contexts, server_name) == names


def test_certificates_of_one_name_and_two_key_types_share_a_context() -> None:
    """The client's signature algorithms decide between them, in the handshake."""
    pairs = [AUTHORITY.issue("a.test"), AUTHORITY.issue("b.test"), AUTHORITY.issue("a.test", key_type="rsa"), AUTHORITY.issue("a.test")]
    contexts = server_contexts([pair.resource(f"default/{place}") for place, pair in enumerate(pairs)])
    assert contexts.choose(b"a.test") is contexts.choose(b"")
    assert contexts.choose(b"a.test") is not contexts.choose(b"b.test")


def test_a_context_is_built_once_but_for_those_who_would_resume_where_certificates_are_demanded() -> None:
    """The ssl module cannot forget sessions of TLS 1.2, so such a client gets a context that has none."""
    open_, demanding = (server_contexts([PAIR.resource()], validation) for validation in (None, AUTHORITY.certificate))
    for contexts in (open_, demanding):
        assert contexts.choose(b"a.test") is contexts.choose(b"a.test")
    assert open_.choose(b"a.test", resumes=True) is open_.choose(b"a.test")
    assert demanding.choose(b"a.test", resumes=True) is not demanding.choose(b"a.test")
    again = demanding.choose(b"a.test", resumes=True)
    assert isinstance(again, ssl.SSLContext)
    assert again.verify_mode == ssl.CERT_REQUIRED


def test_users_authorities_need_no_key_identifiers() -> None:
    """VERIFY_X509_STRICT, a default of some versions of Python, refuses many certificates in the field."""
    context = server_contexts([PAIR.resource()], AUTHORITY.certificate).choose(b"")
    assert isinstance(context, ssl.SSLContext)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.num_tickets == 0
    assert ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION in context.options


def test_an_expired_certificate_serves_and_is_noted() -> None:
    """A listener with an old certificate beats one with none; the note says what to renew."""
    fresh, old = PAIR.resource("default/fresh"), AUTHORITY.issue("old.test", validity=EXPIRED).resource("default/old")
    contexts = server_contexts([fresh, old])
    (note,) = contexts.expired(NOW)
    assert note.startswith("Certificate default/old expired at ")
    assert note.endswith("clients refuse it; renew Secret default/old")
    assert contexts.expired(NOW - datetime.timedelta(days=10)) == ()


@pytest.mark.parametrize("protocols", [("http/1.1",), ("h2", "http/1.1"), ()])
def test_the_protocols_offered_are_a_parameter(protocols: tuple[str, ...]) -> None:
    """RFC 7301."""
    contexts = server_contexts([PAIR.resource()], alpn=protocols)
    assert contexts.alpn == tuple(name.encode() for name in protocols)


def test_chains_keys_and_authorities_may_have_text_around_them() -> None:
    """As tools write them, in any script; and a key may stand after its parameters."""
    comment = "# Főtanúsítvány\nsubject=CN = a\n"
    key = PAIR.private_key
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    certificate = Pair(comment + PAIR.chain.replace("\n", "\r\n"), comment + parameters + key).resource()
    assert shown(server_contexts([certificate], None), b"a.test") == {"a.test", "*.b.test"}
    server_contexts([certificate], comment + AUTHORITY.certificate + comment + Authority().certificate)


@pytest.mark.parametrize("form", [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8])
@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_keys_are_read_in_every_usual_form(form: serialization.PrivateFormat, key_type: str) -> None:
    """BEGIN PRIVATE KEY, BEGIN RSA PRIVATE KEY and BEGIN EC PRIVATE KEY (RFC 5958, 8017, 5915)."""
    pair = AUTHORITY.issue("a.test", key_type="rsa" if key_type == "rsa" else "ecdsa")
    key = serialization.load_pem_private_key(pair.private_key.encode(), None)
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    assert shown(server_contexts([Pair(pair.chain, pem).resource()]), b"a.test") == {"a.test"}


def test_a_key_of_another_certificate_is_named() -> None:
    """The only bad pair that keeps its predecessor serving, so it must be told apart from a malformed one."""
    other = AUTHORITY.issue("a.test")
    expected = (
        "Certificate default/web: its private key (tls.key) does not match its certificate (tls.crt); "
        "store the pair that was made together"
    )
    assert refusal(PAIR.chain, other.private_key) == expected
    assert refusal(PAIR.chain, AUTHORITY.issue("a.test", key_type="rsa").private_key) == expected


def test_a_pair_is_judged_alone_even_if_it_shares_a_context() -> None:
    """An ECDSA certificate with the key of the RSA certificate beside it would go unnoticed, and never be shown."""
    rsa = AUTHORITY.issue("a.test", key_type="rsa")
    mixed = Pair(AUTHORITY.issue("a.test").chain, rsa.private_key)
    with pytest.raises(TlsConfigurationError, match=r"default/mixed: its private key .* does not match"):
        server_contexts([rsa.resource("default/rsa"), mixed.resource("default/mixed")])


MALFORMED = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def damaged(pem: str) -> str:
    middle = len(pem) // 2
    return pem[:middle] + ("A" if pem[middle] != "A" else "B") * 8 + pem[middle + 8 :]


@pytest.mark.parametrize(
    ("chain", "private_key", "reason"),
    [
        pytest.param("", PAIR.private_key, "chain (tls.crt) holds no CERTIFICATE block", id="no chain"),
        pytest.param(MALFORMED, PAIR.private_key, "chain (tls.crt) is not a cert", id="chain"),
        pytest.param(PAIR.chain + MALFORMED, PAIR.private_key, "cannot be read", id="chain's end"),
        pytest.param(PAIR.chain, "", "key (tls.key) holds no PRIVATE KEY block", id="no key"),
        pytest.param(PAIR.chain, PAIR.chain, "key (tls.key) holds no PRIVATE KEY block", id="a certificate for a key"),
        pytest.param(PAIR.chain, damaged(PAIR.private_key), "private key (tls.key) ", id="damaged key"),
        pytest.param(PAIR.chain, PAIR.private_key.replace("PRIVATE", "PUBLIC"), "holds no PRIVATE KEY block", id="public key"),
        pytest.param(PAIR.chain, PAIR.private_key.replace("M", "ä"), "private key (tls.key) cannot be read", id="key not ASCII"),
        pytest.param(PAIR.chain, PAIR.private_key.replace("M", "\ud800"), "private key (tls.key) cannot be read", id="key not text"),
    ],
)
def test_a_pair_that_cannot_be_read_says_which_half_and_why(chain: str, private_key: str, reason: str) -> None:
    """GatewayInvalidTLSConfiguration: the PEM is really parsed."""
    told = refusal(chain, private_key)
    assert told.startswith("Certificate default/web: its ")
    assert reason in told


def test_an_encrypted_key_says_so_and_asks_nobody_for_its_password() -> None:
    """The TLS library would ask on the terminal, and wait."""
    key = serialization.load_pem_private_key(PAIR.private_key.encode(), None)
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")).decode()
        assert refusal(PAIR.chain, pem) == "Certificate default/web: its private key (tls.key) is encrypted; store it decrypted"


def test_a_key_too_short_to_be_safe_says_so() -> None:
    """RSA of 1024 bits is below the security level of the TLS library."""
    weak = weak_pair()
    assert "too short to be safe" in refusal(weak.chain, weak.private_key)


def weak_pair() -> Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    return Pair(
        builder.sign(key, hashes.SHA256()).public_bytes(pem).decode(),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
    )


@pytest.mark.parametrize("mode", ["AllowValidOnly", "AllowInsecureFallback"])
def test_the_fallback_mode_tells_the_same_of_bad_pairs(mode: Mode) -> None:
    """Another library loads them there."""
    other = AUTHORITY.issue("a.test").private_key
    for private_key, reason in ((other, "does not match its certificate"), (damaged(PAIR.private_key), "private key (tls.key) ")):
        with pytest.raises(TlsConfigurationError, match="default/web") as refused:
            server_contexts([Pair(PAIR.chain, private_key).resource("default/web")], AUTHORITY.certificate, mode)
        assert reason in refused.value.reason


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        pytest.param("", "holds no CERTIFICATE block", id="empty"),
        pytest.param(PAIR.private_key, "holds no CERTIFICATE block", id="a key"),
        pytest.param(AUTHORITY.certificate + MALFORMED, "cannot be read", id="malformed"),
    ],
)
def test_a_trust_bundle_must_be_readable_as_a_whole(validation: str, reason: str) -> None:
    """An authority left out silently would lock its clients out."""
    told = refusal(PAIR.chain, PAIR.private_key, validation)
    assert told.startswith("client validation (tls.frontend): ")
    assert reason in told


def test_a_listener_without_certificates_says_what_to_name() -> None:
    """tls.certificateRefs may all have been refused."""
    with pytest.raises(TlsConfigurationError, match=r"tls\.certificateRefs"):
        server_contexts([])


def test_a_key_that_was_read_leaves_no_file_and_no_descriptor() -> None:
    """It passes through a file that is in memory only, and then gone."""
    server_contexts([PAIR.resource()])
    before = os.listdir("/proc/self/fd")
    server_contexts([PAIR.resource(), self_signed("b").resource()], AUTHORITY.certificate)
    refusal(PAIR.chain, AUTHORITY.issue("b").private_key)
    assert os.listdir("/proc/self/fd") == before


def test_a_system_without_files_in_memory_uses_a_file_that_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    """memfd_create is of Linux."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    modes: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def watching(self: ssl.SSLContext, path: str, password: str) -> None:
        modes.append(os.stat(path).st_mode & 0o777)
        load(self, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watching)
    assert shown(server_contexts([PAIR.resource()]), b"a.test") == {"a.test", "*.b.test"}
    assert modes == [0o600]
    assert os.listdir(tmp_path) == []


def test_what_only_the_fallback_needs_is_imported_by_nobody_else() -> None:
    """Two libraries of ten megabytes, in each worker."""
    modules = "gateway.net.acceptor, gateway.net.backend_context, gateway.net.peer"
    script = f"import sys, {modules}; print({{'OpenSSL', 'cryptography'}} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": "."}
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment).stdout == "set()\n"


def test_a_certificate_as_the_contract_has_it_needs_nothing_else() -> None:
    """Only chain and key count."""
    resource = PAIR.resource()
    plain = Certificate("x/y", resource.source, PAIR.chain, Secret(PAIR.private_key), "")
    assert shown(server_contexts([plain]), b"") == {"a.test", "*.b.test"}
