"""What every connection of a worker shares: the loop, the deadlines, the access log, random draws and the counters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, Final

from gateway.net.deadlines import Deadlines
from gateway.options import SESSION_KEY_VARIABLE
from gateway.policies.rate_limit import BYTES, Buckets
from gateway.proxy.clients import Clients
from gateway.proxy.issuer_keys import IssuerKeys
from gateway.proxy.little_reader import LITTLE
from gateway.shared_memory import own_memory
from gateway.telemetry.access_log import fragment
from gateway.telemetry.counters import CounterLabels, Counters, Names, labels_among
from gateway.telemetry.incidents import Incidents
from gateway.telemetry.streams import StreamAccount, StreamProtocol, StreamRecord, StreamSums
from gateway.tracing.tracing import Tracing
from gateway.upstream.mesh import Mesh
from gateway.upstream.own_places import OwnPlaces
from gateway.upstream.resolve import Resolver
from gateway.upstream.slices import Slices

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.mirror import Mirror
    from gateway.proxy.peers import Peers

_IDS_AT_ONCE: Final = 256
_LONG_AT_ONCE: Final = 64 * 1024
"""Bytes of long paths that wait for their lines at most: more would have left the processor's caches by then."""


def secret_of(key: str) -> bytes:
    """What a text of any length stands for where a secret of 32 bytes is needed."""
    return sha256(key.encode()).digest()


class Core:
    """One per worker. Owns the tasks that connections start; a task's failure is reported by whoever started it."""

    __slots__ = (
        "_ids",
        "_long",
        "_tasks",
        "authorizations",
        "buckets",
        "clients",
        "counters",
        "datagrams_dropped",
        "deadlines",
        "denials",
        "forbidden",
        "forbidden_datagrams",
        "incidents",
        "issuer_keys",
        "log",
        "loop",
        "mesh",
        "mirrors",
        "mirrors_dropped",
        "peers",
        "random",
        "rate_limited",
        "read_buffer",
        "refusals",
        "resolver",
        "secret",
        "session_secret",
        "slices",
        "source",
        "streams",
        "tokens_refused",
        "tracing",
        "write_log",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.deadlines = Deadlines(loop.time())
        self.clients = Clients()
        self.log: list[Exchange | StreamRecord] = []
        """What has finished and whose lines are not written yet."""
        self.write_log: Callable[[], None] | None = None
        """Begins to write them, without waiting for the next tick."""
        self._long = 0
        self.random = Random()
        self.counters: dict[Names, Counters] = {}
        self.streams: dict[tuple[Names, StreamProtocol], StreamSums] = {}
        self.peers: Peers | None = None
        """Who is at the ends of traffic; None where no Workloads are known."""
        self.secret = secret_of(os.environ.get(SESSION_KEY_VARIABLE) or os.urandom(32).hex())
        """Of this process and its siblings."""
        self.session_secret = self.secret
        """Seals the tokens of session persistence: of all proxies of the Gateway, where its resource has a key for that."""
        self.buckets = Buckets(own_memory(BYTES))
        """Counts of rate limits; `Runtime` puts those in place that all workers share."""
        self.rate_limited: dict[tuple[str, str, str], int] = {}
        """How many requests were over a rate limit, by gateway, listener and limit."""
        self.denials: dict[tuple[str, str, str], int] = {}
        """How many requests, connections and datagrams a policy denied, by gateway, listener and policy; '' where no policy allows."""
        self.tokens_refused: dict[tuple[str, str], int] = {}
        """How many requests had a token that is not believed, by gateway and listener."""
        self.authorizations: dict[str, int] = {}
        """How many requests were put before an authorization server, by outcome."""
        self.read_buffer = memoryview(bytearray(LITTLE))
        """For one read of any connection to a backend that reads little at once."""
        self.incidents = Incidents()
        self.issuer_keys = IssuerKeys(self)
        self.mesh = Mesh()
        """Who is in the mesh, and what we are in it."""
        self.slices = Slices(loop)
        self.source = ""
        """The loopback address that connections to others on this host come from; '' for any."""
        self.refusals: dict[str, int] = {}
        """How many requests were refused, by reason."""
        self.mirrors: set[Mirror] = set()
        """Mirrored requests under way."""
        self.mirrors_dropped: dict[str, int] = {}
        """How many mirrored requests were given up, by reason."""
        self.datagrams_dropped: dict[str, int] = {}
        """How many datagrams of UDP went nowhere, by reason."""
        self.resolver = Resolver(loop)
        self.forbidden: frozenset[tuple[str, int]] = frozenset()
        """Addresses of our own that no backend may be."""
        self.forbidden_datagrams: frozenset[tuple[str, int]] = frozenset()
        """The same, of UDP."""
        self.tracing = Tracing(loop)
        self._ids: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def forbid(self, places: Iterable[Place], admin: tuple[str, int] | None) -> None:
        """Nothing is passed on to these places of ours; `admin` is where the admin server listens."""
        own = tuple(places)
        served = [(place.address, place.port) for place in own if place.transport == "tcp"]
        self.forbidden = OwnPlaces(served if admin is None else [*served, admin])
        self.forbidden_datagrams = OwnPlaces((place.address, place.port) for place in own if place.transport == "udp")

    def count_refusal(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def take_long(self, size: int) -> None:
        """Of a request with a path of so many bytes, which is long: it will wait for its line in the log."""
        self._long += size
        if self._long > _LONG_AT_ONCE and self.write_log is not None:
            self._long = 0
            self.loop.call_soon(self.write_log)

    def request_id(self) -> bytes:
        """32 hex digits; random bytes are drawn for many at once, since a draw is a system call."""
        if not self._ids:
            drawn = os.urandom(16 * _IDS_AT_ONCE).hex().encode()
            self._ids.extend([drawn[at : at + 32] for at in range(0, len(drawn), 32)])
        return self._ids.pop()

    def counters_for(self, labels: CounterLabels) -> Counters:
        """The counters with these labels, or beyond a limit those with fewer. They outlive their rule, so that no change loses a count."""
        held = self.counters
        counters = held.get(labels.names)
        if counters is None:
            counted = labels_among(labels, len(held), lambda labels: labels.names in held)
            counters = held.setdefault(counted.names, Counters(counted))
        return counters

    def stream_account(self, labels: CounterLabels, protocol: StreamProtocol) -> StreamAccount:
        """As `counters_for`, of relayed connections and flows."""
        held = self.streams
        sums = held.get((labels.names, protocol))
        if sums is None:
            counted = labels_among(labels, len(held), lambda labels: (labels.names, protocol) in held)
            sums = held.setdefault((counted.names, protocol), StreamSums(counted, protocol))
        return StreamAccount(labels, protocol, fragment(labels), sums)
