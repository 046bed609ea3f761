"""Pods, Services and what else files hold, as values."""

from __future__ import annotations

from typing import Any

from controller.api.core import Service
from controller.api.local_pod import LocalPod

RUN = {"name": "app", "command": ["serve"]}


def pod(name: str, *containers: dict[str, Any], labels: dict[str, str] | None = None, ip: str = "", **spec: Any) -> LocalPod:
    """In namespace shop, with the label app: NAME unless there are others."""
    value = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": name} if labels is None else labels},
        "spec": {"containers": list(containers or (RUN,)), **spec},
        "status": {"podIP": ip} if ip else {},
    }
    return LocalPod.model_validate(value)


def service(name: str, *ports: dict[str, Any], selector: dict[str, str] | None = None, namespace: str = "shop", **spec: Any) -> Service:
    """It selects app: NAME unless something else is said, and has port 80, which leads to 8080."""
    value = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "selector": {"app": name} if selector is None else selector,
            "ports": list(ports or ({"name": "http", "port": 80, "targetPort": 8080},)),
            **spec,
        },
    }
    return Service.model_validate(value)
