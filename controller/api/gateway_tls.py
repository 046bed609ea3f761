"""TLS of a whole Gateway: validation of clients' certificates, and the Gateway's own certificate towards backends."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.api.base import Model, refusal
from controller.api.names import PortNumber
from controller.api.references import ObjectReference, SecretObjectReference


class FrontendTLSValidation(Model):
    """How clients' certificates are validated, against the CA certificates of these objects."""

    ca_certificate_refs: Annotated[tuple[ObjectReference, ...], Field(min_length=1, max_length=16)]
    mode: Literal["AllowValidOnly", "AllowInsecureFallback"] = "AllowValidOnly"


class TLSConfig(Model):
    """TLS that holds for all HTTPS listeners, or those of one port."""

    validation: FrontendTLSValidation | None = None


class TLSPortConfig(Model):
    """TLS of the HTTPS listeners of one port; stands in place of the default."""

    port: PortNumber
    tls: TLSConfig


def _check_ports(configurations: tuple[TLSPortConfig, ...]) -> tuple[TLSPortConfig, ...]:
    seen: dict[int, int] = {}
    for index, configuration in enumerate(configurations):
        if configuration.port in seen:
            first = seen[configuration.port]
            raise refusal(f"[{index}].port", f"port {configuration.port} is already that of perPort[{first}]", "Keep one entry a port.")
        seen[configuration.port] = index
    return configurations


class FrontendTLSConfig(Model):
    """TLS towards clients."""

    default: TLSConfig
    per_port: Annotated[tuple[TLSPortConfig, ...], Field(max_length=64), AfterValidator(_check_ports)] = ()


class GatewayBackendTLS(Model):
    """TLS towards backends: the certificate that the Gateway shows as a client."""

    client_certificate_ref: SecretObjectReference | None = None


class GatewayTLSConfig(Model):
    """TLS of the whole Gateway."""

    backend: GatewayBackendTLS | None = None
    frontend: FrontendTLSConfig | None = None
