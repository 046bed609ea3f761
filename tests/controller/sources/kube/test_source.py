"""The objects of a cluster as changes: from the first to whatever the server does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.api.kinds import MESH_ALONE, VERSIONS
from controller.sources.kube.access import Access
from controller.sources.kube.client import Client
from controller.sources.kube.resources import read_as
from controller.sources.kube.shelf import Held, Shelf
from tests.controller.sources.kube.cluster import (
    EVERY,
    ROUTE,
    SOON,
    config_map,
    following,
    gateway_class,
    namespace,
    only,
    route,
    run,
    secret,
    service,
    serving,
)
from tests.kubernetes_api import CUT, KubernetesApi

GROUP, PLURAL = ROUTE.group, ROUTE.plural
NOTHING: tuple[list[str], list[str]] = ([], [])


def test_the_first_change_holds_everything(tmp_path: Path) -> None:
    """Objects of all kinds come in one change, after every kind is listed; then each difference."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            for raw in (gateway_class("c"), namespace("shop"), route("r"), service("s"), secret("t"), config_map("m", ca_crt="x")):
                api.put(raw)
            assert await follower.names() == (["c", "m", "r", "s", "shop", "t"], [])
            assert {asked.place[2] for asked in api.asked if asked.verb == "list"} == {plural for _, _, plural, _ in EVERY}
            api.put(route("r", "/new"))
            assert await follower.names() == (["r"], [])
            api.remove("", "services", "shop", "s")
            assert await follower.names() == ([], ["s"])
            assert not follower.told

    run(scenario())


def test_without_a_mesh_nothing_of_it_is_asked_for(tmp_path: Path) -> None:
    """Pods and the kinds of a mesh are neither listed nor told of as missing where nobody has a use for them."""

    async def scenario() -> None:
        kinds = only("HTTPRoute", "GatewayClass")
        async with serving(tmp_path, kinds=kinds) as (api, client), following(client, without=MESH_ALONE) as follower:
            assert await follower.names() == NOTHING
            told = await follower.hears("does not serve")
            assert not [kind for kind in MESH_ALONE if kind in told]
            assert not {read_as(kind, VERSIONS[kind][0]).plural for kind in MESH_ALONE} & {asked.place[2] for asked in api.asked}

    run(scenario())


def test_a_cluster_without_objects_is_a_change_too(tmp_path: Path) -> None:
    """The first change comes even when it is empty: there is nothing, and that is known."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            assert await follower.names() == NOTHING
            api.put(route("r"))
            assert await follower.names() == (["r"], [])

    run(scenario())


def test_what_waits_is_one_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that nobody has taken yet become one; nothing is held back to make it so."""

    all_came = asyncio.Event()
    came = 0
    take = Shelf.take

    def note(shelf: Shelf, raw: dict[str, Any]) -> None:
        nonlocal came
        take(shelf, raw)
        came += 1
        if came == 40:
            all_came.set()

    monkeypatch.setattr(Shelf, "take", note)

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            await follower.next()
            await api.until(lambda: api.watching(PLURAL) == 1 and api.watching("services") == 1)
            for number in range(20):
                api.put(route("r", f"/{number}"))
                api.put(service(f"s{number}"))
            async with asyncio.timeout(10):
                await all_came.wait()
            change = await follower.next()
            assert len(change.puts) == 21

    run(scenario())


def test_only_secrets_of_certificates_are_asked_for(tmp_path: Path) -> None:
    """Secrets are listed and watched by the field selector type=kubernetes.io/tls: others never reach this process."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            api.put(secret("certificate"))
            api.put(secret("password", "Opaque"))
            assert await follower.names() == (["certificate"], [])
            await api.until(lambda: api.watching("secrets") == 1)
            asked = [each for each in api.asked if each.place[2] == "secrets"]
            assert {each.query["fieldSelector"] for each in asked} == {"type=kubernetes.io/tls"}

    run(scenario())


def test_a_server_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """Without an API server the first change waits, that is told once with the address, and its coming back too."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, _):
            access = Access(api.kubeconfig(tmp_path))
            url = api.url
        async with Client(access, SOON) as client, following(client) as follower:
            waiting = asyncio.get_running_loop().create_task(follower.next())
            assert url in await follower.hears("is not reached")
            async with serving(tmp_path) as (api, _):
                api.put(route("r"))
                api.kubeconfig(tmp_path)
                access.expire()
                change = await waiting
                assert [put.name for put in change.puts] == ["r"]
                assert len([text for text in follower.told if "is not reached" in text]) == 1
                await follower.hears("the API server answers again")

    run(scenario())


