"""From the text of an HTTPRoute to a proxy's tables: whatever an author wrote is a route, a problem or a condition, never an exception."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from controller.api.metadata import Object
from controller.sources.contents import refreshed
from controller.translate.options import Options
from controller.translator import Translator
from gateway.ir.batch import Batch
from gateway.offline import Offline
from tests.fuzz.edits import edited

PREFIX: Final = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}
FULL: Final = {"type": "ReplaceFullPath", "replaceFullPath": "/"}
ROUTE: Final[dict[str, Any]] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "route", "namespace": "default", "generation": 1, "labels": {"a": "b"}},
    "spec": {
        "parentRefs": [{"name": "web", "sectionName": "http", "port": 80, "namespace": "default"}],
        "hostnames": ["a.example", "*.b.example"],
        "rules": [
            {
                "name": "one",
                "matches": [
                    {
                        "path": {"type": "PathPrefix", "value": "/a"},
                        "method": "GET",
                        "headers": [{"type": "RegularExpression", "name": "x", "value": "a+"}],
                        "queryParams": [{"type": "Exact", "name": "q", "value": "b"}],
                    }
                ],
                "filters": [
                    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}], "remove": ["z"]}},
                    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x", "value": "y"}]}},
                    {"type": "URLRewrite", "urlRewrite": {"path": PREFIX, "hostname": "h"}},
                    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "backend", "port": 80}, "percent": 50}},
                    {"type": "CORS", "cors": {"allowOrigins": ["https://a.example"], "allowMethods": ["GET"], "maxAge": 5}},
                ],
                "backendRefs": [{"name": "backend", "port": 80, "weight": 2, "filters": []}],
                "timeouts": {"request": "10s", "backendRequest": "1s"},
                "retry": {"codes": [503], "attempts": 2, "backoff": "10ms"},
                "sessionPersistence": {"sessionName": "s", "type": "Cookie", "absoluteTimeout": "1h"},
            },
            {
                "matches": [{"path": {"type": "RegularExpression", "value": "/r.*"}}],
                "filters": [
                    {
                        "type": "RequestRedirect",
                        "requestRedirect": {"scheme": "https", "port": 443, "statusCode": 301, "path": FULL},
                    }
                ],
            },
        ],
    },
}
AROUND: Final = b"""
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web},
 spec: {gatewayClassName: tidegate, listeners: [{name: http, port: 80, protocol: HTTP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: backend}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {name: backend, labels: {kubernetes.io/service-name: backend}},
 endpoints: [{addresses: [10.0.0.1]}], ports: [{name: http, port: 8080}]}
"""
_AROUND: Final[tuple[Object, ...]] = tuple(found.object for entry in refreshed((), AROUND, "default") for found in entry.objects())


def run(data: bytes) -> None:
    """Text that begins with a brace is a document as it is; other bytes are edits of a route, three bytes each."""
    text = data if data[:1] == b"{" else json.dumps(edited(ROUTE, data, kept=("apiVersion", "kind"))).encode()
    entries = refreshed((), text, "default")
    for problem in (problem for entry in entries for problem in entry.problems("route.yaml")):
        assert problem.message
        assert problem.remedy
        assert str(problem)
    found = {found.object.key: found.object for entry in entries for found in entry.objects()}
    translator = Translator(Options(admin=None))
    translator.apply(_AROUND)
    translation = translator.apply(found.values())
    assert not translation.failures, translation.failures
    batch = Batch(1, translation.set, translation.remove)
    assert msgspec.json.decode(msgspec.json.encode(batch), type=Batch) == batch
    with Offline(translator.resources().values()) as proxy:
        assert all(rejection.reason for rejection in proxy.rejections)
        proxy.explain({"method": "GET", "url": "http://127.0.0.1:80/a?q=b", "headers": [["Host", "a.example"], ["x", "aa"]]})
    translator.apply(removes=found)
    assert not translator.apply(removes=[around.key for around in _AROUND]).failures
    assert not translator.resources()
