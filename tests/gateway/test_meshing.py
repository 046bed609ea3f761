"""Workloads, our own identity and what they mean for endpoints, listeners and policies, on the live tables of a preparation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from gateway import draft, meshing
from gateway.guarding import selections
from gateway.ir.backend import Backend, BackendTls, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource, Batch
from gateway.ir.listener import Capture, ClientValidation, Gateway, Listener, TrustBundle
from gateway.ir.policy import AuthorizationPolicy, AuthorizationRule
from gateway.ir.value import Identity, Source
from gateway.ir.workload import IDENTITY, ROOTS, MutualTls, PeerAuthentication, Workload, WorkloadPort, mesh_scope
from gateway.live import Live
from gateway.net.mesh_tls import MeshTlsSettings
from gateway.preparation import Preparation
from gateway.proxy.core import Core
from tests.certificates import Authority

AUTHORITY = Authority()
SOURCE = Source("Pod", "shop", "x")
ROOT = TrustBundle(ROOTS, SOURCE, AUTHORITY.certificate)
WEB, DB = "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/db"
OWN = AUTHORITY.issue(WEB).resource(IDENTITY)
SCOPE = mesh_scope("shop")


def pod(
    name: str = "db-0",
    spiffe_id: str = DB,
    *addresses: str,
    mutual_tls: MutualTls = "Strict",
    ports: tuple[WorkloadPort, ...] = (),
    labels: tuple[tuple[str, str], ...] = (),
) -> Workload:
    return Workload(
        key=f"shop/{name}", source=SOURCE, addresses=addresses or ("10.0.0.1",), account="x", spiffe_id=spiffe_id, mutual_tls=mutual_tls,
        ports=ports, labels=labels,
    )  # fmt: skip


def placed(name: str, *places: tuple[str, int]) -> tuple[Backend, EndpointSet]:
    return Backend(key=name, source=SOURCE), EndpointSet(key=name, source=SOURCE, endpoints=tuple(Endpoint(*place) for place in places))


class Proxy:
    """The tables of a proxy, changed a batch at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workload: str = "") -> None:
        self.live = Live(Core(loop), workload)
        self._revision = 0

    def put(self, *resources: AnyResource, remove: tuple[Identity, ...] = ()) -> None:
        self._revision += 1
        preparation = Preparation(self.live, Batch(self._revision, resources, remove))
        for _ in preparation.steps():
            pass
        preparation.commit()
        for _ in preparation.release():
            pass

    def reached(self, backend: str = "b", place: tuple[str, int] = ("10.0.0.1", 80)) -> str:
        """The identity that an endpoint must prove; '' for plain."""
        settings = self.live.backends[backend].endpoints[place].plain.settings
        assert settings is self.live.core.mesh.settings(*place)
        return settings.spiffe_id if isinstance(settings, MeshTlsSettings) else ""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def proxy(loop: asyncio.AbstractEventLoop) -> Proxy:
    return Proxy(loop)


BACKEND = placed("b", ("10.0.0.1", 80))


@pytest.mark.parametrize("awake", [False, True])
@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([(OWN, ROOT, pod(), *BACKEND)], id="all at once"),
        pytest.param([(*BACKEND,), (pod(),), (OWN,), (ROOT,)], id="endpoint, workload, identity, roots"),
        pytest.param([(ROOT,), (OWN,), (*BACKEND,), (pod(),)], id="roots, identity, endpoint, workload"),
        pytest.param([(pod(),), (OWN, ROOT), (*BACKEND,)], id="workload, identity, endpoint"),
    ],
)
def test_the_order_of_what_comes_does_not_matter(batches: list[tuple[AnyResource, ...]], awake: bool, proxy: Proxy) -> None:
    """However it came about, the endpoint is reached by mutual TLS with the workload at its address, be it in use meanwhile or not."""
    for batch in batches:
        proxy.put(*batch)
        if awake and "b" in proxy.live.described:
            assert proxy.live.described["b"].usable
    assert proxy.reached() == DB


@pytest.mark.parametrize(
    ("workload", "identity"),
    [
        pytest.param(pod(), DB, id="strict"),
        pytest.param(pod(mutual_tls="Permissive"), DB, id="permissive"),
        pytest.param(pod(mutual_tls="Disable"), "", id="disabled"),
        pytest.param(pod(spiffe_id=""), "", id="without a sidecar"),
        pytest.param(pod("db-0", DB, "10.0.0.2"), "", id="elsewhere"),
        pytest.param(pod("db-0", DB, "10.0.0.2", "10.0.0.1"), DB, id="at another of its addresses"),
        pytest.param(pod(ports=(WorkloadPort(80, mutual_tls="Disable"),)), "", id="disabled at the port"),
        pytest.param(pod(ports=(WorkloadPort(81, mutual_tls="Disable"),)), DB, id="disabled at another port"),
        pytest.param(pod(ports=(WorkloadPort(80),), mutual_tls="Disable"), "", id="the workload's mode where the port says none"),
        pytest.param(pod(ports=(WorkloadPort(80, mutual_tls="Permissive"),), mutual_tls="Disable"), DB, id="permitted at the port"),
    ],
)
def test_who_is_reached_by_mutual_tls(workload: Workload, identity: str, proxy: Proxy) -> None:
    """An endpoint at the address of a workload with an identity, in a mode other than Disable at its port."""
    proxy.put(OWN, ROOT, workload, *BACKEND)
    assert proxy.reached() == identity


