"""Where a sidecar outside of any Pod serves what was meant for capture rules; plain values."""

from __future__ import annotations

import errno

import pytest
from msgspec.structs import replace

from gateway.following.desired import Difference
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Capture, Listener
from gateway.ir.value import Source
from gateway.ir.workload import Workload, WorkloadPort
from mesh.inbound import APPLICATION, inbound
from mesh.loopback import LoopbackPlacing, WorkloadBlock

BLOCK = WorkloadBlock.parse("127.1.3.0/24")
POD = Source("Pod", "shop", "cart-1")
SERVICE = Listener(
    "@mesh/@mesh/shop/cart:80", Source("Service", "shop", "cart"), "@mesh/@mesh", "shop/cart:80", "::", 80, 15001, 80, "HTTP",
    capture=Capture("Outbound", ("127.1.0.17",)),
)  # fmt: skip
OF_WORKLOAD = inbound(Workload("shop/cart-1", POD, ("127.1.3.1",), "cart", ports=(WorkloadPort(8080, "HTTP"),)), is_selected=False)


def placed(*resources: AnyResource) -> Difference:
    return LoopbackPlacing(BLOCK).place(Difference(resources, (("Backend", "gone"),)))


def test_a_block_has_an_address_for_the_pod_for_the_application_and_for_each_service() -> None:
    """The third number is the workload's, the fourth that of the Service's cluster address."""
    assert (str(BLOCK), BLOCK.pod, BLOCK.application) == ("127.1.3.0/24", "127.1.3.1", "127.1.3.2")
    assert [BLOCK.of_service(address) for address in ("127.1.0.16", "127.1.0.254")] == ["127.1.3.16", "127.1.3.254"]


@pytest.mark.parametrize("address", ["127.1.0.15", "127.1.0.255", "127.1.4.16", "127.2.0.16", "10.96.0.16", "fd00::16"])
def test_what_is_no_service_of_this_mesh_has_no_address_here(address: str) -> None:
    """Those of other workloads, of other meshes and of clusters."""
    assert BLOCK.of_service(address) is None


@pytest.mark.parametrize("text", ["", "127.1.3.0", "127.1.3.1/24", "127.1.0.0/16", "10.1.3.0/24", "::1/128"])
def test_what_is_no_block_is_refused_with_an_example(text: str) -> None:
    """It is a network of 256 loopback addresses."""
    with pytest.raises(ValueError, match=r"write for example 127\.1\.3\.0/24"):
        WorkloadBlock.parse(text)


def test_a_service_is_served_at_this_workloads_address_as_if_it_had_been_captured() -> None:
    """The destination is the cluster address, which routes and policies know; the port stays."""
    (found,) = placed(SERVICE).set
    assert isinstance(found, Listener)
    assert (found.address, found.bind_port, found.port) == ("127.1.3.17", 80, 80)
    assert found.capture == Capture("Outbound", ("127.1.0.17",), destination="127.1.0.17")


def test_what_comes_in_is_taken_at_the_pods_address_and_goes_to_the_applications() -> None:
    """Under the demands that it has in a Pod; the listener for all other ports has no place."""
    difference = placed(*OF_WORKLOAD)
    (found,) = (resource for resource in difference.set if isinstance(resource, Listener))
    assert (found.address, found.bind_port, found.protocol) == ("127.1.3.1", 8080, "HTTP")
    assert found.capture == Capture("Inbound", mutual_tls="Permissive", destination="127.1.3.2")
    assert difference.remove == (("Backend", "gone"), ("Listener", "shop/@mesh/inbound/0"))


def test_the_application_is_reached_as_any_destination() -> None:
    """127.0.0.6 tells capture rules what has been through the sidecar; there are none here."""
    (application,) = (resource for resource in placed(*OF_WORKLOAD).set if resource.key == APPLICATION)
    (meant,) = (resource for resource in OF_WORKLOAD if resource.key == APPLICATION)
    assert application == replace(meant, original_destination="Elsewhere")


def test_a_service_without_an_address_here_and_everything_elsewhere_are_not_served() -> None:
    """Nobody brings such connections."""
    foreign = replace(SERVICE, capture=Capture("Outbound", ("10.96.0.1",)))
    elsewhere = replace(SERVICE, key="@mesh/@mesh/elsewhere", port=0, capture=Capture("Outbound"))
    assert placed(foreign, elsewhere) == Difference(
        (), (("Backend", "gone"), ("Listener", SERVICE.key), ("Listener", "@mesh/@mesh/elsewhere"))
    )


def test_listeners_of_their_own_stay_where_they_are() -> None:
    """Only captured ones are meant for rules."""
    plain = replace(SERVICE, capture=None)
    assert placed(plain).set == (plain,)


def test_remedies_are_for_one_machine() -> None:
    """Neither a sysctl of a Pod nor its network namespace is spoken of."""
    remedies = LoopbackPlacing(BLOCK).remedies
    assert "1024 or more" in remedies[errno.EACCES]
    assert "$POD_IP" in remedies[errno.EADDRINUSE]
    assert "--mesh-block" in remedies[errno.EADDRINUSE]
