"""The API server of a small cluster, for a controller of the mesh: that of tests/kubernetes_api, with objects in memory.

It holds a Service whose one endpoint is the Pod that is called, both Pods, and as many Services more as are asked for, each with
two Pods. It is a program of its own, and alone imports what the controller is made of.
Arguments: folder, where the kubeconfig goes; services, how many more. It runs until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from measuring.pods import BACKEND_PORT, CALLEE, CALLER, SERVICE_ADDRESS, SERVICE_PORT
from tests.controller.sources.kube.cluster import EVERY, WRITTEN
from tests.kubernetes_api import KubernetesApi

SPACE, OTHERS = "shop", "others"
_FIRST_SERVICE, _FIRST_POD = IPv4Address("10.97.0.0"), IPv4Address("10.78.0.0")
Object = dict[str, Any]


def objects(services: int) -> Iterator[Object]:
    """All of the cluster."""
    for space in (SPACE, OTHERS):
        yield _object("v1", "Namespace", space, "")
    yield pod("caller", SPACE, CALLER)
    yield from application("callee", SPACE, SERVICE_ADDRESS, (CALLEE,))
    for number in range(services):
        addresses = tuple(str(_FIRST_POD + 2 * number + each) for each in (1, 2))
        yield from application(f"service-{number}", OTHERS, str(_FIRST_SERVICE + number + 1), addresses)


def application(name: str, space: str, address: str, pods: tuple[str, ...]) -> Iterator[Object]:
    """A Service, its EndpointSlice, and its Pods, which have a sidecar each."""
    port = {"name": "http", "port": SERVICE_PORT, "targetPort": BACKEND_PORT, "protocol": "TCP"}
    yield _object("v1", "Service", name, space) | {"spec": {"clusterIP": address, "selector": {"app": name}, "ports": [port]}}
    labels = {"kubernetes.io/service-name": name}
    yield _object("discovery.k8s.io/v1", "EndpointSlice", name, space, labels) | {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in pods],
        "ports": [{"name": "http", "port": BACKEND_PORT, "protocol": "TCP"}],
    }
    for number, each in enumerate(pods):
        yield pod(name if len(pods) == 1 else f"{name}-{number}", space, each, name)


def pod(name: str, space: str, address: str, app: str = "") -> Object:
    """One that runs, with a sidecar; its ServiceAccount is called as what it belongs to."""
    labels = {"app": app or name, "version": "v1", "tidegate.dev/mesh": "sidecar"}
    spec = {"serviceAccountName": app or name, "containers": [{"name": "app", "ports": [{"containerPort": BACKEND_PORT}]}]}
    return _object("v1", "Pod", name, space, labels) | {"spec": spec, "status": {"phase": "Running", "podIPs": [{"ip": address}]}}


def review(name: str) -> Object:
    """What a TokenReview says of a Pod's token."""
    bound = {"authentication.kubernetes.io/pod-name": [name]}
    user = {"username": f"system:serviceaccount:{SPACE}:{name}", "extra": bound}
    return {"authenticated": True, "audiences": ["tidegate"], "user": user}


def _object(version: str, kind: str, name: str, space: str, labels: dict[str, str] | None = None) -> Object:
    metadata = {"name": name, **({"namespace": space} if space else {}), **({"labels": labels} if labels else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


async def serve(folder: Path, services: int) -> None:
    """The tokens are `caller` and `callee`."""
    async with KubernetesApi((*EVERY, *WRITTEN)) as api:
        for each in objects(services):
            api.put(each)
        api.tokens.update({name: review(name) for name in ("caller", "callee")})
        api.kubeconfig(folder)
        await asyncio.Event().wait()


def main() -> None:
    arguments = json.loads(sys.argv[1])
    asyncio.run(serve(Path(arguments["folder"]), arguments["services"]))


if __name__ == "__main__":
    main()
