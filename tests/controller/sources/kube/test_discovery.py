"""Which kinds a cluster serves, and in which version."""

from __future__ import annotations

from controller.api.kinds import VERSIONS
from controller.sources.kube.discovery import Discovery, chosen, to_ask

GATEWAY_API = "gateway.networking.k8s.io"


def served(**versions: str) -> dict[tuple[str, str], frozenset[str] | None]:
    """What each version of the Gateway API holds, plurals with spaces between; nothing else is served."""
    found: dict[tuple[str, str], frozenset[str] | None] = dict.fromkeys(to_ask())
    return found | {(GATEWAY_API, version): frozenset(plurals.split()) for version, plurals in versions.items()}


def test_the_preferred_version_of_those_served_is_read() -> None:
    """VERSIONS is the order of preference; a version that is not ours is not read."""
    both = chosen("TLSRoute", served(v1="tlsroutes", v1alpha3="tlsroutes"))
    assert both is not None
    assert both.version == "v1"
    older = chosen("TLSRoute", served(v1="httproutes", v1alpha3="tlsroutes", v1alpha2="tlsroutes"))
    assert older is not None
    assert older.version == "v1alpha3"
    assert chosen("GRPCRoute", served(v1beta1="grpcroutes")) is None


def test_kinds_of_kubernetes_are_always_there() -> None:
    """Services and the like are read without asking."""
    assert chosen("Service", {}) is not None
    assert chosen("EndpointSlice", {}) is not None
    istios = {"security.istio.io", "networking.istio.io"}
    assert {group for group, _ in to_ask()} == {GATEWAY_API, "gateway.networking.x-k8s.io", "tidegate.dev"} | istios


def test_a_kind_is_gone_when_it_is_missing_twice_in_a_row() -> None:
    """One answer without it, as of a server that has just started, changes nothing."""
    discovery = Discovery()
    discovery.note(served(v1="httproutes"))
    discovery.note(served())
    assert "HTTPRoute" in discovery.resources
    discovery.note(served(v1="httproutes"))
    discovery.note(served())
    assert "HTTPRoute" in discovery.resources
    discovery.note(served())
    assert "HTTPRoute" not in discovery.resources


def test_missing_kinds_are_told_once_with_the_versions_that_would_do() -> None:
    """All missing kinds in one line, once; told again only after they had been there."""
    discovery = Discovery()
    discovery.note(served(v1="httproutes"))
    text = discovery.untold()
    assert "TLSRoute (gateway.networking.k8s.io/v1, gateway.networking.k8s.io/v1alpha3, gateway.networking.k8s.io/v1alpha2)" in text
    assert "HTTPRoute (" not in text
    assert "Install the CRDs" in text
    assert discovery.untold() == ""
    for _ in range(2):
        discovery.note(served())
    assert " HTTPRoute (" in discovery.untold()


def test_everything_that_is_read_is_decided() -> None:
    """A cluster with every CRD in its preferred version gives a resource for each kind of VERSIONS."""
    discovery = Discovery()
    discovery.note({place: frozenset(_all_plurals()) for place in to_ask()})
    assert set(discovery.resources) == set(VERSIONS)


def _all_plurals() -> list[str]:
    from controller.sources.kube.resources import plural_of

    return [plural_of(kind) for kind in VERSIONS]
