"""The parts of the control plane and how they are joined; the only place where its parts are chosen.

A change passes from the source through translation to the proxies without looking at anything but what changed. Statuses and
deployments follow behind: every replica computes them, the one that leads writes them. Nothing but a signal ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from controller.api.kinds import MESH_ALONE
from controller.change_times import ChangeTimes
from controller.deploy.deployer import Deployer, Reach
from controller.deploy.drift import Drift
from controller.publish import Publisher
from controller.publishers import Publishers
from controller.refusals import refused_status
from controller.settling import PATIENCE, Settling
from controller.sources.kube.changes import Change, Refusal
from controller.sources.kube.client import Client
from controller.sources.kube.election import Election, Seat
from controller.sources.kube.source import KubeSource, Reading
from controller.sources.kube.statuses import ServerStatuses
from controller.status_writer import StatusWriter
from controller.store import Key
from controller.translate.classes import CONTROLLER_NAME
from controller.translate.names import deployed_name
from controller.translate.statuses import Ignored, Status
from controller.translator import Translation, Translator
from gateway.ir.listener import Gateway
from gateway.ir.workload import mesh_namespace
from tidegate.control_plane.injection import Keeping
from tidegate.control_plane.options import ControllerOptions
from tidegate.control_plane.outside import Outside, outside
from tidegate.control_plane.session_keys import Derive, SessionKeys
from tidegate.enduring import endure

LEASE: Final = "tidegate-controller"

_THRESHOLDS: Final = (500, 5, 1_000_000)
"""Of the garbage collector: of itself it looks through 3,000 objects at most, which takes a millisecond, and never through
all. Fewer at once are no more work in all, and a change that waits for it waits less."""
_COLLECTION: Final = 3_600.0
"""Seconds between two collections of everything; one takes 0.1 s for each thousand routes that came after the start."""


class Controller:
    """One replica, from start to end. Used once."""

    def __init__(self, options: ControllerOptions, client: Client, message: Callable[[str], None]) -> None:
        self._options = options
        self._message = message
        unread = frozenset[str]() if options.mesh else MESH_ALONE
        self._source = KubeSource(client, namespaces=options.watch_namespaces, without=unread, observer=message)
        self._translator = Translator(options.translation())
        self.served = Publishers(message, self._moved)
        self.times = ChangeTimes()
        self._settling = Settling(self.served.publisher, self._programmed)
        self.writer = StatusWriter(ServerStatuses(client, self._source), _now, message)
        self._settings = options.settings()
        reach = Reach(CONTROLLER_NAME, options.watch_namespaces)
        self._deployer = Deployer(client, self._settings, reach, self._undeployed, message)
        self._drift = Drift(client, options.watch_namespaces, self._deployer, message)
        self._injection = Keeping(options, client, message) if options.mesh else None
        self._session_keys = SessionKeys()
        self._accounts: dict[tuple[str, str], str] = {}
        self._accounts_of: dict[Key, tuple[str, str]] = {}
        self._election = Election(client, Seat(options.namespace, LEASE, options.identity), self._changed_hands, message)
        self._leads = asyncio.Event()
        self._follows = asyncio.Event()
        self._follows.set()
        self._news = asyncio.Event()
        self._refusals: dict[Key, Refusal] = {}
        self._is_read = False

    def trust(self, authorities: str, derive: Derive) -> None:
        """Proxies are to know us by these roots (PEM), and get keys derived so. Called before `run`, and whenever it may differ."""
        self._deployer.configure(replace(self._settings, authorities=authorities))
        if self._injection is not None:
            self._injection.trust(authorities)
        if self._session_keys.derive_by(derive) and self._is_read:
            gateways = [resource for resource in self._translator.resources().values() if isinstance(resource, Gateway)]
            self.served.publish(self._session_keys.given(gateways), ())

    def scope_of(self, namespace: str, account: str) -> str | None:
        """The Gateway (namespace/name) whose proxies run under this ServiceAccount."""
        return self._accounts.get((namespace, account))

    def elsewhere(self) -> str | None:
        """Where the replica is that leads (HOST:PORT): it must know what every proxy has in place. "" if that is this one, or nobody;
        None if this one does not reach the API server."""
        if not self._election.in_touch:
            return None
        leader = self._election.leader
        return "" if leader == self._options.identity else leader.partition("_")[2]

    @property
    def ready(self) -> str:
        """'' when configuration is served, otherwise why not."""
        return "" if self._is_read else "the objects of the cluster are being read"

    @property
    def leading(self) -> bool:
        """Whether this replica writes."""
        return self._election.leading

    @property
    def leader(self) -> str:
        """The name of the replica that leads as far as is known here, '' for none."""
        return self._election.leader.partition("_")[0]

    def readings(self) -> Iterable[Reading]:
        """How each list and watch is doing."""
        return self._source.readings()

    def publishers(self) -> Mapping[str, Publisher]:
        """The configuration of each Gateway."""
        found = ((scope, self.served.publisher(scope)) for scope in self.served)
        return {scope: publisher for scope, publisher in found if publisher is not None}

    def statuses(self) -> Mapping[Key, Status]:
        """What was last said of each object."""
        return self._settling.final

    def refusals(self) -> Iterable[Refusal]:
        """Objects that cannot be read."""
        return self._refusals.values()

    def ignored(self) -> Iterable[Ignored]:
        """What has no effect."""
        return self._translator.ignored()

    def complaints(self) -> Iterable[tuple[Key, str]]:
        """Objects that cannot be kept as they should be, which only who leads tries."""
        return self._injection.complaints() if self._injection is not None and self.leading else ()

    def outside(self) -> Iterable[Outside]:
        """What is not in the mesh. Who leads knows which sidecars are connected, the others do not."""
        if not self._options.mesh:
            return ()
        scopes = (publisher for scope, publisher in self.publishers().items() if mesh_namespace(scope) is not None)
        connected = {standing.name for publisher in scopes for standing in publisher.subscribers}
        of_kind = self._translator.of_kind
        return outside(of_kind("Namespace"), of_kind("Pod"), self._options.namespace, connected if self.leading else None)

    def resources(self) -> Iterable[tuple[str, str]]:
        """Kind and key of what is published."""
        return self._translator.resources().keys()

    async def run(self) -> None:
        """Works until it is cancelled; then the Lease is given back."""
        async with asyncio.TaskGroup() as tasks:
            for what, work in (
                ("following the cluster", self._follow),
                ("judging statuses", self._settle),
                ("electing a leader", self._election.run),
                ("leading", self._lead),
                ("collecting garbage", self._collect),
            ):
                tasks.create_task(endure(what, work, self._message))

    async def _follow(self) -> None:
        """The path of a change: published here, everything else comes after on the loop."""
        async with contextlib.aclosing(self._source.changes()) as changes:
            async for change in changes:
                if self._is_read:
                    first = self._translator.begin(change.puts, change.removes)
                    if first is not None:
                        await self._tell(change, first)
                    self._take(change, self._translator.finish())
                else:
                    self._take(change, await asyncio.to_thread(self._translator.apply, change.puts, change.removes))
                    gc.freeze()
                    gc.set_threshold(*_THRESHOLDS)
                    self._is_read = True

    async def _tell(self, change: Change, first: Translation) -> None:
        """What need not wait for the rest of a change, which then takes the processor: the proxies get it before."""
        revisions = self._publish(change, first)
        await self.served.acknowledged(revisions, PATIENCE)

    def _publish(self, change: Change, translation: Translation) -> Mapping[str, int]:
        """The new revision of each scope in which something differs."""
        revisions = self.served.publish(self._session_keys.given(translation.set), translation.remove)
        if change.came is not None:
            self._time_them(revisions, change.came)
        return revisions

    def _take(self, change: Change, translation: Translation) -> None:
        for gateway in translation.unwanted:
            self._accounts.pop(self._accounts_of.pop(gateway, ("", "")), None)
        for wanted in translation.infrastructure:
            _, namespace, name = wanted.gateway
            account = namespace, deployed_name(name, wanted.class_name)
            self._accounts[account] = f"{namespace}/{name}"
            self._accounts_of[wanted.gateway] = account
        revisions = self._publish(change, translation)
        self._deployer.want(translation.infrastructure, translation.unwanted)
        self._settling.note(translation.statuses, translation.gone, self._time(), revisions)
        self._judge_refusals(change)
        self.writer.look(found.key for found in change.puts)
        for kind, namespace, name in (*(found.key for found in change.puts), *change.removes):
            self._deployer.disturbed(kind, namespace, name)
        if self._injection is not None:
            self._injection.take(change)
        for failure in translation.failures:
            self._message(f"translation failed, which is a fault of Tidegate; what it gave before stays: {failure}")
        self._news.set()

    def _time_them(self, revisions: Mapping[str, int], came: float) -> None:
        for gateway, revision in revisions.items():
            publisher = self.served.publisher(gateway)
            if publisher is not None and publisher.subscribers:
                self.times.published(gateway, revision, came)

    def _judge_refusals(self, change: Change) -> None:
        """Whether an object that cannot be read is ours may change with any other, so all are judged anew; there are few, if any."""
        for refusal in change.refusals:
            self._refusals[refusal.key] = refusal
        for key in change.readable:
            self._refusals.pop(key, None)
        known = self._translator.statuses()
        judged = [refused_status(refusal, self._is_ours, known.get(key)) for key, refusal in self._refusals.items()]
        self._settling.refuse([status for status in judged if status is not None], change.readable)

    def _is_ours(self, key: Key) -> bool:
        return key in self._translator.statuses() or (self._options.mesh and key[0] == "Service")

    async def _collect(self) -> None:
        """Garbage in cycles that were old before they were garbage: connections, mostly. While thousands of routes come one by one the
        collector would of itself look through all of them again and again, with a change waiting each time."""
        while True:
            await asyncio.sleep(_COLLECTION)
            gc.collect()

    async def _settle(self) -> None:
        """Statuses that need not wait any more, to the writer."""
        while True:
            self.writer.want(*self._settling.take(self._time()))
            until = self._settling.next()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                continue
            self._news.clear()

    async def _lead(self) -> None:
        """Writes and deploys while this replica leads."""
        injecting = () if self._injection is None else (self._injection.run,)
        while True:
            await self._leads.wait()
            self._message("this replica leads: it writes statuses and deploys")
            async with asyncio.TaskGroup() as tasks:
                work = [tasks.create_task(each()) for each in (self.writer.run, self._deployer.run, self._drift.run, *injecting)]
                await self._follows.wait()
                for task in work:
                    task.cancel()
            self._message("another replica leads, or may: this one only serves configuration, to whom the other cannot")
            self.served.send_away()

    def _changed_hands(self, leading: bool) -> None:
        if leading:
            self._settling.reconsider()
            self.writer.want(*self._settling.take(self._time()))
        begins, ends = (self._leads, self._follows) if leading else (self._follows, self._leads)
        begins.set()
        ends.clear()

    def _moved(self, gateway: str) -> None:
        publisher = self.served.publisher(gateway)
        if publisher is not None and publisher.applied:
            self.times.applied(gateway, publisher.applied, self._time())
        else:
            self.times.forget(gateway)
        self._settling.moved(gateway)
        self._news.set()

    def _undeployed(self, gateway: Key, problem: str) -> None:
        self._settling.undeployed("/".join(gateway[1:]), problem)
        self._news.set()

    def _programmed(self, key: Key) -> int:
        """The generation at which the server holds an object as Programmed, 0 for none."""
        held = self._source.held(key)
        for condition in () if held is None else held.status.get("conditions") or ():
            if condition.get("type") == "Programmed" and condition.get("status") == "True":
                return int(condition.get("observedGeneration") or 0)
        return 0

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
