"""Proof by random histories that each scope holds exactly what computing from nothing gives, and nothing that it does not need."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.scopes import Division, Scopes
from gateway.ir.backend import Backend, BackendTls, EndpointSet
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.filters import AnyFilter, ExternalAuth, RequestMirror
from gateway.ir.listener import Certificate, ClientValidation, Gateway, Listener, Secret, TrustBundle
from gateway.ir.policy import AuthorizationPolicy, RequestAuthentication
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule, UdpRule
from gateway.ir.value import Identity, Source
from gateway.ir.workload import SHARED, Workload

SOURCE = Source("Service", "a", "s")
GATEWAYS = ("a/one", "a/two", "a/@mesh", "b/@mesh")
PLACES = (*GATEWAYS, SHARED)
"""What listeners belong to: SHARED is shown to all namespaces of the mesh, and is none itself."""
BACKENDS, SECRETS, BUNDLES = ("w", "x"), ("s", "t"), ("c", "d")

Held = dict[Identity, AnyResource]
Change = tuple[list[AnyResource], list[Identity]]


def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), max_size=2).map(tuple)


def listeners() -> st.SearchStrategy[Listener]:
    def made(gateway: str, name: str, certificates: tuple[str, ...], bundles: tuple[str, ...]) -> Listener:
        validation = ClientValidation(bundles) if bundles else None
        return Listener(f"{gateway}/{name}", SOURCE, gateway, name, "::", 80, 80, 80, "HTTPS", "", "Terminate", certificates, validation)

    return st.builds(made, st.sampled_from(PLACES), st.sampled_from(("web", "set/n/web")), some(SECRETS), some(BUNDLES))


def filters() -> st.SearchStrategy[tuple[AnyFilter, ...]]:
    backends = st.sampled_from(BACKENDS)
    return st.lists(st.builds(RequestMirror, backends) | st.builds(ExternalAuth, backends), max_size=2).map(tuple)


def bindings() -> st.SearchStrategy[tuple[Binding, ...]]:
    names = st.builds("{}/{}".format, st.sampled_from(PLACES), st.sampled_from(("web", "set/n/web")))
    return st.lists(names, max_size=3, unique=True).map(lambda found: tuple(Binding(name, ("",)) for name in found))


def references() -> st.SearchStrategy[tuple[BackendRef, ...]]:
    return st.lists(st.builds(BackendRef, st.sampled_from(("", *BACKENDS)), filters=filters()), max_size=2).map(tuple)


def resources() -> st.SearchStrategy[AnyResource]:
    key = st.sampled_from(("1", "2"))
    source, route, index = st.just(SOURCE), st.just("a/r"), st.just(0)
    text = st.sampled_from(("first", "second"))
    return st.one_of(
        st.builds(Gateway, st.sampled_from(GATEWAYS), source, st.none() | st.sampled_from(SECRETS)),
        listeners(),
        st.builds(AuthorizationPolicy, key, source, some(GATEWAYS)),
        st.builds(RequestAuthentication, key, source, some(GATEWAYS)),
        st.builds(Certificate, st.sampled_from(SECRETS), source, text, st.just(Secret("key")), text),
        st.builds(TrustBundle, st.sampled_from(BUNDLES), source, text),
        st.builds(HttpRule, key, source, route, index, bindings(), filters=filters(), backends=references()),
        st.builds(TcpRule, key, source, route, index, bindings(), backends=references()),
        st.builds(UdpRule, key, source, route, index, bindings(), backends=references()),
        st.builds(Backend, st.sampled_from(BACKENDS), source, tls=st.none() | st.builds(BackendTls, text, some(BUNDLES)), error=text),
        st.builds(EndpointSet, st.sampled_from(BACKENDS), source),
        st.builds(Workload, key, source, st.just(("10.0.0.1",)), text),
    )


RESOURCES = resources()
IDENTITIES = tuple(
    (kind, key)
    for kinds, keys in (
        (("Gateway",), GATEWAYS),
        (("Listener",), tuple(f"{gateway}/web" for gateway in PLACES)),
        (("Backend", "EndpointSet"), BACKENDS),
        (("Certificate",), SECRETS),
        (("TrustBundle",), BUNDLES),
        (("HttpRule", "TcpRule", "UdpRule", "AuthorizationPolicy", "RequestAuthentication", "Workload"), ("1", "2")),
    )
    for kind in kinds
    for key in keys
)


def changes() -> st.SearchStrategy[Change]:
    return st.tuples(st.lists(RESOURCES, max_size=8), st.lists(st.sampled_from(IDENTITIES), max_size=4))


def from_nothing(held: Held, scope: str) -> Held:
    """What a scope is to hold, as the words of the contract say it: no counts, no differences."""
    if ("Gateway", scope) not in held:
        return {}
    found: Held = {}
    places = (scope, SHARED) if scope.endswith("/@mesh") else (scope,)
    for identity, resource in held.items():
        match resource:
            case Gateway(key=key) if key == scope:
                found[identity] = resource
            case Listener(gateway=key) if key in places:
                found[identity] = resource
            case Workload():
                found[identity] = resource
            case AuthorizationPolicy(targets=targets) | RequestAuthentication(targets=targets):
                if scope in targets:
                    found[identity] = msgspec.structs.replace(resource, targets=(scope,))
            case HttpRule() | TcpRule() | UdpRule():
                beginnings = tuple(f"{place}/" for place in places)
                mine = tuple(binding for binding in resource.bindings if binding.listener.startswith(beginnings))
                if mine:
                    found[identity] = msgspec.structs.replace(resource, bindings=mine)
            case _:
                pass
    for resource in tuple(found.values()):
        for backend in (held[name] for name in backends_of(resource) if name in held):
            assert isinstance(backend, Backend)
            add(found, held, backend.identity, ("EndpointSet", backend.key))
            add(found, held, *(("TrustBundle", key) for key in (backend.tls.trust_bundles if backend.tls else ())))
        match resource:
            case Gateway():
                add(found, held, ("Certificate", resource.client_certificate or ""))
            case Listener():
                add(found, held, *(("Certificate", key) for key in resource.certificates))
                add(found, held, *(("TrustBundle", key) for key in getattr(resource.client_validation, "trust_bundles", ())))
            case _:
                pass
    return found


def backends_of(resource: AnyResource) -> Iterable[Identity]:
    references: tuple[BackendRef, ...] = getattr(resource, "backends", ())
    filters = (*getattr(resource, "filters", ()), *(filter for reference in references for filter in reference.filters))
    return {("Backend", key) for key in (*(filter.backend for filter in filters), *(reference.backend for reference in references))}


def add(found: Held, held: Held, *identities: Identity) -> None:
    found.update({identity: held[identity] for identity in identities if identity in held})


def follow(followers: dict[str, Held], division: Division) -> None:
    """Everyone sees only differences, and each of these is one."""
    for scope in division.closed:
        del followers[scope]
    for scope, change in division.opened.items():
        assert scope not in followers
        assert not change.remove
        followers[scope] = {resource.identity: resource for resource in change.set}
    for scope, change in division.changed.items():
        assert change.set or change.remove
        for identity in change.remove:
            del followers[scope][identity]
        for resource in change.set:
            assert followers[scope].get(resource.identity) != resource
            followers[scope][resource.identity] = resource
    for change in (*division.opened.values(), *division.changed.values()):
        assert change.set == in_order(change.set)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(changes(), max_size=6))
def test_differences_add_up_to_what_computing_from_nothing_gives(history: list[Change]) -> None:
    """After each change every scope holds what it needs and nothing else, and without resources nothing is remembered."""
    scopes, followers, held = Scopes(), dict[str, Held](), Held()
    for set_, remove in history:
        follow(followers, scopes.change(set_, remove))
        held = {identity: resource for identity, resource in held.items() if identity not in remove}
        held |= {resource.identity: resource for resource in set_}
        for scope in GATEWAYS:
            expected = from_nothing(held, scope)
            assert followers.get(scope, {}) == expected
            assert {resource.identity: resource for resource in scopes.content(scope)} == expected
    follow(followers, scopes.change((), list(held)))
    assert not followers
    assert set(scopes.sizes().values()) == {0}
