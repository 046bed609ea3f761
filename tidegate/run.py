"""`tidegate run`: files -> objects -> resources -> workers -> statuses, put together.

    FileSource -> (LocalMesh) -> Translator -> Ports (may it be bound?) -> Publisher -> Workers
                                                       acknowledgements -> FinalStatuses -> Show

A change passes through the first line without looking at anything but what changed; statuses and the display follow behind.
Nothing but a signal ends it: what fails is told and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import secrets
import socket
from collections.abc import Iterable
from functools import partial
from typing import Final

from controller.publish import Publisher
from controller.sources.files import Change, FileSource
from controller.sources.problems import Problem
from controller.status import BindFailure
from controller.store import Key, Object
from controller.translator import Translation, Translator
from gateway import collector
from gateway.admin import AdminServer
from gateway.descriptors import Place
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity
from gateway.net.sockets import BindError, bind
from gateway.options import SESSION_KEY_VARIABLE, RuntimeOptions
from gateway.pages import pages
from gateway.parent import Workers
from gateway.places import nothing
from gateway.policies.rate_limit import BYTES
from gateway.ports import Ports
from gateway.shared_memory import make_shared_file
from gateway.succession import Predecessor
from tidegate.demo.backends import DemoBackends
from tidegate.enduring import endure
from tidegate.forwarder import Followed
from tidegate.lifecycle import Lifecycle
from tidegate.local_mesh.mesh import LocalMesh
from tidegate.local_mesh.objects import Changes
from tidegate.options import RunOptions
from tidegate.show import Configuration, Show
from tidegate.snapshots import Snapshots, scope_of
from tidegate.statuses import FinalStatuses
from tidegate.subject import Subject

BAD_OPTIONS: Final = 2

_PATIENCE: Final = 0.1
"""Seconds that statuses wait for the workers, so that a change is shown once and not as Pending first (design.md section 4)."""
_FIRST_PATIENCE: Final = 5.0
_RETRY: Final = 2.0
"""Seconds between two tries of a port that could not be bound."""


async def run(options: RunOptions, show: Show) -> int | Followed:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends at once. Returns the exit code: GOOD, CUT_OFF or BAD_OPTIONS;
    or what this process is to follow from now on, since it was replaced."""
    complaints = options.complaints()
    for complaint in complaints:
        show.message(complaint)
    if complaints:
        return BAD_OPTIONS
    predecessor = Predecessor.of_environment()
    if predecessor is not None:
        await predecessor.hand_over()
    if options.admin is None:
        return await Standalone(options, show, None, predecessor).serve(None)
    try:
        listening = (predecessor and predecessor.claim_admin()) or bind(*options.admin)
    except BindError as error:
        show.message(f"the admin server: {error}; --admin chooses another address or port, for example if tidegate runs already")
        return BAD_OPTIONS
    return await Standalone(options, show, (options.admin[0], listening.getsockname()[1]), predecessor).serve(listening)