def test_a_kind_that_cannot_be_listed_keeps_the_first_change_waiting(tmp_path: Path) -> None:
    """A missing RBAC rule is told with its remedy; until it is there nothing partial is told, which would withdraw what proxies have."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            api.put(route("r"))
            fault = api.fail("list", "referencegrants", 403, times=10_000)
            waiting = asyncio.get_running_loop().create_task(follower.next())
            text = await follower.hears("referencegrants")
            assert 'Allow verb "list" on resource "referencegrants" of apiGroup "gateway.networking.k8s.io"' in text
            await api.until(lambda: api.count("list", "referencegrants") > 3)
            assert not waiting.done()
            fault.times = 0
            assert [put.name for put in (await waiting).puts] == ["r"]
            assert len(follower.told) == 1

    run(scenario())


def test_kinds_that_are_not_served_are_told_once_and_read_when_they_come(tmp_path: Path) -> None:
    """Without a CRD its kind is not asked for; once it is installed its objects come, without a restart."""

    async def scenario() -> None:
        async with serving(tmp_path, kinds=only("HTTPRoute", "Gateway")) as (api, client), following(client) as follower:
            assert await follower.names() == NOTHING
            (told,) = follower.told
            assert "TCPRoute" in told
            assert "HTTPRoute (" not in told
            assert not api.count("list", "tcproutes")
            api.kinds[GROUP, "v1", "tcproutes"] = "TCPRoute"
            raw = {"apiVersion": f"{GROUP}/v1", "kind": "TCPRoute", "metadata": {"name": "t", "namespace": "shop"}}
            api.put(raw | {"spec": {"rules": [{"backendRefs": [{"name": "s", "port": 1}]}]}})
            assert await follower.names() == (["t"], [])

    run(scenario())


def test_a_crd_that_is_deleted_takes_its_objects_along(tmp_path: Path) -> None:
    """The kind is not served any more, twice in a row: its objects are gone. All others stay."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            api.put(route("r"))
            api.put(service("s"))
            await follower.next()
            del api.kinds[GROUP, "v1", PLURAL]
            api.end_watches(PLURAL)
            assert await follower.names() == ([], ["r"])
            await follower.hears("HTTPRoute (")
            assert follower.source.held(("HTTPRoute", "shop", "r")) is None

    run(scenario())


def test_a_better_version_that_is_served_later_is_moved_to(tmp_path: Path) -> None:
    """CRDs are upgraded under us: objects are read in the new version, and none is removed in between."""

    async def scenario() -> None:
        older = tuple(each if each[3] != "TLSRoute" else (each[0], "v1alpha3", *each[2:]) for each in EVERY)
        async with serving(tmp_path, kinds=older) as (api, client), following(client) as follower:
            spec = {"hostnames": ["a.example"], "rules": [{"backendRefs": [{"name": "s", "port": 1}]}]}
            raw = {"apiVersion": f"{GROUP}/v1alpha3", "kind": "TLSRoute", "metadata": {"name": "t", "namespace": "shop"}, "spec": spec}
            api.put(raw)
            assert await follower.names() == (["t"], [])
            api.kinds[GROUP, "v1", "tlsroutes"] = "TLSRoute"
            change = await follower.next()
            assert [(put.name, put.api_version) for put in change.puts] == [("t", f"{GROUP}/v1")]
            assert change.removes == ()

    run(scenario())


def test_a_namespaced_controller_asks_for_its_namespaces_alone(tmp_path: Path) -> None:
    """One watch a namespace for kinds that have one; GatewayClasses and Namespaces of the whole cluster."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client, ("shop", "blog")) as follower:
            for raw in (gateway_class("c"), namespace("shop"), route("r"), route("b", namespace="blog"), route("x", namespace="other")):
                api.put(raw)
            assert await follower.names() == (["b", "c", "r", "shop"], [])
            lists = {(asked.place[2], asked.namespace) for asked in api.asked if asked.verb == "list"}
            resources = [read_as(kind, versions[0]) for kind, versions in VERSIONS.items()]
            expected = {(each.plural, place) for each in resources for place in (("shop", "blog") if each.namespaced else ("",))}
            assert lists == expected
            api.remove(GROUP, PLURAL, "blog", "b")
            assert await follower.names() == ([], ["b"])
            assert follower.source.held(("HTTPRoute", "shop", "r")) is not None

    run(scenario())


def test_a_namespaced_controller_goes_on_without_kinds_of_the_cluster(tmp_path: Path) -> None:
    """Not permitted to list GatewayClasses or Namespaces: told once with the remedy, the rest is read."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client, ("shop",)) as follower:
            api.fail("list", "namespaces", 403, times=10_000)
            api.fail("list", "gatewayclasses", 403, times=10_000)
            api.put(route("r"))
            assert await follower.names() == (["r"], [])
            assert sorted("ClusterRole" in text for text in follower.told) == [True, True]
            await api.until(lambda: api.count("list", "namespaces") > 3)
            assert len(follower.told) == 2

    run(scenario())


