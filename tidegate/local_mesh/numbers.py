"""Numbers that stand for objects in addresses: the same for as long as an object is there, given out from the lowest (pure)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from controller.store import Key
from mesh.loopback import FIRST_SERVICE, LAST, WorkloadBlock, loopback_network

DEFAULT_BLOCK: Final = "127.1.0.0/16"
CLUSTER: Final = 0
"""Number of the block whose addresses are those of Services."""
FIRST_WORKLOAD: Final = 1


class MeshBlock(NamedTuple):
    """The addresses of one mesh: the first two numbers of them."""

    prefix: str

    @classmethod
    def parse(cls, text: str) -> MeshBlock:
        """Of a network such as 127.1.0.0/16. Raises ValueError."""
        first = loopback_network(text, 16, DEFAULT_BLOCK)
        if first == "127.0.0.0":
            raise ValueError(f"{text!r} holds 127.0.0.1, which is everybody's; write for example {DEFAULT_BLOCK}")
        return cls(first.rsplit(".", 2)[0])

    def workload(self, number: int) -> WorkloadBlock:
        """The addresses of a workload, of Services with CLUSTER."""
        return WorkloadBlock(f"{self.prefix}.{number}")

    def number_of_pod(self, address: str) -> int:
        """The number of the workload whose Pod has this address, 0 for none."""
        return next((number for number in range(FIRST_WORKLOAD, LAST + 1) if self.workload(number).pod == address), 0)

    def number_of_service(self, address: str) -> int:
        """The number of the Service that has this address, 0 for none."""
        block = self.workload(CLUSTER)
        return next((number for number in range(FIRST_SERVICE, LAST + 1) if block.address(number) == address), 0)

    def __str__(self) -> str:
        return f"{self.prefix}.0.0/16"


def complaints(mesh_block: str, *, snapshot: bool, demo_backends: bool) -> Iterator[str]:
    """What keeps a mesh with these options from being run here, each with the option and the remedy."""
    if sys.platform != "linux":
        yield "--mesh: only Linux has all addresses of 127.0.0.0/8; run it in a container or a virtual machine of Linux"
    try:
        MeshBlock.parse(mesh_block)
    except ValueError as error:
        yield f"--mesh-block: {error}"
    if snapshot:
        yield "--snapshot: a mesh of local processes is made anew with each start, and has no use for one; leave out --snapshot or --mesh"
    if demo_backends:
        yield "--demo-backends: with --mesh the programs of Pods answer; leave out one of the two"


class Numbers:
    """Owner of the numbers from `first` to LAST."""

    __slots__ = ("_first", "_keys", "_numbers")

    def __init__(self, first: int) -> None:
        self._first = first
        self._numbers: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}

    def take(self, key: Key, wanted: int = 0) -> int:
        """The number of an object: the one that it has, the one that is wanted, where it is free, or the lowest. 0 if all are taken."""
        number = self._numbers.get(key, 0)
        if number and wanted in (0, number):
            return number
        if wanted and wanted not in self._keys:
            self.give_back(key)
            return self._note(key, wanted)
        return number or self._note(key, next((each for each in range(self._first, LAST + 1) if each not in self._keys), 0))

    def holder(self, number: int) -> Key | None:
        """Who has a number."""
        return self._keys.get(number)

    def give_back(self, key: Key) -> None:
        """Nothing if it has none."""
        self._keys.pop(self._numbers.pop(key, 0), None)

    def _note(self, key: Key, number: int) -> int:
        if number:
            self._numbers[key], self._keys[number] = number, key
        return number
