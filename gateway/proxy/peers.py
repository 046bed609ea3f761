"""Who is at the two ends of traffic, as Istio's metrics name them, from the Workloads that are known by address.

Towards a backend the other end is whoever has the endpoint's address; at a workload's own proxy it is whoever connects, by its proven
identity and its address. An account is made for each pair once and found again by a look-up: nothing is computed for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gateway.proxy.rule import Account
from gateway.telemetry.statistics import UNKNOWN, Parties, Party

if TYPE_CHECKING:
    from gateway.ir.listener import Listener
    from gateway.ir.workload import Workload
    from gateway.net.peer import Origin
    from gateway.proxy.core import Core
    from gateway.telemetry.counters import CounterLabels
    from gateway.telemetry.streams import StreamAccount

MOST_KNOWN: Final = 10_000
"""Pairs of an account and another end that are found at once; beyond them all are found anew, with the same counters."""
CLUSTER: Final = "Kubernetes"
"""What Istio calls the one cluster that there is, unless it was told another name."""
CLUSTER_DOMAIN: Final = "svc.cluster.local"
PASSTHROUGH: Final = "PassthroughCluster"
"""What Istio calls destinations outside the mesh."""
ELSEWHERE: Final = "@mesh/elsewhere"
"""Key of the Backend of what goes to no Service, with which those of its variants begin."""
EXTERNAL: Final = "@external/"
INTERNAL: Final = "@internal/"
"""With which keys of Backends of ServiceEntries begin, outside the mesh and in it: @external/NAMESPACE/ENTRY/HOST:PORT/VARIANT."""
_NAMES: Final = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_REVISIONS: Final = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


class Reached(Protocol):
    """An endpoint, as far as it matters here."""

    @property
    def address(self) -> str:
        """IP address, or a name that is nobody's."""

    @property
    def port(self) -> int:
        """Of the endpoint."""


class Traffic(NamedTuple):
    """What is known of an exchange or a relay when it is counted: its endpoint, if it got as far, and who is at the other end."""

    listener: Listener
    endpoint: Reached | None
    origin: Origin


_Pair = tuple[object, str | bytes, str]
"""An account, the address of the other end, and what it has proven: as it is at hand, a str of an endpoint and bytes of a caller."""


class Own(NamedTuple):
    """The workload that this proxy is part of, where it is known, and the SPIFFE ID that the proxy proves, '' for none."""

    workload: Workload | None
    identity: str


class Peers:
    """What is known at one time of who is where: made anew when Workloads come, go or change, and when our identity does. There is none
    where no Workloads are known. Owner of the accounts that are found again.

    `workload_at` finds the Workload at an address, `own_of` what we are, by the key of a listener's Gateway.
    """

    __slots__ = ("_accounts", "_core", "_own_of", "_streams", "_workload_at")

    def __init__(self, core: Core, workload_at: Callable[[str], Workload | None], own_of: Callable[[str], Own]) -> None:
        self._core, self._workload_at, self._own_of = core, workload_at, own_of
        self._accounts: dict[_Pair, Account] = {}
        self._streams: dict[_Pair, StreamAccount] = {}

    def account(self, account: Account, traffic: Traffic) -> Account:
        """Where an exchange is counted that has this account if nobody looks at its ends."""
        listener, endpoint, origin = traffic
        capture = listener.capture
        pair: _Pair
        if capture is not None and capture.direction == "Inbound":
            pair = account, origin.peer, origin.identity
        else:
            pair = account, "" if endpoint is None else endpoint.address, ""
        found = self._accounts.get(pair)
        if found is None:
            labels = self._labels(account.labels, traffic)
            if len(self._accounts) >= MOST_KNOWN:
                self._accounts.clear()
            found = self._accounts[pair] = Account(self._core.counters_for(labels), labels)
        return found

    def stream_account(self, account: StreamAccount, traffic: Traffic) -> StreamAccount:
        """The same of a connection or flow that is passed on."""
        pair = (account, *_other_end(traffic))
        found = self._streams.get(pair)
        if found is None:
            labels = self._labels(account.labels, traffic)
            if len(self._streams) >= MOST_KNOWN:
                self._streams.clear()
            found = self._streams[pair] = self._core.stream_account(labels, account.protocol)
        return found

    def _labels(self, labels: CounterLabels, traffic: Traffic) -> CounterLabels:
        peer = self._workload_at(_other_end(traffic)[0])
        return labels.between(parties_of(labels, traffic, self._own_of(traffic.listener.gateway), peer))

    def name_of(self, gateway: str) -> str:
        """What spans of a Gateway's key are of: the workload, '' where it is none that is known."""
        workload = self._own_of(gateway).workload
        return party_of(workload, "").service if workload is not None else ""


