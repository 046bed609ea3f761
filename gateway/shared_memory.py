"""Memory that the workers of a proxy share: an unnamed file that the parent makes and every worker maps."""

from __future__ import annotations

import mmap
import os
import tempfile


def own_memory(size: int) -> memoryview:
    """Zeroed memory of this process alone; takes room only where it is written to."""
    return memoryview(mmap.mmap(-1, size))


def make_shared_file(size: int) -> int:
    """A descriptor of a zeroed file without a name, gone when the last process closes it. Raises OSError."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tidegate", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def shared_memory(descriptor: int) -> memoryview:
    """All of the file, mapped. Raises OSError or ValueError for a descriptor that is none of such a file."""
    return memoryview(mmap.mmap(descriptor, 0))
