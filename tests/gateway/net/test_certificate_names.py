"""Reading names, key type and expiry out of a certificate, with the cryptography library as the second opinion."""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.net.certificate_names import MalformedCertificate, certificate_blocks, read_certificate_names
from tests.certificates import EXPIRED, Authority, self_signed

AUTHORITY = Authority()
KEY = ec.generate_private_key(ec.SECP256R1())
PAIR = AUTHORITY.issue("a.test", "*.B.test", "10.0.0.1", "spiffe://cluster.local/ns/a/sa/b")


def certificate(names: list[x509.GeneralName] | None, not_after: datetime.datetime) -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(1 << 100).not_valid_before(datetime.datetime(1951, 1, 1)).not_valid_after(not_after)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_dns_names_are_read_and_other_names_are_not() -> None:
    """RFC 5280 4.2.1.6; the server name of a ClientHello is a DNS name (RFC 6066 3)."""
    assert read_certificate_names(PAIR.chain).names == {b"a.test", b"*.b.test"}


def test_a_certificate_without_names_has_none() -> None:
    """The common name is no name for TLS (RFC 9525 6.4)."""
    assert read_certificate_names(AUTHORITY.certificate).names == frozenset()


def test_the_first_certificate_of_a_chain_is_the_one_that_is_read() -> None:
    """Leaf first (RFC 8446 4.4.2)."""
    assert read_certificate_names(AUTHORITY.intermediate().issue("leaf.test").chain).names == {b"leaf.test"}


def test_the_type_of_the_key_tells_ecdsa_from_rsa() -> None:
    """Two certificates of one type cannot share a context, two of different types can."""
    ecdsa, again = (read_certificate_names(AUTHORITY.issue("a").chain).key_type for _ in range(2))
    assert ecdsa == again
    assert ecdsa != read_certificate_names(AUTHORITY.issue("a", key_type="rsa").chain).key_type


def test_expiry_is_read() -> None:
    """RFC 5280 4.1.2.5."""
    now = datetime.datetime.now(datetime.UTC)
    assert read_certificate_names(self_signed("a", validity=EXPIRED).chain).not_after < now < read_certificate_names(PAIR.chain).not_after


@settings(max_examples=50)
@given(
    st.none()
    | st.lists(
        st.one_of(
            st.from_regex(r"(\*\.)?[a-z0-9-]{1,30}(\.[A-Z0-9-]{1,30}){0,5}", fullmatch=True).map(x509.DNSName),
            st.ip_addresses().map(x509.IPAddress),
            st.just(x509.UniformResourceIdentifier("spiffe://a/b")),
        ),
        max_size=40,
    ),
    st.datetimes(datetime.datetime(1952, 1, 1), datetime.datetime(9000, 1, 1)),
)
def test_what_cryptography_writes_is_read_back(names: list[x509.GeneralName] | None, not_after: datetime.datetime) -> None:
    """Whatever the number of names (long and short lengths, X.690 8.1.3) and the year (both kinds of time, RFC 5280 4.1.2.5)."""
    facts = read_certificate_names(certificate(names, not_after))
    assert facts.names == {name.value.lower().encode() for name in names or () if isinstance(name, x509.DNSName)}
    assert facts.not_after == not_after.replace(microsecond=0, tzinfo=datetime.UTC)


def test_a_key_of_a_third_type_is_read_too() -> None:
    """Ed25519 has an algorithm without parameters (RFC 8410 3)."""
    subject = x509.Name([])
    key = ed25519.Ed25519PrivateKey.generate()
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now)
    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM).decode()
    assert read_certificate_names(pem).key_type == bytes.fromhex("2b6570")


@given(st.data())
def test_a_damaged_certificate_is_refused_or_read_and_nothing_else_happens(data: st.DataObject) -> None:
    """It is read before the TLS library has seen it."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(PAIR.chain))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = der[: data.draw(st.integers(0, len(der)))] if data.draw(st.booleans()) else der
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(bytes(cut)).decode()}-----END CERTIFICATE-----\n"
    with suppress(MalformedCertificate):
        assert isinstance(read_certificate_names(pem).names, frozenset)


@pytest.mark.parametrize("pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n", PAIR.private_key])
def test_a_text_without_a_certificate_says_so(pem: str) -> None:
    """Secrets get mixed up."""
    with pytest.raises(MalformedCertificate, match="holds no CERTIFICATE block"):
        read_certificate_names(pem)


def test_a_block_that_is_no_base64_says_so() -> None:
    """RFC 7468 2."""
    with pytest.raises(MalformedCertificate, match="not a certificate"):
        read_certificate_names("-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n")


def test_a_certificate_whose_extensions_are_empty_says_so() -> None:
    """X.509 has at least one extension where there is the field (RFC 5280 4.1)."""
    der = ssl.PEM_cert_to_DER_cert(PAIR.chain)
    fields = list(split(next(split(next(split(der))[1]))[1]))
    empty = b"".join(wrap(tag, b"" if tag == 0xA3 else body) for tag, body in fields)
    with pytest.raises(MalformedCertificate, match="is empty"):
        read_certificate_names(ssl.DER_cert_to_PEM_cert(wrap(0x30, wrap(0x30, empty))))


def split(der: bytes) -> Iterator[tuple[int, bytes]]:
    while der:
        size = der[1] & 0x7F if der[1] & 0x80 else 0
        start = 2 + size
        end = start + (int.from_bytes(der[2:start], "big") if size else der[1])
        yield der[0], der[start:end]
        der = der[end:]


def wrap(tag: int, body: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body


def test_blocks_are_found_among_comments() -> None:
    """Bundles of the world's authorities carry their names, in any script, above each."""
    bundle = f"# Főtanúsítvány\n{AUTHORITY.certificate}\nsubject=/CN=x\n{PAIR.chain}\n{PAIR.private_key}"
    assert certificate_blocks(bundle) == (AUTHORITY.certificate.strip(), PAIR.chain.strip())
