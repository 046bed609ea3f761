"""Which Pods get a sidecar (controller.api.injection says), asked about a Pod as the webhook gets it.

The selectors of the webhook have chosen by namespace and label already; this is what holds for each Pod.
"""

from __future__ import annotations

from controller.api import injection
from controller.api.injection import INJECT, SIDECAR_CONTAINER, Traits
from mesh.injection.names import USER
from mesh.injection.pods import Pod
from mesh.injection.settings import Refused


def asks(pod: Pod) -> bool | None:
    """What the Pod says of itself; None where it says nothing. Raises Refused for what cannot be understood."""
    try:
        return injection.pod_asks(pod.labels, pod.annotations)
    except ValueError as error:
        raise Refused(str(error)) from None


def is_injected(pod: Pod) -> bool:
    """By its containers, since a label or an annotation may have been copied from another Pod."""
    return any(container.name == SIDECAR_CONTAINER for container in pod.spec.init_containers or ())


def reason_against(pod: Pod, namespace: str, own_namespace: str) -> str:
    """Why the Pod gets no sidecar, "" if it does; either namespace is "" where it is not known. Raises Refused."""
    system = pod.spec.os.name if pod.spec.os is not None else ""
    containers = frozenset(container.name for container in pod.spec.all_containers)
    traits = Traits(pod.labels, pod.annotations, bool(pod.spec.host_network), system, containers)
    try:
        return injection.reason_against(traits, namespace, own_namespace)
    except ValueError as error:
        raise Refused(str(error)) from None


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
