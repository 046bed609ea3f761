"""Which Pods get a sidecar. The selectors of the webhook have chosen by namespace and label already; this is what holds for each Pod.

"false" wins over "true" where a Pod carries the labels of both spellings: who asks to be left alone is.
"""

from __future__ import annotations

from typing import Final

from mesh.injection.names import INJECT, ISTIO_CONTAINER, ISTIO_INJECT, SIDECAR_CONTAINER, USER
from mesh.injection.pods import Pod
from mesh.injection.settings import Refused

NEVER: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces of the cluster itself: what they run must start without us."""
_OWN: Final = {"app.kubernetes.io/managed-by": "tidegate", "app.kubernetes.io/name": "tidegate-gateway"}
"""The labels of the proxies that the controller deploys for Gateways."""


def asks(pod: Pod) -> bool | None:
    """What the Pod's own labels say; None where they say nothing. Raises Refused for another value than "true" or "false"."""
    said = [(f"label {name}", pod.labels[name]) for name in (INJECT, ISTIO_INJECT) if name in pod.labels]
    if ISTIO_INJECT in pod.annotations and ISTIO_INJECT not in pod.labels:
        said.append((f"annotation {ISTIO_INJECT}", pod.annotations[ISTIO_INJECT]))
    for where, value in said:
        if value not in {"true", "false"}:
            raise Refused(f'{where} is {value!r}: write "true" or "false", or remove it')
    values = {value for _, value in said}
    return None if not values else "false" not in values


def is_injected(pod: Pod) -> bool:
    """By its containers, since an annotation may have been copied from another Pod."""
    return any(container.name == SIDECAR_CONTAINER for container in pod.spec.init_containers or ())


def reason_against(pod: Pod, namespace: str, own_namespace: str) -> str:
    """Why the Pod gets no sidecar, "" if it does; either namespace is "" where it is not known. Raises Refused."""
    if namespace and namespace in {*NEVER, own_namespace}:
        return f"nothing is injected in namespace {namespace}"
    if asks(pod) is False:
        return "its label says so"
    if pod.spec.host_network:
        return "it has hostNetwork: its traffic is that of the node, and cannot be captured for one Pod alone"
    if pod.spec.os is not None and pod.spec.os.name == "windows":
        return "it is for Windows: capture needs Linux"
    if _OWN.items() <= pod.labels.items():
        return "it is a proxy of a Gateway"
    if any(container.name == ISTIO_CONTAINER for container in pod.spec.all_containers):
        return f"it has a sidecar of Istio ({ISTIO_CONTAINER}) already; set label {ISTIO_INJECT}: \"false\" on one that is to have ours"
    return ""


def check_user(pod: Pod) -> None:
    """Raises Refused for a container that runs as the sidecar's own user or group: its traffic would not be captured."""
    whole = pod.spec.security_context
    for container in pod.spec.all_containers:
        own = container.security_context
        for field, attribute in (("runAsUser", "run_as_user"), ("runAsGroup", "run_as_group")):
            said = getattr(own, attribute, None)
            if (getattr(whole, attribute, None) if said is None else said) == USER:
                raise Refused(
                    f"container {container.name} runs with securityContext.{field} {USER}, which is the sidecar's own: its traffic would "
                    f'not be captured. Give it another number, or leave the Pod out of the mesh with label {INJECT}: "false"'
                )
