"""Destinations: from where a captured connection was going to what is kept for it.

An address with its port comes first, then the longest block of addresses with the port, then the port whatever the address, then
everything. Of several that claim the same place one that does not yield has it, then the one that is preferred, then the first by key,
whatever the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import Final, Generic, NamedTuple, TypeVar

Kept = TypeVar("Kept")

EVERY_PORT: Final = 0
"""As Listener.port of a captured listener: every port that no other names."""
_EVERY_ADDRESS: Final = ""


class Claim(NamedTuple, Generic[Kept]):
    """What is kept for `port` of each of the addresses and blocks, of every address where there are none."""

    key: str
    addresses: Sequence[str]
    port: int
    preferred: bool
    kept: Kept
    yields: bool = False
    """Whether it gives way to whatever else claims the same place."""


class Blocks(Generic[Kept]):
    """What is kept for the blocks of one IP version and one prefix length, by the bits of the prefix."""

    __slots__ = ("_shift", "kept", "length", "version")

    def __init__(self, version: int, length: int) -> None:
        self.version, self.length = version, length
        self._shift = (32 if version == 4 else 128) - length
        self.kept: dict[int, tuple[str, Kept]] = {}

    def prefix(self, address: int) -> int:
        return address >> self._shift


class DestinationTable(Generic[Kept]):
    """Made whole, never edited. Addresses and blocks are in their canonical form; a look-up costs no more than the lengths of prefix that
    there are at the port, and nothing where there are none."""

    __slots__ = ("_blocks", "_places")

    def __init__(self, claims: Iterable[Claim[Kept]] = ()) -> None:
        self._places: dict[tuple[str, int], Kept] = {}
        self._blocks: dict[int, list[Blocks[Kept]]] = {}
        """By port, the longest prefixes first."""
        for claim in sorted(claims, key=_order):
            for address in claim.addresses or (_EVERY_ADDRESS,):
                if "/" in address:
                    self._put_block(address, claim)
                else:
                    self._places.setdefault((address, claim.port), claim.kept)
        for blocks in self._blocks.values():
            blocks.sort(key=lambda each: -each.length)

    def _put_block(self, text: str, claim: Claim[Kept]) -> None:
        network = ip_network(text)
        found = self._blocks.setdefault(claim.port, [])
        blocks = next((each for each in found if (each.version, each.length) == (network.version, network.prefixlen)), None)
        if blocks is None:
            blocks = Blocks(network.version, network.prefixlen)
            found.append(blocks)
        blocks.kept.setdefault(blocks.prefix(int(network.network_address)), (text, claim.kept))

    def choose(self, address: str, port: int) -> Kept | None:
        """What serves a destination, None where nothing does."""
        places = self._places
        kept = places.get((address, port))
        if kept is None and self._blocks:
            covering = self._covering(address, port)
            kept = covering[1] if covering is not None else None
        if kept is None:
            kept = places.get((_EVERY_ADDRESS, port))
        return self.rest if kept is None else kept

    def _covering(self, address: str, port: int) -> tuple[str, Kept] | None:
        """The longest block that covers an address, and what is kept for it."""
        found = self._blocks.get(port)
        if found is None:
            return None
        parsed = ip_address(address)
        number = int(parsed)
        for blocks in found:
            if blocks.version == parsed.version:
                kept = blocks.kept.get(blocks.prefix(number))
                if kept is not None:
                    return kept
        return None

    @property
    def rest(self) -> Kept | None:
        """What serves every destination that nothing else names, None where nothing does."""
        return self._places.get((_EVERY_ADDRESS, EVERY_PORT))

    def kept(self) -> Iterable[Kept]:
        """Everything that serves some destination."""
        yield from self._places.values()
        for found in self._blocks.values():
            for blocks in found:
                yield from (kept for _, kept in blocks.kept.values())

    def reason(self, address: str, port: int) -> str:
        """By what `choose` decides, in words."""
        if (address, port) in self._places:
            return "it is for this address and port"
        covering = self._covering(address, port)
        if covering is not None:
            return f"it is for this port of {covering[0]}"
        if (_EVERY_ADDRESS, port) in self._places:
            return "it is for this port of every address that no other listener names"
        return "it is for every destination that no other listener names"


def _order(claim: Claim[Kept]) -> tuple[bool, bool, str]:
    return claim.yields, not claim.preferred, claim.key
