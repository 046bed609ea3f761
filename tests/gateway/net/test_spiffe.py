"""What a certificate proves: one name, a SPIFFE ID of an account, of a leaf; as the authority that issues them reads it."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from gateway.net.spiffe import PeerIdentityError, own_spiffe_id, parse_spiffe_id, read_spiffe_id
from mesh.identity import InvalidSpiffeId, SpiffeId
from mesh.svid import InvalidSvid, read_svid
from tests.certificates import Authority

AUTHORITY = Authority()
ID = "spiffe://cluster.local/ns/shop/sa/web"


def der(pem: str) -> bytes:
    end = "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index(end)] + end)


def unusual(*extensions: x509.ExtensionType) -> bytes:
    """A certificate with these extensions and no others."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    from_, to = AUTHORITY_VALIDITY
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), from_, to)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


_OWN = x509.load_pem_x509_certificate(AUTHORITY.certificate.encode())
AUTHORITY_VALIDITY = (_OWN.not_valid_before_utc, _OWN.not_valid_after_utc)
NAMED = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(ID)])
SAMPLE = der(AUTHORITY.issue(ID).chain)
LEAF, CA = x509.BasicConstraints(ca=False, path_length=None), x509.BasicConstraints(ca=True, path_length=None)


@pytest.mark.parametrize(
    ("certificate", "valid"),
    [
        pytest.param(der(AUTHORITY.issue(ID).chain), True, id="one SPIFFE ID"),
        pytest.param(der(AUTHORITY.issue(ID, "web.shop").chain), False, id="a DNS name besides"),
        pytest.param(der(AUTHORITY.issue(ID, "10.0.0.1").chain), False, id="an address besides"),
        pytest.param(der(AUTHORITY.issue(ID, ID).chain), False, id="the same twice"),
        pytest.param(der(AUTHORITY.issue("web.shop").chain), False, id="a DNS name"),
        pytest.param(der(AUTHORITY.issue(common_name=ID[:64]).chain), False, id="only a common name"),
        pytest.param(der(AUTHORITY.issue("spiffe://Cluster.local/ns/shop/sa/web").chain), False, id="not canonical"),
        pytest.param(der(AUTHORITY.certificate), False, id="an authority"),
        pytest.param(unusual(NAMED, LEAF), True, id="no more than it must have"),
        pytest.param(unusual(NAMED, CA), False, id="an authority with a SPIFFE ID"),
        pytest.param(unusual(NAMED), False, id="without basic constraints"),
        pytest.param(unusual(LEAF), False, id="without names"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"\x30\x03\x02\x01", False, id="no DER"),
    ],
)
def test_it_is_read_as_the_authority_reads_it(certificate: bytes, valid: bool) -> None:
    """X509-SVID 2 and 4.1: mesh/svid.py, with another library, comes to the same."""
    try:
        here = str(read_spiffe_id(certificate))
    except PeerIdentityError:
        here = ""
    try:
        there = str(read_svid(certificate, "cluster.local").identity)
    except InvalidSvid:
        there = ""
    assert here == there == (ID if valid else "")


@given(st.data())
def test_damaged_certificates_prove_nothing_that_they_did_not(data: st.DataObject) -> None:
    """Whatever stands in the bytes: an identity as written in them, or a reason."""
    whole = bytearray(SAMPLE)
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_spiffe_id(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except PeerIdentityError:
        pass


@given(st.from_regex(r"\Aspiffe://[a-zA-Z0-9._%:@/?#~-]{0,40}\Z") | st.text(max_size=60) | st.just(ID))
def test_an_id_is_parsed_as_the_authority_parses_it(uri: str) -> None:
    """SPIFFE-ID 2: one canonical form, and of workloads only accounts."""
    try:
        here = str(parse_spiffe_id(uri))
    except PeerIdentityError:
        here = ""
    try:
        there = SpiffeId.parse(uri)
        _ = there.account
    except InvalidSpiffeId:
        assert here == ""
    else:
        assert here == str(there)


@pytest.mark.parametrize("segment", [".", "..", "", "a b", "a%20b", "a/b", "a?b", "ä", "a\n", "a\0"])
def test_a_segment_has_one_meaning(segment: str) -> None:
    """SPIFFE-ID 2.2: no dot segments, no percent-encoding, nothing that another reader takes for an end."""
    for uri in (f"spiffe://cluster.local/ns/{segment}/sa/web", f"spiffe://cluster.local/ns/shop/sa/{segment}"):
        with pytest.raises(PeerIdentityError):
            parse_spiffe_id(uri)


@pytest.mark.parametrize("chain", ["", "no PEM", AUTHORITY.certificate])
def test_our_own_certificate_must_prove_something(chain: str) -> None:
    """It says what is wrong with the chain."""
    with pytest.raises(PeerIdentityError, match=r"chain|authority"):
        own_spiffe_id(chain)
