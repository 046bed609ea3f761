"""What others do to deployed objects is undone: over real sockets, with a real client and deployer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controller.deploy.deployer import Deployer, Reach
from controller.deploy.drift import Drift
from controller.deploy.objects import DEPLOYED
from controller.sources.kube.resources import RESOURCES
from controller.translate.infrastructure import Autoscaling, DisruptionBudget, Parameters
from tests.controller.deploy.gateways import SETTINGS, infrastructure
from tests.controller.sources.kube.cluster import serving
from tests.kubernetes_api import KubernetesApi, Value
from tests.running import run

NEVER = 3_600.0
WEB = ("shop", "web-edge")
ALL = Parameters(autoscaling=Autoscaling(2, 9, 70), disruption_budget=DisruptionBudget(max_unavailable=1))


class Leading:
    """A deployer that leads, with a Gateway of which everything stands, and whatever watches what is done to it."""

    def __init__(self, api: KubernetesApi, problems: list[str]) -> None:
        self.api = api
        self.problems = problems

    def place(self, kind: str) -> dict[tuple[str, str], Value]:
        """The objects of a kind by namespace and name."""
        return self.api.objects.setdefault((RESOURCES[kind].group, RESOURCES[kind].plural), {})

    def change(self, kind: str, change: Callable[[Value], None]) -> None:
        """Somebody else edits the object of the Gateway."""
        edited = copy.deepcopy(self.place(kind)[WEB])
        change(edited)
        self.api.put(edited)

    def remove(self, kind: str) -> None:
        self.api.remove(RESOURCES[kind].group, RESOURCES[kind].plural, *WEB)


@asynccontextmanager
async def leading(folder: Path, interval: float, *, namespaces: tuple[str, ...] = ()) -> AsyncIterator[Leading]:
    problems: list[str] = []
    async with serving(folder) as (api, client), asyncio.TaskGroup() as tasks:
        deployer = Deployer(client, SETTINGS, Reach("ours", namespaces, retry_first=0.0), lambda *_: None, problems.append)
        deployer.want([infrastructure(parameters=ALL)])
        found = Leading(api, problems)
        work = [tasks.create_task(deployer.run())]
        await api.until(lambda: all(WEB in found.place(kind) for kind in DEPLOYED if kind != "ConfigMap"))
        work.append(tasks.create_task(Drift(client, namespaces, deployer, problems.append, interval).run()))
        await api.until(lambda: api.watching("deployments") == max(len(namespaces), 1))
        try:
            yield found
        finally:
            for task in work:
                task.cancel()


def test_a_deployment_that_is_deleted_or_edited_is_restored_at_once(tmp_path: Path) -> None:
    """By its watch: nothing else would notice, and without Pods nothing serves."""

    def edit(deployment: Value) -> None:
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody-elses"

    async def test() -> None:
        async with leading(tmp_path, NEVER) as found:
            before = found.place("Deployment")[WEB]["metadata"]["uid"]
            found.remove("Deployment")
            await found.api.until(lambda: WEB in found.place("Deployment"))
            assert found.place("Deployment")[WEB]["metadata"]["uid"] != before
            found.change("Deployment", edit)
            await found.api.until(lambda: _image(found.place("Deployment")[WEB]) == SETTINGS.image)
            assert found.problems == []

    run(test)


def test_what_others_add_to_a_deployment_costs_nothing(tmp_path: Path) -> None:
    """A Deployment's status changes with each Pod, an autoscaler writes its replicas: no look, and no write."""

    def scale(deployment: Value) -> None:
        deployment["spec"]["replicas"] = 5
        deployment["status"] = {"replicas": 5}

    def edit(deployment: Value) -> None:
        deployment["spec"]["strategy"] = {"type": "Recreate"}

    async def test() -> None:
        async with leading(tmp_path, NEVER) as found:
            before = found.api.count("get"), found.api.count("patch")
            found.change("Deployment", scale)  # told before the edit, since events keep their order
            found.change("Deployment", edit)
            await found.api.until(lambda: found.api.count("patch") > before[1])
            assert (found.api.count("get"), found.api.count("patch")) == (before[0] + 1, before[1] + 1)
            assert found.place("Deployment")[WEB]["spec"]["replicas"] == 5

    run(test)


def test_objects_of_every_kind_are_restored_when_they_are_compared(tmp_path: Path) -> None:
    """ServiceAccounts, autoscalers and disruption budgets are watched by nobody; a comparison finds what is gone or other than it was."""

    def relabel(raw: Value) -> None:
        raw["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = False

    async def test() -> None:
        async with leading(tmp_path, 0.05) as found:
            for kind in ("ServiceAccount", "Service", "HorizontalPodAutoscaler"):
                found.remove(kind)
            found.change("PodDisruptionBudget", relabel)
            for kind in ("ServiceAccount", "Service", "HorizontalPodAutoscaler"):
                await found.api.until(lambda kind=kind: WEB in found.place(kind))  # type: ignore[misc]  # a default that is never given
            await found.api.until(
                lambda: bool(found.place("PodDisruptionBudget")[WEB]["metadata"]["ownerReferences"][0]["blockOwnerDeletion"])
            )

    run(test)


def test_only_our_label_and_namespaces_are_asked_for(tmp_path: Path) -> None:
    """With watchNamespaces there is no right elsewhere; and other Deployments of the cluster are nobody's business."""

    async def test() -> None:
        async with leading(tmp_path, 0.05, namespaces=("shop", "desk")) as found:
            await found.api.until(lambda: found.api.count("list", "poddisruptionbudgets") >= 4)
            asked = [each for each in found.api.asked if each.verb in {"list", "watch"}]
            assert {each.namespace for each in asked} == {"shop", "desk"}
            assert {each.query["labelSelector"] for each in asked} == {"app.kubernetes.io/managed-by=tidegate"}
            assert {each.place[2] for each in asked if each.verb == "watch"} == {"deployments"}

    run(test)


def test_what_cannot_be_compared_is_told_and_looked_at_again(tmp_path: Path) -> None:
    """A right that is missing is a problem of one kind, and of this time alone."""

    async def test() -> None:
        async with leading(tmp_path, 0.05) as found:
            found.api.fail("list", "serviceaccounts", 403)
            found.remove("ServiceAccount")
            await found.api.until(lambda: WEB in found.place("ServiceAccount"))
            assert len(found.problems) == 1
            assert "list ServiceAccount: all in every namespace: 403" in found.problems[0]

    run(test)


def _image(deployment: Value) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]
