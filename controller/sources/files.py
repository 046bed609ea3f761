"""Objects from files and folders: reads them all, then watches them (`tidegate run`, `tidegate check`).

Only files that an event names are read again, only documents whose text changed are parsed again. What cannot be read harms
itself alone: on start it is left out, later it keeps its last readable version; each is a Problem with its remedy.
"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from controller.api.metadata import Key, Object
from controller.sources.contents import Entry, refreshed, unreadable
from controller.sources.documents import LARGEST_FILE, DocumentError, decode, parse, split
from controller.sources.elsewhere import PollingWatch, SystemWatch
from controller.sources.inventory import Inventory
from controller.sources.problems import Path as FieldPath
from controller.sources.problems import Place, Problem
from controller.sources.reading import NOTHING_KNOWN, Subject, object_paths
from controller.sources.signals import Watch
from controller.sources.survey import NoObserver, Signature, Survey, signature, survey

if sys.platform == "linux":
    from controller.sources.watching import InotifyWatch

_SLICE = 16
"""Files that are read before others in the loop have their turn."""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference to the last state; unchanged objects are not in it. `problems` are all that there are now."""

    puts: tuple[Object, ...]
    removes: tuple[Key, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _File:
    signature: Signature | None
    digest: bytes
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


class FileSource:
    """The objects in files and folders.

    Objects of namespaced kinds that name no namespace get `namespace`. One reader at a time: `watch` is iterated by one task.
    """

    def __init__(self, paths: Sequence[Path], namespace: str = "default") -> None:
        self._paths = tuple(str(path) for path in paths)
        self._namespace = namespace
        self._files: dict[str, _File] = {}
        self._troubled: dict[str, tuple[Problem, ...]] = {}
        self._path_problems: tuple[Problem, ...] = ()
        self._unread_paths: tuple[Problem, ...] = ()
        self._emptied: dict[str, Signature] = {}
        self._inventory = Inventory()
        self._told: tuple[Problem, ...] = ()

    def read(self) -> Change:
        """Reads all files, whether they seem changed or not, and returns the difference to the last state."""
        found = survey(self._paths, NoObserver())
        for file in self._listed(found):
            self._refresh(file)
        return self._tell(self._change())

    async def watch(self) -> AsyncGenerator[Change, None]:
        """Yields a change for each burst of events, beginning with what changed since the last reading. Close it to end the watch."""
        watch = self._watch()
        try:
            await self._refresh_all(watch, self._listed(watch.survey()))
            while True:
                change = self._change()
                if change.puts or change.removes or change.problems != self._told:
                    yield self._tell(change)
                signal = await watch.changed()
                files = dict.fromkeys(signal.files)
                if signal.everything:
                    files |= dict.fromkeys(self._differing(watch.survey()))
                await self._refresh_all(watch, files)
        finally:
            watch.close()

    def _tell(self, change: Change) -> Change:
        self._told = change.problems
        return change

    def place(self, key: Key, field: FieldPath = ()) -> Place | None:
        """Where the object with this key stands; with `field` where that part of it does, as the file says now."""
        place = self._inventory.place(key)
        return place if place is None or not field else _place_of_field(place, field)

    def unread(self) -> list[tuple[Subject, Problem]]:
        """What cannot be read, path, file or part of a document: which object it may be, and why."""
        found = [(NOTHING_KNOWN, problem) for problem in self._unread_paths]
        for file in self._troubled:
            for entry in self._files[file].entries:
                subjects = (fault.subject for fault in entry.reading.faults)
                found += zip(subjects, entry.problems(file), strict=True)
        return found

    def _watch(self) -> Watch:
        if sys.platform != "linux":
            return SystemWatch(self._paths)
        try:
            return InotifyWatch(self._paths)
        except OSError as error:
            return PollingWatch(self._paths, error)

    def _listed(self, found: Survey) -> list[str]:
        """All files there are or were."""
        self._note_paths(found)
        return list({**self._files, **found.files})

    def _differing(self, found: Survey) -> list[str]:
        """The files that came, went, or are others than those that were read."""
        self._note_paths(found)
        gone = [file for file in self._files if file not in found.files]
        other = [file for file, state in found.files.items() if file not in self._files or self._files[file].signature != state]
        return gone + other

    def _note_paths(self, found: Survey) -> None:
        self._path_problems, self._unread_paths = tuple(found.problems), tuple(found.unread)

    async def _refresh_all(self, watch: Watch, files: Iterable[str]) -> None:
        for count, file in enumerate(files, 1):
            self._refresh(file, watch)
            if count % _SLICE == 0:
                await asyncio.sleep(0)

    def _refresh(self, file: str, watch: Watch | None = None) -> None:
        """Reads a file; one that a writer is at is left as it was, the watch will name it again."""
        if watch is not None and watch.is_unsettled(file):
            return
        before = self._files.get(file)
        entries = before.entries if before else ()
        try:
            content, state = _content(file)
        except (FileNotFoundError, NotADirectoryError):
            self._put(file, None)
            return
        except OSError as error:
            permission = isinstance(error, PermissionError)
            remedy = "Allow this user to read it." if permission else "Look whether the file system that holds it works."
            trouble = unreadable(entries, 0, f"the file cannot be read: {error.strerror}", remedy)
            self._put(file, _File(None, b"", trouble, ()))
            return
        if watch is not None and (watch.is_unsettled(file) or (content == b"" and self._is_emptied(file, state, watch))):
            return
        if content is None:
            trouble = unreadable(entries, 0, "this is not a regular file", "Name a file or folder.")
            self._put(file, _File(state, b"", trouble, ()))
            return
        digest = blake2b(content, digest_size=16).digest()
        if before is not None and before.digest == digest:
            self._files[file] = _File(state, digest, before.entries, before.problems)
        else:
            self._put(file, _File(state, digest, refreshed(entries, content, self._namespace), ()))

    def _is_emptied(self, file: str, state: Signature, watch: Watch) -> bool:
        """Whether this empty file held something and was found empty just now.

        A writer's truncation shows before its event, so an empty file is believed when it is the same after a rest.
        """
        known = self._files.get(file)
        if known is None or not known.entries or self._emptied.get(file) == state:
            return False
        self._emptied[file] = state
        watch.signal_later(file)
        return True

    def _put(self, file: str, state: _File | None) -> None:
        self._troubled.pop(file, None)
        self._emptied.pop(file, None)
        if state is None:
            self._files.pop(file, None)
            self._inventory.hold(file, ())
            return
        problems = tuple(problem for entry in state.entries for problem in entry.problems(file))
        if problems:
            self._troubled[file] = problems
        self._files[file] = _File(state.signature, state.digest, state.entries, problems)
        self._inventory.hold(file, ((found.line, found.object) for entry in state.entries for found in entry.objects()))

    def _change(self) -> Change:
        puts, removes = self._inventory.changes()
        problems = [problem for file in self._troubled.values() for problem in file]
        return Change(puts, removes, tuple(sorted((*self._path_problems, *problems, *self._inventory.problems()))))


def _content(file: str) -> tuple[bytes | None, Signature]:
    """The content of a file, at most one byte more than may be read, and its state; None when it is no regular file."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, signature(status)
        parts = []
        left = LARGEST_FILE + 1
        while left > 0 and (part := os.read(descriptor, min(left, status.st_size + 1))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts), signature(status)
    finally:
        os.close(descriptor)


def _place_of_field(place: Place, field: FieldPath) -> Place:
    try:
        content, _ = _content(place.file)
        for chunk in split(decode(content or b"")):
            for document in parse(chunk.text):
                for path in object_paths(document.value):
                    if chunk.line + document.line_of(path) == place.line:
                        return Place(place.file, chunk.line + document.line_of((*path, *field)))
    except (OSError, DocumentError):
        # The file has changed since; the place of the object as it was read is the best answer.
        return place
    return place
