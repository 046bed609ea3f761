"""The ConfigMap of the authorities in each namespace of the mesh, at a scripted API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from controller.api.core import Namespace
from controller.api.metadata import Object
from controller.injection.authorities import NAME, InjectedPods, MeshAuthorities, manifest
from controller.sources.kube.client import Client
from tests.controller.sources.kube.cluster import run, serving
from tests.kubernetes_api import KubernetesApi, Value

ENABLED = {"tidegate.dev/inject": "enabled"}
HOME, OTHER = "tidegate-system", "edge-system"


def namespace(name: str, labels: dict[str, str] | None = None, **metadata: Any) -> Namespace:
    raw = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": ENABLED if labels is None else labels, **metadata}}
    return Namespace.model_validate(raw)


def held(api: KubernetesApi) -> dict[str, str]:
    """The authorities by namespace."""
    found = api.objects.get(("", "configmaps"), {})
    return {place: raw["data"]["ca.crt"] for (place, name), raw in found.items() if name == NAME}


def written(api: KubernetesApi) -> list[tuple[str, str]]:
    """What was changed, and where."""
    return [(each.verb, each.namespace) for each in api.asked if each.verb in ("create", "update", "patch", "delete")]


class Kept:
    """A keeper at work, and what it told."""

    def __init__(self, client: Client, namespaces: tuple[str, ...]) -> None:
        self.told: list[str] = []
        self._heard = asyncio.Event()
        self.authorities = MeshAuthorities(client, HOME, namespaces, self._tell)
        self.authorities.configure("ROOT")

    def _tell(self, text: str) -> None:
        self.told.append(text)
        self._heard.set()

    async def hears(self, words: str) -> str:
        async with asyncio.timeout(10):
            while not (found := [text for text in self.told if words in text]):
                self._heard.clear()
                await self._heard.wait()
        return found[0]


@contextlib.asynccontextmanager
async def keeping(folder: Path, *present: Value, namespaces: tuple[str, ...] = ()) -> AsyncIterator[tuple[KubernetesApi, Kept]]:
    async with serving(folder) as (api, client):
        for raw in present:
            api.put(raw)
        kept = Kept(client, namespaces)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(kept.authorities.run())
            yield api, kept
            task.cancel()


def test_a_namespace_of_the_mesh_has_it_and_one_that_leaves_has_not(tmp_path: Path) -> None:
    """It comes with the label, follows the roots, and goes with the label."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, kept):
            kept.authorities.namespace(namespace("shop"))
            kept.authorities.namespace(namespace("desk", {"istio-injection": "enabled"}))
            kept.authorities.namespace(namespace("plain", {}))
            await api.until(lambda: held(api) == {"shop": "ROOT", "desk": "ROOT"})
            kept.authorities.configure("ROOT AND NEW")
            await api.until(lambda: held(api) == {"shop": "ROOT AND NEW", "desk": "ROOT AND NEW"})
            kept.authorities.namespace(namespace("shop", {}))
            await api.until(lambda: held(api) == {"desk": "ROOT AND NEW"})
            assert kept.told == []

    run(test())


