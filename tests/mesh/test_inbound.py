"""What a sidecar adds to its configuration: listeners for what comes in, and the application behind them; plain values."""

from __future__ import annotations

import pytest

from gateway.following.desired import Difference
from gateway.ir.backend import Backend
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Capture, ClientValidation, Listener
from gateway.ir.policy import AuthorizationPolicy
from gateway.ir.rule import HttpRule, TcpRule
from gateway.ir.value import Source
from gateway.ir.workload import IDENTITY, ROOTS, MutualTls, Workload, WorkloadPort
from mesh.inbound import APPLICATION, APPLICATION_BYTES, inbound
from mesh.own_pod import OwnPod

POD = Source("Pod", "shop", "cart-1")
PORTS = (WorkloadPort(8080, "HTTP"), WorkloadPort(5432, "TCP", "Disable"), WorkloadPort(9000))
LABELS = (("app", "cart"), ("tier", "web"))


def workload(*ports: WorkloadPort, mutual_tls: MutualTls = "Permissive", key: str = "shop/cart-1") -> Workload:
    return Workload(key, POD, ("10.0.0.7",), "cart", "spiffe://cluster.local/ns/shop/sa/cart", mutual_tls, ports, LABELS)


def listeners(resources: tuple[AnyResource, ...]) -> dict[str, Listener]:
    return {resource.key: resource for resource in resources if isinstance(resource, Listener)}


def test_each_port_of_which_something_is_said_has_a_listener_and_one_is_for_all_others() -> None:
    """Key namespace/@mesh/inbound/port; all of them at the one port that capture leads to."""
    found = listeners(inbound(workload(*PORTS), is_selected=False))
    assert [*found] == [f"shop/@mesh/inbound/{port}" for port in (0, 5432, 8080, 9000)]
    assert {(one.gateway, one.address, one.bind_port) for one in found.values()} == {("shop/@mesh", "::", 15006)}
    assert [(one.port, one.protocol) for one in found.values()] == [(0, "Detect"), (5432, "TCP"), (8080, "HTTP"), (9000, "Detect")]


@pytest.mark.parametrize("mutual_tls", ["Permissive", "Strict"])
def test_callers_may_or_must_prove_who_they_are(mutual_tls: MutualTls) -> None:
    """PeerAuthentication: with the identity that the sidecar has, judged by the roots that it has."""
    for listener in listeners(inbound(workload(WorkloadPort(80), mutual_tls=mutual_tls), is_selected=False)).values():
        assert listener.capture == Capture("Inbound", mutual_tls=mutual_tls)
        assert (listener.certificates, listener.client_validation) == ((IDENTITY,), ClientValidation((ROOTS,)))


def test_a_mode_of_a_port_holds_there_in_place_of_the_workloads() -> None:
    """PeerAuthentication.portLevelMtls; without mutual TLS there is nothing to prove and nothing to judge by."""
    found = listeners(inbound(workload(WorkloadPort(80, mutual_tls="Disable"), mutual_tls="Strict"), is_selected=False))
    plain, others = found["shop/@mesh/inbound/80"], found["shop/@mesh/inbound/0"]
    assert (plain.capture, plain.certificates, plain.client_validation) == (Capture("Inbound"), (), None)
    assert others.capture == Capture("Inbound", mutual_tls="Strict")


def test_behind_all_of_them_is_the_application() -> None:
    """HTTP where HTTP may be; bytes anywhere, since TLS that is not the mesh's is the application's own."""
    resources = inbound(workload(*PORTS), is_selected=False)
    (http,) = (one for one in resources if isinstance(one, HttpRule))
    (tcp,) = (one for one in resources if isinstance(one, TcpRule))
    assert [binding.listener.rpartition("/")[2] for binding in http.bindings] == ["0", "8080", "9000"]
    assert [binding.listener.rpartition("/")[2] for binding in tcp.bindings] == ["0", "5432", "8080", "9000"]
    assert ([ref.backend for ref in http.backends], [ref.backend for ref in tcp.backends]) == ([APPLICATION], [APPLICATION_BYTES])
    backends = {one.key: (one.protocol, one.original_destination) for one in resources if isinstance(one, Backend)}
    assert backends == {APPLICATION: ("client", "OwnPod"), APPLICATION_BYTES: ("tcp", "OwnPod")}


def test_rules_are_called_as_a_controller_reads_them() -> None:
    """A rejection names its rule, and its key has the four parts of every rule's: kind/namespace/name/index."""
    assert {one.key for one in inbound(workload(), is_selected=False) if isinstance(one, HttpRule | TcpRule)} == {"Pod/shop/cart-1/0"}


def test_the_application_is_never_left_out_nor_ended() -> None:
    """Nothing is ours to end that the application lets live: no limits on heads, bodies and counts; an hour for what is idle."""
    resources = inbound(workload(), is_selected=False)
    (listener,) = listeners(resources).values()
    options = listener.options
    assert (options.header_timeout, options.body_timeout, options.send_timeout, options.minimum_body_rate) == (0, 0, 0, 0)
    assert options.idle_timeout == options.stream_idle_timeout == options.tunnel_idle_timeout == 3_600_000
    for backend in resources:
        if isinstance(backend, Backend):
            assert (backend.options.ejection.consecutive_errors, backend.options.ejection.connect_failures) == (0, False)
            assert backend.options.limits.connections == 2**31 - 1


def policy(key: str, *selector: tuple[str, str]) -> AuthorizationPolicy:
    return AuthorizationPolicy(key, Source("AuthorizationPolicy", "shop", key), ("shop/@mesh",), selector=selector)


def merges(pod: OwnPod) -> bool:
    return all(listener.options.merge_slashes for listener in listeners(pod.resources(identified=True)).values())


def test_nothing_comes_in_before_it_is_known_what_may() -> None:
    """Not without the own Workload, nor without an identity; those of others count for nothing."""
    pod = OwnPod("shop/cart-1")
    pod.follow(Difference((workload(key="shop/cart-2"),)))
    assert pod.workload is None
    assert pod.resources(identified=True) == ()
    pod.follow(Difference((workload(),)))
    assert pod.resources(identified=False) == ()
    assert pod.resources(identified=True) == inbound(workload(), is_selected=False)


def test_a_pod_that_the_controller_has_forgotten_is_served_as_before() -> None:
    """One that is ending still has callers, and its sidecar is the proof that it is there."""
    pod = OwnPod("shop/cart-1")
    pod.follow(Difference((workload(),)))
    pod.follow(Difference((), (("Workload", "shop/cart-1"),)))
    assert pod.resources(identified=True) == inbound(workload(), is_selected=False)


def test_slashes_are_merged_where_a_policy_selects_the_workload() -> None:
    """Design 7: what an application may take for one path is one path to who may ask for it."""
    pod = OwnPod("shop/cart-1")
    pod.follow(Difference((workload(), policy("other", ("app", "bank")), policy("both", ("app", "cart"), ("tier", "bank")))))
    assert not merges(pod)
    pod.follow(Difference((policy("cart", ("app", "cart")),)))
    assert merges(pod)
    pod.follow(Difference((), (("AuthorizationPolicy", "cart"),)))
    assert not merges(pod)
    pod.follow(Difference((policy("all"),)))
    assert merges(pod)
