"""From the text of a ListenerSet, a route of any kind but HTTPRoute, a BackendTLSPolicy or a Service to a proxy's tables: whatever an
author wrote is an object, a problem or a condition, never an exception, and never another object's harm."""

from __future__ import annotations

import json
from typing import Any, Final

from controller.api.metadata import Object
from controller.sources.contents import refreshed
from controller.translate.options import Options
from controller.translator import Translator
from gateway.offline import Offline
from tests.fuzz.edits import edited

GROUP: Final = "gateway.networking.k8s.io"


def _backend(**more: Any) -> dict[str, Any]:
    return {"name": "backend", "port": 80, "group": "", "kind": "Service", "namespace": "default", **more}


def _document(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "one", "namespace": "default", "generation": 1}, "spec": spec}


def _route(kind: str, section: str, port: int, rule: dict[str, Any], **more: Any) -> dict[str, Any]:
    parent = {"group": GROUP, "kind": "Gateway", "name": "web", "sectionName": section, "port": port, "namespace": "default"}
    return _document(kind, {"parentRefs": [parent], "rules": [{"name": "one"} | rule], **more})


NAMES: Final = ["a.example", "*.b.example"]
STREAM: Final = {"backendRefs": [_backend(weight=2), _backend(namespace="other")]}
DOCUMENTS: Final[tuple[dict[str, Any], ...]] = (
    _document("ListenerSet", {
        "parentRef": {"group": GROUP, "kind": "Gateway", "name": "web", "namespace": "default"},
        "listeners": [
            {
                "name": "a", "port": 8443, "protocol": "HTTPS", "hostname": "a.example",
                "tls": {"mode": "Terminate", "certificateRefs": [{"name": "a", "namespace": "default"}], "options": {"a.example/b": "c"}},
                "allowedRoutes": {
                    "namespaces": {"from": "Selector", "selector": {
                        "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                    }},
                    "kinds": [{"group": GROUP, "kind": "GRPCRoute"}],
                },
            },
            {"name": "b", "port": 80, "protocol": "TCP"},
            {"name": "c", "port": 8443, "protocol": "TLS", "hostname": "*.example", "tls": {"mode": "Passthrough"}},
        ],
    }),
    _route("GRPCRoute", "http", 80, {
        "matches": [
            {
                "method": {"type": "RegularExpression", "service": "a.*", "method": "B"},
                "headers": [{"type": "RegularExpression", "name": "x", "value": "a+"}],
            },
            {"method": {"type": "Exact", "service": "a.B", "method": "Get"}},
        ],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}], "remove": ["z"]}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x", "value": "y"}]}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": _backend(), "percent": 50}},
        ],
        "backendRefs": [_backend(weight=2, filters=[])],
        "sessionPersistence": {"sessionName": "s", "type": "Cookie", "absoluteTimeout": "1h"},
    }, hostnames=NAMES),
    _route("TLSRoute", "tls", 443, STREAM, hostnames=NAMES),
    _route("TCPRoute", "tcp", 81, STREAM),
    _route("UDPRoute", "udp", 53, {"backendRefs": [_backend(weight=2)]}),
    _document("BackendTLSPolicy", {
        "targetRefs": [{"group": "", "kind": "Service", "name": "backend", "sectionName": "http"}],
        "validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
            "hostname": "a.example",
            "subjectAltNames": [{"type": "Hostname", "hostname": "a.example"}, {"type": "URI", "uri": "spiffe://a/b"}],
        },
        "options": {"a.example/b": "c"},
    }),
    {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "backend", "namespace": "default"},
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c", "targetPort": 8080}]},
    },
)  # fmt: skip
AROUND: Final = b"""
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web}, spec: {gatewayClassName: tidegate,
 allowedListeners: {namespaces: {from: All}}, listeners: [{name: http, port: 80, protocol: HTTP}, {name: tcp, port: 81, protocol: TCP},
  {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}, {name: udp, port: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: backend}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {name: backend, labels: {kubernetes.io/service-name: backend}},
 endpoints: [{addresses: [10.0.0.1]}], ports: [{name: http, port: 8080}]}
"""
ELSEWHERE: Final = b"""
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web}, spec: {gatewayClassName: tidegate,
 listeners: [{name: tcp, port: 1081, protocol: TCP}, {name: http, port: 1080, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: one},
 spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: backend, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: one},
 spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: backend, port: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: backend}, spec: {ports: [{name: http, port: 80}]}}
"""


def _objects(text: bytes, namespace: str) -> tuple[Object, ...]:
    return tuple(found.object for entry in refreshed((), text, namespace) for found in entry.objects())


_AROUND: Final = _objects(AROUND, "default")
_ELSEWHERE: Final = _objects(ELSEWHERE, "elsewhere")
_THERE: Final = frozenset(obj.key for obj in (*_AROUND, *_ELSEWHERE))


def _unharmed(translator: Translator) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """What the objects of another namespace and another Gateway give."""
    resources = {identity: one for identity, one in translator.resources().items() if one.source.namespace == "elsewhere"}
    return resources, {key: status for key, status in translator.statuses().items() if key[1] == "elsewhere"}


def run(data: bytes) -> None:
    """The first byte chooses a document, the others are edits of it, three bytes each."""
    document = edited(DOCUMENTS[data[0] % len(DOCUMENTS)], data[1:], kept=("apiVersion", "kind")) if data else None
    entries = refreshed((), json.dumps(document).encode(), "default")
    for problem in (problem for entry in entries for problem in entry.problems("one.yaml")):
        assert problem.message
        assert problem.remedy
    found = {found.object.key: found.object for entry in entries for found in entry.objects()}
    if any(key[1] == "elsewhere" for key in found):
        return
    translator = Translator(Options(admin=None))
    assert not translator.apply((*_AROUND, *_ELSEWHERE)).failures
    before = _unharmed(translator)
    assert not (failures := translator.apply(found.values()).failures), failures
    assert _unharmed(translator) == before
    with Offline(translator.resources().values()) as proxy:
        assert all(rejection.reason for rejection in proxy.rejections)
    assert not translator.apply(removes=_THERE | found.keys()).failures
    assert set(translator.sizes().values()) == {0}
