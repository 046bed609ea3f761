"""The last good configuration on disk, so that a data plane can start without its source, and at once.

A snapshot is one file of lines: a header, the objects it was made from, one resource a line, and last the SHA-256 of all before
it. So whatever is torn, cut, appended or flipped is refused, and so is another format and the snapshot of other options.
`encode` and `decode` are pure; `SnapshotFolder` keeps two generations. Private keys are in it: files are 0600, and one that is
not ours alone to write is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from gateway.ir.batch import AnyResource, share_names

FORMAT: Final = 1
"""Of the file and of the resources in it: raised whenever an older program would misread what a newer one wrote."""
MOST_BYTES: Final = 1 << 30
GENERATIONS: Final = ("current.snapshot", "previous.snapshot")
UNFINISHED: Final = "unfinished.snapshot"

_SLICE: Final = 128
"""Resources encoded in one piece: less than a millisecond."""
_MARK: Final = b"sha256 "
_LAST_LINE: Final = len(_MARK) + 64 + 1

Origin = tuple[str, str, str]
"""Kind, namespace ('' for the whole cluster) and name of an object."""


class SnapshotError(Exception):
    """A snapshot that must not be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`scope` names the source and the options it holds for, `written` when it was made (RFC 3339), `program` by which version."""

    scope: str
    program: str
    written: str
    resources: tuple[AnyResource, ...]
    origins: tuple[Origin, ...] = ()
    """All objects that the resources were made from, as far as the writer knows them."""


class _Format(msgspec.Struct, frozen=True):
    """As much of a header as every format has."""

    format: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    scope: str
    program: str
    written: str
    resources: int


_header_decoder: Final = msgspec.json.Decoder(_Header)
_origins_decoder: Final = msgspec.json.Decoder(tuple[Origin, ...])
_resource_decoder: Final = msgspec.json.Decoder(AnyResource)
_encoder: Final = msgspec.json.Encoder()


def encode(snapshot: Snapshot) -> Iterator[bytes]:
    """The file, in pieces that each take less than a millisecond or so."""
    digest = hashlib.sha256()
    for piece in _body(snapshot):
        digest.update(piece)
        yield piece
    yield _MARK + digest.hexdigest().encode("ascii") + b"\n"


def _body(snapshot: Snapshot) -> Iterator[bytes]:
    header = _Header(FORMAT, snapshot.scope, snapshot.program, snapshot.written, len(snapshot.resources))
    yield _encoder.encode(header) + b"\n" + _encoder.encode(snapshot.origins) + b"\n"
    for start in range(0, len(snapshot.resources), _SLICE):
        yield _encoder.encode_lines(snapshot.resources[start : start + _SLICE])


def decode(content: bytes, scope: str) -> Snapshot:
    """The snapshot in a file's content, for a data plane of this scope. Raises SnapshotError, and nothing else, for any content."""
    head, _, rest = content.partition(b"\n")
    try:
        format = msgspec.json.decode(head, type=_Format).format
    except msgspec.MsgspecError:
        raise SnapshotError("it does not begin as a snapshot of Tidegate does") from None
    if format != FORMAT:
        raise SnapshotError(f"it has format {format}, and this version of Tidegate reads format {FORMAT}")
    body = memoryview(content)[:-_LAST_LINE]
    if content[-_LAST_LINE:] != _MARK + hashlib.sha256(body).hexdigest().encode("ascii") + b"\n":
        raise SnapshotError("its checksum is not that of its content: it was cut off or changed")
    origins, _, resources = rest[:-_LAST_LINE].partition(b"\n")
    return _read(head, origins, resources, scope)


def _read(head: bytes, origins: bytes, lines: bytes, scope: str) -> Snapshot:
    """What a file with the right checksum says. Raises SnapshotError."""
    try:
        header = _header_decoder.decode(head)
        if header.scope != scope:
            raise SnapshotError(f"it is of another configuration ({header.scope}), and this one is {scope}")
        named = _origins_decoder.decode(origins)
        resources: tuple[AnyResource, ...] = tuple(_resource_decoder.decode_lines(lines))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"this version of Tidegate cannot read it: {error}") from None
    if len(resources) != header.resources:
        raise SnapshotError(f"it holds {len(resources)} resources and says {header.resources}")
    if len({resource.identity for resource in resources}) < len(resources):
        raise SnapshotError("it holds a resource twice")
    for resource in resources:
        share_names(resource)
    return Snapshot(scope, header.program, header.written, resources, named)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found: the best snapshot, if any is good, and what is to be told, a sentence each."""

    snapshot: Snapshot | None
    told: tuple[str, ...]


class SnapshotFolder:
    """Owner of the snapshots in a folder: `load` once, then `store` as often as needed, all from one thread at a time."""

    __slots__ = ("_damaged", "_scope", "path")

    def __init__(self, path: Path, scope: str) -> None:
        self.path = path
        self._scope = scope
        self._damaged = False
        """Whether the current generation was refused: the next one takes its place, and not that of the good one before."""

    def load(self) -> Loaded:
        """The newest snapshot that is good. Makes the folder where there is none. Raises nothing."""
        told: list[str] = []
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.path.stat().st_mode
        except OSError as error:
            return Loaded(None, (f"the snapshot folder {self.path} cannot be used: {error.strerror}; there is no snapshot to start from",))
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            told.append(f"others can remove or replace the snapshots in {self.path}: take that from them with chmod go-w")
        for name in GENERATIONS:
            try:
                return Loaded(decode(own_content(self.path / name), self._scope), tuple(told))
            except FileNotFoundError:
                continue
            except OSError as error:
                told.append(f"the snapshot {self.path / name} cannot be read: {error.strerror}")
            except SnapshotError as error:
                told.append(f"the snapshot {self.path / name} is refused: {error}")
            self._damaged = self._damaged or name == GENERATIONS[0]
        return Loaded(None, tuple(told))

    def store(self, snapshot: Snapshot) -> None:
        """Makes it the current generation; what was current becomes the previous one. On disk when this returns. Raises OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # the program may be about to be replaced, and the next one writes too
            with contextlib.suppress(FileNotFoundError):
                os.unlink(UNFINISHED, dir_fd=folder)
            try:
                _write(folder, snapshot)
                current, previous = GENERATIONS
                if not self._damaged:
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(current, previous, src_dir_fd=folder, dst_dir_fd=folder)
                os.rename(UNFINISHED, current, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(UNFINISHED, dir_fd=folder)
                raise
            os.fsync(folder)
            self._damaged = False
        finally:
            os.close(folder)


def _write(folder: int, snapshot: Snapshot) -> None:
    descriptor = os.open(UNFINISHED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with open(descriptor, "wb", buffering=0) as file:
        for piece in encode(snapshot):
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
        os.fsync(descriptor)


def own_content(path: Path) -> bytes:
    """Raises OSError, and SnapshotError for a file that another user may have written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SnapshotError("it is no regular file")
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SnapshotError("another user can write it; remove it, or make it yours with mode 0600")
        if status.st_size > MOST_BYTES:
            raise SnapshotError(f"it is larger than {MOST_BYTES >> 30} GiB")
        return file.read(MOST_BYTES + 1)
