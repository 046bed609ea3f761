"""Certificates and CA certificates: Secrets and ConfigMaps read for real, and the references of a Gateway to them.

Reading and emitting are units of their own: a Secret is judged wherever a reference names it, and becomes a resource only
where something that is served uses it. A pair that does not match, or cannot be read, becomes one too: the proxy refuses it and keeps
the old one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from controller.api.core import ConfigMap
from controller.api.core import Secret as SecretObject
from controller.api.gateway import Gateway
from controller.api.gateway_tls import FrontendTLSValidation
from controller.api.listeners import Listener
from controller.api.references import SecretObjectReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.objects import of_group, source_of
from controller.translate.references import Target, refused
from controller.translate.statuses import Emission
from gateway.ir.listener import Certificate, ClientValidation, Secret, TrustBundle

CHAIN, PRIVATE_KEY, AUTHORITIES = "tls.crt", "tls.key", "ca.crt"
"""The entries of a Secret of type kubernetes.io/tls, and of a ConfigMap with CA certificates."""

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
"""What cryptography raises for text that it does not take: TypeError where a password is missing."""

Name = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A Secret as a certificate: the resource, if there is anything to send, and what is wrong with it."""

    certificate: Certificate | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Authorities:
    """A ConfigMap as CA certificates."""

    bundle: TrustBundle | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """What a listener has to terminate TLS with. Without certificates, or with `refused`, it is not served."""

    certificates: tuple[str, ...] = ()
    validation: ClientValidation | None = None
    unresolved: tuple[Problem, ...] = ()
    refused: Problem | None = None


