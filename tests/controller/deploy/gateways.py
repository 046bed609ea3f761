"""Gateways of tests, as translation gives them to be deployed."""

from __future__ import annotations

from typing import Any

from controller.deploy.settings import Settings
from controller.translate.infrastructure import ExposedPort, Infrastructure, Parameters

SETTINGS = Settings(image="registry.test/tidegate:1", controller="tidegate-controller.system.svc:15010", authorities="PEM")
HTTP = ExposedPort(80, 80, "TCP", "p80-tcp")
DNS = ExposedPort(53, 53, "UDP", "p53-udp")


def infrastructure(name: str = "web", **fields: Any) -> Infrastructure:
    """A Gateway of class `edge` in namespace `shop` with a port for HTTP, or with other fields."""
    stated = {"class_name": "edge", "labels": (), "annotations": (), "addresses": (), "ports": (HTTP,), "parameters": Parameters()}
    return Infrastructure(gateway=("Gateway", "shop", name), uid=f"uid-of-{name}", **{**stated, **fields})
