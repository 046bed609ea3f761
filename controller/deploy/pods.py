"""The Pod of a data plane, as plain values (design.md section 2, `tidegate gateway`).

It runs under the restricted Pod Security standard; low ports are opened by a safe sysctl. Whatever stands here restarts Pods when
it changes, so listeners do not: their ports are declared in the Services alone, and the authorities lie in a mounted ConfigMap.
"""

from __future__ import annotations

from typing import Any, Final

from controller.deploy.objects import labels, selector
from controller.deploy.settings import Settings
from controller.translate.infrastructure import Infrastructure
from controller.translate.names import deployed_name

METRICS_PORT: Final = 15020
HEALTH_PORT: Final = 15021
USER: Final = 65532
"""Of the image; also its group."""

_DEFAULT_REQUESTS: Final = (("cpu", "100m"), ("memory", "128Mi"))
_AFTER_DRAIN: Final = 10
"""Seconds that a Pod has beyond its drain, to end by itself before it is killed."""
_MOUNTS: Final = {
    "authorities": "/var/run/tidegate/ca",
    "token": "/var/run/tidegate/token",
    "snapshot": "/var/lib/tidegate",
    "temporary": "/tmp",  # noqa: S108  # the mount point of an emptyDir, not a file
}
_READ_ONLY: Final = frozenset({"authorities", "token"})


def authorities_name(infrastructure: Infrastructure) -> str:
    """The name of the ConfigMap with the certificates of the authorities that the controller is known by."""
    return deployed_name(infrastructure.gateway[2], infrastructure.class_name) + "-ca"


def pod_template(infrastructure: Infrastructure, settings: Settings) -> dict[str, Any]:
    """The template of a Gateway's Pods, with the labels and annotations of spec.infrastructure."""
    parameters = infrastructure.parameters
    metadata: dict[str, Any] = {"labels": labels(infrastructure, *parameters.pod_labels)}
    if annotations := dict((*parameters.pod_annotations, *infrastructure.annotations)):
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": _pod(infrastructure, settings)}


def _pod(infrastructure: Infrastructure, settings: Settings) -> dict[str, Any]:
    parameters = infrastructure.parameters
    spec: dict[str, Any] = {
        "serviceAccountName": deployed_name(infrastructure.gateway[2], infrastructure.class_name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.drain_delay + settings.drain_timeout + _AFTER_DRAIN,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [_container(infrastructure, settings)],
        "volumes": _volumes(infrastructure),
        "topologySpreadConstraints": _spread(infrastructure),
    }
    if parameters.node_selector:
        spec["nodeSelector"] = dict(parameters.node_selector)
    if parameters.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in parameters.tolerations]
    return spec


def _container(infrastructure: Infrastructure, settings: Settings) -> dict[str, Any]:
    return {
        "name": "gateway",
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": _arguments(infrastructure, settings),
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(infrastructure),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Live, not ready, ends the start: without a controller in reach a new Pod waits, and is not killed for it.
        "startupProbe": _probe("live", period=1, failures=60),
        "readinessProbe": _probe("ready", period=2, failures=2),
        "livenessProbe": _probe("live", period=10, failures=3),
        "volumeMounts": [
            {"name": volume, "mountPath": path, **({"readOnly": True} if volume in _READ_ONLY else {})} for volume, path in _MOUNTS.items()
        ],
    }


def _arguments(infrastructure: Infrastructure, settings: Settings) -> list[str]:
    _, namespace, name = infrastructure.gateway
    options = {
        "gateway": f"{namespace}/{name}",
        "controller": settings.controller,
        "trust-domain": settings.trust_domain,
        "ca": f"{_MOUNTS['authorities']}/ca.crt",
        "token": f"{_MOUNTS['token']}/token",
        "snapshot": _MOUNTS["snapshot"],
        "workers": str(infrastructure.parameters.workers),
        "access-log": infrastructure.parameters.access_log,
        "drain-delay": f"{settings.drain_delay}s",
        "drain-timeout": f"{settings.drain_timeout}s",
    }
    traces = {"otlp-endpoint": settings.otlp_endpoint, "trace-sampling": settings.trace_sampling}
    options |= {option: value for option, value in traces.items() if value}
    return ["gateway", *(f"--{option}={value}" for option, value in options.items())]


def _resources(infrastructure: Infrastructure) -> dict[str, Any]:
    """What the parameters say. An autoscaler measures CPU by what is requested, so there is a default, unless a limit stands for it.

    No limits of our own: one of CPU would only slow a proxy down.
    """
    parameters = infrastructure.parameters
    limits = dict(parameters.limits)
    default = {resource: amount for resource, amount in _DEFAULT_REQUESTS if resource not in limits}
    requests = {**default, **dict(parameters.requests)}
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


def _probe(what: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/healthz/{what}", "port": HEALTH_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _volumes(infrastructure: Infrastructure) -> list[dict[str, Any]]:
    """The token proves the Pod to the controller and nobody else. The snapshot holds private keys: it lies in memory, never on a disk."""
    token = {"serviceAccountToken": {"audience": "tidegate", "expirationSeconds": 3600, "path": "token"}}
    return [
        {"name": "authorities", "configMap": {"name": authorities_name(infrastructure)}},
        {"name": "token", "projected": {"sources": [token]}},
        {"name": "snapshot", "emptyDir": {"medium": "Memory"}},
        {"name": "temporary", "emptyDir": {"medium": "Memory"}},
    ]


def _spread(infrastructure: Infrastructure) -> list[dict[str, Any]]:
    """As the parameters say; without any, over nodes as far as there are some."""
    stated = infrastructure.parameters.topology_spread_constraints
    if stated:
        return [dict(constraint) for constraint in stated]
    own_pods = {"matchLabels": selector(infrastructure)}
    return [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": own_pods}]
