"""Destinations: from where a captured connection was going to what is kept for it.

An address with its port comes first, then the port whatever the address, then everything. Of several that claim the same place the one
that is preferred has it, then the first by key, whatever the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

Kept = TypeVar("Kept")

EVERY_PORT: Final = 0
"""As Listener.port of a captured listener: every port that no other names."""
_EVERY_ADDRESS: Final = ""


class Claim(NamedTuple, Generic[Kept]):
    """What is kept for `port` of each of the addresses, of every address where there are none."""

    key: str
    addresses: Sequence[str]
    port: int
    preferred: bool
    kept: Kept


class DestinationTable(Generic[Kept]):
    """Made whole, never edited. Addresses are in their canonical form."""

    __slots__ = ("_places",)

    def __init__(self, claims: Iterable[Claim[Kept]] = ()) -> None:
        self._places: dict[tuple[str, int], Kept] = {}
        for claim in sorted(claims, key=_order):
            for address in claim.addresses or (_EVERY_ADDRESS,):
                self._places.setdefault((address, claim.port), claim.kept)

    def choose(self, address: str, port: int) -> Kept | None:
        """What serves a destination, None where nothing does."""
        places = self._places
        for place in ((address, port), (_EVERY_ADDRESS, port), (_EVERY_ADDRESS, EVERY_PORT)):
            kept = places.get(place)
            if kept is not None:
                return kept
        return None

    def kept(self) -> Iterable[Kept]:
        """Everything that serves some destination."""
        return self._places.values()

    def reason(self, address: str, port: int) -> str:
        """By what `choose` decides, in words."""
        if (address, port) in self._places:
            return "it is for this address and port"
        if (_EVERY_ADDRESS, port) in self._places:
            return "it is for this port of every address that no other listener names"
        return "it is for every destination that no other listener names"


def _order(claim: Claim[Kept]) -> tuple[bool, str]:
    return not claim.preferred, claim.key
