"""Random histories of real objects from small pools of names, so that objects refer to one another, clash, come and go."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from controller.api.metadata import Object
from controller.store import Key
from controller.translate.names import service_name
from tests.controller.translate.golden import parse, read

Fields = dict[str, st.SearchStrategy[Any]]

Step = tuple[tuple[Object, ...], tuple[Key, ...]]
"""What one change puts and removes."""

NAMES = st.sampled_from(("a", "a", "b"))
NAMESPACES = st.sampled_from(("one", "one", "two"))
PORTS = st.sampled_from((80, 81))
LISTENER_PORTS = st.sampled_from((80, 81, 80, 81, 15001, 25001))
HOSTNAMES = st.sampled_from(("x.test", "*.test", "*.y.test", "z.y.test"))
APPLICATIONS = st.sampled_from(("kubernetes.io/h2c", "kubernetes.io/wss", "http"))
TRANSPORTS = st.sampled_from(("TCP", "UDP"))
PORT_NAMES = st.sampled_from(("http", "more", "tcp"))
SIDECAR = {"tidegate.dev/mesh": "sidecar"}
MODES = st.sampled_from(("UNSET", "DISABLE", "STRICT"))
AGES = st.sampled_from((None, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"))
PAIRS = st.sampled_from((("@server.crt", "@server.key"), ("@server.crt", "@client.key"), ("@client.crt", "@client.key"), ("none", "none")))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping in which each field may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def always(optional: Fields | None = None, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with all of these fields, and some of the optional ones."""
    return st.fixed_dictionaries(fields, optional=optional or {})


def few(strategy: st.SearchStrategy[Any], least: int = 0, most: int = 2, unique_by: Any = None) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=least, max_size=most, unique_by=unique_by)


def documents(kind: str, namespaced: bool = True, names: st.SearchStrategy[str] = NAMES, **fields: st.SearchStrategy[Any]) -> Any:
    """Objects of a kind."""
    own = always(name=names, creationTimestamp=AGES, generation=st.integers(1, 3), uid=st.just("u1"))
    metadata = st.builds(dict.__or__, own, always(namespace=NAMESPACES)) if namespaced else own
    return st.fixed_dictionaries({"kind": st.just(kind), "metadata": metadata, **fields})


