"""Where traffic goes: Backend says how to speak to a Service's port, EndpointSet where it is right now."""

from __future__ import annotations

from typing import Literal

from gateway.ir.value import Resource, Value


class SubjectAltName(Value, frozen=True):
    type: Literal["Hostname", "URI"]
    value: str


class BackendTls(Value, frozen=True):
    """BackendTLSPolicyValidation. The hostname is the SNI, and the identity unless subject_alt_names are given (any of them)."""

    hostname: str
    trust_bundles: tuple[str, ...] = ()
    """Empty: the system's CA certificates (wellKnownCACertificates)."""
    subject_alt_names: tuple[SubjectAltName, ...] = ()


class BackendOptions(Value, frozen=True):
    """What a BackendPolicy sets, with the defaults that hold where none is attached."""

    balancing: Literal["RoundRobin"] = "RoundRobin"
    connect_timeout: int = 5_000
    """Milliseconds, TLS handshake included."""


class Backend(Resource, frozen=True, tag="Backend"):
    """Key namespace/service:port. With an error every request to it is answered 500 and the error is the reason."""

    protocol: Literal["http/1.1"] = "http/1.1"
    tls: BackendTls | None = None
    options: BackendOptions = BackendOptions()
    error: str | None = None


class Endpoint(Value, frozen=True):
    """An IP address, or for an ExternalName Service a DNS name, which the data plane resolves off the loop."""

    address: str
    port: int
    weight: int = 1
    zone: str = ""
    ready: bool = True
    terminating: bool = False
    """A terminating endpoint keeps its exchanges and sessions and gets new traffic only when no endpoint is ready."""


class EndpointSet(Resource, frozen=True, tag="EndpointSet"):
    """Same key as its Backend."""

    endpoints: tuple[Endpoint, ...] = ()
