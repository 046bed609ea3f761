"""What is added to a Pod: the container that sets up capture, the sidecar, and their volumes, as plain values of core/v1.

The sidecar satisfies the restricted Pod Security standard whatever the Pod says for all of its containers. The first container cannot: to
set the rules of the Pod's network it is root with NET_ADMIN and NET_RAW. It ends before anything of the application begins.
"""

from __future__ import annotations

import json
from typing import Any, Final

from controller.api.injection import SIDECAR_CONTAINER
from mesh.injection import names
from mesh.injection.annotations import Wishes
from mesh.injection.probes import Originals
from mesh.injection.settings import SidecarSettings

_FIELDS: Final = (
    ("POD_NAME", "metadata.name"),
    ("POD_NAMESPACE", "metadata.namespace"),
    ("POD_IP", "status.podIP"),
)
_MOUNTS: Final = (
    (names.AUTHORITIES_VOLUME, "/var/run/tidegate/ca", True),
    (names.TOKEN_VOLUME, "/var/run/tidegate/token", True),
    (names.SNAPSHOT_VOLUME, "/var/lib/tidegate", False),
    (names.TEMPORARY_VOLUME, "/tmp", False),  # noqa: S108  # the mount point of an emptyDir, not a file
)
_DRAIN: Final = {"drain-delay": "0s", "drain-timeout": "5s"}
"""The kubelet ends a sidecar after the application, when nothing new comes: there is nothing to wait for but what is under way."""


def init_container(settings: SidecarSettings, wishes: Wishes) -> dict[str, Any]:
    """Sets up capture and ends."""
    return {
        "name": names.INIT_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["init", f"--uid={names.USER}", *(f"--{option}={value}" for option, value in wishes.capture)],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def sidecar_container(settings: SidecarSettings, wishes: Wishes, originals: Originals) -> dict[str, Any]:
    """A native sidecar: started before the application's own init containers, ended after its containers."""
    return {
        "name": SIDECAR_CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "args": _arguments(settings, wishes),
        "env": environment(originals),
        "ports": [
            {"name": "tdg-metrics", "containerPort": 15020, "protocol": "TCP"},
            {"name": "tdg-health", "containerPort": names.HEALTH_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(wishes),
        "securityContext": {
            "runAsUser": names.USER,
            "runAsGroup": names.USER,
            "runAsNonRoot": True,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # The application starts once this has passed; without a controller in reach that may take a while, and is no reason to be killed.
        "startupProbe": _probe("ready", period=1, failures=600),
        "readinessProbe": _probe("ready", period=5, failures=3),
        "livenessProbe": _probe("live", period=10, failures=3),
        "volumeMounts": [
            {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})} for volume, path, read_only in _MOUNTS
        ],
    }


def environment(originals: Originals) -> list[dict[str, Any]]:
    """Variables of the sidecar."""
    found: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}} for name, path in _FIELDS
    ]
    return [*found, app_probes(originals)] if originals else found


def app_probes(originals: Originals) -> dict[str, Any]:
    """The variable with the probes. A dollar sign is doubled, since the kubelet would read $(NAME) as a reference (EnvVar.value)."""
    text = json.dumps(originals, separators=(",", ":"), sort_keys=True)
    return {"name": names.APP_PROBES, "value": text.replace("$", "$$")}


def volumes() -> list[dict[str, Any]]:
    """The token proves the Pod to the controller and to nobody else. The snapshot holds keys: it lies in memory, never on a disk."""
    token = {"serviceAccountToken": {"audience": "tidegate", "expirationSeconds": 3600, "path": "token"}}
    return [
        {"name": names.AUTHORITIES_VOLUME, "configMap": {"name": names.AUTHORITIES}},
        {"name": names.TOKEN_VOLUME, "projected": {"sources": [token]}},
        {"name": names.SNAPSHOT_VOLUME, "emptyDir": {"medium": "Memory"}},
        {"name": names.TEMPORARY_VOLUME, "emptyDir": {"medium": "Memory"}},
    ]


def _arguments(settings: SidecarSettings, wishes: Wishes) -> list[str]:
    mounted = {volume: path for volume, path, _ in _MOUNTS}
    options = {
        "workload": "$(POD_NAMESPACE)/$(POD_NAME)",
        "controller": settings.controller,
        "trust-domain": settings.trust_domain,
        "ca": f"{mounted[names.AUTHORITIES_VOLUME]}/ca.crt",
        "token": f"{mounted[names.TOKEN_VOLUME]}/token",
        "snapshot": mounted[names.SNAPSHOT_VOLUME],
        "access-log": wishes.access_log,
        **_DRAIN,
    }
    traces = {"otlp-endpoint": settings.otlp_endpoint, "trace-sampling": wishes.trace_sampling}
    options |= {option: value for option, value in traces.items() if value}
    return ["sidecar", *(f"--{option}={value}" for option, value in options.items())]


def _resources(wishes: Wishes) -> dict[str, Any]:
    found = {"requests": dict(wishes.requests), "limits": dict(wishes.limits)}
    return {part: amounts for part, amounts in found.items() if amounts}


def _probe(what: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/healthz/{what}", "port": names.HEALTH_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
