"""What the tests of the mesh share: identities as its authority issues them, and two proxies, one of which calls the other.

The caller serves a port in plain, as a Gateway's proxy or what captures a Pod's connections does; the callee is the proxy of the Pod at
127.0.0.1, and lets in callers that prove an identity. Both are real runtimes with real sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.ir.batch import AnyResource
from gateway.ir.listener import Certificate, ClientValidation, Listener, TrustBundle
from gateway.ir.value import Source
from gateway.ir.workload import IDENTITY, ROOTS, MutualTls, Workload, WorkloadPort
from tests.certificates import CURRENT, Authority, Pair, Validity
from tests.wire.streaming import listener

DOMAIN = "cluster.local"
SOURCE = Source("Pod", "shop", "db-0")


def spiffe_id(account: str = "db", namespace: str = "shop", domain: str = DOMAIN) -> str:
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


def identity(authority: Authority, account: str = "db", namespace: str = "shop", validity: Validity = CURRENT) -> Certificate:
    """A proxy's own certificate."""
    return own(authority.issue(spiffe_id(account, namespace), common_name="workload", validity=validity))


def own(pair: Pair) -> Certificate:
    """Any pair in the place of a proxy's own certificate."""
    return pair.resource(IDENTITY)


def roots(*authorities: Authority) -> TrustBundle:
    return TrustBundle(ROOTS, SOURCE, "".join(authority.certificate for authority in authorities))


def workload(
    account: str = "db",
    ports: Sequence[WorkloadPort] = (),
    mutual_tls: MutualTls = "Strict",
    labels: Sequence[tuple[str, str]] = (),
    key: str = "shop/db-0",
    **fields: Any,
) -> Workload:
    """The Pod at 127.0.0.1 with a sidecar; with account '' one without."""
    described = {"addresses": ("127.0.0.1",), "spiffe_id": spiffe_id(account) if account else "", **fields}
    return Workload(
        key=key, source=SOURCE, account=account or "default", mutual_tls=mutual_tls, ports=tuple(ports), labels=tuple(labels), **described
    )


def only_at(port: int, account: str = "db") -> Workload:
    """The same, whose proxy takes mutual TLS at one port alone: others of 127.0.0.1 belong to the tests."""
    return workload(account, (WorkloadPort(port, mutual_tls="Strict"),), "Disable")


def inbound(name: str, port: int, protocol: str) -> Listener:
    """A listener that lets in callers of the mesh: HTTPS for requests, TLS for what is passed on."""
    return listener(name, port, protocol, certificates=(IDENTITY,), client_validation=ClientValidation((ROOTS,)))


def proof(authority: Authority, account: str = "web", namespace: str = "shop") -> tuple[AnyResource, ...]:
    """All that a proxy must have to prove who it is."""
    return identity(authority, account, namespace), roots(authority)