class Standalone:
    """One data plane and the files that it serves, from start to end. Used once."""

    def __init__(self, options: RunOptions, show: Show, admin: tuple[str, int] | None, predecessor: Predecessor | None = None) -> None:
        self._options = options
        self._show = show
        self._source = FileSource(options.paths)
        self._translator = Translator(options.translation(admin))
        os.environ.setdefault(SESSION_KEY_VARIABLE, secrets.token_hex())
        self._news = asyncio.Event()
        self._publisher = Publisher(show.message, self._moved)
        runtime = RuntimeOptions(
            access_log=options.access_log,
            otlp_endpoint=options.otlp_endpoint,
            trace_sampling=options.trace_sampling,
            admin=admin,
            drain_timeout=options.drain_timeout,
            workers=options.workers,
            memory_limit=options.memory_limit // max(options.workers, 1),
            shared_descriptor=make_shared_file(BYTES),
            keys="" if options.snapshot is None else str(options.snapshot / "keys"),
        )
        claim = nothing if predecessor is None else predecessor.claim
        self._workers = Workers(options.workers, self._publisher, self, runtime, claim=claim)
        self._life = Lifecycle(options, self._workers, show.message, predecessor)
        self._ports = Ports(self._open, self._close)
        self._snapshots = Snapshots(options.snapshot, scope_of(options), self._publisher, show.message)
        self._statuses = FinalStatuses()
        self._demo = DemoBackends(show.message) if options.demo_backends else None
        self._mesh = self._make_mesh() if options.mesh else None
        self._life.mesh_at_once = None if self._mesh is None else self._mesh.at_once
        self.problems: tuple[Problem, ...] = ()
        self._told: dict[Problem, None] = {}
        self._listeners_changed = 0
        self._listeners_shown = 0
        self._failed_batches: frozenset[str] = frozenset()
        self._shown = False
        self._files_read = False
        self._applied = False
        self._taken = asyncio.Event()
        self._configuration = Configuration(
            statuses=self._statuses.final,
            resources=self._publisher.resources,
            listeners=self._ports.listeners,
            failures=self._ports.failures,
            ignored=self._translator.ignored,
            place=self._source.place,
            admin=admin,
        )
        self.subject = Subject(self, self._publisher, self._workers, self._configuration, self._mesh)

    def _make_mesh(self) -> LocalMesh:
        def changed(changes: Changes) -> None:
            self._take(self.problems, self._translator.apply(changes.puts, changes.removes))

        def publish(resources: Iterable[AnyResource]) -> None:
            self._publish(resources, ())

        options = self._options
        return LocalMesh(options.block(), options.sidecars(), changed, publish, self._show.message)

    @property
    def ready(self) -> str:
        """See subject.Standing."""
        if self._life.draining:
            return "draining"
        if not self._publisher.revision:
            return "the files are being read"
        serves = self._applied and any(worker.revision for worker in self._publisher.subscribers)
        return "" if serves else "no worker has the configuration yet"

    @property
    def snapshot(self) -> str:
        """See subject.Standing."""
        return self._snapshots.sentence

    @property
    def snapshot_failures(self) -> int:
        """See subject.Standing."""
        return self._snapshots.failures

    def _moved(self) -> None:
        """A worker acknowledged something or is gone. One that dies later does not make the others unready."""
        self._applied = self._applied or self._publisher.applied > 0
        self._news.set()

    def message(self, text: str) -> None:
        """See gateway.parent.Observer."""
        self._show.message(text)

    def ended(self, worker: str) -> None:
        """See gateway.parent.Observer."""
        self.subject.ended(worker)

    def _open(self, place: Place) -> BindError | None:
        error = self._workers.open(place)
        if error is None:
            self._life.replacement.opened(place)
        return error

    def _close(self, place: Place) -> None:
        self._life.replacement.closed(place)
        self._workers.close(place)

    async def serve(self, admin: socket.socket | None) -> int | Followed:
        """Until the end; see `run`. Owns the listening socket of the admin server."""
        work = [
            endure("reading the files", self._follow, self._show.message),
            endure("judging statuses", self._settle, self._show.message),
            endure("binding ports", self._retry, self._show.message),
            endure("watching certificates", self.subject.expiries.watch, self._show.message),
        ]
        if self._options.snapshot is not None:
            keeping = partial(self._snapshots.keep, self._translator.objects)
            work.append(endure("writing snapshots", keeping, self._show.message))
        if self._mesh is not None:
            await self._mesh.open()
            work.append(endure("running the mesh", self._mesh.run, self._show.message))
        try:
            return await self._life.run(AdminServer(pages(self.subject), self._show.message), admin, work, self._serves)
        finally:
            if self._demo is not None:
                await self._demo.close()
            if self._mesh is not None:
                self._mesh.close()

    async def _serves(self) -> str:
        """See lifecycle.Serves."""
        await self._taken.wait()
        await self._publisher.acknowledged(self._publisher.revision)
        if self._demo is not None:
            await self._demo.started()
        if any(kind == "Batch" for kind, _ in self._publisher.rejections()):
            return "its workers could not apply the configuration"
        if self.problems and self._options.snapshot is None:
            return f"the files cannot all be read, so that routes that are served would be lost: {self.problems[0]}"
        return ""

    async def _follow(self) -> None:
        if not self._publisher.revision:
            await self._restore()
        if not self._files_read:
            change, translation = await asyncio.to_thread(self._read)
            self._files_read = True
            self._take(self._problems_of(change), translation)
        while True:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                await self._life.reread.wait()
                self._life.reread.clear()
                watching.cancel()

    async def _watch(self) -> None:
        """Begins with reading every file."""
        async with contextlib.aclosing(self._source.watch()) as changes:
            async for change in changes:
                first = self._translator.begin(*self._objects(change))
                if first is not None and self._snapshots.serving is None:
                    await self._tell(first)
                self._take(self._problems_of(change), self._translator.finish())

    def _objects(self, change: Change) -> tuple[Iterable[Object], Iterable[Key]]:
        """What is put and what is removed."""
        changes = change if self._mesh is None else self._mesh.take(change.puts, change.removes)
        return changes.puts, changes.removes

    async def _tell(self, first: Translation) -> None:
        """What need not wait for the rest of a change, which then takes the processor: the workers get it before."""
        revision = self._publish(*self._divided(first))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._publisher.acknowledged(revision)

    def _problems_of(self, change: Change) -> tuple[Problem, ...]:
        """After the change was translated."""
        return change.problems if self._mesh is None else (*change.problems, *self._mesh.problems(self._source.place))

    async def _restore(self) -> None:
        """Serves the snapshot, if there is a good one. The workers get it before the reading takes the processor from them."""
        resources = await self._snapshots.restore()
        if resources:
            self._publish(resources, ())
            self._news.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_PATIENCE):
                    await self._publisher.acknowledged(self._publisher.revision)

    def _read(self) -> tuple[Change, Translation]:
        """The first reading makes nothing but what stays: a collector that looks through all of it, even once, finds nothing."""
        gc.disable()
        try:
            change = self._source.read()
            return change, self._translator.apply(*self._objects(change))
        finally:
            collector.freeze()

    def _take(self, problems: tuple[Problem, ...], translation: Translation) -> None:
        """The path of a change: published here, everything else by `_settle`, which comes after on the loop."""
        self.problems = problems
        taken = self._snapshots.take_over(self._source, self._translator, translation)
        if taken is not None:
            self._statuses.note(taken, self._publish(*self._divided(taken)))
        for failure in translation.failures:
            self._show.message(f"translation failed, which is a fault of Tidegate; what it gave before stays: {failure}")
        if self._mesh is not None:
            self._mesh.settle()
        self._news.set()
        self._taken.set()

    def _divided(self, translation: Translation) -> tuple[Iterable[AnyResource], Iterable[Identity]]:
        """What is for the gateway's workers."""
        return (translation.set, translation.remove) if self._mesh is None else self._mesh.divide(translation.set, translation.remove)

    def _publish(self, resources: Iterable[AnyResource], gone: Iterable[Identity]) -> int:
        """Returns the revision."""
        admitted = self._ports.admit(resources, gone)
        revision = self._publisher.publish(admitted.set, admitted.remove)
        if admitted.listeners:
            self._listeners_changed = revision
        if self._demo is not None:
            self._demo.want(admitted.set)
        return revision

    async def _settle(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._publisher.revision:
                continue
            wanted = max(self._statuses.waiting, self._listeners_changed) if self._shown else self._publisher.revision
            if self._publisher.applied < wanted:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE if self._shown else _FIRST_PATIENCE):
                        await self._publisher.acknowledged(wanted)
            if self._demo is not None:
                await self._demo.start_wanted()
            if self._publisher.applied >= self._listeners_changed and self._ports.release():
                await self._workers.let_go()
                if self._bind_again():
                    continue  # what was withdrawn to make way is about to be back
            self._tell_problems()
            if self._snapshots.serving is None:
                self._update()
            self._show_listening()

    def _update(self) -> None:
        applied = self._publisher.applied
        rejections = self._publisher.rejections()
        failures = {key: _bind_failure(error) for key, error in self._ports.failures.items()}
        changed, gone = self._statuses.update(applied, failures, rejections)
        self._tell_failed_batches(frozenset(f"{key}: {'; '.join(why)}" for (kind, key), why in rejections.items() if kind == "Batch"))
        if not self._shown:
            self._shown = True
            self._show.state(self._configuration)
            gc.freeze()
        elif changed or gone:
            self._show.changed(changed, gone)

    def _show_listening(self) -> None:
        if self._listeners_shown != self._listeners_changed:
            self._listeners_shown = self._listeners_changed
            self._show.listening(self._configuration)

    def _tell_problems(self) -> None:
        if tuple(self._told) == self.problems:
            return
        now = dict.fromkeys(self.problems)
        before, self._told = self._told, now
        for problem in before.keys() - now.keys():
            self._show.solved(problem)
        for problem in now:
            if problem not in before:
                self._show.problem(problem)

    def _tell_failed_batches(self, failed: frozenset[str]) -> None:
        for text in sorted(failed - self._failed_batches):
            self._show.message(f"a worker could not apply revision {text}; it serves what it had until the next change")
        self._failed_batches = failed

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(_RETRY)
            self._bind_again()

    def _bind_again(self) -> bool:
        admitted = self._ports.retry()
        if admitted:
            self._listeners_changed = self._publisher.publish(admitted, ())
            self._news.set()
        return bool(admitted)


def _bind_failure(error: BindError) -> BindFailure:
    cause = error.__cause__
    return BindFailure(str(error), isinstance(cause, OSError) and cause.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
