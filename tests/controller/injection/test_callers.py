"""The caBundle of the webhook configuration, at a scripted API server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
from collections.abc import AsyncIterator
from pathlib import Path

from controller.injection.callers import CallersAuthorities, OwnWebhook
from tests.controller.sources.kube.cluster import run, serving
from tests.kubernetes_api import KubernetesApi, Value

NAME = "tidegate-injection-tidegate-system"
OWN = OwnWebhook(NAME, "tidegate-controller", "tidegate-system")
GROUP, PLURAL = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"


def webhook(name: str, service: str = "tidegate-controller") -> Value:
    client = {"service": {"name": service, "namespace": "tidegate-system", "path": "/inject"}}
    return {"name": name, "clientConfig": client, "failurePolicy": "Fail"}


def configuration(name: str = NAME) -> Value:
    webhooks = [webhook("pod.inject.tidegate.dev"), webhook("other.example", "other"), webhook("namespace.inject.tidegate.dev")]
    return {"apiVersion": f"{GROUP}/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name}, "webhooks": webhooks}


def bundles(api: KubernetesApi, name: str = NAME) -> list[str]:
    """What each webhook is known by, '' for nothing."""
    found = api.objects.get((GROUP, PLURAL), {}).get(("", name), {})
    return [base64.b64decode(each["clientConfig"].get("caBundle", "")).decode() for each in found.get("webhooks", ())]


@contextlib.asynccontextmanager
async def keeping(folder: Path, *present: Value) -> AsyncIterator[tuple[KubernetesApi, CallersAuthorities, list[str]]]:
    async with serving(folder) as (api, client):
        for raw in present:
            api.put(raw)
        told = list[str]()
        kept = CallersAuthorities(client, OWN, told.append)
        kept.configure("ROOT")
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(kept.run())
            yield api, kept, told
            task.cancel()


def test_the_roots_are_written_and_nothing_else(tmp_path: Path) -> None:
    """The field caBundle of the webhooks that lead to our Service; another Service's, and every other field, stay."""

    async def test() -> None:
        async with keeping(tmp_path, configuration()) as (api, kept, told):
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"])
            kept.configure("ROOT AND NEW")
            await api.until(lambda: bundles(api) == ["ROOT AND NEW", "", "ROOT AND NEW"])
            found = copy.deepcopy(api.objects[GROUP, PLURAL]["", NAME]["webhooks"])
            for each in found:
                each["clientConfig"].pop("caBundle", None)
            assert found == configuration()["webhooks"]
            written = [webhook for each in api.asked if each.verb == "patch" for webhook in each.body["webhooks"]]
            assert all(set(each) == {"name", "clientConfig"} and set(each["clientConfig"]) == {"caBundle"} for each in written)
            assert told == []

    run(test())


def test_what_others_write_is_put_right_and_what_is_right_is_left(tmp_path: Path) -> None:
    """An upgrade of the chart may take the field away; one write brings it back, and no write follows from our own."""

    async def test() -> None:
        async with keeping(tmp_path, configuration()) as (api, _, _):
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"] and api.watching(PLURAL) == 1)
            api.put(configuration())
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"])
            api.end_watches(PLURAL)
            await api.until(lambda: api.count("watch", PLURAL) == 2)
            assert api.count("patch", PLURAL) == 2

    run(test())


def test_only_our_object_is_asked_for(tmp_path: Path) -> None:
    """Another configuration is neither read nor written: the rights are for this name."""

    async def test() -> None:
        async with keeping(tmp_path, configuration(), configuration("another")) as (api, _, _):
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"])
            assert bundles(api, "another") == ["", "", ""]
            reads = [each.query["fieldSelector"] for each in api.asked if each.verb in ("list", "watch")]
            assert set(reads) == {f"metadata.name={NAME}"}
            assert {each.name for each in api.asked if each.verb == "patch"} == {NAME}

    run(test())


def test_a_configuration_that_is_not_there_is_told_and_waited_for(tmp_path: Path) -> None:
    """Without it no Pod is injected, which nobody would notice; once it is there it is written to."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, _, told):
            await api.until(lambda: api.watching(PLURAL) == 1)
            (line,) = told
            assert line.startswith(f"MutatingWebhookConfiguration {NAME} is not there: no Pod gets a sidecar. Install the chart")
            api.put(configuration())
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"])

    run(test())


def test_a_failure_is_told_once_and_mended(tmp_path: Path) -> None:
    """What the API server refuses is tried again after a pause."""

    async def test() -> None:
        async with keeping(tmp_path) as (api, _, told):
            await api.until(lambda: api.watching(PLURAL) == 1)
            told.clear()
            api.fail("patch", PLURAL, 403, times=2)
            api.put(configuration())
            await api.until(lambda: bundles(api) == ["ROOT", "", "ROOT"])
            (line,) = told
            assert 'Allow verb "patch" on resource "mutatingwebhookconfigurations"' in line

    run(test())
