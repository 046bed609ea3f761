"""The writer of statuses, against a server that is a dictionary: versions, conflicts, refusals, faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

from controller.status_writer import Outdated, Pace, StatusWriter, Unwritable
from controller.store import Key
from controller.translate.conditions import met
from controller.translate.statuses import GatewayStatus
from tests.running import run

KEY: Key = ("Gateway", "shop", "web")
QUICK = Pace(apart=0, longest=0, backoff=0.001, longest_backoff=0.001, review=3600)


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def on_a_fresh_loop() -> None:
        run(test)

    return on_a_fresh_loop


@dataclass(frozen=True)
class Version:
    uid: str = "1"
    resource_version: str = "1"
    generation: int = 1
    status: Mapping[str, Any] = field(default_factory=dict)


class Server:
    """What is there, and what the watch has shown of it (`held`), which follows only when `catch_up` is called."""

    def __init__(self, *keys: Key) -> None:
        self.there = dict.fromkeys(keys, Version())
        self.shown = dict(self.there)
        self.writes: list[Key] = []
        self.under_way = 0
        self.most_under_way = 0
        self.errors: list[Exception] = []
        self.progress = asyncio.Event()

    def held(self, key: Key) -> Version | None:
        return self.shown.get(key)

    async def read(self, key: Key) -> Version | None:
        return self.there.get(key)

    async def write(self, key: Key, held: Any, status: Mapping[str, Any]) -> Version:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        self.progress.set()
        if self.errors:
            raise self.errors.pop()
        present = self.there.get(key)
        if present is None or present.resource_version != held.resource_version:
            raise Outdated
        self.writes.append(key)
        self.change(key, status)
        return self.there[key]

    def change(self, key: Key, status: Mapping[str, Any]) -> None:
        present = self.there[key]
        version = str(int(present.resource_version) + 1)
        self.there[key] = replace(present, resource_version=version, status={**present.status, **status})

    def catch_up(self) -> None:
        self.shown = dict(self.there)

    def accepted(self, key: Key = KEY) -> str:
        """Status and generation of the condition Accepted, '' without."""
        for condition in self.there[key].status.get("conditions", ()):
            if condition["type"] == "Accepted":
                return f"{condition['status']} {condition['observedGeneration']}"
        return ""


def status(key: Key = KEY, generation: int = 1, listener_sets: int = 0) -> GatewayStatus:
    return GatewayStatus(key, generation, (met("Accepted", generation),), listener_sets=(("a",),) * listener_sets)


@asynccontextmanager
async def writing(server: Server, problems: list[str], pace: Pace = QUICK) -> AsyncIterator[StatusWriter]:
    writer = StatusWriter(server, lambda: "2026-01-02T03:04:05Z", problems.append, pace)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.run())
        yield writer
        task.cancel()


async def settled(writer: StatusWriter) -> None:
    """Until nothing is to be written any more."""
    async with asyncio.timeout(20):
        for _ in range(3):  # what was wanted just now has not been looked at yet
            await asyncio.sleep(0)
        while writer.pending:  # noqa: ASYNC110  # the writer tells nobody when it has nothing to do
            await asyncio.sleep(0)


@on_loop
async def test_what_differs_is_written_once() -> None:
    """One write an object; wanting the same again, and looking at it again, writes nothing."""
    server, problems = Server(KEY), list[str]()
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
        server.catch_up()
        writer.want([status()])
        writer.look([KEY])
        await settled(writer)
    assert (server.writes, server.accepted(), problems) == ([KEY], "True 1", [])


@on_loop
async def test_a_write_is_followed_by_another_before_the_watch_has_shown_the_first() -> None:
    """What our own write gave counts until the watch shows something else: no conflict with ourselves."""
    server, problems = Server(KEY), list[str]()
    async with writing(server, problems) as writer:
        for sets in range(3):
            writer.want([status(listener_sets=sets)])
            await settled(writer)
        assert writer.conflicts == 0
    assert (len(server.writes), server.there[KEY].status["attachedListenerSets"]) == (3, 2)


@on_loop
async def test_somebody_elses_change_is_kept() -> None:
    """A write on top of an outdated version is refused by the server; ours is made anew from what is there."""
    server, problems = Server(KEY), list[str]()
    server.change(KEY, {"conditions": [{"type": "example.com/Audited", "status": "True"}]})
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
        assert writer.conflicts == 1
    assert [condition["type"] for condition in server.there[KEY].status["conditions"]] == ["Accepted", "example.com/Audited"]


@on_loop
async def test_a_status_of_another_generation_is_not_written() -> None:
    """The object has changed, and the status that goes with it is about to come: conditions of two generations are never mixed."""
    server, problems = Server(KEY), list[str]()
    server.there[KEY] = server.shown[KEY] = Version(generation=2)
    async with writing(server, problems) as writer:
        writer.want([status(generation=1)])
        await settled(writer)
        assert server.writes == []
        writer.want([status(generation=2)])
        await settled(writer)
    assert server.accepted() == "True 2"


@on_loop
async def test_an_object_that_is_made_anew_gets_its_status_again() -> None:
    """Deleted and made again with the same content it has no status, although the one that it is to have is what it was."""
    server, problems = Server(KEY), list[str]()
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
        server.there[KEY] = server.shown[KEY] = Version(uid="2", resource_version="9")
        writer.look([KEY])
        await settled(writer)
    assert server.accepted() == "True 1"


@on_loop
async def test_a_status_that_comes_before_its_object_waits_for_it() -> None:
    """An object that is not there is not written, and is once it comes."""
    server, problems = Server(), list[str]()
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
        server.there[KEY] = server.shown[KEY] = Version()
        writer.look([KEY])
        await settled(writer)
    assert (server.writes, problems) == ([KEY], [])


@on_loop
async def test_what_is_gone_is_withdrawn() -> None:
    """A route that leaves us loses the entries that are ours."""
    route: Key = ("HTTPRoute", "shop", "cart")
    server, problems = Server(route), list[str]()
    server.change(route, {"parents": [{"controllerName": "tidegate.dev/gateway-controller"}, {"controllerName": "example.com/other"}]})
    server.catch_up()
    async with writing(server, problems) as writer:
        writer.want([], [route])
        await settled(writer)
    assert server.there[route].status["parents"] == [{"controllerName": "example.com/other"}]


@on_loop
async def test_a_refused_write_is_told_and_harms_no_other() -> None:
    """The server says no to one object: it is told, not tried again as it is, and the others are written."""
    other: Key = ("Gateway", "shop", "other")
    server, problems = Server(KEY, other), list[str]()
    server.errors = [Unwritable("status.conditions: too many")]
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
        writer.want([status(other)])
        await settled(writer)
    assert server.writes == [other]
    assert problems == ["the status of Gateway shop/web cannot be written: status.conditions: too many"]


@on_loop
async def test_a_write_that_fails_is_tried_again() -> None:
    """A server that is away is asked again until it takes the status; each failure is told."""
    server, problems = Server(KEY), list[str]()
    server.errors = [ConnectionResetError("gone"), TimeoutError("slow")]
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
    assert (server.writes, len(problems)) == ([KEY], 2)


@on_loop
async def test_leading_again_begins_with_a_comparison() -> None:
    """Whoever takes over writes what differs and nothing else; what was wanted meanwhile was not lost."""
    server, problems = Server(KEY), list[str]()
    async with writing(server, problems) as writer:
        writer.want([status()])
        await settled(writer)
    server.catch_up()
    writer.want([status(listener_sets=1)])
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.run())
        await settled(writer)
        task.cancel()
    assert (len(server.writes), server.there[KEY].status["attachedListenerSets"]) == (2, 1)


@on_loop
async def test_an_object_that_never_rests_is_written_ever_less_often() -> None:
    """Wishes that come while a write waits for its turn are one write."""
    server, problems = Server(KEY), list[str]()
    async with writing(server, problems, Pace(apart=0.02, longest=0.08, calm=60, review=3600)) as writer:
        writer.want([status()])
        await settled(writer)
        for sets in range(1, 500):
            writer.want([status(listener_sets=sets)])
            await asyncio.sleep(0)
        await settled(writer)
    assert len(server.writes) < 100
    assert server.there[KEY].status["attachedListenerSets"] == 499


@on_loop
async def test_many_are_written_at_once_but_not_all() -> None:
    """A thousand statuses are no thousand requests at the same time."""
    keys: list[Key] = [("Gateway", "shop", f"g{number}") for number in range(1000)]
    server, problems = Server(*keys), list[str]()
    async with writing(server, problems) as writer:
        writer.want([status(key) for key in keys])
        await settled(writer)
    assert sorted(server.writes) == sorted(keys)
    assert 1 < server.most_under_way <= 16