def test_a_backend_that_wakes_while_a_batch_is_prepared_learns_of_it(proxy: Proxy) -> None:
    """Its endpoints are made as the peers were before, and reached as they are from the commit on."""
    proxy.put(ROOT, OWN, *placed("shop/db:80", ("10.0.0.1", 80)))
    preparation = Preparation(proxy.live, Batch(2, (pod(),), ()))
    for _ in preparation.steps():
        pass
    (endpoint,) = proxy.live.described["shop/db:80"].usable
    assert endpoint.plain.settings is None
    preparation.commit()
    assert isinstance(endpoint.plain.settings, MeshTlsSettings)


def test_two_spellings_of_an_address_are_one(proxy: Proxy) -> None:
    """RFC 5952: what a file calls its endpoint need not be what the cluster calls its Pod."""
    proxy.put(OWN, ROOT, pod("db-0", DB, "fd00::1"), *placed("b", ("fd00:0::0001", 80)))
    assert proxy.reached("b", ("fd00:0::0001", 80)) == DB


def test_of_two_at_one_address_the_last_with_an_identity_counts(proxy: Proxy) -> None:
    """A Pod may have the address of one that is not known to be gone; and one without a sidecar never makes it plain."""
    proxy.put(OWN, ROOT, pod("a", WEB), *BACKEND)
    proxy.put(pod("b", DB))
    assert proxy.reached() == DB
    proxy.put(pod("c", ""))
    assert proxy.reached() == DB
    proxy.put(remove=(("Workload", "shop/b"),))
    assert proxy.reached() == WEB
    proxy.put(remove=(("Workload", "shop/a"),))
    assert proxy.reached() == ""
    assert list(proxy.live.workloads) == ["shop/c"]
    assert list(proxy.live.occupants) == ["10.0.0.1"]


def test_a_connection_is_for_one_identity(proxy: Proxy) -> None:
    """Another workload at the address, or another mode, has the pool renewed; nothing else does."""
    proxy.put(OWN, ROOT, pod(), *BACKEND)
    endpoint = proxy.live.backends["b"].endpoints["10.0.0.1", 80]
    pool = endpoint.plain
    proxy.put(pod(labels=(("app", "db"),)))
    proxy.put(pod("db-1", DB), remove=(("Workload", "shop/db-0"),))
    assert endpoint.plain is pool
    proxy.put(pod("db-1", WEB))
    assert endpoint.plain is not pool
    assert not pool.most
    assert endpoint.plain.most
    before = endpoint.plain
    proxy.put(pod("db-1", WEB, mutual_tls="Disable"))
    assert not before.most
    assert endpoint.plain.settings is None


def test_a_renewal_or_another_root_is_for_new_connections(proxy: Proxy) -> None:
    """Pools and settings stay, the context is another; a root that is taken away ends what it vouched for."""
    proxy.put(OWN, ROOT, pod(), *BACKEND)
    endpoint, more = proxy.live.backends["b"].endpoints["10.0.0.1", 80], Authority()
    pool, settings = endpoint.plain, endpoint.plain.settings
    assert settings is not None
    first = settings.context
    proxy.put(AUTHORITY.issue(WEB).resource(IDENTITY))
    second = settings.context
    assert second is not first
    proxy.put(TrustBundle(ROOTS, SOURCE, more.certificate + AUTHORITY.certificate))
    assert settings.context is not second
    assert endpoint.plain is pool
    assert endpoint.plain.settings is settings
    proxy.put(TrustBundle(ROOTS, SOURCE, more.certificate))
    assert not pool.most
    assert proxy.reached() == DB


def test_an_identity_that_is_gone_means_plain(proxy: Proxy) -> None:
    """And one that proves nothing is rejected, while that before goes on; as are roots that cannot be read."""
    proxy.put(OWN, ROOT, pod(), *BACKEND)
    proxy.put(AUTHORITY.issue("web.shop").resource(IDENTITY), TrustBundle(ROOTS, SOURCE, "no PEM"))
    assert "proves no identity of the mesh" in proxy.live.rejections["Certificate", IDENTITY]
    assert "roots of the mesh" in proxy.live.rejections["TrustBundle", ROOTS]
    assert proxy.reached() == DB
    proxy.put(remove=(("Certificate", IDENTITY),))
    assert proxy.reached() == ""


