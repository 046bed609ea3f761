"""Backends of several endpoints for tests of balancing and of what protects them, and what is known of their endpoints."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event
from time import monotonic
from typing import Any

import msgspec

from gateway.ir.batch import Batch
from gateway.ir.rule import HttpRule, Retry
from gateway.telemetry.statistics import Sample
from gateway.upstream.backend import Backend
from tests.wire.backends import LIMIT, Conversation
from tests.wire.serving import Site, service

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TO_POOL = "- backendRefs: [{name: pool, port: 80}]\n"


def pool(*ports: int) -> str:
    """A Service `pool` with an endpoint at each port."""
    return service("pool", *ports)


def policy(**spec: Any) -> str:
    """A BackendPolicy of that Service."""
    return json.dumps({"kind": "BackendPolicy", "metadata": {"name": "pool"}, "spec": {"targetRefs": [{"name": "pool"}], **spec}})


def answers(conversation: Conversation) -> None:
    """A backend that serves one request after another."""
    while conversation.read_head():
        conversation.send(OK)


def backend(site: Site, key: str = "default/pool:80") -> Backend:
    """The live backend, to be looked at from `Site.look` alone."""
    return site.runtime._live.described[key]


def look(site: Site, seen: Callable[[Backend], Any]) -> Any:
    """What there is to see at the live backend between two callbacks."""
    return site._thread.call(lambda: seen(backend(site)))


def healthy(site: Site) -> set[int]:
    """The ports of the endpoints that take part."""
    ports: set[int] = look(site, lambda found: {endpoint.port for endpoint in found.balancer.candidates})
    return ports


def close_idle(site: Site) -> None:
    """Closes the connections that nobody uses."""

    def close(found: Backend) -> None:
        for endpoint in found.endpoints.values():
            for pool in endpoint.pools():
                pool.close()

    look(site, close)


def until(true: Callable[[], bool], what: str) -> None:
    """Waits for something that comes of itself; fails when it does not."""
    limit = monotonic() + LIMIT
    while not true():
        assert monotonic() < limit, f"in vain: {what}"
        Event().wait(0.005)


def count(site: Site, name: str) -> float:
    """The sum of a metric over all its labels."""
    statistics = site.statistics()
    samples: tuple[Sample, ...] = (*statistics.counters, *statistics.gauges)
    return sum(sample.value for sample in samples if sample.name == name)


class Reserved(AbstractContextManager["Reserved"]):
    """A port that is refused until `open`, which gives the listening socket."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]
        self._listening: socket.socket | None = None

    def open(self) -> socket.socket:
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
        return self._listening

    def close(self) -> None:
        """Refused again."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.shutdown(socket.SHUT_RDWR)  # a thread that waits in accept would keep it open
            listening.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def without_retries(site: Site) -> None:
    """Makes every rule of the site one without any retry, which the API has no words for (HTTPRouteRetry.attempts is 1 or more)."""
    rules = [rule for rule in site._translator.resources().values() if isinstance(rule, HttpRule)]
    changed = tuple(msgspec.structs.replace(rule, retry=Retry(attempts=0)) for rule in rules)
    site._thread.run(site.runtime.apply(Batch(1_000_000, changed)))
