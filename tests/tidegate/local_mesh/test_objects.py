"""Files as a cluster would have them: addresses, EndpointSlices and what cannot be run; plain values."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.core import Service
from controller.api.endpoint_slice import EndpointSlice
from controller.api.local_pod import LocalPod
from controller.api.metadata import Object
from mesh.loopback import FIRST_SERVICE, LAST
from tests.tidegate.local_mesh.objects import RUN, pod, service
from tidegate.local_mesh.numbers import MeshBlock
from tidegate.local_mesh.objects import LocalObjects

POD_PORT = {"name": "app", "command": ["x"], "ports": [{"name": "web", "containerPort": 9090}]}


def objects() -> LocalObjects:
    return LocalObjects(MeshBlock.parse("127.1.0.0/16"))


def pods(found: list[Object]) -> dict[str, LocalPod]:
    return {each.name: each for each in found if isinstance(each, LocalPod)}


def slices(found: list[Object]) -> dict[str, Any]:
    """By name: ports, and address and readiness of each endpoint."""
    return {
        each.name: ([(port.name, port.port) for port in each.ports], [(one.addresses[0], one.conditions.ready) for one in each.endpoints])
        for each in found
        if isinstance(each, EndpointSlice)
    }


def test_pods_have_addresses_by_the_order_of_their_names() -> None:
    """Whatever the order in which files have them; they run, and their label says that they have a sidecar."""
    placed = pods(objects().take([pod("web"), pod("cart")], []).puts)
    assert [(name, each.addresses, each.status.phase) for name, each in sorted(placed.items())] == [
        ("cart", ("127.1.1.1",), "Running"),
        ("web", ("127.1.2.1",), "Running"),
    ]
    assert placed["web"].metadata.labels == {"app": "web", "tidegate.dev/mesh": "sidecar"}


def test_a_pod_keeps_its_address_and_may_ask_for_one() -> None:
    """status.podIP, if it is one of the block and free; else it is told who has it."""
    mesh = objects()
    mesh.take([pod("web"), pod("cart", ip="127.1.9.1")], [])
    placed = pods(mesh.take([pod("also", ip="127.1.9.1"), pod("far", ip="10.0.0.1"), pod("web")], []).puts)
    assert [placed[name].addresses[0] for name in ("also", "far", "web")] == ["127.1.2.1", "127.1.3.1", "127.1.1.1"]
    assert [(fault.key[2], fault.field, fault.message) for fault in mesh.faults] == [
        ("also", ("status", "podIP"), "127.1.9.1 is the address of Pod shop/cart; another is used"),
        ("far", ("status", "podIP"), "10.0.0.1 is no address of a Pod of 127.1.0.0/16; another is used"),
    ]


def test_services_have_cluster_addresses_in_the_mesh() -> None:
    """What a cluster gave leads nowhere here; a headless one and an ExternalName have none."""
    mesh = objects()
    given = [
        service("cart", clusterIP="10.96.0.7"),
        service("fixed", clusterIP="127.1.0.99"),
        service("headless", clusterIP="None"),
        service("away", type="ExternalName", externalName="example.com"),
    ]
    placed = {each.name: each for each in mesh.take(given, []).puts if isinstance(each, Service)}
    assert (placed["cart"].spec.cluster_ip, placed["cart"].spec.cluster_ips) == ("127.1.0.16", ("127.1.0.16",))
    assert (placed["fixed"].spec.cluster_ip, placed["headless"].spec.cluster_ip) == ("127.1.0.99", "None")
    assert [(each.name, address) for each, address in mesh.services()] == [("cart", "127.1.0.16"), ("fixed", "127.1.0.99")]


def test_an_endpoint_is_ready_once_the_application_accepts_wherever_the_service_leads() -> None:
    """Endpoints are the Pods' addresses, where their sidecars are; ports are those of the Pod, by number or by name."""
    mesh = objects()
    both = ({"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81, "targetPort": "web"})
    found = mesh.take([pod("cart", POD_PORT), service("cart", *both)], [])
    key = ("Pod", "shop", "cart")
    assert slices(found.puts) == {"cart-of-pods-0": ([("a", 8080), ("b", 9090)], [("127.1.1.1", False)])}
    assert (mesh.targets(key), mesh.is_ready(key)) == (frozenset({8080, 9090}), False)
    assert slices(mesh.accept(key, frozenset({8080})).puts) == {}
    assert slices(mesh.accept(key, frozenset({8080, 9090})).puts)["cart-of-pods-0"][1] == [("127.1.1.1", True)]
    assert mesh.is_ready(key)
    assert slices(mesh.accept(key, frozenset()).puts)["cart-of-pods-0"][1] == [("127.1.1.1", False)]


def test_pods_whose_named_ports_differ_stand_in_slices_of_their_own() -> None:
    """As in a cluster; a Pod without a port of that name has none."""
    other = {"name": "app", "command": ["x"], "ports": [{"name": "web", "containerPort": 9191}]}
    labels = {"app": "cart"}
    given = [pod(name, container, labels=labels) for name, container in (("a", POD_PORT), ("b", other), ("c", RUN), ("d", POD_PORT))]
    found = slices(objects().take([*given, service("cart", {"port": 80, "targetPort": "web"})], []).puts)
    assert found == {
        "cart-of-pods-0": ([("", 9090)], [("127.1.1.1", False), ("127.1.4.1", False)]),
        "cart-of-pods-1": ([("", 9191)], [("127.1.2.1", False)]),
        "cart-of-pods-2": ([], [("127.1.3.1", True)]),
    }


def test_what_is_not_selected_is_no_endpoint() -> None:
    """By all labels of the selector, in the Service's namespace; a Service without a selector has slices of its own in the files."""
    labels = {"app": "cart", "version": "v1"}
    none = [service("other", selector={"app": "cart", "version": "v2"}), service("bare", selector={}), service("cart", namespace="else")]
    assert slices(objects().take([pod("cart", labels=labels), *none], []).puts) == {}


def test_not_ready_addresses_are_published_on_demand() -> None:
    """ServiceSpec.publishNotReadyAddresses."""
    found = objects().take([pod("cart"), service("cart", publishNotReadyAddresses=True)], [])
    assert slices(found.puts)["cart-of-pods-0"][1] == [("127.1.1.1", True)]


def test_what_goes_takes_its_slices_and_gives_its_address_back() -> None:
    """Of a Pod the endpoint, of a Service the slice."""
    mesh = objects()
    mesh.take([pod("cart"), pod("web"), service("cart")], [])
    gone = mesh.take([], [("Pod", "shop", "cart")])
    assert gone.removes == [("Pod", "shop", "cart"), ("EndpointSlice", "shop", "cart-of-pods-0")]
    mesh.take([], [("Service", "shop", "cart")])
    assert pods(mesh.take([pod("new")], []).puts)["new"].addresses == ("127.1.1.1",)
    assert list(mesh.services()) == []


def test_a_pod_that_is_to_be_left_out_has_no_sidecar() -> None:
    """The labels by which injection is refused; its application has the Pod's address itself."""
    mesh = objects()
    placed = pods(mesh.take([pod("cart", labels={"tidegate.dev/inject": "false"})], []).puts)
    assert "tidegate.dev/mesh" not in placed["cart"].metadata.labels
    workload = mesh.workloads["Pod", "shop", "cart"]
    assert (workload.meshed, workload.application, mesh.surroundings(workload).services) == (False, "127.1.1.1", ())


def test_a_workload_is_told_the_services_of_its_namespace_at_its_own_addresses() -> None:
    """Those of TCP, at the address of its block that has the number of the cluster address."""
    mesh = objects()
    ports = ({"name": "a", "port": 80}, {"name": "u", "port": 53, "protocol": "UDP"})
    mesh.take([pod("a"), pod("web"), service("cart", *ports), service("far", namespace="else")], [])
    (found,) = mesh.surroundings(mesh.workloads["Pod", "shop", "web"]).services
    assert (found.name, found.host, [port.port for port in found.ports]) == ("cart", "127.1.2.17", [80])


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        (
            pod("cart", {"name": "app", "image": "cart:1"}),
            ("spec", "containers", 0),
            "Write the program in command, its arguments in args.",
        ),
        (
            pod("cart", initContainers=[{"name": "i"}]),
            ("spec", "initContainers", 0),
            "Write the program in command, its arguments in args.",
        ),
        (pod("cart", hostNetwork=True), ("spec", "hostNetwork"), "Leave it out."),
    ],
)
def test_a_pod_that_cannot_be_run_is_told_and_stays_as_it_was(given: LocalPod, field: tuple[Any, ...], remedy: str) -> None:
    """What is new is left out; what ran goes on."""
    mesh = objects()
    assert pods(mesh.take([given], []).puts) == {}
    (fault,) = mesh.faults
    assert (fault.field, fault.remedy) == (field, remedy)
    mesh.take([pod("cart")], [])
    assert not list(mesh.faults)
    mesh.take([given], [])
    assert mesh.workloads["Pod", "shop", "cart"].pod == pod("cart")


def test_labels_are_no_reason_to_start_anew() -> None:
    """As in a cluster, where a Pod's spec cannot change and its labels can."""
    mesh = objects()
    mesh.take([pod("cart")], [])
    before = mesh.workloads["Pod", "shop", "cart"]
    mesh.take([pod("cart", labels={"app": "cart", "version": "v2"})], [])
    assert before.runs_as(mesh.workloads["Pod", "shop", "cart"])
    mesh.take([pod("cart", {"name": "app", "command": ["other"]})], [])
    assert not before.runs_as(mesh.workloads["Pod", "shop", "cart"])


def test_one_machine_has_room_for_so_many() -> None:
    """One more is told, and harms nobody else."""
    mesh = objects()
    most = LAST - FIRST_SERVICE + 1
    mesh.take([service(f"s{number:03}") for number in range(most + 1)], [])
    assert [(fault.key[2], fault.message) for fault in mesh.faults] == [(f"s{most}", f"a mesh on one machine has at most {most} Services")]
