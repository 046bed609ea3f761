"""The authority as it is kept for all replicas of the controller: made by whoever is first, read by the others, renewed in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.authority import Authority
from mesh.roots import LEAF_LIFETIME, Root, UnreadableRoot, alone_from, is_due, make_root, read_roots, signs_from, stored, trusted

INTERVAL: Final = 60.0
"""Seconds between two looks at the store, at most, and a quarter of a leaf's life: what one replica makes the others know in time."""


class Stored(NamedTuple):
    version: str
    """Differs whenever the data does."""
    data: Mapping[str, str]
    rotation_asked: bool = False
    """Whether somebody wants a new root. Writing takes the wish away."""


class Store(Protocol):
    """Where the authority is kept: a Secret in the controller's namespace. Errors are raised as OSError."""

    async def load(self) -> Stored | None:
        """None if there is nothing."""

    async def create(self, data: Mapping[str, str]) -> bool:
        """False if there was something already."""

    async def replace(self, data: Mapping[str, str], version: str) -> bool:
        """False if the version is another by now."""


class StoredAuthority:
    """Owner of the roots as this replica knows them. `leaf` is the life of what is issued."""

    def __init__(self, store: Store, trust_domain: str, message: Callable[[str], None], leaf: timedelta = LEAF_LIFETIME) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._message = message
        self._leaf = leaf
        self._stored: Stored | None = None
        self._authority: Authority | None = None

    @property
    def current(self) -> Authority:
        """After `open`."""
        assert self._authority is not None
        return self._authority

    async def open(self) -> None:
        """Reads the store, or makes a root if there is none. Raises OSError and mesh.roots.UnreadableRoot."""
        while True:
            found = await self._store.load()
            if found is not None:
                break
            await self._store.create(stored([self._new_root(datetime.now(UTC))]))  # who comes second reads what was first
        self._take(found)

    async def keep(self) -> None:
        """Follows the store and renews the root in time, until cancelled. What it cannot read or write it tells, and goes on."""
        while True:
            await asyncio.sleep(min(INTERVAL, self._leaf.total_seconds() / 4))
            try:
                await self.refresh(datetime.now(UTC))
            except (OSError, UnreadableRoot) as error:
                self._message(f"the certificate authority goes on with what it has: {error}")

    async def refresh(self, now: datetime) -> None:
        """Reads what is stored, drops a root whose time is over, and adds one when it is due, or asked for and the last change is
        over. Raises OSError and UnreadableRoot."""
        await self.open()
        assert self._stored is not None
        before = read_roots(self._stored.data)
        kept = trusted(before, now, self._leaf)
        asked = self._stored.rotation_asked and len(kept) == 1
        added = (self._new_root(now),) if asked or is_due(kept, now) else ()
        if (added or len(kept) != len(before)) and await self._store.replace(stored((*kept, *added)), self._stored.version):
            self._tell(added, len(before) - len(kept))
            await self.open()

    def _tell(self, added: tuple[Root, ...], dropped: int) -> None:
        if dropped:
            self._message("the old root certificate is trusted no more: all that it had signed has ended")
        for root in added:
            signs, alone = signs_from(root, self._leaf), alone_from(root, self._leaf)
            self._message(
                f"a new root certificate is made, and trusted from now on; it signs from {signs:%Y-%m-%d %H:%M:%SZ} on, and the one"
                f" before is trusted until {alone:%Y-%m-%d %H:%M:%SZ}"
            )

    def _take(self, found: Stored) -> None:
        if self._stored is None or found.version != self._stored.version:
            self._authority = Authority(self._trust_domain, read_roots(found.data), self._leaf)
            self._stored = found

    def _new_root(self, now: datetime) -> Root:
        return make_root(ec.generate_private_key(ec.SECP256R1()), self._trust_domain, now, x509.random_serial_number())