def test_it_stays_as_long_as_there_are_injected_pods(tmp_path: Path) -> None:
    """Pods that run go on by it when the label is gone, and an unlabelled namespace has it for Pods that asked for themselves."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, kept):
            kept.authorities.namespace(namespace("plain", {}))
            kept.authorities.injected_pods("plain", True)
            kept.authorities.namespace(namespace("shop"))
            kept.authorities.injected_pods("shop", True)
            await api.until(lambda: set(held(api)) == {"shop", "plain"})
            kept.authorities.namespace(namespace("shop", {}))
            kept.authorities.injected_pods("plain", False)
            await api.until(lambda: set(held(api)) == {"shop"})
            kept.authorities.injected_pods("shop", False)
            await api.until(lambda: held(api) == {})

    run(test())


def test_a_namespace_holds_injected_pods_until_the_last_is_gone() -> None:
    """By the label that injection gives; a Pod that loses it counts as gone, and one that never had it as nothing."""

    def pod(name: str, label: str) -> Object:
        metadata = {"name": name, "namespace": "shop", "labels": {"tidegate.dev/mesh": label}}
        return Object.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})

    told: list[tuple[str, bool]] = []
    pods = InjectedPods(lambda namespace, are_there: told.append((namespace, are_there)))
    pods.put(pod("plain", "no"))
    pods.remove(("Pod", "shop", "plain"))
    pods.put(pod("one", "sidecar"))
    pods.put(pod("two", "sidecar"))
    pods.put(pod("one", "no"))
    assert set(told) == {("shop", True)}
    pods.remove(("Pod", "shop", "two"))
    assert told[-1] == ("shop", False)
    assert told.count(("shop", False)) == 1


def test_what_others_do_to_it_is_put_right(tmp_path: Path) -> None:
    """Deleted, it is made anew; changed, it is changed back."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, kept):
            kept.authorities.namespace(namespace("shop"))
            await api.until(lambda: "shop" in held(api))
            api.remove("", "configmaps", "shop", NAME)
            kept.authorities.disturbed("ConfigMap", "shop", NAME)
            await api.until(lambda: "shop" in held(api))
            api.put(manifest("shop", "ROOT AND WORSE", HOME))
            kept.authorities.disturbed("ConfigMap", "shop", NAME)
            await api.until(lambda: held(api) == {"shop": "ROOT"})
            looked = api.count("get", "configmaps")
            kept.authorities.disturbed("ConfigMap", "shop", "another")
            kept.authorities.disturbed("Secret", "shop", NAME)
            kept.authorities.disturbed("ConfigMap", "shop", NAME)
            await api.until(lambda: api.count("get", "configmaps") == looked + 1)

    run(test())


def test_a_config_map_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """Neither changed nor removed; the message names it and the remedy."""

    async def test() -> None:
        foreign = manifest("shop", "THEIRS", HOME)
        foreign["metadata"]["labels"] = {"app": "theirs"}
        async with keeping(tmp_path, foreign) as (api, kept):
            kept.authorities.namespace(namespace("shop"))
            assert "Delete it, and it is made anew" in await kept.hears(f"ConfigMap shop/{NAME} is there already and is not ours")
            looked = api.count("get", "configmaps")
            kept.authorities.disturbed("ConfigMap", "shop", NAME)
            await api.until(lambda: api.count("get", "configmaps") > looked)
            kept.authorities.namespace(namespace("shop", {}))
            assert (held(api), written(api), len(kept.told)) == ({"shop": "THEIRS"}, [], 1)

    run(test())


def test_nothing_is_written_where_a_namespace_is_being_deleted(tmp_path: Path) -> None:
    """The API server would refuse it, and the namespace goes with all that is in it."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, kept):
            kept.authorities.namespace(namespace("gone", deletionTimestamp="2026-01-01T00:00:00Z"))
            kept.authorities.namespace(namespace("shop"))
            await api.until(lambda: "shop" in held(api))
            kept.authorities.namespace(namespace("shop", {}, deletionTimestamp="2026-01-01T00:00:00Z"))
            kept.authorities.namespace_gone("gone")
            kept.authorities.namespace(namespace("desk"))
            await api.until(lambda: "desk" in held(api))
            assert written(api) == [("patch", "shop"), ("patch", "desk")]

    run(test())


def test_what_was_left_over_is_removed_by_the_next_leader(tmp_path: Path) -> None:
    """A namespace that left the mesh while nobody led; one of another controller's label stays."""

    async def test() -> None:
        left, standing, other = manifest("left", "ROOT", HOME), manifest("shop", "ROOT", HOME), manifest("shop", "x", HOME)
        other["metadata"]["name"] = "web-tidegate-ca"
        async with keeping(tmp_path, left, standing, other) as (api, kept):
            kept.authorities.namespace(namespace("shop"))
            await api.until(lambda: "left" not in held(api))
            assert ("shop", "web-tidegate-ca") in api.objects["", "configmaps"]
            assert written(api) == [("delete", "left")]

    run(test())


