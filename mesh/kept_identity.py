"""A proxy's identity beyond the end of its process: whoever is started in its place goes on under it, with a controller or without.

It lies in a folder of its own beside the snapshot, which in a Pod is memory, in the same form: two generations with a checksum, for our
eyes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from gateway.ir.listener import Certificate, TrustBundle
from gateway.snapshot import Snapshot, SnapshotFolder
from gateway.snapshot_writer import SnapshotWriter, now
from mesh.link import Link, LinkError


class KeptIdentity:
    """Owner of the folder. `scope` says whose identity it is, and nobody else's is taken up."""

    def __init__(self, folder: Path, scope: str, program: str, message: Callable[[str], None]) -> None:
        self._scope = f"the identity of {scope}"
        self._program = program
        self._message = message
        self._folder = SnapshotFolder(folder, self._scope)
        self._writer = SnapshotWriter(self._folder, message)

    def resume(self, link: Link) -> None:
        """Has the link go on under what was kept last, if that is good and still valid."""
        loaded = self._folder.load()
        for sentence in loaded.told:
            self._message(sentence)
        match loaded.snapshot and loaded.snapshot.resources:
            case (Certificate() as certificate, TrustBundle() as roots):
                try:
                    link.resume(certificate, roots)
                except LinkError as error:
                    self._message(f"the identity in {self._folder.path} is left aside: {error}")

    async def keep(self, link: Link) -> None:
        """Writes each identity that the link has, until cancelled."""
        async with aclosing(link.identities()) as identities:
            async for identity in identities:
                await self._writer.write(Snapshot(self._scope, self._program, now(), identity))
