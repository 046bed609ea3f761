"""Snapshots on disk: what was written is what is read, and nothing that is damaged is ever used."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ir.backend import Backend
from gateway.ir.listener import Certificate, Secret
from gateway.ir.value import Source
from gateway.snapshot import GENERATIONS, UNFINISHED, Snapshot, SnapshotError, SnapshotFolder, decode, encode

SCOPE = '{"paths": ["/etc/tidegate"]}'
SOURCE = Source("Service", "default", "s")
CURRENT, PREVIOUS = GENERATIONS


def made(number: int = 0, resources: int = 3) -> Snapshot:
    backends = tuple(Backend(key=f"default/s:{port}", source=SOURCE, error=f"version {number}\n") for port in range(resources))
    certificate = Certificate(key="default/c", source=SOURCE, chain="chain", private_key=Secret("key"), fingerprint="f")
    return Snapshot(SCOPE, "1.0", "2026-01-01T00:00:00Z", (*backends, certificate), (("Service", "default", "s"),))


def content(of: Snapshot) -> bytes:
    return b"".join(encode(of))


CONTENT = content(made())
HEADER = CONTENT[: CONTENT.index(b"\n")] + b"\n[]\n"
"""With no origins, and no resources yet."""


@given(st.integers(0, 1_000))
@settings(max_examples=10)
def test_what_was_written_is_read(resources: int) -> None:
    """Whatever the number of pieces; private keys included."""
    assert decode(content(made(7, resources)), SCOPE) == made(7, resources)


def test_a_large_snapshot_is_encoded_in_pieces() -> None:
    """Nobody waits for all of it: the interpreter is free between two pieces."""
    assert len(list(encode(made(0, 10_000)))) > 50


def test_every_single_flipped_bit_is_noticed() -> None:
    """Issue 4: a damaged snapshot is refused, wherever the damage is."""
    for place in range(len(CONTENT)):
        for bit in range(8):
            damaged = bytearray(CONTENT)
            damaged[place] ^= 1 << bit
            with pytest.raises(SnapshotError):
                decode(bytes(damaged), SCOPE)


def test_every_torn_or_continued_file_is_noticed() -> None:
    """A write that was cut short, two writes in one file, a tail of something else."""
    for length in range(len(CONTENT)):
        with pytest.raises(SnapshotError):
            decode(CONTENT[:length], SCOPE)
    for tail in (b"\n", b"\0", CONTENT):
        with pytest.raises(SnapshotError):
            decode(CONTENT + tail, SCOPE)


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda rest: CONTENT[:200] + rest))
def test_nothing_but_a_snapshot_error_comes_of_any_content(anything: bytes) -> None:
    """The loader is a function of bytes that no file can surprise."""
    with pytest.raises(SnapshotError):
        decode(anything, SCOPE)


def sealed(body: bytes) -> bytes:
    """A body with the right checksum, as a faulty writer would leave it."""
    return body + b"sha256 " + hashlib.sha256(body).hexdigest().encode() + b"\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "does not begin"),
        (b'{"format":2}\n', "has format 2, and this version of Tidegate reads format 1"),
        (b'{"format":1}\n[]\n', "cannot read it"),
        (b'{"format":1,"scope":"other","program":"","written":"","resources":0}\n[]\n', "of another configuration (other)"),
        (HEADER.replace(b'"resources":4', b'"resources":5'), "holds 0 resources and says 5"),
        (HEADER + b'{"kind":"Future","key":"a"}\n', "cannot read it"),
        (HEADER + b'{"kind":"Backend","key":"a","source":{"kind":"","namespace":"","name":""}}\n' * 4, "twice"),
        (HEADER + b"[" * 100_000, "cannot read it"),
    ],
)  # fmt: skip
def test_what_has_the_right_checksum_and_is_no_snapshot_of_ours_is_refused_with_the_reason(body: bytes, said: str) -> None:
    """Another format, other options, resources of a newer version."""
    with pytest.raises(SnapshotError) as refusal:
        decode(sealed(body), SCOPE)
    assert said in str(refusal.value)


def test_two_generations_are_kept(tmp_path: Path) -> None:
    """Issue 4: the newest is current, the one before stays; for nobody else to read."""
    folder = SnapshotFolder(tmp_path / "deep" / "snapshots", SCOPE)
    assert folder.load().snapshot is None
    for number in range(4):
        folder.store(made(number))
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(GENERATIONS)
    assert decode((folder.path / PREVIOUS).read_bytes(), SCOPE) == made(2)
    assert SnapshotFolder(folder.path, SCOPE).load().snapshot == made(3)
    assert SnapshotFolder(folder.path, SCOPE).load().told == ()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}


def test_a_damaged_generation_is_refused_aloud_and_the_one_before_is_used(tmp_path: Path) -> None:
    """Issue 4: refused aloud, naming file and reason. What is written next does not push the good one out."""
    folder = SnapshotFolder(tmp_path, SCOPE)
    folder.store(made(1))
    folder.store(made(2))
    (tmp_path / CURRENT).write_bytes(b"torn")
    again = SnapshotFolder(tmp_path, SCOPE)
    loaded = again.load()
    assert loaded.snapshot == made(1)
    (told,) = loaded.told
    assert str(tmp_path / CURRENT) in told
    assert "refused" in told
    again.store(made(3))
    assert [decode((tmp_path / name).read_bytes(), SCOPE) for name in GENERATIONS] == [made(3), made(1)]


def test_two_damaged_generations_are_no_snapshot(tmp_path: Path) -> None:
    """Nothing is better than half."""
    for name in GENERATIONS:
        (tmp_path / name).write_bytes(CONTENT[:-1])
        (tmp_path / name).chmod(0o600)
    loaded = SnapshotFolder(tmp_path, SCOPE).load()
    assert loaded.snapshot is None
    assert len(loaded.told) == 2


def test_a_crash_between_two_renames_leaves_a_generation(tmp_path: Path) -> None:
    """There is always one whole generation: here only the previous one is there."""
    folder = SnapshotFolder(tmp_path, SCOPE)
    folder.store(made(1))
    (tmp_path / CURRENT).rename(tmp_path / PREVIOUS)
    (tmp_path / UNFINISHED).write_bytes(b"half")
    again = SnapshotFolder(tmp_path, SCOPE)
    assert again.load().snapshot == made(1)
    again.store(made(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(GENERATIONS)


def test_a_full_disk_leaves_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half file under a name that counts, and none left over."""
    folder = SnapshotFolder(tmp_path, SCOPE)
    folder.store(made(1))
    fsync = os.fsync

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.store(made(2))
    monkeypatch.setattr(os, "fsync", fsync)
    assert [path.name for path in tmp_path.iterdir()] == [CURRENT]
    assert SnapshotFolder(tmp_path, SCOPE).load().snapshot == made(1)


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Who can write a snapshot says where traffic goes."""
    folder = SnapshotFolder(tmp_path, SCOPE)
    folder.store(made(1))
    (tmp_path / CURRENT).chmod(0o666)
    loaded = folder.load()
    assert loaded.snapshot is None
    assert "another user can write it" in loaded.told[0]


def test_a_folder_that_others_can_write_is_told(tmp_path: Path) -> None:
    """They could put an older generation in place of a newer one."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "chmod go-w" in SnapshotFolder(shared, SCOPE).load().told[0]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Neither links nor pipes are followed or waited for."""
    os.mkfifo(tmp_path / CURRENT, 0o600)
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    (tmp_path / PREVIOUS).symlink_to(tmp_path / "elsewhere")
    loaded = SnapshotFolder(tmp_path, SCOPE).load()
    assert loaded.snapshot is None
    assert "no regular file" in loaded.told[0]
    assert str(tmp_path / PREVIOUS) in loaded.told[1]


def test_a_folder_that_cannot_be_made_is_told_and_no_more(tmp_path: Path) -> None:
    """The start goes on from the source."""
    (tmp_path / "file").write_text("")
    loaded = SnapshotFolder(tmp_path / "file" / "folder", SCOPE).load()
    assert loaded.snapshot is None
    assert "cannot be used" in loaded.told[0]
