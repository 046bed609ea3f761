"""Watching files on Linux: inotify events to "these files" or "look at everything again".

Files are taken when their writer closes them or moves them in place, never while they are being written; a file that is gone is
taken after a short rest, since editors take the old one away before they put the new one there. Folders are watched while their
names matter, and every folder and link on the way to a given path for its own going. Owner of the watches.
"""

import asyncio
import math
import os
import stat
from collections.abc import Iterable, Sequence

from asyncinotify import Event, Inotify, Mask, Watch

from controller.sources.problems import Problem
from controller.sources.signals import Signal
from controller.sources.survey import Survey, counts, survey

_WENT = Mask.DELETE | Mask.MOVED_FROM
_NAMES = Mask.CREATE | Mask.MOVED_TO | _WENT
_ITSELF = Mask.DELETE_SELF | Mask.MOVE_SELF
_FOLDER = _NAMES | _ITSELF | Mask.CLOSE_WRITE | Mask.MODIFY | Mask.ATTRIB | Mask.MASK_ADD | Mask.ONLYDIR
_ENTRY = _ITSELF | Mask.ATTRIB | Mask.MASK_ADD | Mask.DONT_FOLLOW
_BATCH = 1024
_WRITTEN = 0.5
"""Seconds after its last write at which a file that nobody closes is read all the same."""
_GONE = 0.05
"""Seconds after which a file that went is believed to be gone."""


class InotifyWatch:
    """Watches what a survey depends on. Raises OSError when the system allows no more inotify instances."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._inotify = Inotify(cache_size=_BATCH, sync_timeout=0)
        self._survey = Survey()
        self._folders: dict[int, set[str]] = {}
        self._watched: dict[int, str] = {}
        self._unwatched: list[Problem] = []
        self._everything = False
        self._files: dict[str, None] = {}
        self._resting: dict[str, float] = {}

    def close(self) -> None:
        """Ends all watches."""
        self._inotify.close()

    def survey(self) -> Survey:
        """What the paths stand for now; from here on every change to it is signalled."""
        folders_before = self._folders
        self._folders = {}
        self._watched = {}
        self._unwatched = []
        found = survey(self._paths, self)
        found.problems += self._unwatched
        for watch in self._inotify.watches:
            if watch.wd not in self._watched:
                self._forget(watch)
            elif watch.wd in folders_before and watch.wd not in self._folders:
                # Without MASK_ADD: the names in a busy folder such as /tmp no longer wake anyone.
                self._add(self._watched[watch.wd], _ENTRY & ~Mask.MASK_ADD)
        self._survey = found
        return found

    def _forget(self, watch: Watch) -> None:
        try:
            self._inotify.rm_watch(watch)
        except OSError:
            # The kernel has ended it already; its last event is on the way.
            return

    def folder(self, path: str) -> None:
        """Names in this folder come, go and are written."""
        descriptor = self._add(path, _FOLDER)
        if descriptor is not None:
            self._folders.setdefault(descriptor, set()).add(path)

    def entry(self, path: str) -> None:
        """This folder or link itself may move or go."""
        self._add(path, _ENTRY)

    def _add(self, path: str, mask: Mask) -> int | None:
        try:
            descriptor = self._inotify.add_watch(path, mask).wd
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError as error:
            message = f"changes are not noticed: {error.strerror}"
            self._unwatched.append(Problem(path, 0, "", "", message, "Raise the limit fs.inotify.max_user_watches of this machine."))
            return None
        self._watched[descriptor] = path
        return descriptor

    async def changed(self) -> Signal:
        """Waits for the first event, takes what else is queued, and says what to look at again."""
        loop = asyncio.get_running_loop()
        while True:
            self.drain()
            next_rested = self._take_rested(loop.time())
            if self._everything or self._files:
                return self._taken()
            try:
                async with asyncio.timeout_at(next_rested):
                    await self._readable(loop)
            except TimeoutError:
                continue

    async def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        ready = asyncio.Event()
        loop.add_reader(self._inotify.fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._inotify.fd)

    def _take_rested(self, now: float) -> float | None:
        """Takes the files that have rested, with those that nearly have; the time at which the next one will have."""
        if min(self._resting.values(), default=math.inf) <= now:
            for file, until in list(self._resting.items()):
                if until <= now + _GONE / 2:
                    del self._resting[file]
                    self._files[file] = None
                    self._everything |= not os.path.lexists(file)
        return min(self._resting.values(), default=None)

    def _rest(self, files: Iterable[str], seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._resting.update(dict.fromkeys(files, until))

    def _taken(self) -> Signal:
        signal = Signal(self._everything, tuple(sorted(self._files)))
        self._everything = False
        self._files.clear()
        return signal

    def is_unsettled(self, file: str) -> bool:
        """Whether the file is being written or just went, or was changed since it was signalled, as of now."""
        self.drain()
        return file in self._resting or file in self._files

    def signal_later(self, file: str) -> None:
        """Signals the file once it has rested, or when its writer closes it."""
        if file not in self._resting:
            self._rest((file,), _WRITTEN)

    def drain(self) -> None:
        """Takes the events that are queued, without waiting."""
        for event in self._inotify:
            self._note(event)

    def _note(self, event: Event) -> None:
        mask, watch = event.mask, event.watch
        if mask & Mask.Q_OVERFLOW:
            self._everything = True
            return
        if watch is None or watch.wd not in self._watched:
            return
        if event.name is None:
            self._everything = True
            return
        name = str(event.name)
        for folder in self._folders.get(watch.wd, ()):
            self._note_name(folder, name, mask)

    def _note_name(self, folder: str, name: str, mask: Mask) -> None:
        through = self._survey.names.get((folder, name))
        shown = self._survey.folders.get(folder, set())
        files = {os.path.join(path, name) for path in shown} if counts(name) else set()
        if mask & Mask.ISDIR:
            if through is not None or (shown and not name.startswith(".")):
                self._everything = True
            return
        if through is None and not files:
            if shown and mask & (Mask.CREATE | Mask.MOVED_TO) and not name.startswith(".") and os.path.islink(os.path.join(folder, name)):
                self._everything = True
            return
        self._note_files(os.path.join(folder, name), files | (through or set()), through is not None, mask)

    def _note_files(self, path: str, files: set[str], on_the_way: bool, mask: Mask) -> None:
        """A file that counts, or a name on the way to one, was written, came or went."""
        if mask & Mask.MODIFY or (mask & Mask.CREATE and _is_new_and_written(path)):
            self._rest(files, _WRITTEN)
            return
        if mask & Mask.ATTRIB:
            files = {file for file in files if file not in self._resting}
        if mask & _WENT and not self._everything and (gone := {file for file in files if not os.path.exists(file)}):
            self._rest(gone, _GONE)
            return
        for file in files:
            self._resting.pop(file, None)
        if mask & _NAMES and (on_the_way or os.path.islink(path)):
            self._everything = True
        if on_the_way and not files <= self._survey.files.keys():
            self._everything = True
        self._files.update(dict.fromkeys(files))


def _is_new_and_written(path: str) -> bool:
    """Whether a name that came is a file whose writer will close it: not a link of either kind."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
