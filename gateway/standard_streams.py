"""Standard output and error of a process whose loop may not wait: for a reader that is slow, has stopped, or never was.

What Python's streams are given is written by a thread; what a reader does not take is bounded, dropped and told in its place.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
from io import TextIOBase
from threading import Condition, Thread
from typing import IO, Final

WAITING_LIMIT: Final = 1024 * 1024
"""Bytes of text that may wait for the reader of one stream."""
LAST_WAIT: Final = 1.0
"""Seconds that the end of the process waits for a reader."""


class BackgroundText(TextIOBase):
    """A text stream that never makes its writer wait and never fails: a reader that is gone costs its text, and nothing else."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []
        self._waiting = self._dropped = 0
        self._changed = Condition()
        Thread(target=self._write, name="standard stream", daemon=True).start()

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._waiting + len(data) > WAITING_LIMIT:
                self._dropped += text.count("\n")
                return len(text)
            if self._dropped:
                data = b"%d lines are missing here: nobody read them in time\n" % self._dropped + data
                self._dropped = 0
            self._waiting += len(data)
            self._pieces.append(data)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing waits here; see `settle`."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def settle(self, seconds: float = LAST_WAIT) -> None:
        """Waits until all is written, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                data = b"".join(self._pieces)
                self._pieces.clear()
            left = data
            try:
                while left:
                    left = left[write_some(self._stream.fileno(), left) :]
            except OSError:
                pass  # the reader is gone, or the disk is full
            with self._changed:
                self._waiting -= len(data)
                self._changed.notify_all()


def write_some(descriptor: int, data: bytes) -> int:
    """How much of it was written. Waits for the reader also where the descriptor does not block, which anyone who shares it may have
    set. Raises OSError."""
    while True:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            ready = select.poll()
            ready.register(descriptor, select.POLLOUT)
            ready.poll()


def never_wait() -> None:
    """From here on nobody in this process waits for the readers of standard output and error; the end waits for them a moment."""
    for name in ("stdout", "stderr"):
        background = BackgroundText(getattr(sys, name))
        setattr(sys, name, background)
        atexit.register(background.settle)


def settle() -> None:
    """Waits a moment for those readers, before this process becomes another program: nothing is done at exit then."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, BackgroundText):
            stream.settle()