def test_one_context_serves_all_callees(proxy: Proxy) -> None:
    """Thousands of endpoints have one between them."""
    places = [(f"10.0.{number >> 8}.{number & 255}", 80) for number in range(600)]
    pods = [pod(f"db-{number}", DB, address) for number, (address, _) in enumerate(places)]
    proxy.put(*placed("b", *places))
    proxy.put(OWN, ROOT, *pods)
    assert len(pods) > draft.IN_PLACE == meshing.IN_PLACE
    settings = {id(endpoint.plain.settings) for endpoint in proxy.live.backends["b"].endpoints.values()}
    assert len(settings) == 1
    assert proxy.reached("b", places[-1]) == DB


def test_a_backend_with_tls_of_its_own_is_reached_by_that(proxy: Proxy) -> None:
    """BackendTLSPolicy comes before the mesh."""
    _, endpoints = BACKEND
    users = TrustBundle("shop/ca", SOURCE, AUTHORITY.certificate)
    proxy.put(OWN, ROOT, users, pod(), Backend(key="b", source=SOURCE, tls=BackendTls("db.test", ("shop/ca",))), endpoints)
    backend = proxy.live.backends["b"]
    settings = backend.settings(None)
    assert settings is not None
    assert settings.server_hostname == "db.test"
    assert backend.endpoints["10.0.0.1", 80].pool(settings).settings is settings


# what comes in


def captured(name: str, direction: str, mutual_tls: MutualTls = "Strict", gateway: str = SCOPE) -> Listener:
    demands = {} if mutual_tls == "Disable" else {"certificates": (IDENTITY,), "client_validation": ClientValidation((ROOTS,))}
    return Listener(
        key=f"{gateway}/{name}", source=SOURCE, gateway=gateway, name=name, address="::", port=80, bind_port=15006, location_port=80,
        protocol="HTTP", capture=Capture("Inbound" if direction == "Inbound" else "Outbound", mutual_tls=mutual_tls), **demands,
    )  # fmt: skip


def denying(name: str, *selector: tuple[str, str], targets: tuple[str, ...] = (SCOPE,)) -> AuthorizationPolicy:
    return AuthorizationPolicy(f"shop/{name}", SOURCE, targets, "DENY", (AuthorizationRule("0"),), selector)


def test_policies_of_a_namespace_guard_what_comes_in(loop: asyncio.AbstractEventLoop) -> None:
    """Never what goes out, though a consumer's listener is of the same scope; and those with a selector by the labels of our own Pod."""
    proxy = Proxy(loop, "shop/web-0")
    inbound, outbound = captured("inbound/80", "Inbound"), captured("db:80", "Outbound", "Disable")
    proxy.put(OWN, ROOT, inbound, outbound, denying("web", ("app", "web")))
    listeners = proxy.live.listeners

    def holds(words: str) -> bool:
        """Whether there is a Guard, and `explain` says these words of the policy."""
        (note,) = selections(proxy.live, listeners[inbound.key])
        assert words in note
        return listeners[inbound.key].guard is not None

    assert listeners[outbound.key].guard is None
    assert selections(proxy.live, listeners[outbound.key]) == ()
    assert holds("until the labels of this one are known")
    proxy.put(pod("web-0", WEB, labels=(("app", "api"),)))
    assert not holds("does not hold: it is for workloads with app=web, and this one has no app=web")
    proxy.put(pod("other", WEB, labels=(("app", "web"),)))
    assert not holds("does not hold")
    proxy.put(pod("web-0", WEB, labels=(("app", "web"), ("tier", "front"))))
    assert holds("holds: it is for workloads with app=web")
    assert listeners[outbound.key].guard is None
    proxy.put(remove=(("Workload", "shop/web-0"),))
    assert holds("until the labels")


def test_what_callers_must_prove_is_told_by_the_policies_that_say_so(loop: asyncio.AbstractEventLoop) -> None:
    """They come with the scope of the namespace, and hold by the labels of our own Pod."""
    proxy = Proxy(loop, "shop/web-0")
    inbound = captured("inbound/80", "Inbound")
    policies = (PeerAuthentication("shop/strict", "Strict", (("app", "web"),)), PeerAuthentication("shop/all", "Permissive"))
    proxy.put(OWN, ROOT, inbound, Gateway(SCOPE, SOURCE, peer_authentications=policies), pod("web-0", WEB, labels=(("app", "web"),)))
    assert selections(proxy.live, proxy.live.listeners[inbound.key]) == (
        "PeerAuthentication shop/strict holds: it is for workloads with app=web",
        "PeerAuthentication shop/all does not hold: PeerAuthentication shop/strict comes before it",
    )


