"""The authority as it is kept for all replicas of the controller: made by whoever is first, read by the others, renewed in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.authority import Authority
from mesh.roots import Root, UnreadableRoot, is_due, make_root, read_roots, stored, trusted

INTERVAL: Final = 600.0
"""Seconds between two looks at the store. Far less than mesh.roots.OVERLAP: what one replica makes the others know in time."""


class Stored(NamedTuple):
    version: str
    """Differs whenever the data does."""
    data: Mapping[str, str]


class Store(Protocol):
    """Where the authority is kept: a Secret in the controller's namespace. Errors are raised as OSError."""

    async def load(self) -> Stored | None:
        """None if there is nothing."""

    async def create(self, data: Mapping[str, str]) -> bool:
        """False if there was something already."""

    async def replace(self, data: Mapping[str, str], version: str) -> bool:
        """False if the version is another by now."""


class StoredAuthority:
    """Owner of the roots as this replica knows them."""

    def __init__(self, store: Store, trust_domain: str, problem: Callable[[str], None]) -> None:
        self._store = store
        self._trust_domain = trust_domain
        self._problem = problem
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
            await asyncio.sleep(INTERVAL)
            try:
                await self.refresh(datetime.now(UTC))
            except (OSError, UnreadableRoot) as error:
                self._problem(f"the certificate authority goes on with what it has: {error}")

    async def refresh(self, now: datetime) -> None:
        """Reads what is stored, drops a root whose time is over, and adds one when it is due. Raises OSError and UnreadableRoot."""
        await self.open()
        assert self._stored is not None
        before = read_roots(self._stored.data)
        after = trusted(before, now)
        if is_due(after, now):
            after = (*after, self._new_root(now))
        if len(after) != len(before) and await self._store.replace(stored(after), self._stored.version):
            await self.open()

    def _take(self, found: Stored) -> None:
        if self._stored is None or found.version != self._stored.version:
            self._authority = Authority(self._trust_domain, read_roots(found.data))
            self._stored = found

    def _new_root(self, now: datetime) -> Root:
        return make_root(ec.generate_private_key(ec.SECP256R1()), self._trust_domain, now, x509.random_serial_number())