def _is_inbound(listener: Listener) -> bool:
    return listener.capture is not None and listener.capture.direction == "Inbound"


def _other_end(traffic: Traffic) -> tuple[str, str]:
    """Address of the other end, and what it has proven to our own workload."""
    listener, endpoint, origin = traffic
    if listener.capture is None or not _is_inbound(listener):
        return (endpoint.address if endpoint is not None else ""), ""
    return origin.peer.decode("ascii"), origin.identity.removeprefix("spiffe://")


def parties_of(labels: CounterLabels, traffic: Traffic, own: Own, peer: Workload | None) -> Parties:
    """Both ends, of which `own` is ours and `peer` the other."""
    if _is_inbound(traffic.listener):
        principal = _other_end(traffic)[1]
        return _received(traffic.listener.port, own, peer, f"spiffe://{principal}" if principal else "")
    return _sent(labels, own, peer, traffic.endpoint.port if traffic.endpoint is not None else 0)


def _received(port: int, own: Own, peer: Workload | None, principal: str) -> Parties:
    """What came to our own workload. An address proves nothing: whoever proves another identity than the workload there is not it."""
    if principal and (peer is None or peer.spiffe_id != principal):
        source = Party(namespace=_namespace(principal), principal=principal)
    else:
        source = party_of(peer, principal) if peer is not None else Party()
    security = "mutual_tls" if principal else "none"
    workload = own.workload
    if workload is None:
        return Parties("destination", source, Party(), security)
    destination = party_of(workload, own.identity if principal else "")
    namespace = workload.key.partition("/")[0]
    service = next((each.service for each in workload.ports if each.number == port and each.service), destination.service)
    return Parties("destination", source, destination, security, f"{service}.{namespace}.{CLUSTER_DOMAIN}", service, namespace)


def _sent(labels: CounterLabels, own: Own, peer: Workload | None, port: int) -> Parties:
    """What our own workload, or a Gateway, sends to an endpoint of a backend. Who sends knows of no security but its own, and says so as
    Istio does."""
    external = labels.backend.startswith(EXTERNAL)
    mutual = not external and bool(own.identity) and peer is not None and bool(peer.spiffe_id) and _demand(peer, port) != "Disable"
    gateway_namespace, _, name = labels.gateway.partition("/")
    proven = own.identity if mutual else ""
    if own.workload is not None:
        source = party_of(own.workload, proven)
    elif name.startswith("@"):
        source = Party(principal=proven or UNKNOWN)
    else:
        source = Party(name, gateway_namespace, proven or UNKNOWN, app=name, service=name)
    host, namespace, service = _asked_for(labels.backend)
    if peer is not None:
        destination = party_of(peer, peer.spiffe_id if mutual else "")
    elif service and namespace != UNKNOWN:
        destination = Party(namespace=namespace, service=service)
    else:
        destination = Party()
    return Parties("source", source, destination, UNKNOWN, host, service or UNKNOWN, namespace or UNKNOWN)


def _asked_for(backend: str) -> tuple[str, str, str]:
    """Host, namespace and name of the service that a Backend is, by its key: of a ServiceEntry its host, as Istio has it."""
    if backend.startswith(ELSEWHERE):
        return UNKNOWN, UNKNOWN, PASSTHROUGH
    named = backend.rpartition(":")[0]
    if backend.startswith((EXTERNAL, INTERNAL)):
        _, namespace, _, host = named.split("/", 3)
        return host, namespace, host
    namespace, _, service = named.partition("/")
    return (f"{service}.{namespace}.{CLUSTER_DOMAIN}" if service else UNKNOWN), namespace, service


def _demand(workload: Workload, port: int) -> str:
    return next((each.mutual_tls for each in workload.ports if each.number == port and each.mutual_tls is not None), workload.mutual_tls)


def _namespace(principal: str) -> str:
    parts = principal.split("/")
    return parts[4] if len(parts) == 7 and parts[3] == "ns" else UNKNOWN


@lru_cache(maxsize=1024)
def party_of(workload: Workload, principal: str) -> Party:
    """A workload as labels name it; `principal` is what it has proven, '' for nothing."""
    namespace, _, name = workload.key.partition("/")
    labels = dict(workload.labels)
    owner = workload.owner or name
    named = [labels[label] for label in _NAMES if labels.get(label)]
    revised = [labels[label] for label in _REVISIONS if labels.get(label)]
    return Party(
        workload=owner,
        namespace=namespace,
        principal=principal or UNKNOWN,
        app=labels.get("app") or (named[0] if named else UNKNOWN),
        version=labels.get("version") or (revised[0] if revised else UNKNOWN),
        service=named[0] if named else owner,
        revision=revised[0] if revised else "latest",
        cluster=CLUSTER,
    )
