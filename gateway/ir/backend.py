"""Where traffic goes: Backend says how to speak to a Service's port, EndpointSet where it is right now."""

from __future__ import annotations

from typing import Final, Literal

from gateway.ir.rule import Persistence
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


class HashOn(Value, frozen=True):
    """A part of a request that chooses its endpoint; header names are lower case."""

    type: Literal["ClientAddress", "Header", "Cookie", "QueryParameter", "Authority", "Path"]
    name: str = ""
    """Of the header, cookie or query parameter; '' for the others."""


class Balancing(Value, frozen=True):
    """BackendPolicy.balancing. By hash the first of `hash_on` that a request has counts; its client's address where there are none."""

    type: Literal["RoundRobin", "LeastRequest", "RingHash", "Maglev"] = "RoundRobin"
    hash_on: tuple[HashOn, ...] = ()
    table_size: int = 0
    """Points of the ring, or entries of the Maglev table, a prime; 0 for a size that fits the number of endpoints."""


class Ejection(Value, frozen=True):
    """BackendPolicy.ejection: when an endpoint is left out because of how it answered. Times in milliseconds."""

    consecutive_errors: int = 5
    """Bad answers in a row; 0 turns this off."""
    base_time: int = 1_000
    """How long the first time; doubles with each time that follows."""
    max_time: int = 2_000
    """Short, so that an endpoint that has recovered is soon used again: each trial costs one request."""
    connect_failures: bool = True
    """Whether an endpoint to which no connection comes about is left out until a probe connects."""


class HttpCheck(Value, frozen=True):
    """What an active health check asks for. Without a host it is the TLS hostname, else the endpoint's address and port."""

    path: str = "/"
    host: str = ""
    statuses: tuple[int, ...] = (200,)


class GrpcCheck(Value, frozen=True):
    """An active health check as grpc.health.v1.Health/Check; the service may be '' for the server as a whole."""

    service: str = ""


class HealthCheck(Value, frozen=True):
    """BackendPolicy.healthCheck: over HTTP or gRPC, or only a connect where both are None. Times in milliseconds."""

    http: HttpCheck | None = None
    interval: int = 5_000
    timeout: int = 1_000
    healthy_threshold: int = 1
    unhealthy_threshold: int = 3
    jitter: int = 10
    """Percent of the interval by which each wait is longer or shorter at most."""
    grpc: GrpcCheck | None = None


class Limits(Value, frozen=True):
    """BackendPolicy.limits, for one worker and all endpoints of the backend together; 0 for none."""

    connections: int = 10_000
    pending_requests: int = 1_024
    requests: int = 0


class RetryBudget(Value, frozen=True):
    """XBackendTrafficPolicy.retryConstraint: retries may be `percent` of the requests of `interval`, and `min_retries` every
    `min_interval` in any case. Milliseconds."""

    percent: int = 20
    interval: int = 10_000
    min_retries: int = 10
    min_interval: int = 1_000


class BackendOptions(Value, frozen=True):
    """What a BackendPolicy and an XBackendTrafficPolicy set, with the defaults that hold where none is attached."""

    balancing: Balancing = Balancing()
    connect_timeout: int = 5_000
    """Milliseconds, TLS handshake included."""
    send_timeout: int = 60_000
    """Milliseconds that may pass without an endpoint taking a byte of a request's body that waits for it; 0 for no limit."""
    ejection: Ejection = Ejection()
    health_check: HealthCheck | None = None
    panic_threshold: int = 50
    """Percent of the ready endpoints: if fewer are healthy, health is ignored. 0: never."""
    limits: Limits = Limits()
    retry_budget: RetryBudget | None = None
    persistence: Persistence | None = None
    """Of requests through rules without a persistence of their own."""
    proxy_protocol: Literal["", "v1", "v2"] = ""
    """The version of the PROXY header that each new connection begins with, so that the endpoint learns the client's address."""


NO_POLICY: Final = BackendOptions()
"""What holds where nothing is attached: one value for all backends, nothing on the wire (a default is told by being this object)."""

BackendProtocol = Literal["http/1.1", "h2c", "auto", "tcp", "udp", "client"]


class Backend(Resource, frozen=True, tag="Backend"):
    """Key namespace/service:port, of a UDP port namespace/service:port/udp, and of one that only GRPCRoutes know to speak HTTP/2
    namespace/service:port/h2c. With an error every request to it is answered 500 and the error is the reason."""

    protocol: BackendProtocol = "http/1.1"
    """h2c: HTTP/2 by prior knowledge, over TLS too. auto: what ALPN chooses of h2 and http/1.1, with `tls` only. tcp and udp are relayed
    as they are. client: HTTP/2 by prior knowledge to whoever asks in HTTP/2, HTTP/1.1 otherwise."""
    tls: BackendTls | None = None
    options: BackendOptions = NO_POLICY
    error: str | None = None
    original_destination: Literal["", "Elsewhere", "OwnPod"] = ""
    """Whether it is wherever a captured connection was going, and so has no EndpointSet. OwnPod: to the application beside us, from
    127.0.0.6 or ::6, by which the capture rules know that it has been through here."""
    external: bool = False
    """Whether it is outside the mesh (ServiceEntry.location), and never spoken to by mutual TLS of the mesh, whoever is there."""
    identities: tuple[str, ...] = ()
    """Of which endpoints that are reached by mutual TLS of the mesh must prove one (ServiceEntry.subjectAltNames); empty for any."""
    follows_names: bool = False
    """Whether connections end, each with what it carries, when DNS has taken an address away from a name of its endpoints."""


class Endpoint(Value, frozen=True):
    """An IP address, or for an ExternalName Service or a ServiceEntry a DNS name, which the data plane resolves off the loop."""

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
