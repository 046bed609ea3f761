"""Standard streams that never make the loop wait: what is kept, what is dropped and told, what happens at the end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from gateway import standard_streams
from gateway.standard_streams import BackgroundText, write_some


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[str]]]:
    """The two ends of a pipe that holds 4 KiB."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(read, "rb") as reader:
        writer = os.fdopen(write, "w")
        yield reader, writer
        if not reader.closed:
            reader.close()
        writer.close()


def test_what_is_written_comes_out(pipe: tuple[IO[bytes], IO[str]]) -> None:
    """In order, text that UTF-8 cannot have as an escape."""
    reader, writer = pipe
    text = BackgroundText(writer)
    assert [text.write(piece) for piece in ("one\n", "tw", "o \udc80\n")] == [4, 2, 4]
    assert [reader.readline(), reader.readline()] == [b"one\n", b"two \\udc80\n"]


def test_a_reader_that_stands_still_costs_text_and_no_time(pipe: tuple[IO[bytes], IO[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit lines are dropped; the reader that comes back is told how many, where they are missing."""
    monkeypatch.setattr(standard_streams, "WAITING_LIMIT", 10_000)
    reader, writer = pipe
    text = BackgroundText(writer)
    line = "x" * 99 + "\n"
    for _ in range(500):
        text.write(line)
    came = [reader.readline() for _ in range(100)]
    text.settle()
    text.write("after\n")
    came += iter(reader.readline, b"after\n")
    assert set(came[:-1]) == {line.encode()}
    assert came[-1] == b"%d lines are missing here: nobody read them in time\n" % (501 - len(came))


def test_a_reader_that_leaves_is_nobodys_error(pipe: tuple[IO[bytes], IO[str]]) -> None:
    """What is written to nobody is gone, and the writer does not learn of it."""
    reader, writer = pipe
    text = BackgroundText(writer)
    reader.close()
    for _ in range(100):
        text.write("lost\n")
    text.settle()
    assert text._waiting == 0


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[IO[bytes], IO[str]]) -> None:
    """EAGAIN is no error: nothing is lost when the reader is merely slow."""
    reader, writer = pipe
    os.set_blocking(writer.fileno(), False)
    text = BackgroundText(writer)
    for number in range(2000):
        text.write(f"{number}\n")
    assert [reader.readline() for _ in range(2000)] == [f"{number}\n".encode() for number in range(2000)]


def test_an_error_is_told_to_who_writes_himself() -> None:
    """`write_some` raises what is no matter of waiting."""
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match="No space left"):
        write_some(full.fileno(), b"x")


SHOW = """
import os, sys
from gateway.standard_streams import never_wait
from tidegate.inherited import claim
claim()
opened = os.open("/dev/null", os.O_RDONLY)
never_wait()
print("out", opened > 2)
print("err", opened > 2, file=sys.stderr)
os.system("echo child; echo child >&2")
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", [(), (1,), (2,), (0, 1, 2)], ids=str)
def test_descriptors_that_are_closed_are_claimed(closed: tuple[int, ...]) -> None:
    """No file gets the number of a standard stream, children have them too, and nothing fails; at the end all is written."""
    command = ("sh", "-c", 'exec "$@" ' + " ".join(f"{number}{'<' if not number else '>'}&-" for number in closed), "sh")
    done = subprocess.run((*command, sys.executable, "-c", SHOW), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == ([] if 1 in closed else ["child", "out True"])
    assert sorted(done.stderr.splitlines()) == ([] if 2 in closed else ["child", "err True"])
