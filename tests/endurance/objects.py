"""Objects as files hold them, and how they are put there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.certificates import Pair

GATEWAY = "gateway.networking.k8s.io/v1"
OURS = "tidegate.dev/v1alpha1"
Document = dict[str, Any]


def document(version: str, kind: str, name: str, spec: Document | None = None, **fields: Any) -> Document:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **({"spec": spec} if spec is not None else {}), **fields}


def listener(name: str, port: int, secret: str | None = None, **fields: Any) -> Document:
    """HTTPS with a Secret, HTTP without."""
    tls = {"tls": {"certificateRefs": [{"name": secret}]}} if secret is not None else {}
    return {"name": name, "port": port, "protocol": "HTTPS" if secret is not None else "HTTP", **tls, **fields}


def gateway(name: str, *listeners: Document) -> Document:
    return document(GATEWAY, "Gateway", name, {"gatewayClassName": "tidegate", "listeners": list(listeners)})


def route(name: str, host: str, *rules: Document, parent: str = "web") -> Document:
    return document(GATEWAY, "HTTPRoute", name, {"parentRefs": [{"name": parent}], "hostnames": [host], "rules": list(rules)})


def forwarding(service: str, **fields: Any) -> Document:
    """A rule."""
    return {"backendRefs": [{"name": service, "port": 80}], **fields}


def service(name: str) -> Document:
    return document("v1", "Service", name, {"ports": [{"name": "http", "port": 80}]})


def endpoints(name: str, ports: Iterable[int], ready: bool = True, part: str = "") -> list[Document]:
    """An EndpointSlice for each port of 127.0.0.1."""
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{part or port}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}],
        }
        for port in ports
    ]


def secret(name: str, pair: Pair) -> Document:
    entries = {"tls.crt": pair.chain, "tls.key": pair.private_key}
    return document("v1", "Secret", name, type="kubernetes.io/tls", stringData=entries)


def text_of(documents: Iterable[Document]) -> str:
    """A file of them; one without any says so, since an empty one may be a writer's that has just begun."""
    return "\n---\n".join(map(json.dumps, documents)) or "# nothing\n"


class Files:
    """A folder of files that are replaced whole, as editors and deployments do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._beside = folder.parent / f"{folder.name}-beside"
        for needed in (folder, self._beside):
            needed.mkdir()

    def put(self, name: str, *documents: Document) -> None:
        self.put_text(name, text_of(documents))

    def put_text(self, name: str, text: str) -> None:
        written = self._beside / name
        written.write_text(text, encoding="utf-8")
        os.rename(written, self.folder / name)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
