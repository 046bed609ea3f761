"""Addresses of Services of type LoadBalancer (`spec.loadBalancerIP`): which one they get, and when it changes."""

from __future__ import annotations

from functools import partial

from tests.box.cluster import Box, Object, address

USABLE = "198.19.200.1"
OTHER = "198.19.200.2"
OUTSIDE = "192.0.2.1"


def service(name: str, wanted: str | None = None) -> str:
    """A Service without Pods that wants the address."""
    line = f"loadBalancerIP: {wanted}" if wanted else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  type: LoadBalancer
  ports: [{{port: 80}}]
  {line}
"""


def has(wanted: str, it: Object) -> bool:
    return address(it) == wanted


def test_the_asked_address_is_given_and_follows_its_change(box: Box, namespace: str) -> None:
    """A Service gets the address that it asks for, and the next one when it asks for another."""
    for wanted in (USABLE, OTHER):
        box.apply(service("one", wanted), namespace)
        box.wait("service", "one", partial(has, wanted), namespace)


def test_a_taken_address_is_given_when_it_becomes_free(box: Box, namespace: str) -> None:
    """Who asks for an address that another has stays pending, and gets it when the other one asks for something else."""
    box.apply(service("holder", USABLE), namespace)
    box.wait("service", "holder", lambda it: address(it) == USABLE, namespace)
    box.apply(service("waiter", USABLE), namespace)
    box.apply(service("later"), namespace)
    box.wait("service", "later", lambda it: address(it) != "", namespace)  # so the one before it was looked at
    assert address(box.get("service", "waiter", namespace)) == ""
    box.apply(service("holder", OTHER), namespace)
    box.wait("service", "waiter", lambda it: address(it) == USABLE, namespace)
    box.wait("service", "holder", lambda it: address(it) == OTHER, namespace)


def test_an_address_outside_the_pool_is_never_given(box: Box, namespace: str) -> None:
    """Who asks for an address outside the pool stays pending; who had one gives it up."""
    box.apply(service("outside", OUTSIDE), namespace)
    box.apply(service("changing"), namespace)
    box.wait("service", "changing", lambda it: address(it) != "", namespace)
    box.apply(service("changing", OUTSIDE), namespace)
    box.wait("service", "changing", lambda it: address(it) == "", namespace)
    assert address(box.get("service", "outside", namespace)) == ""


def test_a_service_that_asks_no_more_keeps_what_it_has(box: Box, namespace: str) -> None:
    """Removing `spec.loadBalancerIP` changes no address."""
    box.apply(service("one", USABLE), namespace)
    box.wait("service", "one", lambda it: address(it) == USABLE, namespace)
    box.apply(service("one"), namespace)
    box.apply(service("later"), namespace)
    box.wait("service", "later", lambda it: address(it) != "", namespace)

    def asks_for_none(it: Object) -> bool:
        return "loadBalancerIP" not in it["spec"]

    assert address(box.wait("service", "one", asks_for_none, namespace)) == USABLE
