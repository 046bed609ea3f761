"""ListenerPolicy (tidegate.dev/v1alpha1): options of listeners that the Gateway API has no field for."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from controller.api.base import Boolean, Integer, Model, Text, expressions, refusal
from controller.api.durations import Duration
from controller.api.metadata import Object
from controller.api.names import SectionName
from controller.api.rate_limits import RateLimit, Size, check_limits
from controller.api.references import LocalPolicyTargetReference, check_targets
from gateway.ir.tracing import traces_url


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise refusal("", f"{value!r} is not an address block: {error}", "Write an address block such as 10.0.0.0/8 or fd00::/8.") from None


AddressBlock = Annotated[Text, AfterValidator(_network)]
"""An IPv4 or IPv6 address block in CIDR form; an address alone stands for itself."""


Rate = Annotated[Integer, Field(ge=0, le=1 << 30)]
"""Bytes a second."""

Count = Annotated[Integer, Field(ge=1, le=(1 << 31) - 1)]


class ListenerPolicyTarget(LocalPolicyTargetReference):
    """A Gateway or a ListenerSet of the policy's namespace, or one listener of it."""

    group: Literal["gateway.networking.k8s.io"] = "gateway.networking.k8s.io"
    kind: Literal["Gateway", "ListenerSet"] = "Gateway"
    section_name: SectionName | None = Field(default=None, description="The listener; all listeners when absent.")


def _not_zero(milliseconds: int) -> int:
    if not milliseconds:
        raise refusal("", "is zero", "Write a time such as 1m.")
    return milliseconds


class ListenerTimeouts(Model):
    """Time limits of connections from clients; zero disables."""

    header: Duration = Field(
        default=10_000, description="From the start of a connection, or the first byte of a later request, to the end of the head."
    )
    idle: Duration = Field(default=60_000, description="Between two requests on a connection.")
    body: Duration = Field(default=30_000, description="Without a byte of a request's body while it is waited for.")
    send: Duration = Field(default=30_000, description="Without the client taking a byte of a response that waits for it.")
    tunnel_idle: Duration = Field(default=3_600_000, description="Without a byte in either direction of a tunnel (WebSocket).")
    stream_idle: Duration = Field(default=3_600_000, description="Without a byte in either direction of a TCP or TLS stream.")
    flow_idle: Annotated[Duration, AfterValidator(_not_zero)] = Field(
        default=60_000, description="After the last datagram in either direction of a UDP flow; no zero, since a flow has no other end."
    )


class MinimumRates(Model):
    """How fast clients must send and take bodies, in bytes a second; zero disables."""

    body: Rate = Field(default=240, description="At which a request's body must come, on average over the time it is waited for.")
    send: Rate = Field(default=240, description="At which a response that waits for its client must be taken.")
    grace: Duration = Field(default=10_000, description="How long a client is waited for before the rates count.")


class ConnectionLimits(Model):
    """Limits of what clients have at one time and send; none when absent, where there is no default."""

    connections: Count | None = Field(
        default=None, description="Connections at one time, for each port and worker; the next one is closed at once."
    )
    connections_per_client: Count | None = Field(default=None, description="The same from one IPv4 address or IPv6 /64.")
    requests_per_connection: Count | None = Field(default=None, description="Requests after which a connection ends.")
    request_body: Size | None = Field(default=None, description="Bytes of a request's body; a longer one is answered 413.")
    streams_per_connection: Count = Field(default=100, description="Requests under way at one time on one HTTP/2 connection.")
    flows: Count = Field(default=10_000, description="UDP flows at one time, for each port and worker; a datagram of one more is dropped.")


