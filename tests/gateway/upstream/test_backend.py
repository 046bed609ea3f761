"""What a live backend takes of its options, and options that it refuses."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from gateway.ir.backend import Backend as BackendResource
from gateway.ir.backend import BackendOptions, Balancing, Endpoint, EndpointSet, HealthCheck, Limits, RetryBudget
from gateway.ir.rule import Persistence
from gateway.ir.value import Source
from gateway.proxy.core import Core
from gateway.upstream.backend import Backend, check_options
from gateway.upstream.balancing import LeastRequest, RoundRobin, WeightedRoundRobin
from gateway.upstream.hash_balancing import HashBalancer
from gateway.upstream.lease import Lease

SOURCE = Source("Service", "a", "b")
SECRET = b"0123456789abcdef"


@pytest.fixture
def core() -> Iterator[Core]:
    loop = asyncio.new_event_loop()
    yield Core(loop)
    loop.close()


def described(core: Core, options: BackendOptions, *weights: int) -> Backend:
    backend = Backend("a/b:80", core)
    backend.place(EndpointSet("a/b:80", SOURCE, tuple(Endpoint(f"10.0.0.{place}", 80, weight) for place, weight in enumerate(weights))))
    backend.describe(BackendResource("a/b:80", SOURCE, options=options), None)
    return backend


@pytest.mark.parametrize(
    ("options", "weights", "balancer", "guarded"),
    [
        (BackendOptions(), (1, 1), RoundRobin, False),
        (BackendOptions(), (1, 2), WeightedRoundRobin, False),
        (BackendOptions(balancing=Balancing("LeastRequest")), (1, 1), LeastRequest, True),
        (BackendOptions(balancing=Balancing("RingHash")), (1, 1), HashBalancer, True),
        (BackendOptions(balancing=Balancing("Maglev")), (1, 2), HashBalancer, True),
        (BackendOptions(limits=Limits(requests=1)), (1, 1), RoundRobin, True),
        (BackendOptions(limits=Limits(connections=1)), (1, 1), RoundRobin, False),
        (BackendOptions(retry_budget=RetryBudget()), (1, 1), RoundRobin, True),
        (BackendOptions(persistence=Persistence("Cookie", "a")), (1, 1), RoundRobin, True),
        (BackendOptions(health_check=HealthCheck()), (1, 1), RoundRobin, False),
    ],
)
def test_only_what_is_asked_for_costs(core: Core, options: BackendOptions, weights: tuple[int, ...], balancer: type, guarded: bool) -> None:
    """Requests to a backend take the short way unless an option of it needs another."""
    backend = described(core, options, *weights)
    assert isinstance(backend.balancer, balancer)
    assert backend.guarded == guarded
    assert len(backend.balancer.candidates) == 2
    backend.close()


def test_a_backend_sleeps_until_somebody_looks(core: Core) -> None:
    """Descriptions and endpoints that come meanwhile are only kept, and the last of them count."""
    backend = Backend("a/b:80", core)
    for address in ("10.0.0.1", "10.0.0.2"):
        backend.place(EndpointSet("a/b:80", SOURCE, (Endpoint(address, 80),)))
        backend.describe(BackendResource("a/b:80", SOURCE, protocol="h2c"), None)
    backend.age(1)
    assert (backend.asleep, backend.error) == (True, None)
    assert [endpoint.address for endpoint in backend.usable] == ["10.0.0.2"]
    assert (backend.asleep, backend.connections.protocol) == (False, "h2c")
    with pytest.raises(AttributeError):
        backend.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_what_has_work_to_do_does_not_sleep(core: Core) -> None:
    """Health is checked before the first request comes."""
    backend = described(core, BackendOptions(health_check=HealthCheck()), 1)
    assert not backend.asleep
    backend.close()


def test_speaking_what_the_client_speaks_costs_nothing_in_http1(core: Core) -> None:
    """Backend.protocol client: only a request of HTTP/2 needs to be told where its connections are."""
    backend = described(core, BackendOptions(), 1, 1)
    backend.describe(BackendResource("a/b:80", SOURCE, protocol="client"), None)
    assert (backend.guarded, backend.by_version) == (False, True)
    backend.describe(BackendResource("a/b:80", SOURCE), None)
    assert (backend.guarded, backend.by_version) == (False, False)


def test_options_that_stay_keep_their_state(core: Core) -> None:
    """A changed option does not begin the others anew."""
    backend = described(core, BackendOptions(balancing=Balancing("Maglev"), retry_budget=RetryBudget()), 1, 1)
    before = backend.balancer, backend.budget
    backend.describe(BackendResource("a/b:80", SOURCE, options=BackendOptions(Balancing("Maglev"), 1, retry_budget=RetryBudget())), None)
    assert (backend.balancer, backend.budget) == before
    backend.describe(BackendResource("a/b:80", SOURCE), None)
    assert isinstance(backend.balancer, RoundRobin)
    assert (backend.budget, backend.guarded) == (None, False)


def test_a_lease_counts_once_and_is_released_once(core: Core) -> None:
    """However often it is released."""
    backend = described(core, BackendOptions(balancing=Balancing("LeastRequest")), 1, 1)
    endpoint = backend.balancer.candidates[0]
    one, other = Lease(backend, endpoint), Lease(backend, endpoint)
    assert (backend.active, endpoint.active) == (2, 2)
    for _ in range(3):
        one.release()
    assert (backend.active, endpoint.active) == (1, 1)
    other.release()
    assert (backend.active, endpoint.active) == (0, 0)


def test_a_backend_that_is_gone_leaves_nothing(core: Core) -> None:
    """Once rules and tables let go of it, it is freed at once, its timers with it."""
    backend = described(core, BackendOptions(balancing=Balancing("Maglev"), health_check=HealthCheck()), 1, 1)
    endpoint = backend.balancer.candidates[0]
    backend.protection.connect_failed(endpoint, "refused")
    assert set(backend.protection.suspects) == {endpoint}
    seen = ref(backend)
    backend.place(None)
    backend.describe(None, None)
    backend.close()
    gc.disable()
    try:
        del backend
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (BackendOptions(balancing=Balancing("Maglev", table_size=1024)), "tableSize"),
        (BackendOptions(balancing=Balancing("RingHash", table_size=1)), "tableSize"),
        (BackendOptions(balancing=Balancing("RingHash", table_size=100_000)), "tableSize"),
        (BackendOptions(limits=Limits(connections=0)), "limits.connections"),
        (BackendOptions(limits=Limits(requests=-1)), "limits"),
        (BackendOptions(persistence=Persistence("Cookie", "a b")), "sessionPersistence"),
    ],
)
def test_options_that_cannot_be(options: BackendOptions, field: str) -> None:
    """A stream may bring anything: what no backend can have rejects the Backend, and is named."""
    with pytest.raises(ValueError, match=field):
        check_options(options, SECRET)


@pytest.mark.parametrize("size", [0, 67, 16_381, 65_537])
def test_options_that_can_be(size: int) -> None:
    """Primes for Maglev, and none set."""
    check_options(BackendOptions(balancing=Balancing("Maglev", table_size=size)), SECRET)


def test_where_nobody_is_served_a_table_is_built_when_it_is_asked_for(core: Core) -> None:
    """So that `explain` from files knows the endpoint of a key."""
    balancer = described(core, BackendOptions(balancing=Balancing("Maglev")), 1, 1, 1)
    other = described(core, BackendOptions(balancing=Balancing("Maglev")), 1, 1, 1)
    assert balancer.is_settled()
    assert other.is_settled()
    for key in range(50):
        one, two = balancer.balancer.pick(key=key), other.balancer.pick(key=key)
        assert one is not None
        assert two is not None
        assert one.label == two.label
