"""An API server for tests, over real sockets: objects, lists with pages, watches, writes, token reviews, and faults on demand.

It keeps what clients rely on (Kubernetes API concepts): one growing resourceVersion, pages of one version, events in order, conflicts by
resourceVersion and uid, generations, status as a subresource, items of lists without their kind. It checks no schema.
"""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from aiohttp import web

Value = dict[str, Any]

SILENCE = "silence"
"""A fault: the request is never answered. For a watch with `after_head`: it opens, and then nothing comes."""

CUT = "cut"
"""A fault: the connection is closed without an answer."""


@dataclass(frozen=True)
class Asked:
    """A request as it came. `verb` is that of RBAC, `place` (group, version, plural)."""

    verb: str
    place: tuple[str, str, str]
    namespace: str
    name: str
    subresource: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Fault:
    """What happens instead to requests of a verb and plural ("" for any), `times` times."""

    verb: str
    plural: str
    answer: int | str
    times: int
    body: Value = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    after_head: bool = False
    only: Callable[[Asked], bool] = lambda _: True


class _Watch:
    """One watch that is open."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()


class KubernetesApi:
    """The server; use it with `async with`. `kinds` are the (group, version, plural, kind) that it serves."""

    def __init__(self, kinds: Iterable[tuple[str, str, str, str]]) -> None:
        self.kinds = {(group, version, plural): kind for group, version, plural, kind in kinds}
        self.objects: dict[tuple[str, str], dict[tuple[str, str], Value]] = {}
        self.asked: list[Asked] = []
        self.tokens: dict[str, Value] = {}
        """The TokenReview.status of each token; any other is not authenticated."""
        self.url = ""
        self.page_limit = 0
        """Objects of a page at most, whatever is asked; 0 for as many as asked."""
        self._version = 1000
        self._oldest = 0
        self._pages: dict[str, tuple[list[Value], str]] = {}
        self._history: list[tuple[int, str, tuple[str, str], Value]] = []
        self._watches: list[_Watch] = []
        self._faults: list[Fault] = []
        self._applied: dict[tuple[tuple[str, str], tuple[str, str], str], Value] = {}
        self._moved = asyncio.Condition()
        self._silence = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._silence.set()
        self.end_watches()
        await self._runner.cleanup()

    def kubeconfig(self, folder: Path, token: str = "a-token") -> Path:
        """A kubeconfig that leads here."""
        file = folder / "kubeconfig"
        config = {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": self.url}}],
            "users": [{"name": "it", "user": {"token": token}}],
        }
        file.write_text(json.dumps(config))
        return file

    # What a test does to the cluster.

    def put(self, raw: Value) -> Value:
        """Creates or replaces an object, status and all, as its owner would; returns it as stored."""
        group, _, _ = raw["apiVersion"].rpartition("/")
        plural = next(plural for (of, _, plural), kind in self.kinds.items() if of == group and kind == raw["kind"])
        return self._store((group, plural), copy.deepcopy(raw), with_status=True)

    def remove(self, group: str, plural: str, namespace: str, name: str) -> None:
        """Deletes an object."""
        found = self.objects[group, plural].pop((namespace, name))
        found["metadata"]["resourceVersion"] = str(self._next())
        self._tell("DELETED", (group, plural), found)

    def forget(self, group: str, plural: str, namespace: str, name: str) -> None:
        """Deletes an object of which no watch will ever hear: as in a gap that is compacted."""
        del self.objects[group, plural][namespace, name]
        self._next()

    def fail(self, verb: str, plural: str, answer: int | str, times: int = 1, **more: Any) -> Fault:
        """The next `times` requests of this verb and plural get this status, SILENCE or CUT; `more` are fields of Fault."""
        fault = Fault(verb, plural, answer, times, **more)
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """No fault any more; what was silent stays so."""
        self._faults.clear()

    def compact(self) -> None:
        """Versions until now are too old to watch from, and page tokens have expired."""
        self._oldest = self._next()
        self._history.clear()
        self._pages.clear()

    def end_watches(self, plural: str = "") -> None:
        """The server ends watches cleanly, as at their timeoutSeconds."""
        self.say(plural, None)

    def say(self, plural: str, event: Value | None) -> None:
        """Sends an event as it stands on every watch of a plural ("" for all); None ends them."""
        for watch in [watch for watch in self._watches if plural in ("", watch.asked.place[2])]:
            watch.lines.put_nowait(json.dumps(event).encode() + b"\n" if event is not None else None)

    def bookmark(self) -> None:
        """Sends a bookmark on every watch."""
        metadata = {"resourceVersion": str(self._version), "creationTimestamp": None}
        for plural in {watch.asked.place[2] for watch in self._watches}:
            self.say(plural, {"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": "v1", "metadata": metadata}})

    def next_version(self) -> int:
        """Something happened elsewhere in the cluster."""
        return self._next()

    # What a test sees.

    def count(self, verb: str, plural: str = "") -> int:
        """How often this was asked for."""
        return sum(each.verb == verb and plural in ("", each.place[2]) for each in self.asked)

    def watching(self, plural: str) -> int:
        """How many watches of a plural ("" for all) are open."""
        return sum(plural in ("", watch.asked.place[2]) for watch in self._watches)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until this holds; looked at after every request, and when a watch opens or closes. Fails after ten seconds."""
        async with asyncio.timeout(10), self._moved:
            await self._moved.wait_for(condition)

    # What clients ask.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = await self._parsed(request)
        self.asked.append(asked)
        try:
            fault = self._fault_of(asked)
            if fault is not None:
                return await self._fail(request, asked, fault)
            if asked.verb == "watch":
                return await self._watch(request, asked)
            status, answer = self._decide(asked)
            return web.json_response(answer, status=status)
        finally:
            await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _parsed(self, request: web.Request) -> Asked:
        parts = request.path.strip("/").split("/")
        group, version, rest = (parts[1], parts[2], parts[3:]) if parts[0] == "apis" else ("", parts[1], parts[2:])
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "", "")[:3]
        query = dict(request.query)
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = verbs.get(request.method, "get" if name or not plural else "watch" if query.get("watch") == "true" else "list")
        text = await request.text()
        body = json.loads(text) if text else None
        return Asked(verb, (group, version, plural), namespace, name, subresource, query, body, dict(request.headers))

    def _fault_of(self, asked: Asked) -> Fault | None:
        for fault in self._faults:
            if fault.times and fault.verb in ("", asked.verb) and fault.plural in ("", asked.place[2]) and fault.only(asked):
                fault.times -= 1
                return fault
        return None

    async def _fail(self, request: web.Request, asked: Asked, fault: Fault) -> web.StreamResponse:
        if isinstance(fault.answer, int):
            body = fault.body or _status(fault.answer, "Scripted", "scripted by the test")
            return web.json_response(body, status=fault.answer, headers=fault.headers)
        if fault.answer == CUT:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault.after_head:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
        await self._notify()
        await self._silence.wait()
        return web.Response()

    async def _watch(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        group, _, plural = asked.place
        if asked.place not in self.kinds:
            return web.json_response(_status(404, "NotFound", "the server could not find the requested resource"), status=404)
        since = int(asked.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = _Watch(asked)
        if since < self._oldest:
            gone = _status(410, "Expired", f"too old resource version: {since} ({self._oldest})")
            watch.lines.put_nowait(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            watch.lines.put_nowait(None)
        for at, kind, place, found in self._history:
            if at > since and place == (group, plural):
                self._pass_on(watch, kind, found)
        self._watches.append(watch)
        await self._notify()
        try:
            async with asyncio.timeout(int(asked.query.get("timeoutSeconds", "1800"))):
                while (line := await watch.lines.get()) is not None:
                    await response.write(line)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._watches.remove(watch)
        return response

    def _decide(self, asked: Asked) -> tuple[int, Value]:
        group, version, plural = asked.place
        if not plural:
            names = [{"name": each, "kind": kind} for (of, at, each), kind in self.kinds.items() if (of, at) == (group, version)]
            if not names:
                return 404, _status(404, "NotFound", "the server could not find the requested resource")
            return 200, {"kind": "APIResourceList", "groupVersion": f"{group}/{version}", "resources": names}
        if plural == "tokenreviews":
            status = self.tokens.get(asked.body["spec"]["token"], {"authenticated": False, "error": "invalid bearer token"})
            return 201, asked.body | {"status": status}
        if asked.place not in self.kinds:
            return 404, _status(404, "NotFound", "the server could not find the requested resource")
        if asked.verb == "list":
            return self._list(asked)
        return self._single(asked)

    def _list(self, asked: Asked) -> tuple[int, Value]:
        group, _, plural = asked.place
        if "continue" in asked.query:
            if asked.query["continue"] not in self._pages:
                return 410, _status(410, "Expired", "The provided continue parameter is too old")
            found, at = self._pages.pop(asked.query["continue"])
        else:
            every = sorted(self.objects.get((group, plural), {}).items())
            found, at = [copy.deepcopy(raw) for _, raw in every if _is_selected(asked, raw)], str(self._version)
        limit = int(asked.query.get("limit", "0")) or len(found)
        limit = min(limit, self.page_limit or limit)
        page, rest = found[:limit], found[limit:]
        metadata = {"resourceVersion": at}
        if rest:
            metadata["continue"] = uuid.uuid4().hex
            self._pages[metadata["continue"]] = (rest, at)
        for raw in page:
            self._as_served(raw, asked.place)
            if group in ("", "discovery.k8s.io"):
                del raw["apiVersion"], raw["kind"]
        return 200, {"kind": f"{self.kinds[asked.place]}List", "apiVersion": "v1", "metadata": metadata, "items": page}

    def _single(self, asked: Asked) -> tuple[int, Value]:
        group, _, plural = asked.place
        place, key = (group, plural), (asked.namespace, asked.name)
        stored = self.objects.get(place, {}).get(key)
        if asked.verb == "create":
            metadata = asked.body["metadata"]
            if (asked.namespace, metadata["name"]) in self.objects.get(place, {}):
                return 409, _status(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
            raw = asked.body | {"metadata": metadata | ({"namespace": asked.namespace} if asked.namespace else {})}
            return 201, self._served(self._store(place, copy.deepcopy(raw)), asked.place)
        applies = asked.headers.get("Content-Type") == "application/apply-patch+yaml"
        if stored is None and not applies:
            return 404, _status(404, "NotFound", f'{plural} "{asked.name}" not found')
        if asked.verb == "get" and stored is not None:
            return 200, self._served(stored, asked.place)
        given = ((asked.body or {}).get("metadata") or {}).get("resourceVersion")
        if stored is not None and given not in (None, "", stored["metadata"]["resourceVersion"]):
            return 409, _status(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
        if asked.verb == "delete" and stored is not None:
            wanted = ((asked.body or {}).get("preconditions") or {}).get("uid")
            if wanted not in (None, stored["metadata"]["uid"]):
                return 409, _status(409, "Conflict", f"the UID in the precondition ({wanted}) does not match")
            self.remove(group, plural, *key)
            return 200, _status(200, "", "")
        raw = self._written(asked, stored, applies)
        status = 200 if stored is not None else 201
        return status, self._served(self._store(place, raw, with_status=asked.subresource == "status"), asked.place)

    def _written(self, asked: Asked, stored: Value | None, applies: bool) -> Value:
        """The object as a PUT, a merge patch or an apply wants it."""
        if asked.subresource == "status" and stored is not None:
            return copy.deepcopy(stored) | {"status": merged(stored.get("status", {}), asked.body.get("status"))}
        if asked.verb == "update" or stored is None:
            raw: Value = copy.deepcopy(asked.body)
        elif applies:
            owned = ((asked.place[0], asked.place[2]), (asked.namespace, asked.name), asked.query["fieldManager"])
            raw = merged(_without(stored, self._applied.get(owned, {}), asked.body), asked.body, _LIST_MAPS)
        else:
            raw = merged(stored, asked.body)
        if applies:
            owned = ((asked.place[0], asked.place[2]), (asked.namespace, asked.name), asked.query["fieldManager"])
            self._applied[owned] = copy.deepcopy(asked.body)
        raw["metadata"] = dict(raw["metadata"]) | {"name": asked.name} | ({"namespace": asked.namespace} if asked.namespace else {})
        return raw

    # The store.

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _store(self, place: tuple[str, str], raw: Value, with_status: bool = False) -> Value:
        metadata = raw["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        stored = self.objects.setdefault(place, {}).get(key)
        if not with_status:
            raw.pop("status", None)
            if stored is not None and "status" in stored:
                raw["status"] = stored["status"]
        before: Value = stored["metadata"] if stored is not None else {"uid": str(uuid.uuid4()), "generation": 0}
        moved = stored is None or _content(stored) != _content(raw)
        if stored is not None and not moved and _bare(stored) == _bare(raw):
            return stored
        metadata |= {"uid": before["uid"], "generation": before["generation"] + moved, "resourceVersion": str(self._next())}
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        metadata.setdefault("managedFields", [{"manager": "a-test", "operation": "Update"}])
        self.objects[place][key] = raw
        self._tell("ADDED" if stored is None else "MODIFIED", place, raw)
        return raw

    def _tell(self, kind: str, place: tuple[str, str], found: Value) -> None:
        found = copy.deepcopy(found)
        self._history.append((int(found["metadata"]["resourceVersion"]), kind, place, found))
        for watch in self._watches:
            if (watch.asked.place[0], watch.asked.place[2]) == place:
                self._pass_on(watch, kind, found)

    def _pass_on(self, watch: _Watch, kind: str, found: Value) -> None:
        if _is_selected(watch.asked, found):
            event = {"type": kind, "object": self._served(found, watch.asked.place)}
            watch.lines.put_nowait(json.dumps(event).encode() + b"\n")

    def _served(self, found: Value, place: tuple[str, str, str]) -> Value:
        return self._as_served(copy.deepcopy(found), place)

    def _as_served(self, found: Value, place: tuple[str, str, str]) -> Value:
        found["apiVersion"] = f"{place[0]}/{place[1]}" if place[0] else place[1]
        return found


_LIST_MAPS = {"webhooks": "name"}
"""Lists that server-side apply merges by a key of their entries (x-kubernetes-list-type map), as far as tests need them."""


def merged(stored: Any, patch: Any, list_maps: Mapping[str, str] = MappingProxyType({})) -> Any:
    """JSON merge patch (RFC 7396); with `list_maps` as server-side apply does."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(stored) if isinstance(stored, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif name in list_maps:
            result[name] = _merged_by(list_maps[name], result.get(name) or [], value)
        else:
            result[name] = merged(result.get(name), value, list_maps)
    return result


def _merged_by(key: str, stored: list[Value], given: list[Value]) -> list[Value]:
    entries = {each[key]: each for each in stored}
    return list((entries | {each[key]: merged(entries.get(each[key]), each) for each in given}).values())


def _without(stored: Value, before: Value, now: Value) -> Value:
    """`stored` without the fields that were applied before and are not now."""
    result = {}
    for name, value in stored.items():
        if name in before and name not in now:
            continue
        then, given = before.get(name), now.get(name)
        nested = isinstance(value, dict) and isinstance(then, dict) and isinstance(given, dict)
        result[name] = _without(value, then or {}, given or {}) if nested else value
    return result


def _content(raw: Value) -> Value:
    return {name: value for name, value in raw.items() if name not in ("apiVersion", "kind", "metadata", "status")}


def _bare(raw: Value) -> Value:
    kept = {name: value for name, value in raw["metadata"].items() if name in ("labels", "annotations", "ownerReferences", "finalizers")}
    return _content(raw) | {"metadata": kept, "status": raw.get("status")}


def _is_selected(asked: Asked, raw: Value) -> bool:
    metadata = raw["metadata"]
    if asked.namespace and metadata.get("namespace") != asked.namespace:
        return False
    labels = metadata.get("labels") or {}
    values = {"type": raw.get("type"), "metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace")}
    wanted = [part.split("=", 1) for part in asked.query.get("fieldSelector", "").split(",") if part]
    wanted_labels = [part.split("=", 1) for part in asked.query.get("labelSelector", "").split(",") if part]
    return all(values[name] == value for name, value in wanted) and all(labels.get(name) == value for name, value in wanted_labels)


def _status(code: int, reason: str, message: str) -> Value:
    status = "Success" if code < 300 else "Failure"
    return {"kind": "Status", "apiVersion": "v1", "status": status, "reason": reason, "message": message, "code": code}
