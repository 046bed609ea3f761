"""The authority: what it signs, what it refuses to, and how one root follows another."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.authority import Authority, UnacceptableRequest
from mesh.identity import InvalidSpiffeId, SpiffeId
from mesh.roots import LEAF_LIFETIME, ROOT_LIFETIME, Root, UnreadableRoot, is_due, make_root, read_roots, signing, stored, trusted
from mesh.signing_request import KeyPair
from mesh.svid import InvalidSvid, Svid, read_svid

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DOMAIN = "cluster.local"
ACCOUNT = ("shop", "web")
OVERLAP = 2 * LEAF_LIFETIME


def root(at: datetime = NOW, serial: int = 7) -> Root:
    return make_root(ec.generate_private_key(ec.SECP256R1()), DOMAIN, at, serial)


def issued(authority: Authority, request: str | None = None) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.issue(request or KeyPair().request(), ACCOUNT, NOW, 99).encode())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def test_a_leaf_is_an_x509_svid_to_the_letter() -> None:
    """X.509-SVID 2 to 4, RFC 5280 4.2: one URI name, no authority, digital signatures alone, both usages, 24 hours, both identifiers."""
    above = root()
    leaf = issued(Authority(DOMAIN, [above]))
    leaf.verify_directly_issued_by(above.certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/web")]
    assert names.critical
    assert not list(leaf.subject)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign, usage.key_agreement) == (True, False, False, False)
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    identifier = above.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert leaf.serial_number == 99
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=2)
    assert leaf.not_valid_after_utc == NOW + timedelta(hours=24)


def test_a_shorter_life_is_that_of_leaves_and_a_quarter_of_a_change_of_roots() -> None:
    """What a leaf bears as its begin has no part in either: however short the life, a new root is trusted before it signs."""
    life = timedelta(seconds=20)
    old, new = root(NOW - timedelta(days=1), 1), root(NOW, 2)
    authority = Authority(DOMAIN, [old, new], life)
    assert issued(authority).not_valid_after_utc == NOW + life
    issued(authority).verify_directly_issued_by(old.certificate)
    assert authority.bundle(NOW + 4 * life - timedelta(seconds=1)) == old.pem + new.pem
    assert authority.bundle(NOW + 4 * life) == new.pem


def test_no_leaf_outlives_its_root() -> None:
    """A certificate that ends later than what vouches for it is valid to nobody."""
    old = root(NOW - ROOT_LIFETIME + timedelta(hours=1))
    assert issued(Authority(DOMAIN, [old])).not_valid_after_utc == old.certificate.not_valid_after_utc


def test_the_names_that_a_request_asks_for_count_for_nothing() -> None:
    """Whose certificate it is the token says; of the request only the key is taken."""
    key = ec.generate_private_key(ec.SECP256R1())
    admin = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/a/sa/admin")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")]))
        .add_extension(x509.SubjectAlternativeName([admin]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    leaf = issued(Authority(DOMAIN, [root()]), request.public_bytes(serialization.Encoding.PEM).decode())
    assert leaf.public_key() == key.public_key()
    assert read_svid(der(leaf), DOMAIN) == Svid(SpiffeId.of_account(DOMAIN, *ACCOUNT), leaf.not_valid_after_utc.timestamp())


def test_what_is_derived_is_the_same_for_all_replicas_and_through_a_renewal() -> None:
    """Whoever holds the authority derives the same for one purpose, other bytes for another; a second root beside the first changes
    nothing, another authority everything."""
    old, new = root(NOW - OVERLAP), root()
    derived = Authority(DOMAIN, [old]).derived("sessions of a")
    assert len(derived) == 32
    assert Authority(DOMAIN, read_roots(stored([new, old]))).derived("sessions of a") == derived
    assert Authority(DOMAIN, [old]).derived("sessions of b") != derived
    assert Authority(DOMAIN, [new]).derived("sessions of a") != derived


def requests() -> dict[str, str]:
    """Requests that are not signed for."""

    def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
        built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        return built.public_bytes(serialization.Encoding.PEM).decode()

    encoded = ssl.PEM_cert_to_DER_cert(KeyPair().request().replace("CERTIFICATE REQUEST", "CERTIFICATE"))
    forged = ssl.DER_cert_to_PEM_cert(encoded[:-1] + bytes((encoded[-1] ^ 1,))).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    return {
        "rsa": pem(rsa.generate_private_key(65537, 2048)),
        "p-384": pem(ec.generate_private_key(ec.SECP384R1())),
        "forged": forged,
        "text": "no request",
        "empty": "",
        "cut": KeyPair().request()[:100],
        "long": "x" * 20_000,
        "not ascii": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    }


@pytest.mark.parametrize("name", sorted(requests()))
def test_a_request_that_proves_nothing_is_refused(name: str) -> None:
    """Keys other than P-256, signatures by another key, and what is no request at all."""
    with pytest.raises(UnacceptableRequest):
        Authority(DOMAIN, [root()]).issue(requests()[name], ACCOUNT, NOW, 1)


def test_an_account_that_is_no_path_segment_is_refused() -> None:
    """Nothing that a cluster says becomes another path."""
    with pytest.raises(InvalidSpiffeId):
        Authority(DOMAIN, [root()]).issue(KeyPair().request(), ("shop", "a/../b"), NOW, 1)


def test_a_server_is_nobodys_identity() -> None:
    """Its certificate has DNS names alone, and does not pass for a client's."""
    chain = Authority(DOMAIN, [root()]).issue_server(KeyPair().request(), ("controller.svc", "localhost"), NOW, 1)
    leaf = x509.load_pem_x509_certificate(chain.encode())
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [
        "controller.svc",
        "localhost",
    ]
    with pytest.raises(InvalidSvid, match="2 names"):
        read_svid(der(leaf), DOMAIN)