reference = always({"namespace": NAMESPACES}, name=NAMES)
ca_reference = always({"namespace": NAMESPACES}, group=st.just(""), kind=st.sampled_from(("ConfigMap", "ConfigMap", "Secret")), name=NAMES)
backend = always({"namespace": NAMESPACES}, name=NAMES, port=PORTS, weight=st.sampled_from((0, 1)))
mirror = always(type=st.just("RequestMirror"), requestMirror=always(backendRef=always({"namespace": NAMESPACES}, name=NAMES, port=PORTS)))
edit = always(type=st.just("RequestHeaderModifier"), requestHeaderModifier=st.just({"set": [{"name": "X", "value": "1"}]}))
extension = st.just({"type": "ExtensionRef", "extensionRef": {"group": "example.test", "kind": "Thing", "name": "a"}})
expression = always(type=st.just("RegularExpression"), value=st.sampled_from(("/ok/.*", "/(bad")))
match = some(path=st.one_of(always(value=st.just("/p")), expression), method=st.just("GET"))
rule = some(
    matches=few(match),
    filters=few(st.one_of(mirror, edit, extension), most=1),
    backendRefs=few(backend),
    sessionPersistence=st.just({}),
)
method = st.one_of(
    some(service=st.just("a.B"), method=st.just("Get")).filter(bool),
    always(type=st.just("RegularExpression"), service=st.sampled_from(("a.*", "(bad"))),
)
grpc_rule = some(
    matches=few(some(method=method)), filters=few(st.one_of(mirror, edit, extension), most=1), backendRefs=few(backend),
    sessionPersistence=st.just({}),
)  # fmt: skip
stream_rule = always(backendRefs=few(backend, least=1))
parent = always({"kind": st.just("ListenerSet"), "sectionName": NAMES, "namespace": NAMESPACES}, name=NAMES)
service_parent = always(
    {"sectionName": PORT_NAMES, "namespace": NAMESPACES, "port": PORTS}, group=st.just(""), kind=st.just("Service"), name=NAMES
)
validation = always({"mode": st.sampled_from(("AllowValidOnly", "AllowInsecureFallback"))}, caCertificateRefs=few(ca_reference, least=1))
allowed = some(
    namespaces=st.sampled_from(({"from": "All"}, {"from": "Same"}, {"from": "Selector", "selector": {"matchLabels": {"tier": "edge"}}})),
    kinds=st.sampled_from(([{"kind": "HTTPRoute"}], [{"kind": "HTTPRoute"}, {"kind": "TLSRoute"}], [{"kind": "TCPRoute"}])),
)
protocol = st.sampled_from(("HTTP", "HTTP", "HTTP", "QUIC"))
plain = always({"hostname": HOSTNAMES, "allowedRoutes": allowed}, name=NAMES, port=LISTENER_PORTS, protocol=protocol)
secure = always(
    {"hostname": HOSTNAMES, "allowedRoutes": allowed},
    name=NAMES, port=LISTENER_PORTS, protocol=st.just("HTTPS"), tls=always(certificateRefs=few(reference, least=1)),
)  # fmt: skip
passed = always(
    {"hostname": HOSTNAMES, "allowedRoutes": allowed},
    name=NAMES, port=LISTENER_PORTS, protocol=st.just("TLS"),
    tls=st.one_of(st.just({"mode": "Passthrough"}), always(certificateRefs=few(reference, least=1))),
)  # fmt: skip
streamed = always({"allowedRoutes": allowed}, name=NAMES, port=LISTENER_PORTS, protocol=TRANSPORTS)
listeners = few(
    st.one_of(plain, secure, passed, streamed), least=1, most=3,
    unique_by=(lambda found: found["name"], lambda found: (found["port"], found["protocol"], found.get("hostname"))),
)  # fmt: skip
REQUESTED = "192.0.2.1"
parameters = {"group": st.just("tidegate.dev"), "kind": st.sampled_from(("GatewayParameters", "GatewayParameters", "Other"))}
class_parameters = always({"namespace": NAMESPACES}, **parameters, name=NAMES)
parents = few(
    st.one_of(parent, service_parent), least=1, unique_by=lambda found: (found["name"], found.get("namespace"), found.get("kind"))
)
controller = st.sampled_from(("tidegate.dev/gateway-controller", "example.test/x"))
referrers = st.sampled_from(("Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute", "TCPRoute"))
referrer = always(group=st.just("gateway.networking.k8s.io"), kind=referrers, namespace=NAMESPACES)
referred = always({"name": NAMES}, group=st.just(""), kind=st.sampled_from(("Service", "Secret", "ConfigMap")))
listener_target = always({"kind": st.just("ListenerSet"), "sectionName": NAMES}, name=NAMES)
target = always({"sectionName": st.just("http")}, group=st.just(""), kind=st.just("Service"), name=NAMES)
whole_target = always(group=st.just(""), kind=st.just("Service"), name=NAMES)

