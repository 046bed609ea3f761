"""A callee's Pod and two callers' Pods with sidecars, in the network of one: what they are told is Kubernetes objects, translated and
divided as in the controller; what comes in goes through capture rules, mutual TLS and the application's port.

Each sidecar is a runtime of its own on sockets of its own. All of them share one network, so that the callers' capture ports are moved,
and nothing comes in for callers.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from controller.api.kinds import MODELS, VERSIONS
from controller.api.metadata import Object
from controller.scopes import ScopedChange, Scopes
from controller.translate.options import IN_CLUSTER
from controller.translator import Translator
from gateway.descriptors import Place
from gateway.following.desired import Difference
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.value import Identity
from gateway.ir.workload import INBOUND_PORT, OUTBOUND_PORT
from gateway.net.sockets import bind
from mesh.own_pod import OwnPod
from tests.certificates import Authority
from tests.faults.waiting import until
from tests.wire.backends import LIMIT
from tests.wire.capturing import OWN, pod
from tests.wire.meshes import proof
from tests.wire.streaming import StreamSite
from tidegate.explain import question_of

SERVICE: Final = "10.96.0.1"
"""The cluster address of the callee's Service."""
HTTP, GRPC, BYTES, FIRST, ANY, ANY_FIRST = 8080, 8082, 9000, 9001, 9002, 9003
"""Ports of the Service and of the Pod: declared HTTP, gRPC and TCP; TCP whose server speaks first; and two of which nothing is said."""
PORTS: Final = {HTTP: "http", GRPC: "grpc", BYTES: "tcp-echo", FIRST: "tcp-greeting", ANY: "any", ANY_FIRST: "any-greeting"}
MARKS: Final = {"web": 17, "api": 18}
"""Of connections that the capture rules of a caller's Pod lead to its sidecar."""
_MOVED: Final = {"web": 100, "api": 200}
_RULES: Final = f"""
table inet pods {{
  chain output {{
    type nat hook output priority -99;
    meta mark {MARKS["web"]} meta l4proto tcp redirect to :{OUTBOUND_PORT + _MOVED["web"]}
    meta mark {MARKS["api"]} meta l4proto tcp redirect to :{OUTBOUND_PORT + _MOVED["api"]}
    meta mark 0 ip daddr {OWN} ip saddr != 127.0.0.6 meta l4proto tcp redirect to :{INBOUND_PORT}
  }}
}}
"""
NAMESPACES: Final = {"web": "shop", "api": "desk"}
"""Of the callers, by their accounts."""
Document = dict[str, Any]


def _pod(namespace: str, account: str, address: str, labels: dict[str, str]) -> Document:
    return {
        "kind": "Pod",
        "metadata": {"name": f"{account}-0", "namespace": namespace, "labels": {"tidegate.dev/mesh": "sidecar", **labels}},
        "spec": {"serviceAccountName": account},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    }


def _base() -> Iterator[Document]:
    for name in ("shop", "desk", "istio-system"):
        yield {"kind": "Namespace", "metadata": {"name": name}}
    yield _pod("shop", "db", OWN, {"app": "db"})
    yield _pod("shop", "web", "10.77.0.2", {"app": "web"})
    yield _pod("desk", "api", "10.77.0.3", {"app": "api"})
    ports = [{"name": name, "port": port} for port, name in PORTS.items()]
    yield {
        "kind": "Service",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"clusterIPs": [SERVICE], "selector": {"app": "db"}, "ports": ports},
    }
    yield {
        "kind": "EndpointSlice",
        "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": ports, "endpoints": [{"addresses": [OWN]}],
    }  # fmt: skip
    # A connection that is reset at once may count as one that did not come about; probes for such endpoints would be calls of nobody's.
    ejection = {"consecutiveErrors": 0, "connectFailures": False}
    spec = {"targetRefs": [{"group": "", "kind": "Service", "name": "db"}], "ejection": ejection}
    yield {"kind": "BackendPolicy", "metadata": {"name": "db", "namespace": "shop"}, "spec": spec}


class MovedSockets:
    """ListeningSockets of a Pod, each port moved by so much."""

    def __init__(self, moved: int) -> None:
        self._moved = moved

    def take(self, place: Place) -> socket.socket:
        return bind(place.address, place.port + self._moved)