def read_pair(key: Name, view: View) -> Pair:
    """Unit "pair": a Secret read as a certificate chain and its private key."""
    secret: SecretObject | None = view.get("Secret", *key)
    where = f"Secret {key[0]}/{key[1]}"
    if secret is None:
        return Pair(fault=f"{where} does not exist")
    entries = secret.entries
    for name in (CHAIN, PRIVATE_KEY):
        if name not in entries:
            return Pair(fault=f"{where} has no entry {name}")
    try:
        chain = x509.load_pem_x509_certificates(entries[CHAIN])
        certified = chain[0].public_key()
    except UNREADABLE:
        return Pair(_as_written(secret), f"{where}: {CHAIN} holds no readable certificates in PEM")
    try:
        private_key = serialization.load_pem_private_key(entries[PRIVATE_KEY], password=None)
    except UNREADABLE:
        return Pair(_as_written(secret), f"{where}: {PRIVATE_KEY} holds no readable private key in PEM without a password")
    if not isinstance(private_key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return Pair(_as_written(secret), f"{where}: {PRIVATE_KEY} is of a type that TLS cannot use; use RSA, ECDSA or EdDSA")
    certificate = _certificate(secret, chain, private_key)
    if certified != private_key.public_key():
        return Pair(certificate, f"{where}: {PRIVATE_KEY} is not the key of the first certificate in {CHAIN}")
    return Pair(certificate)


def _certificate(secret: SecretObject, chain: list[x509.Certificate], private_key: PrivateKeyTypes) -> Certificate:
    written = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return _resource(secret, _pem(chain), written)


def _as_written(secret: SecretObject) -> Certificate:
    """Of a Secret whose entries are no pair: for the proxy to refuse."""
    chain, private_key = (secret.entries[name].decode(errors="replace") for name in (CHAIN, PRIVATE_KEY))
    return _resource(secret, chain, private_key)


def _resource(secret: SecretObject, chain: str, private_key: str) -> Certificate:
    fingerprint = hashlib.sha256((chain + private_key).encode()).hexdigest()
    return Certificate(f"{secret.namespace}/{secret.name}", source_of(secret), chain, Secret(private_key), fingerprint)


def _pem(certificates: list[x509.Certificate]) -> str:
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


def emit_certificate(key: Name, view: View) -> Emission:
    """Unit "certificate": the resource of a Secret that something served uses."""
    pair: Pair = view.result("pair", key)
    return Emission((pair.certificate,) if pair.certificate is not None else ())


def read_authorities(key: Name, view: View) -> Authorities:
    """Unit "authorities": a ConfigMap read as CA certificates."""
    config_map: ConfigMap | None = view.get("ConfigMap", *key)
    where = f"ConfigMap {key[0]}/{key[1]}"
    if config_map is None:
        return Authorities(fault=f"{where} does not exist")
    if AUTHORITIES not in config_map.data and AUTHORITIES not in config_map.binary_data:
        return Authorities(fault=f"{where} has no entry {AUTHORITIES}")
    text = config_map.data[AUTHORITIES].encode() if AUTHORITIES in config_map.data else config_map.binary_data[AUTHORITIES]
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except UNREADABLE:
        return Authorities(fault=f"{where}: {AUTHORITIES} holds no readable certificates in PEM")
    return Authorities(TrustBundle(f"{config_map.namespace}/{config_map.name}", source_of(config_map), _pem(certificates)))


def emit_trust_bundle(key: Name, view: View) -> Emission:
    """Unit "trust bundle": the resource of a ConfigMap that something served uses."""
    authorities: Authorities = view.result("authorities", key)
    return Emission((authorities.bundle,) if authorities.bundle is not None else ())


def certificate_at(view: View, gateway: Key, reference: SecretObjectReference, reason: str) -> tuple[Certificate | None, Problem | None]:
    """The certificate that a Gateway refers to, if there is one to send, and the problem with it (`reason` unless it is not permitted)."""
    if (reference.group, reference.kind) != ("", "Secret"):
        return None, Problem(reason, f"a certificate is a Secret of the core group, not a {of_group(reference.kind, reference.group)}")
    target = Target("Secret", reference.namespace or gateway[1], reference.name)
    if (refusal := refused(view, gateway, target)) is not None:
        return None, refusal
    pair: Pair = view.result("pair", (target.namespace, target.name))
    return pair.certificate, Problem(reason, pair.fault) if pair.fault else None


def listener_tls(view: View, gateway: Gateway, listener: Listener) -> ListenerTls:
    """Certificates of a listener that terminates TLS, and of one of HTTPS how clients are validated."""
    certificates: list[str] = []
    unresolved: list[Problem] = []
    for index, reference in enumerate(listener.tls.certificate_refs if listener.tls is not None else ()):
        certificate, problem = certificate_at(view, gateway.key, reference, "InvalidCertificateRef")
        if certificate is not None:
            certificates.append(certificate.key)
        if problem is not None:
            unresolved.append(problem.at(f"tls.certificateRefs[{index}]"))
    if not certificates and not unresolved:
        unresolved.append(Problem("InvalidCertificateRef", "tls.certificateRefs is empty; name a Secret of type kubernetes.io/tls"))
    place, wanted = client_validation(gateway, listener.port) if listener.protocol == "HTTPS" else ("", None)
    if wanted is None:
        return ListenerTls(tuple(dict.fromkeys(certificates)), None, tuple(unresolved))
    bundles, problems = _authorities_of(view, gateway.key, wanted, place)
    validation = ClientValidation(bundles, wanted.mode) if bundles else None
    refusal = None if bundles else Problem("NoValidCACertificate", "no reference to CA certificates for clients is valid")
    return ListenerTls(tuple(dict.fromkeys(certificates)), validation, (*unresolved, *problems), refusal)


def client_validation(gateway: Gateway, port: int) -> tuple[str, FrontendTLSValidation | None]:
    """The validation of clients on a port and its field: that of the port, which stands in place of the default."""
    frontend = gateway.spec.tls.frontend if gateway.spec.tls is not None else None
    if frontend is None:
        return "", None
    for index, configuration in enumerate(frontend.per_port):
        if configuration.port == port:
            return f"spec.tls.frontend.perPort[{index}].tls.validation", configuration.tls.validation
    return "spec.tls.frontend.default.validation", frontend.default.validation


def allows_insecure(gateway: Gateway) -> Problem | None:
    """ConfigurationChanged where clients without a valid certificate are let in (AllowInsecureFallback)."""
    ports = sorted({listener.port for listener in gateway.spec.listeners if listener.protocol == "HTTPS"})
    insecure = [
        str(port)
        for port in ports
        if (validation := client_validation(gateway, port)[1]) is not None and validation.mode == "AllowInsecureFallback"
    ]
    if not insecure:
        return None
    message = f"mode AllowInsecureFallback lets in clients without a valid certificate on port {', '.join(insecure)}"
    return Problem("ConfigurationChanged", message)


def _authorities_of(view: View, gateway: Key, validation: FrontendTLSValidation, field: str) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    bundles: list[str] = []
    problems: list[Problem] = []
    for index, reference in enumerate(validation.ca_certificate_refs):
        place = f"{field}.caCertificateRefs[{index}]"
        target = Target(reference.kind, reference.namespace or gateway[1], reference.name, reference.group)
        if (target.group, target.kind) != ("", "ConfigMap"):
            message = f"CA certificates are in a ConfigMap of the core group, not in a {of_group(target.kind, target.group)}"
            problems.append(Problem("InvalidCACertificateKind", message).at(place))
        elif (refusal := refused(view, gateway, target)) is not None:
            problems.append(refusal.at(place))
        elif (fault := _fault_of(view, target)) is not None:
            problems.append(fault.at(place))
        else:
            bundles.append(f"{target.namespace}/{target.name}")
    return tuple(dict.fromkeys(bundles)), tuple(problems)


def _fault_of(view: View, target: Target) -> Problem | None:
    authorities: Authorities = view.result("authorities", (target.namespace, target.name))
    return Problem("InvalidCACertificateRef", authorities.fault) if authorities.fault else None


def emit(view: View, certificates: tuple[str, ...], validation: ClientValidation | None) -> None:
    """Has the resources of these keys emitted for as long as the reader wants them."""
    for key in certificates:
        view.result("certificate", named(key))
    for key in validation.trust_bundles if validation is not None else ():
        view.result("trust bundle", named(key))


def named(key: str) -> Name:
    """Namespace and name out of the key of a resource."""
    namespace, _, name = key.partition("/")
    return namespace, name
