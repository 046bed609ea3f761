"""Which files the given paths stand for, and on which names of which folders that depends.

A folder is taken with all below it: *.yaml, *.yml, *.json, without hidden and editors' temporary files; a file is taken
whatever its name. Symbolic links are followed one by one, so that the change of any link on the way is noticed (ConfigMap
volumes swap one). Each folder is shown to the `Observer` before it is looked into: what changes later is then an event.
"""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.sources.problems import Problem

_SUFFIXES = (".yaml", ".yml", ".json")
_MOST_LINKS = 40

Signature = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last change of content and of state: another file or content has another."""


class Observer(Protocol):
    """Is shown what a survey depends on, before it is looked at."""

    def folder(self, path: str) -> None:
        """Names in this folder come, go and are written."""

    def entry(self, path: str) -> None:
        """This folder or link itself may move or go."""


class NoObserver:
    """For a survey that nothing watches."""

    def folder(self, path: str) -> None:
        """Nothing watches."""

    def entry(self, path: str) -> None:
        """Nothing watches."""


@dataclass(slots=True)
class Survey:
    """What was found. Folders are real paths, files are named by the path that was given."""

    files: dict[str, Signature] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)
    """The folders whose files count, each with the names under which it was reached."""
    names: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Further names that matter, (folder, name), each with the files that are read through it."""
    unread: list[Problem] = field(default_factory=list)
    """Paths that stand for files which could not be found or read."""
    problems: list[Problem] = field(default_factory=list)
    """Those, and whatever else a user should know."""


def signature(status: os.stat_result) -> Signature:
    """What tells the state of a file from an earlier one."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def counts(name: str) -> bool:
    """Whether a file of this name counts in a folder."""
    return name.endswith(_SUFFIXES) and not name.startswith((".", "#", "~"))


def survey(paths: Sequence[str], observer: Observer) -> Survey:
    """Finds the files that `paths` stand for."""
    walk = _Walk(observer)
    for path in paths:
        walk.given(path)
    return walk.survey


class _Walk:
    __slots__ = ("_observer", "_reached", "survey")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._reached: set[str] = set()
        self.survey = Survey()

    def given(self, path: str) -> None:
        real = self._follow(os.path.abspath(path), path)
        if real is None:
            remedy = "Create it, or correct the path; it is read as soon as it is there."
            self._problem(path, "the file or folder does not exist or may not be entered", remedy)
        elif os.path.isdir(real):
            self._folder(path, real, frozenset())
        else:
            self._linked(path, real)

    def _problem(self, path: str, message: str, remedy: str) -> None:
        problem = Problem(path, 0, "", "", message, remedy)
        self.survey.unread.append(problem)
        self.survey.problems.append(problem)

    def _follow(self, path: str, file: str) -> str | None:
        """The real path of an absolute path, or None if it leads nowhere; notes each name on the way to `file`."""
        folder, left, links = "/", path.split("/")[::-1], 0
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                folder = os.path.dirname(folder)
                continue
            here = os.path.join(folder, name)
            self.survey.names.setdefault((folder, name), set())
            if left or os.path.islink(here):
                # The last name, when it is no link, is watched with its folder or as one.
                self._observer.entry(here)
            if not os.path.lexists(here):
                self._observer.folder(folder)
                if not os.path.lexists(here):
                    if not left:
                        self.survey.names[folder, name].add(file)
                    return None
            target = _target(here)
            if target is None:
                folder = here
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            left += target.split("/")[::-1]
            folder = "/" if target.startswith("/") else folder
        return folder

    def _linked(self, path: str, real: str) -> None:
        """A file that was given, or that a link leads to."""
        folder, name = os.path.split(real)
        self._observer.folder(folder)
        self.survey.names.setdefault((folder, name), set()).add(path)
        self._file(path)

    def _file(self, path: str) -> None:
        absolute = os.path.abspath(path)
        try:
            status = os.stat(path)
        except OSError:
            return
        if absolute not in self._reached:
            self._reached.add(absolute)
            self.survey.files[path] = signature(status)

    def _folder(self, path: str, real: str, above: frozenset[tuple[int, int]]) -> None:
        absolute = os.path.abspath(path)
        if absolute in self._reached:
            return
        self._reached.add(absolute)
        self._observer.folder(real)
        self.survey.folders.setdefault(real, set()).add(path)
        try:
            status = os.stat(real)
            with os.scandir(path) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._problem(path, f"the folder cannot be read: {error.strerror}", "Allow this user to read and enter it.")
            return
        above |= {(status.st_dev, status.st_ino)}
        for entry in inside:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                self._link(entry.path, os.path.join(real, entry.name), above)
            elif entry.is_dir(follow_symlinks=False):
                self._folder(entry.path, os.path.join(real, entry.name), above)
            elif counts(entry.name):
                self._file(entry.path)

    def _link(self, path: str, here: str, above: frozenset[tuple[int, int]]) -> None:
        name = os.path.basename(path)
        real = self._follow(here, path)
        if real is None:
            if counts(name):
                remedy = "Correct or remove the link; it is read as soon as its target is there."
                self._problem(path, "the symbolic link leads nowhere", remedy)
            return
        try:
            status = os.stat(real)
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in above:
                self._folder(path, real, above)
        elif counts(name):
            self._linked(path, real)


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
