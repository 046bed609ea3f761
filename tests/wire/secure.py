"""What the TLS tests share: Gateways with HTTPS listeners, client contexts, handshakes looked at closely, and backends that speak TLS.

Ports are those a user would write, as in `serving`; certificates are made on the spot by `tests.certificates`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.translate.statuses import GatewayStatus
from tests.certificates import Authority, Pair
from tests.wire.backends import Conversation, Scripted
from tests.wire.peers import Recorder, Wire
from tests.wire.serving import Site


def https(name: str, *secrets: str, hostname: str = "", port: int = 443) -> dict[str, Any]:
    """A listener that terminates TLS with the certificates of these Secrets."""
    listener = {"name": name, "port": port, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": secret} for secret in secrets]}}
    return listener | ({"hostname": hostname} if hostname else {})


def gateway(*listeners: Mapping[str, Any], tls: Mapping[str, Any] | None = None) -> str:
    """The Gateway `web` with these listeners; `tls` is spec.tls."""
    spec: dict[str, Any] = {"gatewayClassName": "tidegate", "listeners": list(listeners)}
    return _document("Gateway", "web", spec=spec | ({"tls": dict(tls)} if tls is not None else {}))


def trust(name: str, *authorities: Authority) -> str:
    """A ConfigMap with CA certificates."""
    return _document("ConfigMap", name, data={"ca.crt": "".join(authority.certificate for authority in authorities)})


def validation(*config_maps: str, mode: str = "AllowValidOnly") -> dict[str, Any]:
    """FrontendTLSConfig with the CA certificates of these ConfigMaps."""
    references = [{"group": "", "kind": "ConfigMap", "name": name} for name in config_maps]
    return {"validation": {"caCertificateRefs": references, "mode": mode}}


def backend_policy(
    service: str, hostname: str, *config_maps: str, names: Sequence[Mapping[str, str]] = (), section: str = "", name: str = ""
) -> str:
    """A BackendTLSPolicy for a Service, or for the port of it that `section` names; `names` are subjectAltNames."""
    target = {"group": "", "kind": "Service", "name": service} | ({"sectionName": section} if section else {})
    references = [{"group": "", "kind": "ConfigMap", "name": config_map} for config_map in config_maps]
    checks = {"hostname": hostname, "caCertificateRefs": references} | ({"subjectAltNames": list(names)} if names else {})
    return _document("BackendTLSPolicy", name or service, spec={"targetRefs": [target], "validation": checks})


def _document(kind: str, name: str, **fields: Any) -> str:
    return json.dumps({"kind": kind, "metadata": {"name": name}, **fields})


def trusting(authority: Authority, pair: Pair | None = None, folder: Path | None = None) -> ssl.SSLContext:
    """A client that trusts an authority and checks names, with a certificate of its own if a pair is given (written to `folder`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=authority.certificate)
    if pair is not None:
        assert folder is not None, "the ssl module reads certificates from files only"
        context.load_cert_chain(*pair.write(folder, "client"))
    return context


def careless() -> ssl.SSLContext:
    """A client that takes any certificate, for names that no certificate stands for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def first_of(pair: Pair) -> bytes:
    """The leaf of a pair, in DER."""
    return ssl.PEM_cert_to_DER_cert(pair.chain[: pair.chain.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n")


def shown(site: Site, server_name: str | None, port: int = 443) -> bytes:
    """The certificate, in DER, that a handshake with this server name (None for none) brings to light."""
    with Wire(site, port, tls=careless(), server_name=server_name) as wire:
        return shown_on(wire)


def shown_on(wire: Wire) -> bytes:
    """The certificate, in DER, of a connection."""
    assert isinstance(wire.socket, ssl.SSLSocket)
    certificate = wire.socket.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def condition(site: Site, kind: str, listener: str = "") -> tuple[str, str]:
    """Status and reason of a condition of the Gateway `web`, or of one of its listeners."""
    status = site._translator.statuses()["Gateway", "default", "web"]
    assert isinstance(status, GatewayStatus)
    [conditions] = [each.conditions for each in status.listeners if each.name == listener] if listener else [status.conditions]
    [found] = [each for each in conditions if each.type == kind]
    return found.status, found.reason


class TlsBackend:
    """A server of the ssl module that answers each request with `ok`, and keeps the requests and what the handshakes said.

    With `demands` it lets in only clients with a certificate of that authority.
    """

    def __init__(self, folder: Path, pair: Pair, demands: Authority | None = None) -> None:
        self.recorder = Recorder()
        self.server_names: list[str | None] = []
        self.client_certificates: list[bytes | None] = []
        """In DER, of the handshakes that came to their end."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pair.write(folder, "backend"))
        self._context.sni_callback = lambda _, name, __: self.server_names.append(name)
        if demands is not None:
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._context.load_verify_locations(cadata=demands.certificate)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._scripted = Scripted(self._converse)
        self.port = self._scripted.port

    def _converse(self, conversation: Conversation) -> None:
        twin = conversation.connection.dup()  # what can be shut down while the other one is read
        self._scripted._open.append(twin)
        with twin, self._context.wrap_socket(conversation.connection, server_side=True) as secured:
            self.client_certificates.append(secured.getpeercert(binary_form=True))
            conversation.connection = secured
            self.recorder(conversation)

    def close(self) -> None:
        self._scripted.close()