def test_what_the_server_holds(tmp_path: Path) -> None:
    """held gives uid, resourceVersion, generation and status as of the last event, also one that changed only these."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            stored = api.put(route("r"))
            await follower.next()
            key = ("HTTPRoute", "shop", "r")
            metadata = stored["metadata"]
            assert follower.source.held(key) == Held(metadata["uid"], metadata["resourceVersion"], 1, {})
            status = {"parents": [{"controllerName": "x"}]}
            newer = await client.patch(ROUTE, "shop", "r", {"status": status}, "status")
            api.put(route("other"))
            assert await follower.names() == (["other"], [])
            assert follower.source.held(key) == Held(metadata["uid"], newer["metadata"]["resourceVersion"], 1, status)
            assert follower.source.held(("HTTPRoute", "shop", "none")) is None

    run(scenario())


def test_refusals_are_told_with_the_rest(tmp_path: Path) -> None:
    """An object that our model refuses is in the change as a refusal; readable again, its key is."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            bad = route("bad")
            bad["spec"]["newer"] = 1
            api.put(bad)
            api.put(route("r"))
            change = await follower.next()
            assert [put.name for put in change.puts] == ["r"]
            assert [refusal.problem.partition(": ")[0] for refusal in change.refusals] == ["spec.newer"]
            api.put(route("bad"))
            change = await follower.next()
            assert ([put.name for put in change.puts], change.readable) == (["bad"], (("HTTPRoute", "shop", "bad"),))

    run(scenario())


@pytest.mark.parametrize("fault", [500, 429, CUT])
def test_an_outage_changes_nothing(tmp_path: Path, fault: Any) -> None:
    """Every request fails for a while, watches and discovery too: nothing is told but the trouble, and then what happened meanwhile."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            api.put(route("r"))
            api.put(route("gone"))
            await follower.next()
            api.fail("", "", fault, times=100_000)
            api.forget(GROUP, PLURAL, "shop", "gone")
            api.put(service("s"))
            asked = len(api.asked)
            api.compact()
            api.end_watches()
            waiting = asyncio.get_running_loop().create_task(follower.next())
            await api.until(lambda: len(api.asked) > asked + 200)
            told = [change.result() for change in (waiting,) if change.done()]
            assert not [change for change in told if change.removes]
            api.heal()
            puts, removes = [], []
            while not (puts and removes):
                change = await waiting
                puts += [put.name for put in change.puts]
                removes += [name for _, _, name in change.removes]
                waiting = asyncio.get_running_loop().create_task(follower.next()) if not (puts and removes) else waiting
            assert (puts, removes) == (["s"], ["gone"])

    run(scenario())


def test_readings_are_there_for_metrics(tmp_path: Path) -> None:
    """Of each list and watch: objects, refusals, lists, watches, failures, and seconds since the server last spoke."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client), following(client) as follower:
            api.put(route("r"))
            await follower.next()
            (reading,) = [each for each in follower.source.readings() if each.kind == "HTTPRoute"]
            assert (reading.objects, reading.refused, reading.figures.lists, reading.figures.relists) == (1, 0, 1, 0)
            assert 0 <= reading.silent < 10
            assert len(follower.source.readings()) == len(VERSIONS)

    run(scenario())


def test_closing_ends_every_watch(tmp_path: Path) -> None:
    """Nothing of a source that was closed asks the server for anything."""

    async def scenario() -> None:
        async with serving(tmp_path) as (api, client):
            async with following(client) as follower:
                await follower.next()
                await api.until(lambda: api.watching("services") == 1)
            await api.until(lambda: not api.watching(""))
            ours = [task for task in asyncio.all_tasks() if "controller" in repr(task.get_coro())]
            assert ours == []
            assert follower.source.readings() == ()

    run(scenario())


def test_a_fault_of_ours_ends_the_source_instead_of_hiding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends a watch's task is raised to whoever reads the changes."""

    async def scenario() -> None:
        async with serving(tmp_path) as (_, client), following(client) as follower:
            monkeypatch.setattr("controller.sources.kube.shelf.Listing.finish", lambda _: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                await follower.next()

    run(scenario())


def test_many_objects_come_in_pages(tmp_path: Path) -> None:
    """A list of many pages is one change."""

    async def scenario() -> None:
        async with serving(tmp_path, replace(SOON, page=7)) as (api, client), following(client) as follower:
            _fill(api, 50)
            change = await follower.next()
            assert len(change.puts) == 50
            assert api.count("list", PLURAL) == 8

    run(scenario())


def _fill(api: KubernetesApi, number: int) -> None:
    for index in range(number):
        api.put(route(f"r{index}"))
