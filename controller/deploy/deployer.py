"""Sees to it that what is wanted for each Gateway stands in the cluster, and nothing else of ours.

It owns what is wanted and what it has placed so far. What was applied and is still so costs nothing; what changes, is disturbed by
others or failed is done again, one Gateway at a time and independent of all others. It works while `run` runs, which is as long as
this replica leads; a new run knows nothing of the last and compares everything once, since another replica led in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.metadata import Key
from controller.deploy.agenda import CONCURRENCY, Agenda
from controller.deploy.manifests import Plan, plan
from controller.deploy.objects import Manifest, ObjectKey, holds, key_of
from controller.deploy.placing import Client, Leaving, NotOurs, place, remove
from controller.deploy.settings import Settings
from controller.deploy.standing import Standing, deployed, standing_of
from controller.sources.kube.errors import ApiError
from controller.sources.kube.timing import Backoff
from controller.translate.infrastructure import Infrastructure

_PATIENCE: Final = 3
"""Failures in a row after which one is told that may be over with the next try."""
_PASSING: Final = frozenset({408, 409, 429})
_NOBODY: Final = ("", "", "")
_RECONSIDERED: Final = 60.0
"""Seconds between two looks at a Gateway that keeps what it has although nothing is wanted for it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where and how it works: in these namespaces (() for all), as this controller, with these pauses (seconds) after failures."""

    controller_name: str
    namespaces: tuple[str, ...] = ()
    concurrency: int = CONCURRENCY
    retry_first: float = 1.0
    retry_most: float = 60.0

    def backoff(self) -> Backoff:
        """The pauses after failures in a row."""
        return Backoff(self.retry_first, self.retry_most)


class Deployer:
    """`tell` hears what keeps a Gateway's objects from standing, "" when nothing does any more; `problem` what concerns no Gateway."""

    def __init__(
        self, client: Client, settings: Settings, reach: Reach, tell: Callable[[Key, str], None], problem: Callable[[str], None]
    ) -> None:
        self._client = client
        self._settings = settings
        self._reach = reach
        self._tell = tell
        self._problem = problem
        self._agenda = Agenda(self._settle, reach.concurrency)
        self._informed = asyncio.Event()
        self._wanted: dict[Key, Infrastructure] = {}
        self._placed: dict[Key, dict[ObjectKey, Manifest | None]] = {}  # None: it is there, but not known how
        self._gateways: dict[ObjectKey, Key] = {}
        self._disturbed: set[ObjectKey] = set()
        self._failing: dict[Key, Backoff] = {}
        self._told: dict[Key, str] = {}

    def want(self, changed: Iterable[Infrastructure], unwanted: Iterable[Key] = ()) -> None:
        """What is new or other than before, and the Gateways for which nothing is wanted any more. The first call says everything."""
        for infrastructure in changed:
            self._wanted[infrastructure.gateway] = infrastructure
            self._agenda.add(infrastructure.gateway)
        for gateway in unwanted:
            if self._wanted.pop(gateway, None) is not None:
                self._agenda.add(gateway)
        self._informed.set()

    def configure(self, settings: Settings) -> None:
        """The settings are other than before: what follows from them is applied, for each Gateway."""
        if settings != self._settings:
            self._settings = settings
            for gateway in self._wanted:
                self._agenda.add(gateway)

    def disturbed(self, kind: str, namespace: str, name: str) -> None:
        """An object with our label has changed or is gone; it is compared, and applied anew where it is not as it was placed."""
        key = ObjectKey(kind, namespace, name)
        if (gateway := self._gateways.get(key)) is not None:
            self._disturbed.add(key)
            self._agenda.add(gateway)

    def seen(self, kind: str, live: Mapping[str, Any]) -> None:
        """An object with our label as the API server has it at this moment; applied anew where it is not as it was placed."""
        key = ObjectKey(kind, live["metadata"]["namespace"], live["metadata"]["name"])
        manifest = self._placed.get(self._gateways.get(key, _NOBODY), {}).get(key)
        if manifest is None or not holds(live, manifest):
            self.disturbed(*key)

    def seen_all(self, kind: str, namespace: str, live: Iterable[Mapping[str, Any]]) -> None:
        """All objects of a kind with our label in a namespace, "" for all; what is not among them is made anew."""
        missing = {key for key in self._gateways if key.kind == kind and namespace in {"", key.namespace}}
        for each in live:
            self.seen(kind, each)
            missing.discard(ObjectKey(kind, each["metadata"]["namespace"], each["metadata"]["name"]))
        for key in missing:
            self.disturbed(*key)

    async def run(self) -> None:
        """Works until it is cancelled; begins with everything, once `want` has been called for the first time."""
        await self._informed.wait()
        self._placed.clear()
        self._gateways.clear()
        self._disturbed.clear()
        self._failing.clear()
        for gateway in self._wanted:
            self._agenda.add(gateway)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._agenda.run())
            tasks.create_task(self._look_for_leftovers())

    async def _look_for_leftovers(self) -> None:
        """What stands in the cluster from before counts as placed, so that what is wanted no longer is deleted."""
        backoff = self._reach.backoff()
        while True:
            try:
                async for gateway, key in deployed(self._client, self._reach.namespaces):
                    self._placed.setdefault(gateway, {}).setdefault(key, None)
                    self._agenda.add(gateway)
                return
            except ApiError as error:
                self._problem(f"what was deployed for Gateways before cannot be listed, and what is left over stays: {error}")
                await asyncio.sleep(backoff.next(error.retry_after))

    async def _settle(self, gateway: Key) -> float | None:
        """Makes a Gateway's objects be as wanted; the pause until the next try, None when there is nothing left to do."""
        failures = _Failures()
        wanted = self._wanted.get(gateway)
        if wanted is not None:
            await self._carry_out(gateway, plan(wanted, self._settings), failures)
        elif await self._keeps_what_it_has(gateway, failures):
            self._conclude(gateway, failures)
            return _RECONSIDERED
        else:
            await self._carry_out(gateway, Plan(), failures)
        return self._conclude(gateway, failures)

    async def _keeps_what_it_has(self, gateway: Key, failures: _Failures) -> bool:
        try:
            standing = await standing_of(self._client, gateway, self._reach.controller_name)
        except ApiError as error:
            failures.note(error)
            return False
        if standing is Standing.GONE:
            for key in self._placed.pop(gateway, {}):
                self._gateways.pop(key, None)
        return standing is Standing.OURS

    async def _carry_out(self, gateway: Key, wanted: Plan, failures: _Failures) -> None:
        if failures.any:
            return
        placed = self._placed.setdefault(gateway, {})
        for manifest in wanted.manifests:
            key = key_of(manifest)
            known = placed.get(key) == manifest
            if not known or key in self._disturbed:
                self._gateways[key] = gateway
                self._disturbed.discard(key)
                try:
                    await place(self._client, gateway, manifest, only_if_changed=known)
                    placed[key] = manifest
                except (ApiError, NotOurs, Leaving) as error:
                    placed[key] = None
                    failures.note(error)
            if failures.unreachable:
                return
        staying = {*map(key_of, wanted.manifests), *wanted.kept}
        for key in [key for key in placed if key not in staying]:
            try:
                await remove(self._client, gateway, key)
                del placed[key]
                self._gateways.pop(key, None)
            except ApiError as error:
                failures.note(error)

    def _conclude(self, gateway: Key, failures: _Failures) -> float | None:
        """Tells what there is to tell, and says when to try again."""
        if not failures.any:
            self._failing.pop(gateway, None)
            self._say(gateway, "")
            if not self._placed.get(gateway):
                self._placed.pop(gateway, None)
            return None
        backoff = self._failing.setdefault(gateway, self._reach.backoff())
        pause = backoff.next(failures.pause)
        told = failures.lasting + (failures.passing if backoff.failures >= _PATIENCE else [])
        if told:
            self._say(gateway, "; ".join(told))
        return pause

    def _say(self, gateway: Key, problem: str) -> None:
        if self._told.get(gateway, "") != problem:
            self._told[gateway] = problem
            self._tell(gateway, problem)
        if not problem:
            self._told.pop(gateway, None)


class _Failures:
    """What went wrong with the objects of a Gateway at one try."""

    def __init__(self) -> None:
        self.lasting: list[str] = []
        self.passing: list[str] = []
        self.pause = 0.0
        self.any = False
        self.unreachable = False

    def note(self, error: ApiError | NotOurs | Leaving) -> None:
        """An API server that is not reached (status 0) says nothing about a Gateway; nor could its status be written."""
        self.any = True
        match error:
            case ApiError(status=status):
                self.pause = max(self.pause, error.retry_after or 0.0)
                self.unreachable = status == 0
                if not self.unreachable:
                    lasting = 400 <= status < 500 and status not in _PASSING
                    (self.lasting if lasting else self.passing).append(str(error))
            case NotOurs():
                self.lasting.append(str(error))
            case Leaving():
                self.passing.append(str(error))