class Sidecar:
    """One sidecar: what its scope of the controller says, and for the callee what it serves its Pod by."""

    def __init__(self, authority: Authority, namespace: str, account: str) -> None:
        self.scope = f"{namespace}/@mesh"
        self._own = OwnPod(f"{namespace}/{account}-0") if account == "db" else None
        self._inbound: dict[Identity, AnyResource] = {}
        sockets = MovedSockets(_MOVED.get(account, 0))
        self.site = StreamSite(proof(authority, account, namespace), sockets=sockets, workload=f"{namespace}/{account}-0")

    def take(self, change: ScopedChange) -> None:
        """As a sidecar follows its controller (gateway.following)."""
        put, remove = list(change.set), list(change.remove)
        if self._own is not None:
            self._own.follow(Difference(change.set, change.remove))
            inbound = {resource.identity: resource for resource in self._own.resources(identified=True)}
            put += [resource for identity, resource in inbound.items() if self._inbound.get(identity) != resource]
            remove += [identity for identity in self._inbound if identity not in inbound]
            self._inbound = inbound
        self.site.put(*in_order(tuple(put)), remove=remove)
        assert self.site.rejections == (), self.site.rejections

    def explain(self, *question: Any, inbound: bool) -> Document:
        """What `tidegate explain` asks of it with these arguments, and what it answers."""
        asked = question_of(*question, inbound=inbound)
        answer: Document = msgspec.json.decode(self.site._thread.run(self.site.runtime.explain(asked)))
        return answer


def _parsed(document: Document) -> Object:
    whole = {"apiVersion": VERSIONS[document["kind"]][0]} | document
    return MODELS[whole["apiVersion"], whole["kind"]].model_validate(whole)


class Pods:
    """The controller's part, and the three sidecars."""

    def __init__(self, authority: Authority) -> None:
        self._translator = Translator(dataclasses.replace(IN_CLUSTER, mesh=True))
        self._scopes = Scopes()
        self.callee = Sidecar(authority, "shop", "db")
        self.callers = {account: Sidecar(authority, namespace, account) for account, namespace in NAMESPACES.items()}
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._said: tuple[str, ...] = ()
        self._apply([_parsed(document) for document in _base()], ())

    def set(self, documents: Sequence[Document]) -> None:
        """These policies and no others, live at all sidecars when this returns; nothing if they are so already."""
        said = tuple(json.dumps(document, sort_keys=True) for document in documents)
        if said == self._said:
            return
        wanted = {obj.key: obj for obj in map(_parsed, documents)}
        puts = [obj for key, obj in wanted.items() if self._objects.get(key) != obj]
        self._apply(puts, [key for key in self._objects if key not in wanted])
        self._objects, self._said = wanted, said
        statuses = self._translator.statuses()
        for key in wanted:
            conditions = statuses[key].conditions  # type: ignore[union-attr]  # of a policy that selects
            assert [condition.status for condition in conditions] == ["True"], (key, conditions)

    def _apply(self, puts: Iterable[Object], removes: Iterable[tuple[str, str, str]]) -> None:
        translation = self._translator.apply(puts, removes)
        assert not translation.failures, translation.failures
        division = self._scopes.change(translation.set, translation.remove)
        for sidecar in (self.callee, *self.callers.values()):
            change = division.opened.get(sidecar.scope) or division.changed.get(sidecar.scope)
            if change is not None:
                sidecar.take(change)

    def close(self) -> None:
        """Callers let go of the callee first: kept connections end in their own time, since TLS is ended by both sides."""
        self._apply((), [("EndpointSlice", "shop", "db-1")])
        kept = [sidecar.site.runtime._live.backends for sidecar in self.callers.values()]
        until(lambda: not any(each.connections.count for backends in kept for each in backends.values()), "the end of kept connections")
        for sidecar in (*self.callers.values(), self.callee):
            sidecar.site.__exit__()


@contextmanager
def network() -> Iterator[Callable[[], None]]:
    """Where these Pods are; what is yielded brings this thread there again, which may have been elsewhere."""
    with pod(_RULES, SERVICE), open("/proc/thread-self/ns/net", "rb") as here:
        libc = ctypes.CDLL(None, use_errno=True)

        def enter() -> None:
            assert libc.setns(here.fileno(), 0) == 0

        yield enter


_PORTS: Final = itertools.count(20_000)
"""Each call has a port of its own, below those that the kernel gives out: after a reset by the server conntrack keeps a connection for ten
seconds, and would lead another one of the same port to the sidecar of whoever made the first."""


def connected(mark: int, destination: tuple[str, int], source: str = OWN) -> socket.socket:
    """A connection of whoever has this mark, from an address."""
    connection = socket.socket()
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(LIMIT)
        connection.bind((source, next(_PORTS)))
        connection.connect(destination)
    except BaseException:
        connection.close()
        raise
    return connection
