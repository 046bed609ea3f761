"""`tidegate run`: files -> objects -> resources -> workers -> statuses, put together.

    FileSource -> Translator -> Ports (may it be bound?) -> Publisher -> Workers
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
import signal
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from controller.publish import Publisher
from controller.sources.files import Change, FileSource
from controller.sources.problems import Problem
from controller.status import BindFailure
from controller.translator import Translation, Translator
from gateway.admin import AdminServer
from gateway.net.sockets import BindError, bind
from gateway.options import SESSION_KEY_VARIABLE, RuntimeOptions
from gateway.pages import pages
from gateway.parent import Workers
from gateway.ports import Ports
from tidegate.demo_backends import DemoBackends
from tidegate.options import RunOptions
from tidegate.show import Configuration, Show
from tidegate.statuses import FinalStatuses
from tidegate.subject import Subject

GOOD: Final = 0
CUT_OFF: Final = 1
BAD_OPTIONS: Final = 2

_PATIENCE: Final = 0.1
"""Seconds that statuses wait for the workers, so that a change is shown once and not as Pending first (design.md section 4)."""
_FIRST_PATIENCE: Final = 5.0
_RETRY: Final = 2.0
"""Seconds between two tries of a port that could not be bound."""
_PAUSE_AFTER_FAULT: Final = 1.0
COLLECTOR: Final = (10_000, 20, 100)
"""Thresholds of the garbage collector once the first configuration is frozen: a full collection among 10,000 routes takes a tenth of a
second, and what a change leaves behind is found by the partial ones."""


async def run(options: RunOptions, show: Show) -> int:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends at once. Returns the exit code: GOOD, CUT_OFF or BAD_OPTIONS."""
    complaints = options.complaints()
    for complaint in complaints:
        show.message(complaint)
    if complaints:
        return BAD_OPTIONS
    if options.admin is None:
        return await Standalone(options, show, None).serve(None)
    try:
        listening = bind(*options.admin)
    except BindError as error:
        show.message(f"the admin server: {error}; --admin chooses another address or port, for example if tidegate runs already")
        return BAD_OPTIONS
    standalone = Standalone(options, show, (options.admin[0], listening.getsockname()[1]))
    server = AdminServer(pages(standalone.subject), show.message)
    await server.start(listening)
    return await standalone.serve(server)


