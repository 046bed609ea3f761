"""The snapshot of a data plane that follows a controller: served until the controller has answered, replaced by what it wants.

What is written is what the controller wants, whether it could be built or not: a start from it does with it what was done before. It is
of one Gateway, or whatever the scope names, and another one's is refused. What is the proxy's own is not written, above all its private
key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeAlias

from gateway.following.data_plane import DataPlane
from gateway.ir.batch import Batch, Rejection, in_order
from gateway.snapshot import Snapshot, SnapshotFolder
from gateway.snapshot_writer import SnapshotWriter, now

Take: TypeAlias = Callable[[Batch], Awaitable[tuple[Rejection, ...]]]
"""Puts it in place, as DataPlane.take does."""


class Snapshots:
    """Owner of the snapshot folder."""

    def __init__(self, folder: Path, scope: str, program: str, message: Callable[[str], None]) -> None:
        self._folder = SnapshotFolder(folder, scope)
        self._scope = scope
        self._program = program
        self._message = message
        self._writer = SnapshotWriter(self._folder, message)
        self._restored = ""

    @property
    def failures(self) -> int:
        """How often a snapshot could not be written."""
        return self._writer.failures

    def sentence(self, data_plane: DataPlane) -> str:
        """What a user should know of where the configuration comes from; '' when it is the controller's."""
        if not self._restored or data_plane.revision:
            return ""
        return f"the snapshot of {self._restored} is served: the controller has not answered yet"

    async def restore(self, data_plane: DataPlane, take: Take) -> None:
        """Has the newest good snapshot served, if there is one."""
        loaded = await asyncio.to_thread(self._folder.load)
        for sentence in loaded.told:
            self._message(sentence)
        snapshot = loaded.snapshot
        if snapshot is None:
            return
        self._restored = snapshot.written
        resources = in_order(snapshot.resources)
        self._message(f"serving the snapshot of {snapshot.written} ({len(resources)} resources) until the controller answers")
        await take(Batch(0, resources, snapshot=True))
        data_plane.changed.clear()  # it is on disk already

    async def keep(self, data_plane: DataPlane) -> NoReturn:
        """Writes what is wanted whenever it has come in place, until cancelled."""
        while True:
            await data_plane.changed.wait()
            data_plane.changed.clear()
            if not any(rejection.kind == "Batch" for rejection in data_plane.rejections()):
                await self.write(data_plane)

    async def write(self, data_plane: DataPlane) -> None:
        """Writes what the controller wants now."""
        await self._writer.write(Snapshot(self._scope, self._program, now(), tuple(data_plane.desired.resources.values())))
