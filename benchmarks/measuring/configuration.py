"""Configurations of the programs under test: templates of benchmarks/configurations with ports and paths filled in, a certificate.

A template says @NAME@ where a value belongs. A name without a value is an error, so that no program starts with half a file.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TEMPLATES = Path(__file__).resolve().parents[1] / "configurations"
ROOT = TEMPLATES.parents[1]

_PLACE = re.compile(r"@([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)@")


def fill(template: str, folder: Path, values: Mapping[str, object]) -> Path:
    """Writes a template with its values into a folder; returns the file."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    file = folder / template
    file.write_text(_PLACE.sub(lambda place: str(values[place[1]]), text), encoding="utf-8")
    return file


def places_of(template: str) -> frozenset[str]:
    """The names that a template has places for."""
    return frozenset(_PLACE.findall((TEMPLATES / template).read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed ECDSA P-256 certificate for 127.0.0.1 and its key, as PEM files."""

    certificate: Path
    key: Path
    both: Path

    def values(self) -> dict[str, object]:
        """For templates."""
        return {
            "CERTIFICATE": self.certificate,
            "KEY": self.key,
            "CERTIFICATE_AND_KEY": self.both,
            "CERTIFICATE_BASE64": base64.b64encode(self.certificate.read_bytes()).decode(),
            "KEY_BASE64": base64.b64encode(self.key.read_bytes()).decode(),
        }


def make_certificate(folder: Path) -> Certificate:
    """Makes one that holds for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    chain_text = certificate.public_bytes(serialization.Encoding.PEM)
    key_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    made = Certificate(folder / "certificate.crt", folder / "certificate.key", folder / "certificate.pem")
    made.certificate.write_bytes(chain_text)
    made.key.write_bytes(key_text)
    made.both.write_bytes(chain_text + key_text)
    return made
