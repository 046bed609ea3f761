"""Gateway and GatewayClass: defaults, and the CEL rules over listeners, TLS and addresses."""

from typing import Any

import pytest

from controller.api.gateway import Gateway
from controller.api.listeners import Listener
from tests.controller.api.objects import gateway, listener, object_of, read, refused, refused_fields

CERTIFICATE = {"certificateRefs": [{"name": "c"}]}


def only(data: dict[str, Any]) -> Listener:
    """The one listener of a Gateway."""
    found = read(data)
    assert isinstance(found, Gateway)
    return found.spec.listeners[0]


def test_listener_defaults() -> None:
    """Routes of the same namespace, all kinds of the protocol, mode Terminate, certificates are core Secrets."""
    found = only(gateway(listener(protocol="HTTPS", tls=CERTIFICATE)))
    assert (found.allowed_routes.namespaces.from_, found.allowed_routes.kinds, found.hostname) == ("Same", (), None)
    assert found.tls is not None
    assert found.tls.mode == "Terminate"
    (certificate,) = found.tls.certificate_refs
    assert (certificate.group, certificate.kind, certificate.namespace) == ("", "Secret", None)


def test_partial_allowed_routes_keep_the_other_defaults() -> None:
    """Defaults hold at each level: kinds without namespaces, a kind without group, a selector without from."""
    found = only(gateway(listener(allowedRoutes={"kinds": [{"kind": "HTTPRoute"}]})))
    assert found.allowed_routes.namespaces.from_ == "Same"
    assert found.allowed_routes.kinds[0].group == "gateway.networking.k8s.io"


@pytest.mark.parametrize("protocol", ["INVALID", "GRPC", "example.com/custom", "SCTP", "a"])
def test_unknown_protocols_are_read(protocol: str) -> None:
    """An unknown protocol is for the condition UnsupportedProtocol, not for the schema (ProtocolType)."""
    assert only(gateway(listener(protocol=protocol))).protocol == protocol


@pytest.mark.parametrize("protocol", ["", "a b", "example.com", "example.com/", "-a"])
def test_protocols_of_no_valid_form_are_refused(protocol: str) -> None:
    """A protocol is a word, or a domain with a path (ProtocolType)."""
    assert refused_fields(gateway(listener(protocol=protocol))) == ["spec.listeners[0].protocol"]


def test_core_protocols_compare_without_regard_to_case() -> None:
    """ "HTTP", "http" and "hTtP" are equivalent (ProtocolType), the rules over them too."""
    assert only(gateway(listener(protocol="hTtP"))).protocol == "HTTP"
    assert refused_fields(gateway(listener(protocol="https"))) == ["spec.listeners[0].tls"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"protocol": "HTTP", "tls": CERTIFICATE}, "tls"),
        ({"protocol": "TCP", "tls": CERTIFICATE}, "tls"),
        ({"protocol": "UDP", "tls": CERTIFICATE}, "tls"),
        ({"protocol": "HTTPS"}, "tls"),
        ({"protocol": "TLS"}, "tls"),
        ({"protocol": "HTTPS", "tls": {"mode": "Passthrough"}}, "tls.mode"),
        ({"protocol": "HTTPS", "tls": {}}, "tls.certificateRefs"),
        ({"protocol": "TLS", "tls": {"mode": "Terminate"}}, "tls.certificateRefs"),
        ({"protocol": "TLS", "tls": {"mode": "Other"}}, "tls.mode"),
        ({"protocol": "TCP", "hostname": "a.example.com"}, "hostname"),
        ({"protocol": "UDP", "hostname": "a.example.com"}, "hostname"),
        ({"hostname": "A.example.com"}, "hostname"),
        ({"hostname": "10.0.0.1"}, "hostname"),
        ({"hostname": "*"}, "hostname"),
        ({"hostname": ""}, "hostname"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"name": "Web"}, "name"),
        ({"name": None}, "name"),
        ({"allowedRoutes": {"namespaces": {"from": "None"}}}, "allowedRoutes.namespaces.from"),
        ({"allowedRoutes": {"kinds": [{"group": "example.com"}]}}, "allowedRoutes.kinds[0].kind"),
        ({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}] * 9}}, "allowedRoutes.kinds"),
        ({"tsl": CERTIFICATE}, "tsl"),
    ],
)
def test_listeners_that_are_refused(fields: dict[str, Any], field: str) -> None:
    """Rules of the CRD over one listener: tls and hostname fit the protocol, names, ports and sizes."""
    assert refused_fields(gateway(listener(**fields))) == [f"spec.listeners[0].{field}"]


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"protocol": "TLS", "tls": CERTIFICATE},
        {"protocol": "HTTPS", "tls": {"options": {"example.com/option": "x"}}},
        {"protocol": "HTTPS", "tls": {"certificateRefs": [{"group": "example.com", "kind": "Other", "name": "c", "namespace": "n"}]}},
        {"protocol": "INVALID", "tls": CERTIFICATE},
        {"protocol": "TCP"},
        {"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}},
        {"allowedRoutes": {"kinds": [{"group": "example.com", "kind": "Other"}]}},
    ],
)
def test_listeners_that_are_read(fields: dict[str, Any]) -> None:
    """Unknown kinds of certificates and routes are for conditions to judge."""
    assert refused(gateway(listener(**fields))) == []


