"""The configuration stream's server as a controller runs it: its certificate authority, what identities may read, and the publishers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.heartbeats import Heartbeats
from controller.publishers import Publishers
from controller.stream import DEFAULT_LIMITS, Admission, Caller, Limits, StreamServer
from gateway.ir.workload import mesh_scope
from mesh.authority import Authority
from mesh.authority_server import AuthorityServer, Review
from mesh.server_certificate import ServerCertificate
from mesh.svid import read_svid

ScopeOf = Callable[[str, str], str | None]
"""The Gateway (namespace/name) whose proxies run under a ServiceAccount (namespace, name); None for any other account.

It must know a Gateway by the time that Publishers is told of it."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Where identities come from, and what they are good for."""

    authority: Callable[[], Authority]
    """The one that is current (StoredAuthority.current)."""
    review: Review
    scope_of: ScopeOf
    names: Sequence[str]
    """DNS names under which proxies reach the controller."""
    elsewhere: Callable[[], str | None] = lambda: ""
    """See controller.stream.Admission."""


class Stream:
    """Serves the stream with heartbeats. `problem` is told what a log should know."""

    def __init__(
        self, publishers: Publishers, identities: Identities, problem: Callable[[str], None], limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._identities = identities
        self._heartbeats = Heartbeats()
        certificate = ServerCertificate(identities.authority, identities.names)
        answering = AuthorityServer(identities.authority, identities.review, lambda *account: identities.scope_of(*account) is not None)
        admission = Admission(certificate.context, answering.identify, self._caller, identities.elsewhere)
        self._server = StreamServer(publishers, self._heartbeats, admission, problem, limits)

    async def serve(self, listening: socket.socket) -> None:
        """Until cancelled. The socket does not block, and stays its caller's."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeats.run())
            tasks.create_task(self._server.serve(listening))

    def _caller(self, certificate: bytes) -> Caller:
        """See Admission. mesh.svid.InvalidSvid and mesh.identity.InvalidSpiffeId are ValueErrors."""
        svid = read_svid(certificate, self._identities.authority().trust_domain)
        namespace, account = svid.identity.account
        return Caller(str(svid.identity), self._identities.scope_of(namespace, account), mesh_scope(namespace), svid.not_after)
