"""Listeners of a Gateway or a ListenerSet, the routes they allow, and the CRD's rules over a list of listeners.

A protocol may be any name: the controller answers unknown ones with UnsupportedProtocol. The core protocols compare
without regard to case (ProtocolType), so `Listener.protocol` holds them in upper case.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Model, refusal, text
from controller.api.names import AnnotationKey, AnnotationValue, Group, Hostname, Kind, PortNumber, SectionName
from controller.api.references import GATEWAY_GROUP, SecretObjectReference
from controller.api.selectors import LabelSelector

_CORE_PROTOCOLS = frozenset(("HTTP", "HTTPS", "TLS", "TCP", "UDP"))
_PROTOCOL = (
    r"^([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+)$"
)


def _core_in_upper_case(protocol: str) -> str:
    return protocol.upper() if protocol.upper() in _CORE_PROTOCOLS else protocol


Protocol = Annotated[str, text(pattern=_PROTOCOL, shortest=1, longest=255), AfterValidator(_core_in_upper_case)]
"""HTTP, HTTPS, TLS, TCP, UDP, or a name that only some implementations know."""


class ListenerTLSConfig(Model):
    """How a listener terminates TLS, or that it passes it through."""

    mode: Literal["Terminate", "Passthrough"] = "Terminate"
    certificate_refs: Annotated[tuple[SecretObjectReference, ...], Field(max_length=64)] = ()
    options: dict[AnnotationKey, AnnotationValue] = Field(default_factory=dict, max_length=16)

    @model_validator(mode="after")
    def _terminate_has_certificate(self) -> Self:
        if self.mode == "Terminate" and not self.certificate_refs and not self.options:
            raise refusal(
                "certificateRefs",
                "certificateRefs or options must be given when mode is Terminate",
                "Add a certificateRefs entry that names a Secret of type kubernetes.io/tls.",
            )
        return self


class _Namespaces(Model):
    selector: LabelSelector | None = None


class RouteNamespaces(_Namespaces):
    """From which namespaces routes may attach; `selector` counts only with from Selector."""

    from_: Literal["All", "Selector", "Same"] = Field(default="Same", alias="from")


class ListenerNamespaces(_Namespaces):
    """From which namespaces ListenerSets may attach; `selector` counts only with from Selector."""

    from_: Literal["All", "Selector", "Same", "None"] = Field(default="None", alias="from")


class RouteGroupKind(Model):
    """A kind of routes."""

    group: Group = GATEWAY_GROUP
    kind: Kind


class AllowedRoutes(Model):
    """Which routes may attach to a listener; no kinds means those of the protocol."""

    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: Annotated[tuple[RouteGroupKind, ...], Field(max_length=8)] = ()


class AllowedListeners(Model):
    """Which ListenerSets may attach to a Gateway."""

    namespaces: ListenerNamespaces = ListenerNamespaces()


class Listener(Model):
    """A port, protocol and hostname on which a Gateway accepts traffic; an entry of a ListenerSet is the same (ListenerEntry)."""

    name: SectionName
    hostname: Hostname | None = None
    port: PortNumber
    protocol: Protocol
    tls: ListenerTLSConfig | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()

    @model_validator(mode="after")
    def _fields_fit_protocol(self) -> Self:
        match self.protocol:
            case "HTTP" | "TCP" | "UDP" if self.tls is not None:
                raise refusal("tls", f"protocol {self.protocol} has no tls", "Remove tls, or set protocol HTTPS or TLS.")
            case "HTTPS" | "TLS" if self.tls is None:
                raise refusal("tls", f"protocol {self.protocol} needs tls", "Add tls with certificateRefs, or set protocol HTTP or TCP.")
            case "HTTPS" if self.tls is not None and self.tls.mode != "Terminate":
                raise refusal("tls.mode", "the mode must be Terminate for protocol HTTPS", "Set mode Terminate, or protocol TLS.")
            case "TCP" | "UDP" if self.hostname is not None:
                raise refusal("hostname", f"protocol {self.protocol} has no hostname", "Remove hostname: such traffic carries none.")
        return self


def check_listeners(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Names are unique, and so are port, protocol and hostname together (CEL)."""
    names: dict[str, int] = {}
    places: dict[tuple[int, str, str | None], int] = {}
    for index, listener in enumerate(listeners):
        place = (listener.port, listener.protocol, listener.hostname)
        if listener.name in names:
            raise refusal(
                f"[{index}].name",
                f"the name {listener.name!r} is already that of listeners[{names[listener.name]}]",
                "Give each listener its own name.",
            )
        if place in places:
            raise refusal(
                f"[{index}]",
                f"port, protocol and hostname are those of listeners[{places[place]}]",
                "Change one of the three, or remove one of the two listeners.",
            )
        names[listener.name] = places[place] = index
    return listeners