def leaf_with(*names: x509.GeneralName, ca: bool = False) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 5, NOW, NOW + LEAF_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return der(builder.sign(key, hashes.SHA256()))


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "not one that this authority issues"),
        ((uri("spiffe://cluster.local/ns/a/sa/b"), uri("spiffe://cluster.local/ns/a/sa/c")), "2 names"),
        ((uri("spiffe://cluster.local/ns/a/sa/b"), x509.DNSName("b")), "2 names"),
        ((x509.DNSName("spiffe://cluster.local/ns/a/sa/b"),), "1 names where one SPIFFE ID is due"),
        ((uri("spiffe://cluster.local/ns/a/sa/b\0.evil"),), "no SPIFFE ID"),
        ((uri("spiffe://cluster.local/ns/a/sa/"),), "no SPIFFE ID"),
        ((uri("spiffe://other.domain/ns/a/sa/b"),), "the trust domain here is cluster.local"),
    ],
)
def test_a_certificate_with_other_names_is_nobodys(names: tuple[x509.GeneralName, ...], words: str) -> None:
    """Exactly one name, a SPIFFE ID of our trust domain (CVE-2009-2408 for the NUL)."""
    with pytest.raises(InvalidSvid, match=words):
        read_svid(leaf_with(*names), DOMAIN)


def test_an_authority_is_nobodys_identity() -> None:
    """X.509-SVID 4.1: a leaf is no authority."""
    with pytest.raises(InvalidSvid, match="an authority's"):
        read_svid(leaf_with(uri("spiffe://cluster.local/ns/a/sa/b"), ca=True), DOMAIN)
    with pytest.raises(InvalidSvid, match="not one that this authority issues"):
        read_svid(b"no certificate", DOMAIN)


def test_a_new_root_is_trusted_before_it_signs_and_an_old_one_after_it_has() -> None:
    """Overlap of twice a leaf's life on either side: at no time does somebody meet a certificate whose root it does not have."""
    old, new = root(NOW - timedelta(days=3_300), 1), root(NOW, 2)
    both = (new, old)
    for age, signs, bundle in (
        (timedelta(), old, (old, new)),
        (OVERLAP - timedelta(seconds=1), old, (old, new)),
        (OVERLAP, new, (old, new)),
        (2 * OVERLAP - timedelta(seconds=1), new, (old, new)),
        (2 * OVERLAP, new, (new,)),
    ):
        assert signing(both, NOW + age, LEAF_LIFETIME) == signs
        assert trusted(both, NOW + age, LEAF_LIFETIME) == bundle
    assert Authority(DOMAIN, both).bundle(NOW) == old.pem + new.pem


def test_the_first_root_signs_at_once() -> None:
    """There is nothing that it could overlap with."""
    only = root()
    assert signing([only], NOW, LEAF_LIFETIME) == only
    assert trusted([only], NOW + timedelta(days=30), LEAF_LIFETIME) == (only,)


def test_a_root_is_renewed_a_year_before_its_end() -> None:
    """Ten years, of which the last is for the change."""
    only = root()
    assert not is_due([only], NOW + timedelta(days=3_652 - 366))
    assert is_due([only], NOW + timedelta(days=3_652 - 364))


def test_what_is_stored_is_read_back() -> None:
    """One root in tls.crt and tls.key, a second in next.crt and next.key."""
    old, new = root(NOW - timedelta(days=1), 1), root(NOW, 2)
    assert set(stored([old])) == {"tls.crt", "tls.key"}
    assert [found.certificate for found in read_roots(stored([old]))] == [old.certificate]
    assert [found.certificate for found in read_roots(stored([new, old]))] == [old.certificate, new.certificate]
    assert "PRIVATE" not in repr(old)


@pytest.mark.parametrize(
    "change",
    [{"tls.crt": "no"}, {"tls.key": "no"}, {"tls.key": stored([root()])["tls.key"]}, {"next.crt": "no"}],
)
def test_what_is_stored_wrongly_is_said_with_a_remedy(change: dict[str, str]) -> None:
    """Unreadable parts, and a key that is another certificate's."""
    with pytest.raises(UnreadableRoot, match="restore the Secret"):
        read_roots(stored([root()]) | change)
