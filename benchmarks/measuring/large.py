"""Many routes for one Gateway: 10,000 routes over 100 Services, one object a file or 1,000, and the changes that touch every rule.

All routes name no hostname, so that they stand on one host and follow the hostname of their listener. They live in a namespace of
their own, whose label a second listener asks for. Route NUMBER serves /app-NUMBER.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring.site import GATEWAY, described, endpoints, yaml_of

HOST = "www.example.com"
SERVICES = 100
IN_A_FILE = 1_000
_NAMESPACE = "apps"
_LABEL = "served"


class LargeSite:
    """Owner of the folder `site` below `folder`. `port` takes routes of all namespaces, `second_port` only of those with the label."""

    def __init__(
        self, folder: Path, backend_port: int, ports: tuple[int, int], routes: int, *, services: int = SERVICES, together: bool = True
    ) -> None:
        self.folder = folder / "site"
        self.port, self.second_port = ports
        self._unfinished = folder / "unfinished"
        for needed in (self.folder, self._unfinished):
            needed.mkdir(parents=True)
        self.name_host(0)
        self.label(False)
        objects = list(_objects(backend_port, routes, services))
        size = IN_A_FILE if together else 1
        for start in range(0, len(objects), size):
            self._put(f"objects-{start}", objects[start : start + size])

    def name_host(self, version: int) -> float:
        """One change of the first listener's hostname, and with it of every rule; HOST is served before and after."""
        hostname = (HOST, f"*.{HOST.partition('.')[2]}")[version % 2]
        everyone = {"namespaces": {"from": "All"}}
        labelled = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {_LABEL: "yes"}}}}
        listeners = [
            {"name": "http", "port": self.port, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": everyone},
            {"name": "labelled", "port": self.second_port, "protocol": "HTTP", "allowedRoutes": labelled},
        ]
        return self._put("gateway", [described(GATEWAY, "Gateway", "web", {"gatewayClassName": "tidegate", "listeners": listeners})])

    def label(self, on: bool) -> float:
        """One change of the namespace's label: every route is attached to the second listener, or no longer."""
        labels = {_LABEL: "yes" if on else "no"}
        return self._put("namespace", [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE, "labels": labels}}])

    def edit_route(self, version: int) -> float:
        """One changed route among the others: the one for /edited says the version in a field of its responses."""
        return self._put("edited", [_route("edited", "/edited", 0, str(version))])

    def _put(self, name: str, objects: list[dict[str, Any]]) -> float:
        """When it was renamed into place, on the monotonic clock, just before."""
        written = self._unfinished / f"{name}.yaml"
        written.write_text("---\n".join(map(yaml_of, objects)), encoding="utf-8")
        renamed = time.monotonic()
        os.rename(written, self.folder / f"{name}.yaml")
        return renamed


def _objects(backend_port: int, routes: int, services: int) -> Iterator[dict[str, Any]]:
    for number in range(services):
        yield _namespaced(described("v1", "Service", f"service-{number}", {"ports": [{"port": 80}]}))
        yield _namespaced(endpoints(f"service-{number}", backend_port))
    for number in range(routes):
        yield _route(f"route-{number}", f"/app-{number}", number % services)


def _route(name: str, path: str, service: int, version: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {"matches": [{"path": {"type": "PathPrefix", "value": path}}]}
    if version:
        rule["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-version", "value": version}]}}]
    rule["backendRefs"] = [{"name": f"service-{service}", "port": 80}]
    return _namespaced(described(GATEWAY, "HTTPRoute", name, {"parentRefs": [{"name": "web", "namespace": "default"}], "rules": [rule]}))


def _namespaced(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "metadata": {**found["metadata"], "namespace": _NAMESPACE}}