DOCUMENTS = st.one_of(
    documents("GatewayClass", False, st.just("own"), spec=always({"parametersRef": class_parameters}, controllerName=controller)),
    documents("Gateway", spec=always(
        {
            "allowedListeners": st.fixed_dictionaries({"namespaces": st.sampled_from((
                {"from": "All"}, {"from": "All"}, {"from": "Same"}, {"from": "Selector", "selector": {"matchLabels": {"tier": "edge"}}}
            ))}),
            "addresses": st.sampled_from((
                [{"value": "127.0.0.2"}], [{"type": "Hostname", "value": "x.test"}], [{}], [{"value": REQUESTED}, {"value": "192.0.2.2"}]
            )),
            "infrastructure": some(labels=st.just({"a": "b"}), parametersRef=always(**parameters, name=NAMES)),
            "tls": some(backend=always(clientCertificateRef=reference), frontend=always(default=some(validation=validation))),
        },
        gatewayClassName=st.sampled_from(("tidegate", "tidegate", "own")),
        listeners=listeners,
    )),
    documents("ListenerSet", spec=always(
        parentRef=always({"namespace": NAMESPACES, "kind": st.sampled_from(("Gateway", "Gateway", "Service"))}, name=NAMES),
        listeners=listeners,
    )),
    documents("HTTPRoute", spec=always(
        {"hostnames": few(HOSTNAMES, least=1)}, parentRefs=parents, rules=few(rule, least=1)
    )),
    documents("GRPCRoute", spec=always({"hostnames": few(HOSTNAMES, least=1)}, parentRefs=parents, rules=few(grpc_rule))),
    documents("TLSRoute", spec=always(hostnames=few(HOSTNAMES, least=1), parentRefs=parents, rules=few(stream_rule, least=1, most=1))),
    documents("TCPRoute", spec=always(parentRefs=parents, rules=few(stream_rule, least=1, most=1))),
    documents("UDPRoute", spec=always(parentRefs=parents, rules=few(stream_rule, least=1, most=1))),
    documents("Service", spec=st.one_of(
        always(
            {
                "sessionAffinity": st.just("ClientIP"),
                "clusterIP": st.sampled_from(("10.96.0.1", "10.96.0.1", "10.96.0.2", "None")),
                "selector": st.sampled_from(({"app": "a"}, {"app": "b"}, {"app": "a", "tier": "edge"})),
            },
            ports=few(
                always({"appProtocol": APPLICATIONS, "protocol": TRANSPORTS}, name=PORT_NAMES, port=PORTS),
                least=1, unique_by=(lambda found: found["name"], lambda found: found["port"]),
            ),
        ),
        always(type=st.just("ExternalName"), externalName=st.sampled_from(("x.test", "localhost"))),
    )),
    documents("Secret", stringData=PAIRS.map(lambda pair: {"tls.crt": pair[0], "tls.key": pair[1]})),
    documents("ConfigMap", data=st.sampled_from(({"ca.crt": "@ca.crt"}, {"ca.crt": "@other-ca.crt"}, {"ca.crt": "none"}, {}))),
    documents("ReferenceGrant", spec=st.fixed_dictionaries({"from": few(referrer, least=1), "to": few(referred, least=1)})),
    documents("BackendTLSPolicy", spec=always(
        targetRefs=few(target, least=1, unique_by=lambda found: found["name"]),
        validation=always(
            hostname=st.just("x.test"),
            caCertificateRefs=few(always(group=st.just(""), kind=st.sampled_from(("ConfigMap", "Secret")), name=NAMES), least=1),
        ),
    )),
    documents("BackendPolicy", spec=always(
        targetRefs=few(target, least=1, unique_by=lambda found: found["name"]), connectTimeout=st.sampled_from(("1s", "2s"))
    )),
    documents("XBackendTrafficPolicy", spec=always(
        {"retryConstraint": st.just({}), "sessionPersistence": st.sampled_from(({}, {"sessionName": "a b"}))},
        targetRefs=few(whole_target, least=1, unique_by=lambda found: found["name"]),
    )),
    documents("ListenerPolicy", spec=always(
        targetRefs=few(listener_target, least=1, unique_by=lambda found: found["name"]), trustedHops=st.integers(1, 2)
    )),
    documents("AuthorizationPolicy", spec=some(
        selector=some(matchLabels=NAMES.map(lambda name: {"gateway.networking.k8s.io/gateway-name": name})),
        targetRefs=few(always(group=st.just("gateway.networking.k8s.io"), kind=st.just("Gateway"), name=NAMES)),
        action=st.sampled_from(("DENY", "CUSTOM")), rules=st.sampled_from(([], [{}], [{"from": []}])),
    )),
    documents("RequestAuthentication", spec=some(
        selector=some(matchLabels=NAMES.map(lambda name: {"gateway.networking.k8s.io/gateway-name": name})),
        targetRefs=few(always(group=st.just("gateway.networking.k8s.io"), kind=st.just("Gateway"), name=NAMES)),
        jwtRules=few(always({"jwks": st.sampled_from(("", "{}"))}, issuer=st.sampled_from(("x", "https://a.test")))),
    )),
)  # fmt: skip


def _with_labels(kind: str, namespaced: bool, labels: st.SearchStrategy[dict[str, str]], **fields: st.SearchStrategy[Any]) -> Any:
    def put(document: dict[str, Any], found: dict[str, str]) -> dict[str, Any]:
        return document | {"metadata": document["metadata"] | {"labels": found}}

    names = NAMES if namespaced else NAMESPACES
    return st.builds(put, documents(kind, namespaced, names, **fields), labels)


