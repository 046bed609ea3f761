"""List and watch of one resource through everything that happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controller.sources.kube.changes import Change, Waiting
from controller.sources.kube.client import Client
from controller.sources.kube.errors import ApiError
from controller.sources.kube.reflector import Reflector, Scope, Told
from controller.sources.kube.shelf import Shelf
from controller.sources.kube.timing import Timing
from tests.controller.sources.kube.cluster import ROUTE, SOON, route, run, serving
from tests.kubernetes_api import CUT, SILENCE, KubernetesApi, Value

GROUP, PLURAL = ROUTE.group, ROUTE.plural


class Watcher:
    """A reflector of HTTPRoutes, its changes, and what it told of trouble."""

    def __init__(self, client: Client) -> None:
        self.waiting = Waiting()
        self.problems: list[ApiError] = []
        self.gone = 0
        self._news = asyncio.Event()
        told = Told(self._news.set, self.problems.append, self._note_gone)
        self.reflector = Reflector(client, Scope(), Shelf(ROUTE, self.waiting), told)
        self.figures = self.reflector.figures

    def _note_gone(self) -> None:
        self.gone += 1

    async def change(self) -> Change:
        """The next change that is not empty; fails after ten seconds without one."""
        async with asyncio.timeout(10):
            while not self.waiting:
                self._news.clear()
                await self._news.wait()
        return self.waiting.take()

    async def names(self) -> tuple[list[str], list[str]]:
        """The names of what the next change puts and removes."""
        change = await self.change()
        return sorted(put.name for put in change.puts), sorted(name for _, _, name in change.removes)


@asynccontextmanager
async def watching(folder: Path, *names: str, timing: Timing = SOON) -> AsyncGenerator[tuple[KubernetesApi, Watcher]]:
    """A server with these routes and a reflector that runs; it has listed them, and its watch is open."""
    async with serving(folder, timing) as (api, client):
        for name in names:
            api.put(route(name))
        watcher = Watcher(client)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(watcher.reflector.run())
            await api.until(lambda: api.watching(PLURAL) == 1)
            if names:
                assert await watcher.names() == (sorted(names), [])
            yield api, watcher
            task.cancel()


def event(kind: str, raw: Value, version: int, uid: str = "u") -> Value:
    return {"type": kind, "object": raw | {"metadata": raw["metadata"] | {"resourceVersion": str(version), "uid": uid}}}


def test_events_change_what_was_listed(tmp_path: Path) -> None:
    """Added, modified and deleted objects, one watch, one list; the watch begins at the version of the list and asks for bookmarks."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            api.put(route("a", "/new"))
            assert await watcher.names() == (["a"], [])
            api.remove(GROUP, PLURAL, "shop", "b")
            assert await watcher.names() == ([], ["b"])
            assert (api.count("list", PLURAL), api.count("watch", PLURAL)) == (1, 1)
            query = api.asked[-1].query
            assert query["allowWatchBookmarks"] == "true"
            assert 35 <= int(query["timeoutSeconds"]) <= 45
            assert watcher.reflector.is_listed

    run(scenario())


