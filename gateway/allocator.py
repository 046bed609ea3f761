"""How the C library of a process that serves shares out memory: settings that it reads from the environment when a process begins."""

from __future__ import annotations

import os
import sys
from typing import Final

SETTINGS: Final = {"MALLOC_MMAP_THRESHOLD_": "260000", "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""For glibc, unless the user sets them. A piece of a body, up to 250 KiB, is taken from the heap and not mapped and cleared anew (1 MiB
down: 630 us of CPU then, against 410); the 256 KiB scratch buffer of a TLS transport, of which little is used, is mapped (a waiting TLS
connection: 24 KiB of memory, against 46)."""


def begin_again_with_settings() -> None:
    """Begins this program anew with them, as the same process, unless they are there: to be called first of all."""
    if not SETTINGS.keys() <= os.environ.keys():
        os.execve(sys.executable, (sys.executable, *sys.orig_argv[1:]), SETTINGS | os.environ)  # noqa: S606  # it is this very program
