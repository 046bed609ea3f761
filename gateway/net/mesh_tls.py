"""Mutual TLS between proxies of the mesh: TLS 1.3, a protocol of its own in ALPN, both sides prove an identity, nothing is resumed.

A context here belongs to what this proxy proves to be, not to an endpoint or a listener: there is one for all callees, and one for all
callers. What a callee must be is checked after the handshake; a caller that is nobody fails its handshake.
"""

from __future__ import annotations

import ssl
from typing import Final
from weakref import WeakValueDictionary

from gateway.ir.listener import Certificate
from gateway.ir.workload import ALPN
from gateway.net.alerts import AnsweringSslObject, CarefulSslObject, ServerContext
from gateway.net.backend_context import BackendIdentityError
from gateway.net.certificate_names import certificate_blocks
from gateway.net.contexts import ServerContexts
from gateway.net.key_material import harden, load_pair, trusted
from gateway.net.spiffe import PeerIdentityError, SpiffeAccount, own_spiffe_id, verify_peer

RELAYED: Final = ALPN + "-relayed"
"""Offered besides by a caller that passes bytes on as they are, and never chosen: the callee knows before the handshake that directions
will end one by one, which the loop's TLS cannot do (net.tls_transport)."""
_TRUST: Final = "the roots of the mesh"


class Proof:
    """What a proxy proves to be, with which certificate, and the roots by which it judges others. Never changed."""

    __slots__ = ("_accepting", "_authorities", "_certificate", "_relaying", "client", "identity", "roots")

    def __init__(self, certificate: Certificate, bundle: str) -> None:
        """`bundle` is PEM. Raises TlsConfigurationError for roots or a pair that cannot be used, PeerIdentityError for a certificate that
        proves no identity of the mesh."""
        self.identity = own_spiffe_id(certificate.chain)
        self.roots = frozenset(_compact(block) for block in certificate_blocks(bundle))
        self._certificate, self._authorities = certificate, trusted((bundle,), _TRUST)
        self.client = self._calling()
        self._relaying: ssl.SSLContext | None = None
        self._accepting: ServerContexts | None = None

    def _calling(self) -> ssl.SSLContext:
        context = self._arm(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.sslobject_class = CarefulSslObject
        return context

    def _arm(self, context: ssl.SSLContext) -> ssl.SSLContext:
        harden(context)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # who issues for the mesh writes all that it demands
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols([ALPN])
        context.load_verify_locations(cadata=self._authorities)
        load_pair(lambda path: context.load_cert_chain(path, password=""), self._certificate)
        return context

    def relaying(self) -> ssl.SSLContext:
        """What callees are called with where bytes are passed on. Made for the first of them."""
        if self._relaying is None:
            self._relaying = self._calling()
            self._relaying.set_alpn_protocols([ALPN, RELAYED])
        return self._relaying

    def accepting(self) -> ServerContexts:
        """What captured listeners let callers in with. Made when the first one asks."""
        if self._accepting is None:
            context = CallersContext(ssl.PROTOCOL_TLS_SERVER)
            self._arm(context)
            context.own = self.identity
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
            # nothing can be resumed by a session's id either: there is none in TLS 1.3
            self._accepting = ServerContexts((self._certificate,), (ALPN,), lambda _: context, forgets=False)
        return self._accepting

    def succeeds(self, other: Proof) -> bool:
        """Whether what was verified by the other one holds by this one too: the same identity, and no root less."""
        return self.identity == other.identity and self.roots >= other.roots


class OwnIdentity:
    """The current proof of one identity. A renewal changes `proof` and nothing else: it is for connections yet to be made."""

    __slots__ = ("_settings", "proof")

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self._settings: WeakValueDictionary[str, MeshTlsSettings] = WeakValueDictionary()

    def towards(self, spiffe_id: str) -> MeshTlsSettings:
        """How workloads of that identity are reached: one value for all of them."""
        settings = self._settings.get(spiffe_id)
        if settings is None:
            settings = self._settings[spiffe_id] = MeshTlsSettings(self, spiffe_id)
        return settings


class MeshTlsSettings:
    """TlsSettings (net.backend_context) of connections to workloads of one identity."""

    __slots__ = ("__weakref__", "_own", "spiffe_id")

    server_hostname: Final = ""
    """No name is sent: who must answer is known already, and the callee has one certificate."""
    inside: Final = True
    announces_end: Final = True

    def __init__(self, own: OwnIdentity, spiffe_id: str) -> None:
        self._own, self.spiffe_id = own, spiffe_id

    @property
    def context(self) -> ssl.SSLContext:
        return self._own.proof.client

    @property
    def relaying(self) -> ssl.SSLContext:
        return self._own.proof.relaying()

    @property
    def own(self) -> SpiffeAccount:
        """Who we prove to be there."""
        return self._own.proof.identity

    def check(self, ssl_object: ssl.SSLObject) -> None:
        """As of BackendTlsSettings. Raises BackendIdentityError."""
        if ssl_object.selected_alpn_protocol() != ALPN:
            raise BackendIdentityError("it does not speak the protocol of the mesh's proxies (ALPN)")
        try:
            verify_peer(ssl_object, self.own.trust_domain, self.spiffe_id)
        except PeerIdentityError as error:
            raise BackendIdentityError(str(error)) from None


class ProvenSslObject(AnsweringSslObject):
    """The server's end of a connection of the mesh: its handshake succeeds for a caller with an identity, and for nobody else."""

    caller: SpiffeAccount | None = None
    """Who has called, once the handshake is over."""

    def do_handshake(self) -> None:
        """As inherited. Raises SSLCertVerificationError for a caller whose certificate is valid, but no identity here."""
        super().do_handshake()
        if self.selected_alpn_protocol() != ALPN:
            refusal = ssl.SSLError(ssl.SSL_ERROR_SSL, "the caller does not speak the protocol of the mesh's proxies (ALPN)")
            refusal.reason = "NO_APPLICATION_PROTOCOL"
            raise refusal
        try:
            self.caller = verify_peer(self, self.own.trust_domain)
        except PeerIdentityError as error:
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, f"the caller is not of this mesh: {error}") from None

    @property
    def own(self) -> SpiffeAccount:
        """Who we proved to be."""
        context = self.context
        assert isinstance(context, CallersContext)
        return context.own


class CallersContext(ServerContext):
    """Made by `Proof.accepting`."""

    own: SpiffeAccount
    announces_end = True


CallersContext.sslobject_class = ProvenSslObject


def proven_caller(ssl_object: object) -> ProvenSslObject | None:
    """The server's end of a connection of the mesh, whose `caller` is proven; None for any other TLS, and for none."""
    return ssl_object if isinstance(ssl_object, ProvenSslObject) and ssl_object.caller is not None else None


def _compact(block: str) -> str:
    return "".join(block.split())
