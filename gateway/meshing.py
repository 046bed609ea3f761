"""The part of a preparation that is about the mesh: see gateway/preparation.py. Who is at which address, and what we prove to be.

Where either means that an endpoint is reached in another way than before, it is renewed in the callback of the commit: no connection is
used for another identity than it was verified for. The renewal of our own certificate, and roots that are added, end nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gateway.draft import IN_PLACE, Draft
from gateway.ir.listener import Certificate, TrustBundle
from gateway.ir.value import Identity
from gateway.ir.workload import IDENTITY, ROOTS, Workload
from gateway.net.addresses import address_key
from gateway.net.key_material import TlsConfigurationError
from gateway.net.mesh_tls import MeshTlsSettings, OwnIdentity, Proof
from gateway.net.spiffe import PeerIdentityError, own_spiffe_id
from gateway.proxy.peers import Own, Peers
from gateway.upstream.mesh import Mesh, settings_towards

if TYPE_CHECKING:
    from gateway.live import Live
    from gateway.upstream.backend import Backend
    from gateway.upstream.endpoint import Endpoint


class MeshPreparation:
    """Used once: `change` for each workload that differs, `prove` if our identity or roots do, `merge`, `compare`, then `commit`.
    `rejections` are the preparation's."""

    def __init__(self, mesh: Mesh, rejections: dict[Identity, str]) -> None:
        self._mesh, self._rejections = mesh, rejections
        self._workloads = Draft(mesh.workloads)
        self._occupants = Draft(mesh.occupants)
        self._own = mesh.own
        self.proof = mesh.own.proof if mesh.own is not None else None
        """What will be proven."""
        self._moved: set[str] = set()
        """Addresses at which somebody came, went or changed."""
        self._differing: list[tuple[Endpoint, MeshTlsSettings | None]] = []
        self._originals: list[Backend] = []
        """Those whose endpoints come with connections, and so until the commit."""
        self._asleep: list[Backend] = []
        """Those that may wake before the commit, and would do so with the peers of before."""

    # what differs

    def change(self, key: str, workload: Workload | None) -> None:
        """A workload that is new, differs, or is gone."""
        before = self._workloads.get(key)
        self._workloads.put(key, workload)
        for address in before.addresses if before is not None else ():
            self._occupy(address_key(address), key, None)
        for address in workload.addresses if workload is not None else ():
            self._occupy(address_key(address), key, workload)

    def _occupy(self, address: str, key: str, workload: Workload | None) -> None:
        others = tuple(other for other in self._occupants.get(address) or () if other.key != key)
        now = others if workload is None else (*others, workload)
        self._occupants.put(address, now or None)
        self._moved.add(address)

    def prove(self, certificate: Certificate | None, roots: TrustBundle | None) -> None:
        """Our certificate, which `check_identity` has passed, and the roots; None for what we have not. Roots that cannot be used are
        rejected, and what was before goes on."""
        if certificate is None or roots is None:
            self._own = self.proof = None
            return
        try:
            proof = Proof(certificate, roots.certificates)
        except TlsConfigurationError as fault:
            self._rejections["TrustBundle", ROOTS] = str(fault)
            return
        if self._own is None or self.proof is None or not proof.succeeds(self.proof):
            self._own = OwnIdentity(proof)
        self.proof = proof

    # the swap

    def merge(self) -> Iterator[None]:
        yield from self._workloads.merge()
        yield from self._occupants.merge()

    def compare(self, backends: Mapping[str, Backend]) -> Iterator[None]:
        """Finds the endpoints of all backends that are reached in another way from now on; yields after each backend.

        More of them than one callback can change are changed here: what that says is true already, whatever else the batch brings.
        """
        if not self.differs:
            return
        for backend in list(backends.values()):  # they come and go meanwhile
            resource = backend.resource
            kind = resource.original_destination if resource is not None else ""
            if resource is not None and resource.external:
                pass  # reached as it is, whoever is there
            elif backend.asleep:
                self._asleep.append(backend)
            elif kind == "Elsewhere":
                self._originals.append(backend)
            elif kind != "OwnPod":  # so is the application beside us
                self._differing += self._unlike(backend)
            yield
        while len(self._differing) > IN_PLACE:
            _settle(*self._differing.pop())
            yield

    def _unlike(self, backend: Backend) -> Iterator[tuple[Endpoint, MeshTlsSettings | None]]:
        everywhere, moved = self._own is not self._mesh.own, self._moved
        identities = backend.resource.identities if backend.resource is not None else ()
        for (address, port), endpoint in backend.endpoints.items():
            if everywhere or address_key(address) in moved:
                settings = settings_towards(self._own, self._occupants.get, (address, port), identities)
                if endpoint.plain.settings is not settings:
                    yield endpoint, settings

    @property
    def differs(self) -> bool:
        """Whether anybody is somebody else than before, or we are."""
        return bool(self._moved) or self._own is not self._mesh.own

    def commit(self) -> None:
        for backend in (*self._originals, *[one for one in self._asleep if not one.asleep]):
            self._differing += self._unlike(backend)
        mesh = self._mesh
        mesh.workloads, mesh.occupants, mesh.own = self._workloads.commit(), self._occupants.commit(), self._own
        if self._own is not None and self.proof is not None:
            self._own.proof = self.proof
        for differing in self._differing:
            _settle(*differing)

    def replaced(self) -> list[object]:
        """The last hold on what was replaced, if there is much of it."""
        return [*self._workloads.replaced(), *self._occupants.replaced()]


def peers_of(live: Live) -> Peers | None:
    """Who metrics name, None where nobody is known."""
    mesh = live.core.mesh
    if not mesh.workloads:
        return None
    own = Own(mesh.workloads.get(live.workload), str(mesh.own.proof.identity) if mesh.own is not None else "")
    return Peers(live.core, mesh.workload_at, lambda gateway: own)


def check_identity(certificate: Certificate) -> None:
    """Raises TlsConfigurationError for one that proves no identity, if it is the proxy's own."""
    if certificate.key != IDENTITY:
        return
    try:
        own_spiffe_id(certificate.chain)
    except PeerIdentityError as fault:
        raise TlsConfigurationError(f"Certificate {IDENTITY} proves no identity of the mesh: {fault}") from None


def _settle(endpoint: Endpoint, settings: MeshTlsSettings | None) -> None:
    endpoint.reach_by(settings)
