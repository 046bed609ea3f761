"""Whom a mesh on one machine trusts: an authority that is made with each start and lives in this process alone, and tokens that say to it
which Pod a sidecar is in. The rest is what a cluster has: requests signed by keys that stay where they are made."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from gateway.ir.batch import AnyResource
from mesh.authority import Authority
from mesh.authority_store import Stored
from mesh.own_identity import identity_resources
from mesh.rotation import renew_at
from mesh.signing_request import KeyPair


class Account(NamedTuple):
    """Whose token it is; see mesh.authority_server.Account."""

    namespace: str
    service_account: str
    pod_name: str


class InMemory:
    """See mesh.authority_store.Store: the root's key is in no file."""

    def __init__(self) -> None:
        self._stored: Stored | None = None
        self._version = 0

    async def load(self) -> Stored | None:
        return self._stored

    async def create(self, data: Mapping[str, str]) -> bool:
        return self._stored is None and await self.replace(data, "")

    async def replace(self, data: Mapping[str, str], version: str) -> bool:
        """There is one replica, which nobody is faster than."""
        self._version += 1
        self._stored = Stored(str(self._version), data)
        return True


class Tokens:
    """Owner of a folder that this user alone can read: the roots, and a token for each Pod, as a Pod would mount them."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tidegate-mesh-"))
        self._accounts: dict[str, Account] = {}
        self._roots = ""

    @property
    def roots(self) -> Path:
        """Who vouches for the controller."""
        return self._folder / "ca.crt"

    def trust(self, roots: str) -> None:
        """These roots (PEM) from now on."""
        if roots != self._roots:
            self._roots = roots
            _write(self.roots, roots)

    def issue(self, account: Account) -> Path:
        """A new token for the Pod, in place of the one before."""
        self.revoke(account)
        token = secrets.token_urlsafe(32)
        self._accounts[token] = account
        path = self._path(account)
        _write(path, token)
        return path

    def revoke(self, account: Account) -> None:
        """Nothing if the Pod has none."""
        for token in [token for token, known in self._accounts.items() if (known[0], known[2]) == (account[0], account[2])]:
            del self._accounts[token]
        self._path(account).unlink(missing_ok=True)

    async def review(self, token: str) -> Account | str:
        """See mesh.authority_server.Review."""
        return self._accounts.get(token) or "it is of no Pod of this run"

    def close(self) -> None:
        """The folder is gone, and nobody known any more."""
        self._accounts.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, account: Account) -> Path:
        return self._folder / f"{account.namespace}_{account.pod_name}.token"


def _write(path: Path, text: str) -> None:
    """In one step, for whoever reads it meanwhile."""
    new = path.with_name(f".{path.name}")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    new.rename(path)


class GatewayIdentity(NamedTuple):
    """What the workers of Gateways prove, and when it is to be renewed (seconds since 1970)."""

    account: tuple[str, str]
    resources: tuple[AnyResource, ...]
    renew_at: float


def gateway_identity(authority: Authority, account: tuple[str, str], now: datetime | None = None) -> GatewayIdentity:
    """A new key and certificate for (namespace, ServiceAccount)."""
    now = now or datetime.now(UTC)
    keys = KeyPair()
    chain = authority.issue(keys.request(), account, now, x509.random_serial_number())
    leaf = x509.load_pem_x509_certificate(chain.encode())
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    resources = identity_resources(chain, keys.private_key(), authority.bundle(now))
    return GatewayIdentity(account, resources, renew_at(begin, end, random.random()))
