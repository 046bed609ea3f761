"""What the choice among a listener's certificates needs of each: its DNS names, the type of its key, when it expires; and what makes
a certificate that of a workload: its URIs, and that it is no authority's.

The ssl module tells these of no certificate but a peer's, and importing the library that does would cost every worker ten
megabytes. So the few fields are walked to in the DER (X.690; RFC 5280 4.1) of a certificate that OpenSSL has already
accepted; what is not as expected is refused all the same.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

_SEQUENCE, _OCTET_STRING, _OBJECT_IDENTIFIER, _BOOLEAN = 0x30, 0x04, 0x06, 0x01
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS, _DNS_NAME, _URI = 0xA0, 0xA3, 0x82, 0x86
_SUBJECT_ALT_NAME, _BASIC_CONSTRAINTS = bytes.fromhex("551d11"), bytes.fromhex("551d13")

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class MalformedCertificate(Exception):
    """Text that holds no certificate, or one that does not read as RFC 5280 has it."""


class CertificateNames(NamedTuple):
    names: frozenset[bytes]
    """DNS names among the subject alternative names, lower case; may hold wildcards."""
    key_type: bytes
    """Object identifier of the public key's algorithm, DER: equal for keys of one type."""
    not_after: datetime


def certificate_blocks(pem: str) -> tuple[str, ...]:
    """The certificates in a PEM text, each as a block of its own; comments and whatever else stands between are left out."""
    return tuple(_CERTIFICATE.findall(pem))


def read_certificate_names(pem: str) -> CertificateNames:
    """Of the first certificate in the text. Raises MalformedCertificate."""
    blocks = certificate_blocks(pem)
    if not blocks:
        raise MalformedCertificate("holds no CERTIFICATE block")
    try:
        return _read(ssl.PEM_cert_to_DER_cert(blocks[0]))
    except (ValueError, IndexError) as error:
        raise MalformedCertificate(f"is not a certificate as RFC 5280 has it: {error}") from error


class WorkloadFacts(NamedTuple):
    uris: tuple[bytes, ...]
    others: int
    """Subject alternative names of other kinds."""
    authority: bool | None
    """Of its basic constraints (RFC 5280 4.2.1.9); None where it has none, or more than one."""


def read_workload_facts(der: bytes) -> WorkloadFacts:
    """Raises MalformedCertificate."""
    try:
        fields = _certificate_fields(der)
        names = [name for field in fields if field[0] == _EXTENSIONS for name in _general_names(field[1])]
        constraints = [value for field in fields if field[0] == _EXTENSIONS for value in _extensions(field[1], _BASIC_CONSTRAINTS)]
        uris = tuple(value for tag, value in names if tag == _URI)
        authority = (_BOOLEAN, b"\xff") in _fields(_expect(_first(constraints[0]), _SEQUENCE)) if len(constraints) == 1 else None
        return WorkloadFacts(uris, len(names) - len(uris), authority)
    except (ValueError, IndexError) as error:
        raise MalformedCertificate(f"is not a certificate as RFC 5280 has it: {error}") from error


def _certificate_fields(der: bytes) -> list[tuple[int, bytes]]:
    """Of the TBSCertificate, without its version."""
    certificate = _expect(_first(der), _SEQUENCE)
    return [field for field in _fields(_expect(_first(certificate), _SEQUENCE)) if field[0] != _VERSION]


def _read(der: bytes) -> CertificateNames:
    fields = _certificate_fields(der)
    validity = [_time(*field) for field in _fields(_expect(fields[3], _SEQUENCE))]
    algorithm = _expect(_first(_expect(fields[5], _SEQUENCE)), _SEQUENCE)
    key_type = _expect(_first(algorithm), _OBJECT_IDENTIFIER)
    names = frozenset(name.lower() for field in fields[6:] if field[0] == _EXTENSIONS for name in _dns_names(field[1]))
    return CertificateNames(names, key_type, validity[1])


def _dns_names(extensions: bytes) -> Iterator[bytes]:
    yield from (value for tag, value in _general_names(extensions) if tag == _DNS_NAME)


def _general_names(extensions: bytes) -> Iterator[tuple[int, bytes]]:
    for value in _extensions(extensions, _SUBJECT_ALT_NAME):
        yield from _fields(_expect(_first(value), _SEQUENCE))


def _extensions(extensions: bytes, wanted: bytes) -> Iterator[bytes]:
    """The values of those with this object identifier."""
    for extension in _fields(_expect(_first(extensions), _SEQUENCE)):
        parts = list(_fields(_expect(extension, _SEQUENCE)))
        if parts[0] == (_OBJECT_IDENTIFIER, wanted):
            yield _expect(parts[-1], _OCTET_STRING)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and contents of each element, one after another (X.690 8.1). All tags of a certificate fit one byte."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("an element is longer than what encloses it")
        yield tag, data[position : position + length]
        position += length


def _first(data: bytes) -> tuple[int, bytes]:
    for field in _fields(data):
        return field
    raise ValueError("an element that must hold others is empty")


def _expect(field: tuple[int, bytes], tag: int) -> bytes:
    if field[0] != tag:
        raise ValueError(f"element of tag {field[0]:#x} in the place of one of {tag:#x}")
    return field[1]


def _time(tag: int, text: bytes) -> datetime:
    """RFC 5280 4.1.2.5: UTCTime with years 1950 to 2049, or GeneralizedTime; both to the second and in UTC."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits >= "50" else "20") + digits
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"element of tag {tag:#x} in the place of a time")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