class ProxyProtocol(Model):
    """Whether connections begin with a PROXY header, which says who the client is; of versions 1 and 2."""

    model_config = expressions(
        (
            "!has(self.addresses) || self.addresses.size() == 0 || (has(self.mode) && self.mode != 'Off')",
            "addresses have no use with mode Off",
        ),
        (
            "!has(self.mode) || self.mode != 'Accept' || (has(self.addresses) && self.addresses.size() > 0)",
            "mode Accept needs addresses: without them every client could say that it is another",
        ),
    )

    mode: Literal["Off", "Accept", "Require"] = Field(
        default="Off", description="Off: never. Accept: from the load balancers, where one is sent. Require: always."
    )
    addresses: tuple[AddressBlock, ...] = Field(
        default=(), max_length=256, description="Address blocks of load balancers whose header is believed; with Require all when absent."
    )

    @model_validator(mode="after")
    def _addresses_fit_mode(self) -> Self:
        if self.mode == "Off" and self.addresses:
            raise refusal("mode", "is Off, so that addresses have no use", "Set mode Accept or Require, or remove addresses.")
        if self.mode == "Accept" and not self.addresses:
            remedy = "Name the load balancers' address blocks, or [0.0.0.0/0, '::/0'] for all."
            raise refusal("addresses", "without them mode Accept would believe every client that says it is another", remedy)
        return self


class PathRules(Model):
    """How the paths of requests are treated before they are matched."""

    escaped_slashes: Literal["Keep", "Reject", "Redirect", "Unescape"] = Field(
        default="Keep",
        description=(
            "What happens to %2f and %5c: kept as ordinary characters, refused with 400, answered with a redirect to the unescaped path,"
            " or unescaped before matching."
        ),
    )
    merge_slashes: Boolean = Field(default=False, description="Whether a run of slashes counts, and is forwarded, as one.")


def _collector(value: str) -> str:
    try:
        traces_url(value)
    except ValueError as error:
        raise refusal("", str(error).partition("; ")[0], "Write a URL such as http://collector.observability:4318.") from None
    return value


class Tracing(Model):
    """Where traces of requests go, and how many of them."""

    collector: Annotated[Text, Field(min_length=1, max_length=2048), AfterValidator(_collector)] | None = Field(
        default=None, description="URL of a collector that speaks OTLP over HTTP; that of the data plane (--otlp-endpoint) when absent."
    )
    sampling_percent: Annotated[float, Strict(), Field(ge=0, le=100)] | None = Field(
        default=None,
        description="Of the requests whose callers have not decided, how many percent are traced; the data plane's share when absent.",
    )
    disabled: Boolean = Field(default=False, description="Whether nothing is traced here, whatever the data plane is told.")


class ListenerPolicySpec(Model):
    """Options of listeners."""

    target_refs: Annotated[tuple[ListenerPolicyTarget, ...], AfterValidator(check_targets)] = Field(
        min_length=1, max_length=16, description="The Gateways, ListenerSets or listeners it holds for."
    )
    trusted_hops: Annotated[Integer, Field(ge=0, le=32)] | None = Field(
        default=None, description="How many proxies in front are trusted to have written x-forwarded-for; none when absent."
    )
    trusted_addresses: tuple[AddressBlock, ...] = Field(
        default=(), max_length=256, description="Address blocks of proxies whose x-forwarded-* fields are trusted."
    )
    proxy_protocol: ProxyProtocol = Field(
        default=ProxyProtocol(), description="Whether connections begin with a PROXY header that says who the client is."
    )
    timeouts: ListenerTimeouts = Field(default=ListenerTimeouts(), description="Time limits of connections from clients.")
    minimum_rates: MinimumRates = Field(default=MinimumRates(), description="How fast clients must send and take bodies.")
    limits: ConnectionLimits = Field(default=ConnectionLimits(), description="Limits of connections from clients.")
    rate_limits: Annotated[tuple[RateLimit, ...], AfterValidator(check_limits)] = Field(
        default=(), max_length=16, description="How many requests are let through; a request must be under all that count it."
    )
    paths: PathRules = Field(default=PathRules(), description="How the paths of requests are treated.")
    reason_header: Boolean = Field(default=False, description="Whether answers that the proxy makes itself carry x-tidegate-reason.")
    access_log: Boolean = Field(default=True, description="Whether exchanges are written to the access log.")
    tracing: Tracing | None = Field(default=None, description="Where traces of requests go; as the data plane is told when absent.")


class ListenerPolicy(Object):
    """Options of a Gateway, a ListenerSet or one of their listeners."""

    api_version: Literal["tidegate.dev/v1alpha1"]
    kind: Literal["ListenerPolicy"]
    spec: ListenerPolicySpec
