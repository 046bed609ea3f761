"""The objects that the tests apply, as the API server takes them."""

from __future__ import annotations

import random
from typing import Any

Object = dict[str, Any]

GATEWAY = "measured"
SYSTEM = "measured-gateway"
"""The namespace of the Gateway and of the one backend that runs."""
TIDEGATE = "tidegate-system"
"""The namespace that Tidegate is installed in."""
BACKEND = "backend"
PORTS = {80: "one", 8080: "two"}
"""Ports of the backend's Service, and the name by which what listens there tells itself in its answers."""
MANY_PATHS = 10_000


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def gateway() -> Object:
    """One listener that takes routes of all namespaces."""
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    return _object("gateway.networking.k8s.io/v1", "Gateway", SYSTEM, GATEWAY, gatewayClassName="tidegate", listeners=[listener])


def backend() -> tuple[Object, Object, Object]:
    """One Pod that answers on two ports and says on which, its Service, and the permission to name that in routes of other namespaces."""
    labels = {"app": BACKEND}
    containers = [_echo(name, 3000 + 2 * number) for number, name in enumerate(PORTS.values())]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    deployment = _object("apps/v1", "Deployment", SYSTEM, BACKEND, replicas=1, selector={"matchLabels": labels}, template=template)
    ports = [{"name": name, "port": port, "targetPort": name} for port, name in PORTS.items()]
    service = _object("v1", "Service", SYSTEM, BACKEND, selector=labels, ports=ports)
    return deployment, service


def grant(namespaces: list[str]) -> Object:
    """HTTPRoutes of these namespaces may name the backend."""
    source = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": each} for each in namespaces]
    target = [{"group": "", "kind": "Service", "name": BACKEND}]
    return _object("gateway.networking.k8s.io/v1", "ReferenceGrant", SYSTEM, BACKEND, **{"from": source, "to": target})


def application(space: str, name: str) -> tuple[Object, Object, Object]:
    """A Service, its one endpoint, which nobody runs, and a route to it. Without a cluster address kube-proxy has no part in it."""
    service = _object("v1", "Service", space, name, clusterIP="None", ports=[{"name": "http", "port": 80}])
    return service, endpoint(space, name), route(space, name)


def endpoint(space: str, name: str) -> Object:
    """The EndpointSlice of an application, at an address by chance."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": space, "name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "endpoints": [{"addresses": [f"192.0.2.{random.randint(1, 254)}"], "conditions": {"ready": True}}],
    }


def route(space: str, name: str) -> Object:
    """The route of an application: its own host, a path by chance."""
    rule = {"matches": [_prefix(f"/{random.randint(1, MANY_PATHS)}")], "backendRefs": [{"name": name, "port": 80}]}
    return _route(space, name, f"{name}.{space}.example.com", [rule])


def probed(space: str, number: int) -> Object:
    """A route whose path of its number leads to the backend, and every other path to a Service that is not there."""
    modified = {"add": [{"name": "x-route", "value": str(number)}]}
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": modified},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": modified},
    ]
    rules = [
        {"matches": [_prefix(f"/{number}")], "filters": filters, "backendRefs": [_to_backend(80)]},
        {"matches": [_prefix("/")], "filters": filters, "backendRefs": [{"name": "missing", "port": 80}]},
    ]
    return _route(space, f"{number}-route", host_of(number), rules)


def host_of(number: int) -> str:
    """Of a probed route."""
    return f"{number}-route.example.com"


EDITED_HOST = "edited.example.com"


def edited(space: str, number: int) -> Object:
    """The edited route in a version: backend and response header change together; every other version adds no header."""
    rule: Object = {"matches": [_prefix("/")], "backendRefs": [_to_backend(port_of(number))]}
    modified = {"set": [{"name": "x-edit", "value": str(number)}]}
    rule["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": modified}]
    return _route(space, "edited", EDITED_HOST, [rule])


def port_of(number: int) -> int:
    """Of the backend, in a version of the edited route."""
    return tuple(PORTS)[number % len(PORTS)]


def _echo(name: str, port: int) -> Object:
    environment = {"SERVICE_NAME": name, "HTTP_PORT": str(port), "H2C_PORT": str(port + 1)}
    return {
        "name": name,
        "image": "registry.k8s.io/gateway-api/echo-basic:v1",
        "env": [{"name": key, "value": value} for key, value in environment.items()]
        + [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "ports": [{"name": name, "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1},
    }


def _prefix(path: str) -> Object:
    return {"path": {"type": "PathPrefix", "value": path}}


def _to_backend(port: int) -> Object:
    return {"namespace": SYSTEM, "name": BACKEND, "port": port}


def _route(space: str, name: str, host: str, rules: list[Object]) -> Object:
    parents = [{"namespace": SYSTEM, "name": GATEWAY}]
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", space, name, parentRefs=parents, hostnames=[host], rules=rules)


def _object(version: str, kind: str, space: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"namespace": space, "name": name}, "spec": spec}