def test_listeners_are_distinct() -> None:
    """Names are unique, and so is the combination of port, protocol and hostname (CEL)."""
    assert refused(gateway(listener(name="a"), listener(name="a", port=81))) == [
        ("spec.listeners[1].name", "the name 'a' is already that of listeners[0]")
    ]
    same = gateway(listener(name="a", hostname="x.example.com"), listener(name="b"), listener(name="c", hostname="x.example.com"))
    assert refused(same) == [("spec.listeners[2]", "port, protocol and hostname are those of listeners[0]")]
    assert refused(gateway(listener(name="a"), listener(name="b", protocol="TCP"), listener(name="c", hostname="*.example.com"))) == []
    assert refused_fields(gateway(listener(name="a"), listener(name="b", protocol="http"))) == ["spec.listeners[1]"]


def test_the_number_of_listeners() -> None:
    """1 to 64 listeners."""
    assert refused_fields(object_of("Gateway", spec={"gatewayClassName": "c", "listeners": []})) == ["spec.listeners"]
    assert refused_fields(gateway(*(listener(name=f"l{port}", port=port) for port in range(1, 66)))) == ["spec.listeners"]


@pytest.mark.parametrize(
    ("tls", "fields"),
    [
        ({"backend": {"clientCertificateRef": {"name": "c"}}}, []),
        ({"frontend": {"default": {}}}, []),
        ({"frontend": {}}, ["frontend.default"]),
        ({"frontend": {"default": {"validation": {"caCertificateRefs": []}}}}, ["frontend.default.validation.caCertificateRefs"]),
        (
            {"frontend": {"default": {"validation": {"caCertificateRefs": [{"kind": "ConfigMap", "name": "c"}]}}}},
            ["frontend.default.validation.caCertificateRefs[0].group"],
        ),
        (
            {"frontend": {"default": {}, "perPort": [{"port": 443, "tls": {}}, {"port": 443, "tls": {}}]}},
            ["frontend.perPort[1].port"],
        ),
        ({"frontend": {"default": {}, "perPort": [{"port": 443, "tls": {}}, {"port": 444, "tls": {}}]}}, []),
    ],
)
def test_tls_of_the_gateway(tls: dict[str, Any], fields: list[str]) -> None:
    """The default towards clients is required, ports are unique, CA references are whole (GatewayTLSConfig)."""
    assert refused_fields(gateway(tls=tls)) == [f"spec.tls.{field}" for field in fields]


def test_validation_of_clients_refuses_by_default() -> None:
    """mode defaults to AllowValidOnly; AllowInsecureFallback is the other one."""
    authority = {"group": "", "kind": "ConfigMap", "name": "c"}
    found = read(gateway(tls={"frontend": {"default": {"validation": {"caCertificateRefs": [authority]}}}}))
    assert isinstance(found, Gateway)
    assert found.spec.tls is not None
    assert found.spec.tls.frontend is not None
    assert found.spec.tls.frontend.default.validation is not None
    assert found.spec.tls.frontend.default.validation.mode == "AllowValidOnly"


@pytest.mark.parametrize(
    ("addresses", "fields"),
    [
        ([{"value": "10.0.0.1"}, {"value": "::1"}, {}], []),
        ([{"type": "Hostname", "value": "a.example.com"}], []),
        ([{"type": "Hostname", "value": "A_"}], ["[0].value"]),
        ([{"value": "a"}], ["[0].value"]),
        ([{"value": "10.0.0.0/8"}], ["[0].value"]),
        ([{"value": "10.0.0.1"}, {"value": "10.0.0.1"}], ["[1].value"]),
        ([{}, {}], []),
        ([{"type": "example.com/own", "value": "x"}], []),
        ([{"type": "Other", "value": "x"}], ["[0].type"]),
        ([{"value": f"10.0.0.{index}"} for index in range(17)], [""]),
    ],
)
def test_addresses(addresses: list[dict[str, str]], fields: list[str]) -> None:
    """Values fit their type and are unique; an address without value asks for any (GatewaySpecAddress)."""
    assert refused_fields(gateway(addresses=addresses)) == [f"spec.addresses{field}" for field in fields]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"infrastructure": {"labels": {"a": "b"}, "parametersRef": {"group": "g", "kind": "K", "name": "n"}}}, None),
        ({"infrastructure": {"labels": {f"l{index}": "" for index in range(9)}}}, "infrastructure.labels"),
        ({"infrastructure": {"parametersRef": {"group": "g", "kind": "K"}}}, "infrastructure.parametersRef.name"),
        ({"allowedListeners": {"namespaces": {"from": "None"}}, "defaultScope": "All"}, None),
        ({"defaultScope": "Some"}, "defaultScope"),
        ({"class": "x"}, "class"),
    ],
)
def test_other_fields_of_the_gateway(fields: dict[str, Any], field: str | None) -> None:
    """Infrastructure, allowed ListenerSets and the default scope; an unknown field is refused by name."""
    assert refused_fields(gateway(**fields)) == ([f"spec.{field}"] if field else [])


def test_a_class_names_its_controller_and_belongs_to_no_namespace() -> None:
    """GatewayClass is of the whole cluster; controllerName is a domain with a path."""
    found = read(object_of("GatewayClass", spec={"controllerName": "tidegate.dev/gateway-controller"}))
    assert found.key == ("GatewayClass", "", "x")
    assert refused_fields(object_of("GatewayClass", spec={"controllerName": "tidegate.dev"})) == ["spec.controllerName"]
    assert refused_fields(object_of("GatewayClass", spec={})) == ["spec.controllerName"]
