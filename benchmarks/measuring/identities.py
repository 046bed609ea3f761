"""Identities of workloads, for proxies that no controller gives them: an authority, and a certificate of ECDSA P-256 for each account, as
those of Tidegate's authority are."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAME = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])


def make_identities(folder: Path, accounts: Sequence[str]) -> dict[str, object]:
    """Files in a folder, by the names of places in templates: AUTHORITY, ACCOUNT_CERTIFICATE, ACCOUNT_KEY. They hold for a day."""
    root = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_NAME, root.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    files: dict[str, object] = {"AUTHORITY": _write(folder / "authority.crt", builder.sign(root, hashes.SHA256()))}
    for account in accounts:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/shop/sa/{account}")
        builder = _builder(x509.Name([]), key.public_key()).add_extension(x509.SubjectAlternativeName([name]), critical=True)
        files[f"{account.upper()}_CERTIFICATE"] = _write(folder / f"{account}.crt", builder.sign(root, hashes.SHA256()))
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{account}.key").write_bytes(text)
        files[f"{account.upper()}_KEY"] = folder / f"{account}.key"
    return files


def _builder(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(_NAME, subject, key, x509.random_serial_number())
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))


def _write(file: Path, certificate: x509.Certificate) -> Path:
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return file