LABELLED = st.one_of(
    _with_labels("Namespace", False, st.sampled_from(({}, {"tier": "edge"}, {"tier": "edge", "tidegate.dev/inject": "enabled"}))),
    _with_labels(
        "Pod", True, st.sampled_from(({}, {"app": "a"}, {"app": "a", "tier": "edge"} | SIDECAR, {"app": "b"} | SIDECAR)),
        spec=some(hostNetwork=st.just(True)),
        status=always({"phase": st.sampled_from(("Running", "Failed"))}, podIP=st.sampled_from(("10.0.0.1", "10.0.0.2"))),
    ),
    _with_labels(
        "EndpointSlice", True, NAMES.map(lambda name: {"kubernetes.io/service-name": name}),
        addressType=st.just("IPv4"),
        ports=few(always({"appProtocol": APPLICATIONS, "protocol": TRANSPORTS}, name=PORT_NAMES, port=PORTS)),
        endpoints=few(always(addresses=st.sampled_from((["10.0.0.1"], ["127.0.0.1"], ["127.0.0.2"])))),
    ),
)  # fmt: skip



def _owned(document: dict[str, Any], owner: str) -> dict[str, Any]:
    return document | {"metadata": document["metadata"] | {"ownerReferences": [{"uid": owner}]}}


SERVICES = tuple(service_name(name, "tidegate", address) for name in ("a", "b") for address in ("", REQUESTED))
DEPLOYED = st.one_of(
    documents("PeerAuthentication", spec=some(
        selector=st.sampled_from(({"matchLabels": {"app": "a"}}, {"matchLabels": {"tier": "edge"}}, {"newer": 1})),
        mtls=some(mode=MODES),
        portLevelMtls=st.dictionaries(st.sampled_from(("80", "81", "none")), some(mode=MODES), max_size=2),
    )),
    documents("ServiceEntry", spec=always(
        {
            "addresses": st.sampled_from(([], ["10.96.0.1"], ["10.96.0.0/16"], ["none"])),
            "location": st.sampled_from(("MESH_INTERNAL", "MESH_EXTERNAL")),
            "exportTo": st.sampled_from((["*"], ["."], ["one", "two"], ["~"])),
            "resolution": st.sampled_from(("NONE", "STATIC", "DNS", "DYNAMIC_DNS")),
            "newer": st.just(1),
        },
        hosts=few(st.sampled_from(("x.test", "*.test", "y.test"))).map(lambda hosts: hosts or ["x.test"]),
        ports=st.sampled_from((
            [], [{"number": 80, "name": "a", "protocol": "HTTP"}], [{"number": 443, "name": "b", "protocol": "TCP"}],
            [{"number": 80, "name": "a"}, {"number": 443, "name": "b", "protocol": "TLS"}],
        )),
    )),
    documents("XMesh", False, spec=always(
        {"parametersRef": class_parameters}, controllerName=st.sampled_from(("tidegate.dev/mesh-controller", "example.test/x"))
    )),
    documents("GatewayParameters", spec=some(
        replicas=st.integers(1, 2), resources=st.sampled_from(({"requests": {"cpu": 2}}, {"limits": {"cpu": 1}})),
        service=some(type=st.sampled_from(("ClusterIP", "LoadBalancer"))),
    )),
    st.builds(_owned, documents(
        "Service", names=st.sampled_from(SERVICES),
        spec=always(type=st.sampled_from(("LoadBalancer", "NodePort")), clusterIP=st.just("10.96.0.1"), ports=st.just([{"port": 80}])),
        status=some(loadBalancer=some(ingress=st.sampled_from(([{"ip": REQUESTED}], [{"ip": "192.0.2.9"}, {"hostname": "lb.test"}])))),
    ), st.sampled_from(("u1", "u1", "u2"))),
)  # fmt: skip
"""What has an effect in a cluster only."""

OBJECTS = st.one_of(DOCUMENTS, DOCUMENTS, DOCUMENTS, LABELLED, DEPLOYED).map(parse)