class Standalone:
    """One data plane and the files that it serves, from start to end. Used once."""

    def __init__(self, options: RunOptions, show: Show, admin: tuple[str, int] | None) -> None:
        self._options = options
        self._show = show
        self._source = FileSource(options.paths)
        self._translator = Translator(options.translation(admin))
        os.environ.setdefault(SESSION_KEY_VARIABLE, secrets.token_hex())
        self._news = asyncio.Event()
        self._publisher = Publisher(show.message, self._moved)
        runtime = RuntimeOptions(access_log=options.access_log, admin=admin, drain_timeout=options.drain_timeout)
        self._workers = Workers(options.workers, self._publisher, self, runtime)
        self._ports = Ports(self._workers.open, self._workers.close)
        self._statuses = FinalStatuses()
        self._demo = DemoBackends(show.message) if options.demo_backends else None
        self.problems: tuple[Problem, ...] = ()
        self._told: dict[Problem, None] = {}
        self._listeners_changed = 0
        self._listeners_shown = 0
        self._failed_batches: frozenset[str] = frozenset()
        self._shown = False
        self._applied = False
        self._signals = 0
        self._ending = asyncio.Event()
        self._configuration = Configuration(
            statuses=self._statuses.final,
            resources=self._publisher.resources,
            listeners=self._ports.listeners,
            failures=self._ports.failures,
            ignored=self._translator.ignored,
            place=self._source.place,
            admin=admin,
        )
        self.subject = Subject(self, self._publisher, self._workers, self._configuration)

    @property
    def ready(self) -> str:
        """See subject.Standing."""
        if self._signals:
            return "draining"
        if not self._publisher.revision:
            return "the files are being read"
        serves = self._applied and any(worker.revision for worker in self._publisher.subscribers)
        return "" if serves else "no worker has the configuration yet"

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

    async def serve(self, admin: AdminServer | None) -> int:
        """Until the end; returns the exit code. Closes the admin server."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._workers.run())
                background = [
                    tasks.create_task(self._endure("reading the files", self._follow)),
                    tasks.create_task(self._endure("judging statuses", self._settle)),
                    tasks.create_task(self._endure("binding ports", self._retry)),
                ]
                await self._ending.wait()
                clean = await self._workers.drain(self._options.drain_delay, self._options.drain_timeout)
                await serving
                for task in background:
                    task.cancel()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            if admin is not None:
                await admin.close()
            if self._demo is not None:
                await self._demo.close()
        return GOOD if clean and self._signals == 1 else CUT_OFF

    def _signalled(self, number: int) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals == 1:
            seconds = self._options.drain_delay + self._options.drain_timeout
            self._show.message(f"{name}: draining, for {seconds:g} s at most; once more ends at once")
            self._ending.set()
        elif self._signals == 2:
            self._show.message(f"{name}: ending at once")
            self._workers.stop()

    async def _endure(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Keeps on: a fault of ours is told with its place, and the work begins anew."""
        while True:
            try:
                await work()
            except Exception as error:  # nothing but a signal may end the process
                place = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{place.filename}:{place.lineno}"
                self._show.message(f"{what} failed, which is a fault of Tidegate, and goes on: {type(error).__name__}: {error} ({where})")
            await asyncio.sleep(_PAUSE_AFTER_FAULT)

    async def _follow(self) -> None:
        if not self._publisher.revision:
            change, translation = await asyncio.to_thread(self._read)
            self._take(change, translation)
        async with contextlib.aclosing(self._source.watch()) as changes:
            async for change in changes:
                self._take(change, self._translator.apply(change.puts, change.removes))

    def _read(self) -> tuple[Change, Translation]:
        """The first reading makes nothing but what stays: a collector that looks through all of it again and again finds nothing."""
        gc.disable()
        try:
            change = self._source.read()
            return change, self._translator.apply(change.puts, change.removes)
        finally:
            gc.enable()

    def _take(self, change: Change, translation: Translation) -> None:
        """The path of a change: published here, everything else by `_settle`, which comes after on the loop."""
        admitted = self._ports.admit(translation.set, translation.remove)
        revision = self._publisher.publish(admitted.set, admitted.remove)
        if admitted.listeners:
            self._listeners_changed = revision
        self._statuses.note(translation, revision)
        self.problems = change.problems
        if self._demo is not None:
            self._demo.want(admitted.set)
        for failure in translation.failures:
            self._show.message(f"translation failed, which is a fault of Tidegate; what it gave before stays: {failure}")
        self._news.set()

    async def _settle(self) -> None:
        patience = _FIRST_PATIENCE
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._publisher.revision:
                continue
            wanted = max(self._statuses.waiting, self._listeners_changed) if self._shown else self._publisher.revision
            if self._publisher.applied < wanted:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._publisher.acknowledged(wanted)
            if self._demo is not None:
                await self._demo.start_wanted()
            if self._publisher.applied >= self._listeners_changed and self._ports.release():
                await self._workers.let_go()
                if self._bind_again():
                    continue  # what was withdrawn to make way is about to be back
            self._tell_problems()
            self._update()
            patience = _PATIENCE

    def _update(self) -> None:
        applied = self._publisher.applied
        rejections = self._publisher.rejections()
        failures = {key: _bind_failure(error) for key, error in self._ports.failures.items()}
        changed, gone = self._statuses.update(applied, failures, rejections)
        self._tell_failed_batches(frozenset(f"{key}: {'; '.join(why)}" for (kind, key), why in rejections.items() if kind == "Batch"))
        if not self._shown:
            self._shown = True
            self._show.state(self._configuration)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTOR)
        elif changed or gone:
            self._show.changed(changed, gone)
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
