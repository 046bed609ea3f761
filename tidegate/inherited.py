"""What a process is born with: descriptors of standard input, output and error, which whoever starts it may have closed."""

from __future__ import annotations

import os
import sys


def claim() -> None:
    """Opens what whoever started us has closed of standard input, output and error: the next socket or file would get its number,
    and what is meant for the log would be written there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115  # open as long as the process lives