def test_a_selector_is_nothing_to_a_gateway(proxy: Proxy) -> None:
    """A policy for a Gateway holds at its listeners, whatever else it says."""
    plain = Listener(
        key="shop/edge/http", source=SOURCE, gateway="shop/edge", name="http", address="::", port=80, bind_port=80, location_port=80,
        protocol="HTTP",
    )  # fmt: skip
    proxy.put(plain, denying("web", ("app", "web"), targets=("shop/edge",)))
    assert proxy.live.listeners["shop/edge/http"].guard is not None


def test_a_listener_of_the_mesh_stays_closed_without_an_identity(proxy: Proxy) -> None:
    """It says what is missing, and opens when that comes."""
    listener = captured("inbound/80", "Inbound")
    proxy.put(listener)
    assert "no identity of its own yet" in proxy.live.rejections["Listener", listener.key]
    proxy.put(OWN, ROOT)
    assert not proxy.live.rejections
    assert listener.key in proxy.live.listeners


MORE = Authority()
TWO = TrustBundle(ROOTS, SOURCE, AUTHORITY.certificate + MORE.certificate)


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        pytest.param((ROOT, "Strict"), (ROOT, "Strict"), True, id="nothing"),
        pytest.param((ROOT, "Strict"), (TWO, "Strict"), True, id="a root more"),
        pytest.param((TWO, "Strict"), (ROOT, "Strict"), False, id="a root less"),
        pytest.param((ROOT, "Permissive"), (ROOT, "Strict"), False, id="stricter"),
        pytest.param((ROOT, "Strict"), (ROOT, "Permissive"), True, id="less strict"),
        pytest.param((ROOT, "Disable"), (ROOT, "Permissive"), True, id="permitted now"),
        pytest.param((ROOT, "Disable"), (ROOT, "Strict"), False, id="demanded now"),
        pytest.param((ROOT, "Permissive"), (ROOT, "Disable"), True, id="not asked for any more"),
    ],
)
def test_what_was_accepted_is_served_on_where_it_would_be_accepted_again(
    before: tuple[TrustBundle, MutualTls], after: tuple[TrustBundle, MutualTls], stays: bool, proxy: Proxy
) -> None:
    """Roots that are added and a certificate that is renewed end nothing; what a removed root vouched for, and what came in plain where
    that is allowed no longer, is drained."""
    proxy.put(OWN, before[0], captured("inbound/80", "Inbound", before[1]))
    accepted = proxy.live.listeners[f"{SCOPE}/inbound/80"]
    proxy.put(AUTHORITY.issue(WEB).resource(IDENTITY), after[0], captured("inbound/80", "Inbound", after[1]))
    assert accepted.replaced_by(proxy.live.listeners[accepted.key]) is stays


def test_what_is_outside_the_mesh_is_spoken_to_in_plain(proxy: Proxy) -> None:
    """Backend.external: whoever is at an address, before the Backend comes or after it, and where its clients were going."""
    described, endpoints = placed("b", ("10.0.0.1", 80))
    elsewhere = Backend("e", SOURCE, original_destination="Elsewhere", external=True)
    proxy.put(replace(described, external=True), endpoints, elsewhere, pod(), OWN, ROOT)
    assert proxy.live.backends["b"].endpoints["10.0.0.1", 80].plain.settings is None
    made = proxy.live.backends["e"].destinations
    assert made is not None
    assert made.endpoint("10.0.0.1", 80).plain.settings is None
    proxy.put(pod("db-0", WEB))
    assert proxy.live.backends["b"].endpoints["10.0.0.1", 80].plain.settings is None
    assert made.endpoint("10.0.0.1", 80).plain.settings is None
    proxy.put(described)
    assert proxy.reached() == WEB


def test_a_workload_must_be_one_of_the_identities_that_a_backend_names(proxy: Proxy) -> None:
    """Backend.identities (ServiceEntry.subjectAltNames): another one is asked for what it cannot prove, and who has no proxy for none."""
    described, endpoints = placed("b", ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80))
    proxy.put(replace(described, identities=("spiffe://x/a", DB)), endpoints, OWN, ROOT)
    proxy.put(pod(), pod("web-0", WEB, "10.0.0.2"), pod("old-0", "", "10.0.0.3"))

    def demanded() -> list[str]:
        settings = [endpoint.plain.settings for endpoint in proxy.live.backends["b"].endpoints.values()]
        return [each.spiffe_id if isinstance(each, MeshTlsSettings) else "" for each in settings]

    assert demanded() == [DB, "spiffe://x/a", ""]
    proxy.put(described)
    assert demanded() == [DB, WEB, ""]
