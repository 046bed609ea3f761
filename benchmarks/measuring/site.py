"""The files that `tidegate run` serves when changes and starts are measured: one Gateway, one object a file, renamed into place.

The routes are those of test B ("route probe") of the public gateway-api-bench: a host each, one rule to a backend and one to a
Service that does not exist, both with header filters. So a route that is put in place by halves answers 500, which is seen.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

GATEWAY = "gateway.networking.k8s.io/v1"


class Site:
    """Owner of the folder `site` below `folder`, and of the one beside it in which files are written before they are renamed."""

    def __init__(self, folder: Path, backend_ports: tuple[int, int], port: int) -> None:
        self.folder = folder / "site"
        self.port = port
        self._unfinished = folder / "unfinished"
        for needed in (self.folder, self._unfinished):
            needed.mkdir(parents=True)
        listener = {"name": "http", "port": port, "protocol": "HTTP"}
        self.put("gateway", described(GATEWAY, "Gateway", "web", {"gatewayClassName": "tidegate", "listeners": [listener]}))
        for name, backend_port in zip(("first", "second"), backend_ports, strict=True):
            self.put(f"{name}-service", described("v1", "Service", name, {"ports": [{"port": 80}]}))
            self.put(f"{name}-endpoints", endpoints(name, backend_port))

    def put(self, name: str, value: dict[str, Any]) -> float:
        """Writes an object beside the folder and renames it over its file; returns when, on the monotonic clock, just before."""
        written = self._unfinished / f"{name}.yaml"
        written.write_text(yaml_of(value), encoding="utf-8")
        renamed = time.monotonic()
        os.rename(written, self.folder / f"{name}.yaml")
        return renamed

    def add_route(self, number: int) -> float:
        """The route of test B with this number: GET /NUMBER at host_of(NUMBER)."""
        return self.put(f"route-{number}", probed_route(number))

    def edit_route(self, edit: int) -> float:
        """The one live route of host `edited.example.com`, in the version with this number."""
        return self.put("edited", edited_route(edit))


def host_of(number: int) -> str:
    """The host of a route."""
    return f"{number}-route.example.com"


def probed_route(number: int) -> dict[str, Any]:
    """One route of test B."""
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "x-request-of", "value": str(number)}]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-response-of", "value": str(number)}]}},
    ]
    rules = [
        {"matches": [_prefix(f"/{number}")], "filters": filters, "backendRefs": [{"name": "first", "port": 80}]},
        {"matches": [_prefix("/")], "filters": filters, "backendRefs": [{"name": "missing", "port": 80}]},
    ]
    return _route(f"route-{number}", host_of(number), rules)


EDITED_HOST = "edited.example.com"


def edited_route(edit: int) -> dict[str, Any]:
    """Every version differs in what the request says, in what the response says, and in the backend that is asked."""
    number = [{"name": "x-edit", "value": str(edit)}]
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": number}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": number}},
    ]
    rule = {"matches": [_prefix("/edited")], "filters": filters, "backendRefs": [{"name": ("first", "second")[edit % 2], "port": 80}]}
    return _route("edited", EDITED_HOST, [rule])


def _route(name: str, host: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return described(GATEWAY, "HTTPRoute", name, {"parentRefs": [{"name": "web"}], "hostnames": [host], "rules": rules})


def _prefix(path: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": path}}


def endpoints(service: str, port: int) -> dict[str, Any]:
    """The EndpointSlice of a Service with one endpoint."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"port": port}],
    }


def described(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def yaml_of(value: Any, indent: int = 0) -> str:
    """Block style as people write it, since it costs the reader more than JSON does; strings are quoted."""
    space = " " * indent
    if isinstance(value, dict):
        return "".join(f"{space}{name}:{_below(part, indent + 2)}" for name, part in value.items())
    return "".join(
        f"{space}- {yaml_of(part, indent + 2).lstrip()}" if isinstance(part, dict) else f"{space}- {json.dumps(part)}\n" for part in value
    )


def _below(value: Any, indent: int) -> str:
    return f"\n{yaml_of(value, indent)}" if isinstance(value, dict | list) else f" {json.dumps(value)}\n"
