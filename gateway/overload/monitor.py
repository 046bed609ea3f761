"""Readings of memory and descriptors, from the system."""

from __future__ import annotations

from typing import Protocol

from gateway.overload.descriptors import DescriptorShare
from gateway.overload.memory import memory_share


class Monitor(Protocol):
    """Where an Overload has its readings from."""

    def memory(self) -> float:
        """Share of the limit that is in use."""

    def descriptors(self) -> float:
        """Share of the limit that is in use."""


class SystemMonitor:
    """`memory_limit` in bytes for this process, 0 to find out; see memory_share."""

    __slots__ = ("descriptors", "memory")

    def __init__(self, memory_limit: int, workers: int) -> None:
        self.memory = memory_share(memory_limit, workers)
        self.descriptors = DescriptorShare()
