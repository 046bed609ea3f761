"""The snapshot in `tidegate run`: what is served before the files are read, and what is kept of what is served.

A start begins with the snapshot, if there is a good one. The files take over, with what differs and nothing else, once all that the
snapshot was made from can be read or is surely gone: never while an object that it serves may stand in what cannot be read.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

from controller.publish import Publisher
from controller.sources.files import FileSource
from controller.store import Key
from controller.translate.objects import called
from controller.translator import Translation, Translator
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.listener import Listener
from gateway.ir.value import Identity
from gateway.snapshot import Snapshot, SnapshotFolder
from gateway.snapshot_writer import SnapshotWriter, now
from tidegate.options import RunOptions

_PATIENCE: Final = 5.0
"""Seconds until the workers have put a revision in place; what takes longer is looked at again."""

NO_GATEWAY: Final = "the files hold no Gateway to serve; to serve nothing, take the snapshots away and start again"


def scope_of(options: RunOptions) -> str:
    """Source and options that decide what is served: a snapshot of others is not used."""
    paths = [os.path.abspath(path) for path in options.paths]
    return json.dumps({"paths": paths, "bind": options.bind, "port_offset": options.port_offset, "class": options.class_name})


@cache
def _program() -> str:
    try:
        return version_of("tidegate")
    except PackageNotFoundError:
        return "a checkout that is not installed"


@dataclass(frozen=True, slots=True)
class Serving:
    """The snapshot that is served, by identity, and why the files have not taken over, as far as it is known."""

    snapshot: Snapshot
    resources: Mapping[Identity, AnyResource]
    reason: str


class Snapshots:
    """Owner of the snapshot folder. Without one (`folder` None) nothing is restored and nothing kept.

    serving   the snapshot that is served instead of the files; None once they have taken over
    failures  how often a snapshot could not be written
    """

    def __init__(self, folder: Path | None, scope: str, publisher: Publisher, message: Callable[[str], None]) -> None:
        self._folder = None if folder is None else SnapshotFolder(folder, scope)
        self._scope = scope
        self._publisher = publisher
        self._message = message
        self._written = 0
        self._files_serve = asyncio.Event()
        self._writer = None if self._folder is None else SnapshotWriter(self._folder, message)
        self.serving: Serving | None = None

    @property
    def failures(self) -> int:
        return 0 if self._writer is None else self._writer.failures

    @property
    def sentence(self) -> str:
        """What a user should know of where the configuration comes from; '' when it is that of the files."""
        if self.serving is None:
            return ""
        return f"the snapshot of {self.serving.snapshot.written} is served: {self.serving.reason}"

    async def restore(self) -> tuple[AnyResource, ...]:
        """What to serve until the files are read; nothing without a good snapshot."""
        if self._folder is None:
            self._files_serve.set()
            return ()
        loaded = await asyncio.to_thread(self._folder.load)
        for sentence in loaded.told:
            self._message(sentence)
        snapshot = loaded.snapshot
        if snapshot is None:
            self._files_serve.set()
            return ()
        resources = in_order(snapshot.resources)
        by_identity = {resource.identity: resource for resource in resources}
        self.serving = Serving(snapshot, by_identity, "the files have not been read yet")
        self._message(f"serving the snapshot of {snapshot.written} ({len(resources)} resources) until the files are read")
        return resources

    def take_over(self, source: FileSource, translator: Translator, translation: Translation) -> Translation | None:
        """What a change of the files makes different in what is served; None as long as the snapshot must go on serving."""
        serving = self.serving
        if serving is None:
            return translation
        reason = "; ".join(translation.failures) or _obstacle(serving, source, translator)
        if reason:
            if reason != serving.reason:
                self._message(f"the snapshot of {serving.snapshot.written} goes on serving: {reason}")
            self.serving = Serving(serving.snapshot, serving.resources, reason)
            return None
        self.serving = None
        self._files_serve.set()
        self._message("the files are read and serve from now on")
        present, wanted = serving.resources, translator.resources()
        return Translation(
            set=in_order(tuple(resource for identity, resource in wanted.items() if present.get(identity) != resource)),
            remove=tuple(sorted(identity for identity in present if identity not in wanted)),
            statuses=tuple(status for _, status in sorted(translator.statuses().items())),
            failures=translation.failures,
        )

    async def keep(self, origins: Callable[[], Iterable[Key]]) -> None:
        """Writes what all workers have in place, again and again, until cancelled; `origins` are the objects it is made from."""
        await self._files_serve.wait()
        while True:
            await self._publisher.acknowledged(self._written + 1)
            revision = self._publisher.revision
            resources, made_from = tuple(self._publisher.resources.values()), tuple(origins())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._publisher.acknowledged(revision)
            except TimeoutError:
                continue  # the workers have trouble with it, or are restarted
            if self._writer is not None and not any(kind == "Batch" for kind, _ in self._publisher.rejections()):
                await self._writer.write(Snapshot(self._scope, _program(), now(), resources, made_from))
            self._written = revision


def _obstacle(serving: Serving, source: FileSource, translator: Translator) -> str:
    """Why the files must not take over yet, '' if they may."""
    present = translator.objects()
    missing = [origin for origin in serving.snapshot.origins if origin not in present]
    unread = source.unread() if missing else []
    for origin in missing:
        for subject, problem in unread:
            if subject.may_be(origin):
                return f"{called(*origin)} is served and may stand in what cannot be read: {problem}"
    listens = any(kind == Listener.__name__ for kind, _ in serving.resources)
    if listens and not any(kind == Listener.__name__ for kind, _ in translator.resources()):
        return NO_GATEWAY
    return ""