def test_a_watch_that_ends_goes_on_where_it_stood(tmp_path: Path) -> None:
    """A clean end, or a connection that is cut: the next watch begins at the last version, bookmarks counting, without a list."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            version = api.next_version()
            api.bookmark()
            api.end_watches()
            await api.until(lambda: api.count("watch", PLURAL) == 2 and api.watching(PLURAL) == 1)
            assert api.asked[-1].query["resourceVersion"] == str(version)
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert api.count("list", PLURAL) == 1
            assert watcher.figures.watches == 2

    run(scenario())


def test_what_happens_between_two_watches_is_told(tmp_path: Path) -> None:
    """Events of a gap come with the next watch."""

    async def scenario() -> None:
        async with watching(tmp_path, "a", "b") as (api, watcher):
            api.fail("watch", PLURAL, 503)
            api.end_watches()
            api.put(route("c"))
            api.remove(GROUP, PLURAL, "shop", "b")
            puts: list[str] = []
            removes: list[str] = []
            while not (puts and removes):
                told = await watcher.names()
                puts, removes = puts + told[0], removes + told[1]
            assert (puts, removes) == (["c"], ["b"])
            assert api.count("list", PLURAL) == 1

    run(scenario())


@pytest.mark.parametrize("how", ["in the stream", "as a status"])
def test_410_leads_to_a_list_that_tells_the_difference_alone(tmp_path: Path, how: str) -> None:
    """410 Gone, as an ERROR event or as the answer: a new list; what was deleted in the gap is removed, what is as before is not told."""

    async def scenario() -> None:
        async with watching(tmp_path, "a", "gone", "changed") as (api, watcher):
            if how == "as a status":
                api.fail("watch", PLURAL, 410)
            api.forget(GROUP, PLURAL, "shop", "gone")
            api.compact()
            api.objects[GROUP, PLURAL]["shop", "changed"]["spec"] = route("changed", "/new")["spec"]
            api.end_watches()
            assert await watcher.names() == (["changed"], ["gone"])
            assert watcher.figures.relists == 1
            assert not watcher.problems

    run(scenario())


def test_a_list_that_fails_or_breaks_off_changes_nothing(tmp_path: Path) -> None:
    """5xx, a cut connection, silence, and a page token that expires: nothing is told until a whole list has come, then all at once."""

    async def scenario() -> None:
        async with watching(tmp_path, "a", "b", "c", timing=replace(SOON, page=1, read=0.2)) as (api, watcher):
            api.forget(GROUP, PLURAL, "shop", "b")
            api.compact()
            api.objects[GROUP, PLURAL]["shop", "a"]["spec"] = route("a", "/new")["spec"]
            for fault in (500, CUT, CUT, SILENCE):
                api.fail("list", PLURAL, fault)
            for fault in (410, 503, 410):
                api.fail("list", PLURAL, fault, only=lambda asked: "continue" in asked.query)
            api.end_watches()
            await api.until(lambda: api.watching(PLURAL) == 1)
            assert await watcher.names() == (["a"], ["b"])
            assert not watcher.waiting
            assert watcher.figures.relists == 1
            assert watcher.figures.failures >= 6

    run(scenario())


def test_a_list_that_would_remove_everything_needs_a_second_one(tmp_path: Path) -> None:
    """One empty list is not believed: a second one that has the objects leaves all in place."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            api.compact()
            empty = {"kind": "HTTPRouteList", "metadata": {"resourceVersion": "1"}, "items": []}
            api.fail("list", PLURAL, 200, body=empty)
            api.end_watches()
            await api.until(lambda: api.watching(PLURAL) == 1 and api.count("list", PLURAL) == 3)
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])

    run(scenario())


def test_everything_is_removed_when_two_lists_agree(tmp_path: Path) -> None:
    """Two empty lists in a row: then it is so."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            api.forget(GROUP, PLURAL, "shop", "a")
            api.compact()
            api.end_watches()
            assert await watcher.names() == ([], ["a"])
            assert api.count("list", PLURAL) == 3

    run(scenario())


def test_a_403_after_a_change_of_roles_keeps_what_was_read(tmp_path: Path) -> None:
    """The last good state stays while lists are refused, the missing rule is told once, and figures show it until it is over."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            api.fail("list", PLURAL, 403, times=1000)
            api.fail("watch", PLURAL, 403, times=1000)
            api.end_watches()
            await api.until(lambda: api.count("list", PLURAL) > 5)
            assert not watcher.waiting
            assert watcher.reflector.is_forbidden
            api.heal()
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert not watcher.reflector.is_forbidden
            assert watcher.figures.problem == ""
            assert [error.status for error in watcher.problems] == [403]

    run(scenario())


def test_a_silent_watch_is_noticed(tmp_path: Path) -> None:
    """R9: a watch that says nothing, before or after its head, ends after `watch_silence`, and the next one goes on where it stood."""

    async def scenario() -> None:
        async with watching(tmp_path, "a", timing=replace(SOON, watch_silence=0.1)) as (api, watcher):
            api.fail("watch", PLURAL, SILENCE, after_head=True)
            api.fail("watch", PLURAL, SILENCE)
            await api.until(lambda: api.count("watch", PLURAL) >= 4)
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert "no word within 0.1 s" in str(watcher.problems[0])

    run(scenario())


