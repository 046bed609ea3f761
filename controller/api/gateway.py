"""Gateway (gateway.networking.k8s.io/v1, v1beta1): addresses, infrastructure and the rules over its listeners.

Listeners themselves are in `listeners`, TLS of the whole Gateway in `gateway_tls`.
"""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Model, refusal, text
from controller.api.gateway_tls import GatewayTLSConfig
from controller.api.listeners import AllowedListeners, Listener, check_listeners
from controller.api.metadata import Object
from controller.api.names import AnnotationKey, AnnotationValue, Hostname, LabelKey, LabelValue, ObjectName
from controller.api.references import LocalObjectReference

_ADDRESS_TYPE = (
    r"^(Hostname|IPAddress|NamedAddress"
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+)$"
)


class GatewaySpecAddress(Model):
    """An address asked for; without value one of the type is assigned."""

    type: Annotated[str, text(pattern=_ADDRESS_TYPE, shortest=1, longest=253)] = "IPAddress"
    value: Annotated[str, text(longest=253)] = ""

    @model_validator(mode="after")
    def _value_fits_type(self) -> Self:
        if self.type == "IPAddress" and self.value:
            try:
                ipaddress.ip_address(self.value)
            except ValueError:
                remedy = "Write an IPv4 or IPv6 address, or set type Hostname."
                raise refusal("value", f"{self.value!r} is not an IP address", remedy) from None
        if self.type == "Hostname" and self.value:
            _HostnameValue.model_validate({"value": self.value})
        return self


class _HostnameValue(Model):
    value: Hostname


class GatewayInfrastructure(Model):
    """Labels, annotations and parameters of what is deployed for the Gateway."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=8)
    annotations: dict[AnnotationKey, AnnotationValue] = Field(default_factory=dict, max_length=16)
    parameters_ref: LocalObjectReference | None = None


def _check_addresses(addresses: tuple[GatewaySpecAddress, ...]) -> tuple[GatewaySpecAddress, ...]:
    seen: dict[tuple[str, str], int] = {}
    for index, address in enumerate(addresses):
        place = (address.type, address.value)
        if address.value and address.type in ("IPAddress", "Hostname") and place in seen:
            raise refusal(f"[{index}].value", f"{address.value!r} is already addresses[{seen[place]}]", "Remove one of the two.")
        seen[place] = index
    return addresses


class GatewaySpec(Model):
    """What a Gateway listens on."""

    gateway_class_name: ObjectName
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64), AfterValidator(check_listeners)]
    addresses: Annotated[tuple[GatewaySpecAddress, ...], Field(max_length=16), AfterValidator(_check_addresses)] = ()
    infrastructure: GatewayInfrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    tls: GatewayTLSConfig | None = None
    default_scope: Literal["All", "None"] | None = None


class Gateway(Object):
    """Listeners on addresses, to which routes attach."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
    kind: Literal["Gateway"]
    spec: GatewaySpec
