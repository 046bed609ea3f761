"""Where traffic comes in: Gateway, Listener, and the certificates they terminate TLS with."""

from __future__ import annotations

from typing import Literal

from gateway.ir.rate_limit import RateLimit
from gateway.ir.tracing import Tracing
from gateway.ir.value import Resource, Value
from gateway.ir.workload import PeerAuthentication

EscapedSlashes = Literal["Keep", "Reject", "Redirect", "Unescape"]


class Secret(Value, frozen=True):
    """Text, PEM mostly, that never prints."""

    pem: str

    def __repr__(self) -> str:
        return "Secret(<redacted>)"


class Certificate(Resource, frozen=True, tag="Certificate"):
    """Key namespace/secret. A chain, leaf first, and its private key, both PEM (Secret type kubernetes.io/tls)."""

    chain: str
    private_key: Secret
    fingerprint: str
    """Hex SHA-256 over chain and key: two versions are told apart by it, and it may be shown."""


class TrustBundle(Resource, frozen=True, tag="TrustBundle"):
    """Key namespace/configmap. CA certificates, PEM, one after another (ConfigMap key ca.crt)."""

    certificates: str


class Gateway(Resource, frozen=True, tag="Gateway"):
    """Key namespace/name. What all listeners of a Gateway share."""

    client_certificate: str | None = None
    """Key of the Certificate presented to TLS backends (Gateway.spec.tls.backend.clientCertificateRef)."""
    session_key: Secret | None = None
    """Text that keys the tokens of session persistence in every proxy that serves this Gateway and no other; None: the proxy's own."""
    peer_authentications: tuple[PeerAuthentication, ...] = ()
    """Of a namespace of the mesh, in the order in which they count."""


class ClientValidation(Value, frozen=True):
    """Demand for a client certificate (Gateway.spec.tls.frontend)."""

    trust_bundles: tuple[str, ...]
    mode: Literal["AllowValidOnly", "AllowInsecureFallback"] = "AllowValidOnly"


class ListenerOptions(Value, frozen=True):
    """What a ListenerPolicy sets, with the defaults that hold where none is attached."""

    trusted_hops: int = 0
    """How many addresses at the right end of x-forwarded-for were written by proxies in front of us."""
    trusted_addresses: tuple[str, ...] = ()
    """CIDRs whose forwarded and identity fields are believed."""
    header_timeout: int = 10_000
    """Milliseconds from the first byte of a head to its end, and for the TLS handshake; 0 for no limit (10 s for the handshake)."""
    idle_timeout: int = 60_000
    """Milliseconds a kept-alive connection may wait for its next request; 0 for no limit."""
    body_timeout: int = 30_000
    """Milliseconds that may pass without a byte of a request's body while it is waited for; 0 for no limit."""
    send_timeout: int = 30_000
    """Milliseconds that may pass without the client taking a byte of a response that waits for it; 0 for no limit."""
    tunnel_idle_timeout: int = 3_600_000
    """Milliseconds that may pass in a tunnel without a byte in either direction; 0 for no limit."""
    minimum_body_rate: int = 240
    """Bytes a second that a request's body must come at, on average over the time it was waited for; 0 for no limit."""
    minimum_send_rate: int = 240
    """Bytes a second that a response which waits for its client must be taken at; 0 for no limit."""
    rate_grace: int = 10_000
    """Milliseconds before a minimum rate counts."""
    most_connections: int = 0
    """Connections that a port may have in one worker; 0 for no limit but that of the worker's descriptors."""
    most_connections_per_client: int = 0
    """Connections from one client address that a port may have in one worker; 0 for no limit."""
    most_requests_per_connection: int = 0
    """Requests after which a connection ends; 0 for no limit."""
    most_request_body: int = 0
    """Bytes of a request's body; 0 for no limit."""
    rate_limits: tuple[RateLimit, ...] = ()
    escaped_slashes: EscapedSlashes = "Keep"
    merge_slashes: bool = False
    reason_header: bool = False
    """Whether local replies say why in x-tidegate-reason."""
    access_log: bool = True
    proxy_protocol: Literal["Off", "Accept", "Require"] = "Off"
    """Whether a connection may, or must, begin with a PROXY header (versions 1 and 2), which then says who the client is."""
    proxy_protocol_addresses: tuple[str, ...] = ()
    """CIDRs of the load balancers whose PROXY header is believed; empty for all."""
    stream_idle_timeout: int = 3_600_000
    """Milliseconds that may pass without a byte in either direction of a TCP or TLS relay; 0 for no limit."""
    flow_idle_timeout: int = 60_000
    """Milliseconds after the last datagram in either direction at which a UDP flow ends."""
    most_flows: int = 10_000
    """UDP flows that a port may have in one worker; a datagram of one more is dropped."""
    most_streams_per_connection: int = 100
    """Requests that a client may have under way on one HTTP/2 connection."""
    tracing: Tracing | None = None
    """None: as the options of the data plane say."""


