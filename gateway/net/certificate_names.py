"""What the choice among a listener's certificates needs of each: its DNS names, the type of its key, when it expires.

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

_SEQUENCE, _OCTET_STRING, _OBJECT_IDENTIFIER = 0x30, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")

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


def _read(der: bytes) -> CertificateNames:
    certificate = _expect(_first(der), _SEQUENCE)
    fields = [field for field in _fields(_expect(_first(certificate), _SEQUENCE)) if field[0] != _VERSION]
    validity = [_time(*field) for field in _fields(_expect(fields[3], _SEQUENCE))]
    algorithm = _expect(_first(_expect(fields[5], _SEQUENCE)), _SEQUENCE)
    key_type = _expect(_first(algorithm), _OBJECT_IDENTIFIER)
    names = frozenset(name.lower() for field in fields[6:] if field[0] == _EXTENSIONS for name in _dns_names(field[1]))
    return CertificateNames(names, key_type, validity[1])


def _dns_names(extensions: bytes) -> Iterator[bytes]:
    for extension in _fields(_expect(_first(extensions), _SEQUENCE)):
        parts = list(_fields(_expect(extension, _SEQUENCE)))
        if parts[0] != (_OBJECT_IDENTIFIER, _SUBJECT_ALT_NAME):
            continue
        general_names = _expect(_first(_expect(parts[-1], _OCTET_STRING)), _SEQUENCE)
        yield from (value for tag, value in _fields(general_names) if tag == _DNS_NAME)


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
