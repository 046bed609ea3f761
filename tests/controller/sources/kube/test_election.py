"""Holding a Lease of a real (scripted) API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from controller.sources.kube.client import Client
from controller.sources.kube.election import Election, Seat
from controller.sources.kube.lease import Terms
from controller.sources.kube.resources import RESOURCES
from tests.controller.sources.kube.cluster import run, serving
from tests.kubernetes_api import SILENCE, KubernetesApi, Value

LEASE = ("coordination.k8s.io", "leases")
SOON = Terms(duration=0.6, deadline=0.4, retry=0.01)


class Replica:
    """One that would lead, and what it says of it."""

    def __init__(self, client: Client, identity: str, terms: Terms) -> None:
        self.states: list[bool] = []
        self.problems: list[str] = []
        self._moved = asyncio.Event()
        self.election = Election(client, Seat("tidegate", "controller", identity), self._changed, self._problem, terms)

    def _changed(self, leads: bool) -> None:
        self.states.append(leads)
        self._moved.set()

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        self._moved.set()

    async def until(self, states: list[bool]) -> None:
        """Waits until it has been told these first; fails after ten seconds."""
        async with asyncio.timeout(10):
            while self.states[: len(states)] != states:
                self._moved.clear()
                await self._moved.wait()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.election.run())
            try:
                yield
            finally:
                task.cancel()


def lease(api: KubernetesApi) -> Value:
    spec: Value = api.objects[LEASE]["tidegate", "controller"]["spec"]
    return spec


def test_one_leads_and_gives_the_lease_back_at_its_end(tmp_path: Path) -> None:
    """The first one leads, writes the Lease for people too, and leaves it free at a clean end, after it has said that it stops."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            replica = Replica(client, "a", Terms())
            async with replica.running():
                await replica.until([True])
                assert replica.election.leading
                assert lease(api)["holderIdentity"] == "a"
                assert lease(api)["leaseDurationSeconds"] == 15
                assert lease(api)["renewTime"] >= lease(api)["acquireTime"]
            assert replica.states == [True, False]
            assert not replica.election.leading
            assert "holderIdentity" not in lease(api)
            assert not replica.problems

    run(scenario())


def test_another_follows_one_that_ends(tmp_path: Path) -> None:
    """A Lease that was given back is taken at the next look, long before its duration is over."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            terms = Terms(retry=0.01)
            first, second = Replica(client, "a", terms), Replica(client, "b", terms)
            async with AsyncExitStack() as life_of_first:
                await life_of_first.enter_async_context(first.running())
                await first.until([True])
                async with second.running():
                    looks = api.count("get", "leases")
                    await api.until(lambda: api.count("get", "leases") > looks + 4)
                    assert not second.states
                    await life_of_first.aclose()
                    await second.until([True])
                    assert lease(api)["holderIdentity"] == "b"
            assert first.states == [True, False]

    run(scenario())


@pytest.mark.slow
def test_another_follows_one_that_died(tmp_path: Path) -> None:
    """R10: the Lease of one that died without a word is taken once its duration is over."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "leaseTransitions": 4}
            metadata = {"namespace": "tidegate", "name": "controller"}
            api.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
            replica = Replica(client, "b", SOON)
            async with replica.running():
                await replica.until([True])
                assert lease(api)["holderIdentity"] == "b"
                assert lease(api)["leaseTransitions"] == 5

    run(scenario())


@pytest.mark.slow
def test_one_that_cannot_renew_stops(tmp_path: Path) -> None:
    """An API server that does not answer ends leading after the deadline, with one line that says why; when it answers, it leads again."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            replica = Replica(client, "a", SOON)
            async with replica.running():
                await replica.until([True])
                assert replica.election.in_touch
                api.fail("", "leases", SILENCE, times=1000)
                await replica.until([True, False])
                assert not replica.election.in_touch
                api.heal()
                await replica.until([True, False, True])
                assert replica.election.in_touch
            assert replica.problems[0].startswith("the Lease tidegate/controller is neither taken nor renewed: ")

    run(scenario())


def test_one_that_is_overwritten_stops(tmp_path: Path) -> None:
    """Another name on the Lease, however it came there, ends leading at the next look."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            replica = Replica(client, "a", Terms(retry=0.01))
            async with replica.running():
                await replica.until([True])
                stored = api.objects[LEASE]["tidegate", "controller"]
                api.put(stored | {"spec": lease(api) | {"holderIdentity": "b"}})
                await replica.until([True, False])
            assert lease(api)["holderIdentity"] == "b"

    run(scenario())


def test_refusals_are_told_with_their_remedy(tmp_path: Path) -> None:
    """Without the right to Leases nobody leads, and the missing rule is told once."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            api.fail("get", "leases", 403, times=3)
            replica = Replica(client, "a", Terms(retry=0.01))
            async with replica.running():
                await replica.until([True])
            (problem,) = replica.problems
            assert 'Allow verb "get" on resource "leases" of apiGroup "coordination.k8s.io"' in problem

    run(scenario())


def test_the_lease_is_a_resource_of_the_cluster() -> None:
    """Leases are namespaced objects of coordination.k8s.io/v1."""
    assert RESOURCES["Lease"].path("tidegate", "controller").endswith("/coordination.k8s.io/v1/namespaces/tidegate/leases/controller")
