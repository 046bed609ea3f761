"""What is not in the mesh, and why."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from controller.api.core import Namespace
from controller.api.pod import Pod
from tidegate.control_plane.outside import Outside, outside

INJECT = "tidegate.dev/inject"
LABELLED = {INJECT: "enabled"}
MESHED = {"tidegate.dev/mesh": "sidecar"}
SIDECAR = [{"name": "tidegate-sidecar"}]
BEFORE, WRITTEN, AFTER = "2026-11-30T17:00:00Z", "2026-11-30T18:00:00Z", "2026-11-30T18:00:01Z"
RESTART = "restart it: kubectl -n shop rollout restart deployment/cart"


def namespace(labels: dict[str, str], name: str = "shop", written: str = "") -> Namespace:
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if written:
        fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{label}": {} for label in labels}}}
        metadata["managedFields"] = [{"time": written, "fieldsV1": fields}]
    return Namespace.model_validate({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def pod(name: str = "cart", labels: dict[str, str] | None = None, created: str = BEFORE, phase: str = "Running", **spec: Any) -> Pod:
    """Of Deployment cart."""
    owner = {"kind": "ReplicaSet", "name": "cart-7d4b", "controller": True}
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "creationTimestamp": created, "ownerReferences": [owner]}
    metadata["labels"] = {"pod-template-hash": "7d4b", **(labels or {})}
    return Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}})


def told(place: Namespace, *pods: Pod, connected: Collection[str] | None = ()) -> list[Outside]:
    return list(outside((place,), pods, "tidegate-system", connected))


def reason(place: Namespace, found: Pod) -> tuple[str, str]:
    (one,) = told(place, found)
    assert one.object == found.key
    return one.reason, one.remedy


def test_a_pod_that_is_older_than_the_label_is_to_be_restarted() -> None:
    """When the label was written stands in the namespace's managedFields; the remedy names what runs the Pod."""
    late = f"it is older than label {INJECT} of its namespace, which was last written at {WRITTEN}"
    assert reason(namespace(LABELLED, written=WRITTEN), pod()) == (late, RESTART)
    istio = reason(namespace({"istio-injection": "enabled"}, written=WRITTEN), pod())
    assert istio == (late.replace(INJECT, "istio-injection"), RESTART)


def test_a_younger_pod_met_no_controller() -> None:
    """As with failurePolicy Ignore while none answered. Without managedFields it may be either."""
    younger = reason(namespace(LABELLED, written=WRITTEN), pod(created=AFTER))
    assert younger == (f"no controller answered when it was created, at {AFTER}", RESTART)
    either = f"it is older than label {INJECT} of its namespace, or no controller answered when it was created"
    assert reason(namespace(LABELLED), pod()) == (either, RESTART)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(labels={INJECT: "false"}), "its label says so"),
        (pod(labels={INJECT: "true", "sidecar.istio.io/inject": "false"}), "its label says so"),
        (pod(hostNetwork=True), "it has hostNetwork"),
        (pod(os={"name": "windows"}), "it is for Windows"),
        (pod(containers=[{"name": "istio-proxy"}]), "it has a sidecar of Istio"),
    ],
)
def test_a_pod_that_is_never_injected_says_why(found: Pod, words: str) -> None:
    """In the words of the webhook; there is nothing to be done."""
    text, remedy = reason(namespace(LABELLED, written=WRITTEN), found)
    assert text.startswith(words)
    assert remedy == ""


def test_a_label_that_cannot_be_understood_is_told() -> None:
    """The webhook would refuse the Pod, had it been created so."""
    assert reason(namespace(LABELLED), pod(labels={INJECT: "yes"}))[0].startswith(f"label {INJECT} is 'yes': write")


def test_a_pods_own_label_counts_where_its_namespace_says_nothing() -> None:
    """Where the namespace says no, it does not."""
    assert reason(namespace({}), pod(labels={INJECT: "true"})) == (
        "its own label asks for a sidecar, but did not, or met no controller, when it was created",
        RESTART,
    )
    text, _ = reason(namespace({INJECT: "disabled"}), pod(labels={INJECT: "true"}))
    assert text == f"label {INJECT}: disabled of its namespace says no, whatever its own says"


def test_pods_of_a_namespace_without_a_label_are_counted_where_others_are_in_the_mesh() -> None:
    """Of a namespace that has nothing to do with the mesh nothing is said."""
    others = (pod("a"), pod("b", labels={INJECT: "false"}))
    assert told(namespace({}), *others) == told(namespace({INJECT: "disabled"}), *others) == []
    (one,) = told(namespace({}), pod("c", labels=MESHED), *others, connected={"shop/c"})
    assert (one.object, one.reason) == (("Namespace", "", "shop"), f"it has no label {INJECT}, so 2 of its Pods have no sidecar")
    assert f"kubectl label namespace shop {INJECT}=enabled" in one.remedy


def test_a_sidecar_that_is_not_connected_is_told() -> None:
    """With where to look; only who leads knows."""
    place, found = namespace(LABELLED), pod(labels=MESHED, initContainers=SIDECAR)
    look = "see why: kubectl -n shop logs cart -c tidegate-sidecar"
    assert told(place, found) == [Outside(found.key, "its sidecar is not connected to the controller", look)]
    assert told(place, found, connected={"shop/cart"}) == told(place, found, connected=None) == []
    (waiting,) = told(place, pod(labels=MESHED, initContainers=SIDECAR, phase="Pending"))
    assert waiting.reason == "its sidecar is not connected, since the Pod does not run yet (Pending)"


def test_a_label_without_a_sidecar_is_told() -> None:
    """Callers would ask such a Pod for mutual TLS in vain; one that runs a sidecar in another way is connected."""
    (one,) = told(namespace(LABELLED), pod(labels=MESHED))
    assert one.reason.startswith("its label tidegate.dev/mesh says that it has a sidecar, but it has no container tidegate-sidecar")
    assert told(namespace(LABELLED), pod(labels=MESHED), connected={"shop/cart"}) == []


def test_what_has_ended_and_what_serves_gateways_is_not_spoken_of() -> None:
    """Nor is what is ending."""
    gateway = {"app.kubernetes.io/managed-by": "tidegate", "app.kubernetes.io/name": "tidegate-gateway"}
    ending = {"name": "a", "namespace": "shop", "deletionTimestamp": AFTER}
    leaves = Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": ending})
    assert told(namespace(LABELLED), pod(phase="Succeeded"), pod(phase="Failed"), pod(labels=gateway), leaves) == []


@pytest.mark.parametrize("name", ["kube-system", "tidegate-system"])
def test_a_namespace_where_nothing_is_injected_says_so_once(name: str) -> None:
    """Its label has no effect."""
    (one,) = told(namespace(LABELLED, name))
    assert (one.object, one.remedy) == (("Namespace", "", name), f"remove label {INJECT}")
    assert told(namespace({}, name)) == []


@pytest.mark.parametrize(
    ("owners", "remedy"),
    [
        ([], "delete it and create it anew"),
        ([{"kind": "StatefulSet", "name": "db"}], "restart it: kubectl -n shop rollout restart statefulset/db"),
        ([{"kind": "Job", "name": "once"}], "delete it, so that its Job once makes another"),
    ],
)
def test_the_remedy_names_what_runs_the_pod(owners: list[dict[str, str]], remedy: str) -> None:
    """As far as kubectl can restart it."""
    raw = {"name": "a", "namespace": "shop", "ownerReferences": owners}
    found = Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": raw})
    assert reason(namespace(LABELLED), found)[1] == remedy
