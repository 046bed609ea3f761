"""An API server of plain values that follows the contract of `controller.deploy.placing.Client`.

Server-side apply as far as it matters here: what one manager states replaces what it stated before, what others wrote stays, a
number of replicas that nobody states is 1. Calls are recorded; a call can be made to fail, or to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from controller.deploy.objects import ObjectKey
from controller.sources.kube.errors import ApiError, NotFound
from controller.sources.kube.resources import Resource

Value = dict[str, Any]


@dataclass
class Stored:
    """An object: what we state, what others wrote, and its uid."""

    uid: str
    applied: Value = field(default_factory=dict)
    others: Value = field(default_factory=dict)

    def value(self, key: ObjectKey) -> Value:
        merged = _merged(deepcopy(self.others), self.applied)
        metadata = merged.setdefault("metadata", {})
        metadata.update(name=key.name, uid=self.uid, **({"namespace": key.namespace} if key.namespace else {}))
        if key.kind == "Deployment":
            merged["spec"].setdefault("replicas", 1)
            if "replicas" in self.applied["spec"]:
                fields = {"f:spec": {"f:replicas": {}}}
                metadata["managedFields"] = [{"manager": "tidegate", "operation": "Apply", "fieldsV1": fields}]
        return merged


class FakeCluster:
    """`calls` are (verb, key) of what changes objects; `looks` of what reads them."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Stored] = {}
        self.calls: list[tuple[str, ObjectKey]] = []
        self.looks: list[ObjectKey] = []
        self.failure: Callable[[str, ObjectKey], ApiError | None] = lambda verb, key: None
        self.gate: asyncio.Event | None = None
        self.running = self.most_running = 0
        self._made = 0
        self._moved = asyncio.Event()

    def put(self, kind: str, namespace: str, name: str, **others: Any) -> ObjectKey:
        """Somebody else makes an object, or writes into one that is there."""
        key = ObjectKey(kind, namespace, name)
        stored = self.objects.setdefault(key, Stored(self._uid()))
        _merged(stored.others, others)
        return key

    def keys(self, *kinds: str) -> set[ObjectKey]:
        return {key for key in self.objects if not kinds or key.kind in kinds}

    def value(self, kind: str, namespace: str, name: str) -> Value:
        key = ObjectKey(kind, namespace, name)
        return self.objects[key].value(key)

    def notice(self) -> None:
        """Something happened that somebody may wait for."""
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once the condition holds; looks after every call."""
        async with asyncio.timeout(20):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    async def get(self, resource: Resource, namespace: str, name: str) -> Value:
        key = ObjectKey(resource.kind, namespace, name)
        self.looks.append(key)
        await self._answer("get", key)
        if key not in self.objects:
            raise NotFound(404, "NotFound", f"{key} is not there")
        return deepcopy(self.value(*key))

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "") -> tuple[list[Value], str]:
        await self._answer("list", ObjectKey(resource.kind, namespace, ""))
        name, _, value = labels.partition("=")
        found = [stored.value(key) for key, stored in self.objects.items() if key.kind == resource.kind]
        chosen = [item for item in found if not namespace or item["metadata"]["namespace"] == namespace]
        return [item for item in chosen if item["metadata"].get("labels", {}).get(name) == value], "1"

    async def apply(self, resource: Resource, namespace: str, name: str, body: Value) -> Value:
        key = ObjectKey(resource.kind, namespace, name)
        await self._answer("apply", key)
        uid = body["metadata"].get("uid")
        if uid is not None and (key not in self.objects or self.objects[key].uid != uid):
            raise ApiError(409, "Conflict", f"{key} has another uid")
        stored = self.objects.setdefault(key, Stored(self._uid()))
        stored.applied = deepcopy(body)
        return self.value(*key)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "", propagation: str = "Background") -> None:
        key = ObjectKey(resource.kind, namespace, name)
        await self._answer("delete", key)
        if key in self.objects:
            assert uid == self.objects[key].uid, "deleted without its uid"
            del self.objects[key]

    def _uid(self) -> str:
        self._made += 1
        return f"uid-{self._made}"

    async def _answer(self, verb: str, key: ObjectKey) -> None:
        if verb in {"apply", "delete"}:
            self.calls.append((verb, key))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.notice()
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self.running -= 1
            self.notice()
        if (error := self.failure(verb, key)) is not None:
            raise error


def kinds(calls: Iterable[tuple[str, ObjectKey]]) -> list[tuple[str, str]]:
    """Verbs and kinds of calls."""
    return [(verb, key.kind) for verb, key in calls]


def _merged(into: Value, more: Value) -> Value:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merged(into[name], value)
        else:
            into[name] = deepcopy(value)
    return into