SCENE = """
{kind: Gateway, metadata: {name: a, namespace: one}, spec: {
  gatewayClassName: tidegate, allowedListeners: {namespaces: {from: All}}, listeners: [
  {name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}},
  {name: b, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}},
  {name: c, port: 443, protocol: TLS, hostname: "*.test", tls: {mode: Passthrough}}, {name: d, port: 80, protocol: UDP}]}}
---
{kind: HTTPRoute, metadata: {name: a, namespace: one}, spec: {parentRefs: [{name: a}], rules: [
  {backendRefs: [{name: a, port: 80}, {name: b, port: 80}]}, {backendRefs: [{name: a, namespace: two, port: 80}]}]}}
---
{kind: ListenerSet, metadata: {name: a, namespace: two}, spec: {parentRef: {name: a, namespace: one}, listeners: [
  {name: a, port: 81, protocol: HTTP}, {name: b, port: 80, protocol: HTTP, hostname: x.test}]}}
---
{kind: HTTPRoute, metadata: {name: b, namespace: two}, spec: {
  parentRefs: [{name: a, namespace: one}, {kind: ListenerSet, name: a}], rules: [{backendRefs: [{name: a, port: 80}]}]}}
---
{kind: GRPCRoute, metadata: {name: b, namespace: one}, spec: {parentRefs: [{name: a}], hostnames: [x.test], rules: [
  {backendRefs: [{name: a, port: 80}, {name: b, port: 80}]}]}}
---
{kind: TLSRoute, metadata: {name: a, namespace: one}, spec: {parentRefs: [{name: a}], hostnames: [x.test], rules: [
  {backendRefs: [{name: a, port: 80}]}]}}
---
{kind: UDPRoute, metadata: {name: a, namespace: one}, spec: {parentRefs: [{name: a}], rules: [{backendRefs: [{name: b, port: 80}]}]}}
---
{kind: Service, metadata: {name: a, namespace: one}, spec: {ports: [{name: http, port: 80}]}}
---
{kind: Service, metadata: {name: b, namespace: one}, spec: {type: ExternalName, externalName: x.test}}
---
{kind: Service, metadata: {name: a, namespace: two}, spec: {ports: [{name: http, port: 80}]}}
---
{kind: EndpointSlice, metadata: {name: a, namespace: one, labels: {kubernetes.io/service-name: a}}, addressType: IPv4,
  ports: [{name: http, port: 80}], endpoints: [{addresses: [10.0.0.1]}]}
---
{kind: ReferenceGrant, metadata: {name: a, namespace: two}, spec: {
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: one}], to: [{group: "", kind: Service}]}}
---
{kind: Secret, metadata: {name: a, namespace: one}, stringData: {tls.crt: "@server.crt", tls.key: "@server.key"}}
---
{kind: ConfigMap, metadata: {name: a, namespace: one}, data: {ca.crt: "@ca.crt"}}
---
{kind: Service, metadata: {name: b, namespace: one}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [
  {name: http, port: 80}, {name: more, port: 81}]}}
---
{kind: Pod, metadata: {name: a, namespace: one, labels: {app: a, tidegate.dev/mesh: sidecar}}, status: {podIP: 10.0.0.1}}
---
{kind: HTTPRoute, metadata: {name: mesh, namespace: two}, spec: {parentRefs: [{group: "", kind: Service, name: b, namespace: one}], rules: [
  {backendRefs: [{name: b, namespace: one, port: 80}]}]}}
---
{kind: BackendTLSPolicy, metadata: {name: a, namespace: one}, spec: {targetRefs: [{group: "", kind: Service, name: a}],
  validation: {hostname: x.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: a}]}}}
---
{kind: ListenerPolicy, metadata: {name: a, namespace: one}, spec: {targetRefs: [{name: a}], trustedHops: 1}}
"""
"""Objects that fit together, from which a history may start."""


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Changes, each of some objects put and some of those there removed."""
    start = read(SCENE)[1] if draw(st.booleans()) else []
    there: dict[Key, Object] = {obj.key: obj for obj in start}
    steps: list[Step] = [(tuple(start), ())]
    for _ in range(draw(st.integers(1, 8))):
        removes = tuple(draw(st.lists(st.sampled_from(sorted(there)), max_size=2, unique=True))) if there else ()
        puts = tuple(draw(st.lists(OBJECTS, min_size=1, max_size=6)))
        for key in removes:
            del there[key]
        there.update((obj.key, obj) for obj in puts)
        steps.append((puts, removes))
    return steps
