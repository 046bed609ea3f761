"""A Pod in, the Pod with its sidecar out (pure).

Injection is done once: a Pod that has its sidecar keeps it as it is, but for probes that somebody has added since, as when the API server
calls the webhook again because another one has changed the Pod (reinvocationPolicy).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controller.api.injection import MESH, SIDECAR, SIDECAR_CONTAINER
from mesh.injection import names
from mesh.injection.annotations import Wishes, read_wishes
from mesh.injection.containers import app_probes, init_container, sidecar_container, volumes
from mesh.injection.pods import Container, Pod, read_pod
from mesh.injection.probes import Originals, rewritten
from mesh.injection.selection import asks, check_user, is_injected, reason_against
from mesh.injection.settings import Refused, SidecarSettings

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injection:
    """What became of a Pod: `pod` is the one that was given, where `reason` says why it stays as it is."""

    pod: Value
    reason: str = ""
    warnings: tuple[str, ...] = ()


def inject(raw: Value, namespace: str, settings: SidecarSettings) -> Injection:
    """Of a Pod, or the template of one, in a namespace ("" where it is not known). `raw` is left as it is. Raises Refused."""
    pod = read_pod(raw)
    if reason := reason_against(pod, namespace, settings.namespace):
        asked = asks(pod)
        return Injection(raw, reason, (f"this Pod gets no sidecar of Tidegate: {reason}",) if asked else ())
    wishes = read_wishes(pod.annotations, settings)
    if is_injected(pod):
        return _complete(pod, raw, wishes)
    check_user(pod)
    _check_names(pod)
    containers, originals = _probed(pod.spec.containers, raw["spec"]["containers"], wishes)
    init_containers, more = _probed(pod.spec.init_containers or (), raw["spec"].get("initContainers") or (), wishes)
    sidecar = sidecar_container(settings, wishes, originals | more)
    spec = raw["spec"] | {
        "initContainers": [init_container(settings, wishes), sidecar, *init_containers],
        "containers": containers,
        "volumes": [*(raw["spec"].get("volumes") or ()), *volumes()],
    }
    metadata = (raw.get("metadata") or {}) | {
        "labels": {**pod.labels, MESH: SIDECAR},
        "annotations": {**pod.annotations, names.STATE: names.INJECTED},
    }
    return Injection(raw | {"metadata": metadata, "spec": spec}, warnings=(*wishes.warnings, *_conflicts(pod)))


def _complete(pod: Pod, raw: Value, wishes: Wishes) -> Injection:
    """A Pod with a sidecar, whose other containers may have got probes since."""
    containers, originals = _probed(pod.spec.containers, raw["spec"]["containers"], wishes)
    init_containers, more = _probed(pod.spec.init_containers or (), raw["spec"]["initContainers"], wishes)
    originals |= more
    if not originals:
        return Injection(raw, "it has its sidecar already")
    for index, container in enumerate(init_containers):
        if container["name"] == SIDECAR_CONTAINER:
            init_containers[index] = container | {"env": _with_probes(container.get("env") or [], originals)}
    return Injection(raw | {"spec": raw["spec"] | {"containers": containers, "initContainers": init_containers}})


def _with_probes(variables: list[Value], originals: Originals) -> list[Value]:
    known: Originals = {}
    for variable in variables:
        if variable.get("name") == names.APP_PROBES:
            try:
                known = dict(json.loads(str(variable.get("value")).replace("$$", "$")))
            except (ValueError, TypeError):
                raise Refused(
                    f"container {SIDECAR_CONTAINER}: env {names.APP_PROBES} holds no JSON object: remove both containers of "
                    "Tidegate from the Pod, and have it injected anew"
                ) from None
    return [*(variable for variable in variables if variable.get("name") != names.APP_PROBES), app_probes(known | originals)]


def _probed(shapes: Iterable[Container], raws: Iterable[Value], wishes: Wishes) -> tuple[list[Value], Originals]:
    """Containers with their probes led to the sidecar, if that is wished, and what they were."""
    originals: Originals = {}
    found = []
    for shape, raw in zip(shapes, raws, strict=True):
        if wishes.rewrite_probes and shape.name not in {names.INIT_CONTAINER, SIDECAR_CONTAINER}:
            changed, more = rewritten(shape, raw)
            originals |= more
            found.append(changed if more else raw)
        else:
            found.append(raw)
    return found, originals


def _check_names(pod: Pod) -> None:
    taken = {names.INIT_CONTAINER, SIDECAR_CONTAINER} & {container.name for container in pod.spec.all_containers}
    for name in sorted(taken):
        raise Refused(f"container {name}: the name is that of a container that is injected. Rename it")
    for name in sorted({volume.name for volume in pod.spec.volumes or ()} & set(names.VOLUMES)):
        raise Refused(f"volume {name}: the name is that of a volume that is injected. Rename it")


def _conflicts(pod: Pod) -> list[str]:
    return [
        f"container {container.name} has port {port.container_port}, which the sidecar uses in the same Pod: one of the two cannot "
        "listen there. Choose another port"
        for container in pod.spec.all_containers
        for port in container.ports or ()
        if port.container_port in names.RESERVED_PORTS
    ]