class Capture(Value, frozen=True):
    """Of a listener of the mesh, which has no port of its own: it serves what a Pod's capture rules bring to the port that it shares, by
    where that was going. With `destination` it has a place of its own all the same, which stands for where the rules would have looked."""

    direction: Literal["Outbound", "Inbound"]
    addresses: tuple[str, ...] = ()
    """The destinations that it serves, at `Listener.port`: addresses and CIDRs, of which the longest prefix counts; empty for all that no
    other listener names."""
    mutual_tls: Literal["Disable", "Permissive", "Strict"] = "Disable"
    """Inbound: whether callers may, or must, prove an identity of the mesh (PeerAuthentication)."""
    consumer: bool = False
    """Outbound: whether it is made of routes of the callers' own namespace. It then serves in the place of one that is not."""
    entries: bool = False
    """Outbound: whether it is made of ServiceEntries. It then serves nothing that a Service has."""
    patient: bool = False
    """Whether a client that says nothing is waited for, since only its first bytes tell where it is to go."""
    destination: str = ""
    """Where there are no capture rules: the address to which connections count as going that come to this listener's own place, `address`
    and `bind_port`; at `port`. Empty where the kernel says where they were going."""


class Listener(Resource, frozen=True, tag="Listener"):
    """Key gateway/listener, that is namespace/name/listener. One listener of a Gateway, or of one of its ListenerSets, that may serve."""

    gateway: str
    name: str
    """Of a listener that is written in a ListenerSet the set's namespace, its name and the listener's, with slashes between."""
    address: str
    """Address to bind, '0.0.0.0' and '::' for all."""
    port: int
    """The port the user wrote: what x-forwarded-port and logs say. With `capture` that of the destination, 0 for every other."""
    bind_port: int
    location_port: int
    """The port a client sees: what a redirect's Location says. Differs from `port` only under --port-offset."""
    protocol: Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP", "Detect"]
    """Detect, with `capture` only: what begins as a request of HTTP is one; anything else, and silence, is TCP. With rules for server names
    a captured listener of TCP or Detect looks for a ClientHello, too, and passes TLS on as it is."""
    hostname: str = ""
    """Lower case; '' for every host, '*.example.com' for one or more labels before the suffix. Of a TLS listener it is a server name."""
    tls_mode: Literal["Terminate", "Passthrough"] = "Terminate"
    """Of protocol TLS; HTTPS always terminates."""
    certificates: tuple[str, ...] = ()
    """Keys of Certificates, where TLS is terminated; the first is the default."""
    client_validation: ClientValidation | None = None
    options: ListenerOptions = ListenerOptions()
    capture: Capture | None = None
    namespaces: tuple[str, ...] | None = None
    """The namespaces whose HttpRules it serves, in order, where labels of namespaces decide that (allowedRoutes.namespaces.from: Selector);
    rules of others may be bound to it, and serve nothing there until they are named. None: all that are bound to it are served."""