def test_bookmarks_keep_a_quiet_watch_alive(tmp_path: Path) -> None:
    """A bookmark counts as a word, and moves the version."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            before = watcher.figures.heard
            api.bookmark()
            api.say(PLURAL, event("MODIFIED", route("a", "/old"), 1))
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert watcher.figures.heard > before
            assert watcher.figures.events == 3

    run(scenario())


def test_doubled_late_and_unordered_events_do_no_harm(tmp_path: Path) -> None:
    """An event that is not newer than where the watch stands changes nothing: no old content comes back, nothing deleted is raised."""

    async def scenario() -> None:
        async with watching(tmp_path, "a", "b") as (api, watcher):
            old = api.next_version()
            api.put(route("a", "/new"))
            assert await watcher.names() == (["a"], [])
            api.remove(GROUP, PLURAL, "shop", "b")
            assert await watcher.names() == ([], ["b"])
            now = api.next_version() - 1
            api.say(PLURAL, event("MODIFIED", route("a", "/old"), old))
            api.say(PLURAL, event("ADDED", route("b"), old))
            api.say(PLURAL, event("DELETED", route("a"), old))
            api.say(PLURAL, event("MODIFIED", route("a", "/newer"), now))
            api.put(route("last"))
            assert await watcher.names() == (["last"], [])

    run(scenario())


def test_versions_that_are_no_numbers_are_taken_in_their_order(tmp_path: Path) -> None:
    """A server of another make: events count as they come, and the last version is where the next watch begins."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            odd = event("MODIFIED", route("a", "/new"), 0)
            odd["object"]["metadata"]["resourceVersion"] = "x-2"
            api.say(PLURAL, odd)
            assert await watcher.names() == (["a"], [])

    run(scenario())


def test_an_event_that_is_no_event_ends_the_watch_and_nothing_else(tmp_path: Path) -> None:
    """Garbage, an object without metadata, half a line: the watch is made anew, what was read stays."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            broken: tuple[Value, ...] = ({"x": 1}, {"type": "ADDED", "object": []}, {"type": "ADDED", "object": {"metadata": {}}})
            for opened, garbage in enumerate(broken, 2):
                api.say(PLURAL, garbage)
                await api.until(lambda opened=opened: api.count("watch", PLURAL) == opened and api.watching(PLURAL) == 1)
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert not watcher.reflector.figures.problem

    run(scenario())


def test_one_bad_object_stops_nothing(tmp_path: Path) -> None:
    """An object that our model refuses is a refusal; the next event is told as ever, in the same watch."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            bad = route("bad")
            bad["spec"]["rules"] = "none"
            api.put(bad)
            change = await watcher.change()
            assert [refusal.key[2] for refusal in change.refusals] == ["bad"]
            api.put(route("b"))
            assert await watcher.names() == (["b"], [])
            assert api.count("watch", PLURAL) == 1

    run(scenario())


def test_an_event_of_a_megabyte_is_read(tmp_path: Path) -> None:
    """Objects as large as etcd takes them come through whole."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            api.put(route("large", annotations={"note": "x" * (1 << 20)}))
            (found,) = (await watcher.change()).puts
            assert len(found.metadata.annotations["note"]) == 1 << 20

    run(scenario())


def test_watches_that_fail_again_and_again_lead_to_a_list(tmp_path: Path) -> None:
    """After three failures in a row the version is given up: a server restored from a backup may never reach it."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, _):
            api.fail("watch", PLURAL, 504, times=3)
            api.end_watches()
            await api.until(lambda: api.count("list", PLURAL) == 2 and api.watching(PLURAL) == 1)
            assert api.count("watch", PLURAL) == 5

    run(scenario())


def test_a_kind_that_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    """404 on lists and watches says so to whoever looks for what is served, and changes nothing itself."""

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, watcher):
            kind = api.kinds.pop((GROUP, ROUTE.version, PLURAL))
            api.end_watches()
            await api.until(lambda: api.count("watch", PLURAL) + api.count("list", PLURAL) > 5)
            assert watcher.gone
            assert not watcher.waiting
            api.kinds[GROUP, ROUTE.version, PLURAL] = kind
            await api.until(lambda: api.watching(PLURAL) == 1)

    run(scenario())


def test_the_server_s_pause_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 and 503 with Retry-After: the pause that follows is that long."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def scenario() -> None:
        async with watching(tmp_path, "a") as (api, _):
            monkeypatch.setattr("controller.sources.kube.reflector.asyncio.sleep", note)
            api.fail("watch", PLURAL, 429, headers={"Retry-After": "7"})
            api.fail("watch", PLURAL, 503, headers={"Retry-After": "9"})
            api.end_watches()
            await api.until(lambda: api.count("watch", PLURAL) == 4)
            assert [pause for pause in pauses if pause >= 1] == [7.0, 9.0]

    run(scenario())