def test_what_another_installation_keeps_is_left_alone(tmp_path: Path) -> None:
    """Two that write over each other would do so for ever. The message names both, and stands in the status as long as it is so."""

    async def test() -> None:
        async with keeping(tmp_path, manifest("shop", "THEIRS", OTHER), manifest("left", "THEIRS", OTHER)) as (api, kept):
            for name in (HOME, OTHER, "left"):
                kept.authorities.namespace(namespace(name, {}))
            kept.authorities.namespace(namespace("shop"))
            told = await kept.hears(f"ConfigMap shop/{NAME} is kept by the installation of Tidegate in namespace {OTHER}")
            assert "Let watchNamespaces of the two name different namespaces" in told
            assert list(kept.authorities.complaints()) == [(("ConfigMap", "shop", NAME), told)]
            await api.until(lambda: ("get", "left") in [(each.verb, each.namespace) for each in api.asked])
            kept.authorities.namespace(namespace("desk"))
            await api.until(lambda: held(api) == {"shop": "THEIRS", "left": "THEIRS", "desk": "ROOT"})
            assert [place for _, place in written(api)] == ["desk"]
            api.remove("", "configmaps", "shop", NAME)
            kept.authorities.disturbed("ConfigMap", "shop", NAME)
            await api.until(lambda: held(api).get("shop") == "ROOT")

    run(test())


def test_what_an_installation_kept_that_is_gone_is_ours(tmp_path: Path) -> None:
    """Gone is one whose namespace is, and one of a version that wrote no name is ours to take."""

    async def test() -> None:
        old = manifest("desk", "OLD", HOME)
        del old["metadata"]["labels"]["tidegate.dev/installation"]
        async with keeping(tmp_path, manifest("shop", "THEIRS", OTHER), old) as (api, kept):
            for name in (HOME, OTHER):
                kept.authorities.namespace(namespace(name, {}))
            kept.authorities.namespace(namespace("shop"))
            kept.authorities.namespace(namespace("desk"))
            await kept.hears("is kept by the installation")
            kept.authorities.namespace_gone(OTHER)
            await api.until(lambda: held(api) == {"shop": "ROOT", "desk": "ROOT"})
            found = api.objects["", "configmaps"]
            assert {raw["metadata"]["labels"]["tidegate.dev/installation"] for raw in found.values()} == {HOME}

    run(test())


def test_namespaces_out_of_reach_are_left_alone(tmp_path: Path) -> None:
    """With watchNamespaces there are rights in those alone."""

    async def test() -> None:
        async with keeping(tmp_path, namespaces=("shop",)) as (api, kept):
            for name in ("desk", "shop"):
                kept.authorities.namespace(namespace(name))
            kept.authorities.injected_pods("desk", True)
            kept.authorities.disturbed("ConfigMap", "desk", NAME)
            await api.until(lambda: "shop" in held(api))
            assert {each.namespace for each in api.asked} == {"shop"}

    run(test())


def test_a_failure_is_told_once_and_mended(tmp_path: Path) -> None:
    """What the API server refuses is tried again after a pause, of each namespace alone."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, kept):
            api.fail("patch", "configmaps", 403, times=2, only=lambda asked: asked.namespace == "shop")
            kept.authorities.namespace(namespace("shop"))
            kept.authorities.namespace(namespace("desk"))
            await api.until(lambda: held(api) == {"shop": "ROOT", "desk": "ROOT"})
            (line,) = kept.told
            assert line.startswith(f"ConfigMap {NAME} of namespace shop cannot be kept, and new Pods there wait for it: ")
            assert 'Allow verb "patch" on resource "configmaps"' in line

    run(test())
