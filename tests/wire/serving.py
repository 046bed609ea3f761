"""A whole gateway in this process: files -> FileSource -> Translator -> Runtime, on uvloop in a thread, on sockets of 127.0.0.1.

Ports in the YAML are what a user would write (80, 443, 8080); each is bound at a free port, and clients are led there, so
that redirects and x-forwarded-port speak of the user's ports. `ask` sends a request and holds `tidegate explain` to it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import string
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any, Protocol

import httpx
import msgspec
import yaml

from controller.api.kinds import VERSIONS
from controller.sources.files import Change, FileSource
from controller.translate.options import Options
from controller.translator import Translator
from gateway.descriptors import Place
from gateway.ir.batch import Batch, Rejection
from gateway.options import RuntimeOptions
from gateway.runtime import Runtime
from gateway.telemetry.statistics import RequestSeries, Statistics, merge
from tests.certificates import Pair
from tests.faults.waiting import until
from tests.wire.agreement import Outcome, check
from tests.wire.backends import LIMIT, Echo, LoopThread, Received
from tests.wire.flights import Connection
from tests.wire.pairings import HTTP1, Pairing

Fields = Sequence[tuple[str, str]]
TO_EXAMPLE: Fields = (("Host", "example.com"),)

GATEWAY = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
kind: ListenerPolicy
metadata: {name: reasons}
spec:
  targetRefs: [{name: web}]
  reasonHeader: true
"""
"""What every site stands on, besides a Service for each echo backend; documents of a test replace those of the same name."""


class _Template(string.Template):
    delimiter = "@"


def service(name: str, *ports: int, namespace: str = "default", conditions: Mapping[str, bool] | None = None, protocol: str = "TCP") -> str:
    """A Service with port 80, and an endpoint on 127.0.0.1 for each port."""
    named = {"name": "http", "protocol": protocol}
    described = {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 80, **named}]}}
    slices = [
        {
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{port}", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": port, **named}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": dict(conditions or {})}],
        }
        for port in ports
    ]
    return "\n---\n".join(json.dumps(document) for document in (described, *slices))


def certificate(name: str, pair: Pair) -> str:
    """A Secret of type kubernetes.io/tls."""
    entries = {"tls.crt": pair.chain, "tls.key": pair.private_key}
    return json.dumps({"kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls", "stringData": entries})


def documents(text: str) -> list[dict[str, Any]]:
    """Objects of a YAML text. For brevity a list is the rules of an HTTPRoute `route`, apiVersion may be left out, and a route without
    parentRefs belongs to the Gateway `web`."""
    found = []
    for document in yaml.load_all(text, yaml.CSafeLoader):
        if document is None:
            continue
        if isinstance(document, list):
            document = {"kind": "HTTPRoute", "metadata": {"name": "route"}, "spec": {"rules": document}}
        document = {"apiVersion": VERSIONS[document["kind"]][0], **document}
        if document["kind"].endswith("Route"):
            document["spec"] = {"parentRefs": [{"name": "web"}], **document["spec"]}
        found.append(document)
    return found


def _say_http2(objects: dict[tuple[str, str, str], dict[str, Any]], ports: set[int]) -> None:
    """The Services with an endpoint on one of these ports say that they speak HTTP/2 with prior knowledge."""
    for document in list(objects.values()):
        if document["kind"] != "EndpointSlice" or not ports.intersection(port["port"] for port in document["ports"]):
            continue
        metadata = document["metadata"]
        service = objects["Service", metadata.get("namespace", "default"), metadata["labels"]["kubernetes.io/service-name"]]
        for port in service["spec"]["ports"]:
            port.setdefault("appProtocol", "kubernetes.io/h2c")


def _key(document: dict[str, Any]) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", "default"), metadata["name"]


class FreePorts:
    """ListeningSockets that bind every place at a free port of 127.0.0.1, the same one each time; UDP at the address that is asked for."""

    def __init__(self) -> None:
        self.bound: dict[int, int] = {}
        self.datagrams: dict[int, int] = {}
        """Those of UDP."""

    def take(self, place: Place) -> socket.socket:
        if place.transport == "tcp":
            address, bound, listening = "127.0.0.1", self.bound, socket.socket()
        else:
            family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
            address, bound, listening = place.address, self.datagrams, socket.socket(family, socket.SOCK_DGRAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # a port may change hands while it is open
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, bound.get(place.port, 0)))
        listening.setblocking(False)
        bound[place.port] = listening.getsockname()[1]
        return listening


class LogLines:
    """The access log's descriptor, and the lines that come out at its other end."""

    def __init__(self) -> None:
        read, self.descriptor = os.pipe()
        self._lines: list[dict[str, Any]] = []
        self._came = Condition()
        self._thread = Thread(target=self._read, args=(read,), daemon=True)
        self._thread.start()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="ascii") as lines:
            for line in lines:
                with self._came:
                    self._lines.append(json.loads(line))
                    self._came.notify_all()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The lines, once there are that many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._lines) >= count, LIMIT), f"{len(self._lines)} of {count} lines were logged"
            return list(self._lines)

    def close(self) -> None:
        os.close(self.descriptor)
        self._thread.join(LIMIT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got, and what else is known of the exchange: the request as the backend received it, if one answered, what
    `explain` said of it, and the series in which it was counted."""

    status: int
    headers: httpx.Headers
    body: bytes
    received: Received | None
    explanation: dict[str, Any]
    series: RequestSeries | None

    @property
    def counted(self) -> RequestSeries:
        """How the exchange was counted; not known of one that others ran beside."""
        assert self.series is not None
        return self.series

    @property
    def backend(self) -> str | None:
        """The echo backend that answered."""
        return self.received.backend if self.received is not None else None

    @property
    def request(self) -> Received:
        """The request as the backend received it."""
        assert self.received is not None, f"no backend answered: {self.status} {self.reason}"
        return self.received

    @property
    def location(self) -> str | None:
        location: str | None = self.headers.get("location")
        return location

    @property
    def reason(self) -> str | None:
        """Why the proxy answered itself."""
        reason: str | None = self.headers.get("x-tidegate-reason")
        return reason


class Keeping(Protocol):
    """A backend that answers with `echo: NAME/NUMBER`."""

    name: str
    requests: list[Received]


class Site:
    """A gateway that serves what its files say. Used by the thread of the test alone."""

    def __init__(self, folder: Path, echoes: Mapping[str, Echo], pairing: Pairing = HTTP1) -> None:
        self._echoes, self._pairing = echoes, pairing
        self._keeping: dict[str, Keeping] = dict(echoes)
        self._base = [GATEWAY, *(service(name, echo.port) for name, echo in echoes.items())]
        self._file = folder / "site.yaml"
        self._revision = 0
        self._seen: SimpleQueue[int | BaseException] = SimpleQueue()
        self._source = FileSource([folder])
        self._translator = Translator(Options(admin=None))
        self.sockets = FreePorts()
        self.log = LogLines()
        self.problems: tuple[str, ...] = ()
        self.rejections: tuple[Rejection, ...] = ()
        self._thread = LoopThread("gateway")
        self.runtime: Runtime = self._thread.call(self._make_runtime)
        self._following = False
        self._clients: dict[ssl.SSLContext | None, httpx.Client] = {}
        self._flights: list[Flight] = []
        self._drained = False

    def _make_runtime(self) -> Runtime:
        return Runtime(self._thread.loop, self.sockets, RuntimeOptions(log_descriptor=self.log.descriptor))

    # what it serves

    def change(self, *texts: str, refused: bool = False) -> None:
        """Replaces the files by base and texts, and returns when what they say is live; `refused` if the proxy may not take all of it."""
        self._revision += 1
        marker = f"{{kind: ConfigMap, metadata: {{name: revision}}, data: {{number: '{self._revision}'}}}}"
        objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        for text in (*self._base, *texts, marker):
            ports = {name: echo.port for name, echo in self._echoes.items()}
            objects.update((_key(document), document) for document in documents(_Template(text).safe_substitute(ports)))
        if self._pairing.backend == "HTTP/2":
            _say_http2(objects, {echo.port for echo in self._echoes.values()})
        written = self._file.parent.with_suffix(".new")
        written.write_text("\n---\n".join(json.dumps(document) for document in objects.values()), encoding="utf-8")
        written.rename(self._file)
        if not self._following:
            self._following = True
            self._thread.loop.call_soon_threadsafe(self._thread.loop.create_task, self._follow())
        while (seen := self._seen.get(timeout=LIMIT)) != self._revision:
            if isinstance(seen, BaseException):
                raise seen
        assert not self.problems, self.problems
        assert bool(self.rejections) == refused, self.rejections

    def conditions(self, kind: str, name: str) -> str:
        """The status of an object of the default namespace, as text."""
        return self._thread.call(lambda: str(self._translator.statuses()[kind, "default", name]))

    async def _follow(self) -> None:
        try:
            async with aclosing(self._source.watch()) as changes:
                async for change in changes:
                    await self._take(change)
        except Exception as fault:  # the test that waits is told
            self._seen.put(fault)

    async def _take(self, change: Change) -> None:
        """What `tidegate run` does with a change."""
        translation = self._translator.apply(change.puts, change.removes)
        assert not translation.failures, translation.failures
        self.problems = tuple(str(problem) for problem in change.problems)
        if translation.set or translation.remove:
            self.rejections = await self.runtime.apply(Batch(self._revision, translation.set, translation.remove))
        for obj in change.puts:
            if obj.key == ("ConfigMap", "default", "revision"):
                self._seen.put(int(obj.data["number"]))  # type: ignore[attr-defined]  # a ConfigMap

    def seed(self, number: int) -> None:
        """Makes what is drawn at random from now on the same in every run."""
        self._thread.call(lambda: self.runtime._core.random.seed(number))

    # how it is asked

    def address(self, port: int = 80) -> tuple[str, int]:
        """Where the listener that a user put on this port is really bound."""
        return "127.0.0.1", self.sockets.bound[port]

    def connect(self, port: int = 80) -> socket.socket:
        """A connection, for what no client library can send."""
        return socket.create_connection(self.address(port), timeout=LIMIT)

    def ask(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        host: str = "example.com",
        headers: Fields = (),
        body: bytes | Iterable[bytes] | None = None,
        port: int = 80,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Answer:
        """One request, its target and fields exactly as given, and a check that `explain` says what happened.

        `server_name` is the SNI of a TLS connection, by default the host; '' for none. It goes out in what the site's pairing says.
        """
        client = self._client(tls)
        scheme = "http" if tls is None else "https"
        name = host.partition(":")[0] if server_name is None else server_name
        extensions: dict[str, Any] = {"target": target.encode("latin-1")}
        if tls is not None:
            extensions["sni_hostname"] = name or "127.0.0.1"
        url = f"{scheme}://127.0.0.1:{self.address(port)[1]}/"
        request = client.build_request(method, url, headers=[("Host", host), *headers], content=body, extensions=extensions)
        request.method = method  # httpx writes it in upper case
        sent = [(field.decode("latin-1"), value.decode("latin-1")) for field, value in request.headers.raw]
        connected = name if tls is not None and name else "127.0.0.1"
        question = {"method": method, "url": f"{scheme}://{connected}:{port}{target}", "headers": sent}
        explanation, before = self._explain(question), self.statistics()
        response = client.send(request)
        client.cookies.clear()
        received = self.received(response.headers)
        # Where the backend speaks HTTP/2 an exchange ends, and is counted, a moment after the client has its whole answer.
        until(lambda: _total(self.statistics()) > _total(before), "the count of the exchange")
        series = newly_counted(before, self.statistics())
        assert response.http_version == self._pairing.client
        check(explanation, Outcome(response.status_code, response.headers, received, series))
        return Answer(response.status_code, response.headers, response.content, received, explanation, series)

    def begin(
        self, target: str = "/", *, method: str = "GET", host: str = "example.com", headers: Fields = (), body: bytes = b"", port: int = 80
    ) -> Flight:
        """Sends a request on a connection of its own, and leaves its answer for later."""
        self._flights.append(Flight(self, Connection(self.address(port)), port))
        return self._flights[-1].ask(target, method=method, host=host, headers=headers, body=body)

    def explain(self, target: str = "/", *, method: str = "GET", headers: Fields = TO_EXAMPLE, port: int = 80) -> dict[str, Any]:
        """What `explain` says of a request on a plain port."""
        question = {"method": method, "url": f"http://127.0.0.1:{port}{target}", "headers": headers}
        return self._explain(question)

    def explain_stream(self, url: str) -> dict[str, Any]:
        """What `explain` says of a connection or flow: tcp://, tls:// or udp://."""
        return self._explain({"method": "CONNECT", "url": url})

    def _explain(self, question: dict[str, Any]) -> dict[str, Any]:
        explanation: dict[str, Any] = json.loads(bytes(self._thread.run(self.runtime.explain(question))))
        return explanation

    def join(self, *backends: Keeping) -> None:
        """The requests that these backends keep are found by `ask`, as those of the echo backends are."""
        self._keeping.update((backend.name, backend) for backend in backends)

    def received(self, headers: Mapping[str, str]) -> Received | None:
        """The request that a response answers, as the echo backend got it."""
        name, _, number = headers.get("echo", "").partition("/")
        return self._keeping[name].requests[int(number)] if name else None

    def statistics(self) -> Statistics:
        return msgspec.json.decode(self._thread.run(self.runtime.statistics()), type=Statistics)

    def drain(self, delay: float = 0.0, timeout: float = LIMIT) -> None:
        """Ends the gateway as SIGTERM does; seconds as in --drain-delay and --drain-timeout."""
        self._drained = True
        self._thread.run(self.runtime.drain(delay, timeout))

    def _client(self, tls: ssl.SSLContext | None) -> httpx.Client:
        client = self._clients.get(tls)
        if client is None:
            limits, http2 = httpx.Limits(max_connections=64), self._pairing.client == "HTTP/2"
            client = self._clients[tls] = httpx.Client(
                verify=tls or _NO_TRUST, trust_env=False, timeout=LIMIT, limits=limits, http1=not http2, http2=http2
            )
        return client

    def forget_connections(self) -> None:
        """The next request of `ask` makes a new connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def close(self) -> None:
        self.forget_connections()
        for flight in self._flights:
            flight.connection.close()
        if not self._drained:
            self._thread.call(self.runtime.close)
        self._thread.close()
        self.log.close()
        assert not self._thread.faults, self._thread.faults


class Flight:
    """A request under way, begun by `Site.begin`; after its answer the connection takes another."""

    def __init__(self, site: Site, connection: Connection, port: int) -> None:
        self._site, self.connection, self._port = site, connection, port
        self._explanation: dict[str, Any] = {}

    def ask(self, target: str = "/", *, method: str = "GET", host: str = "example.com", headers: Fields = (), body: bytes = b"") -> Flight:
        sent = [("Host", host), *headers]
        self._explanation = self._site.explain(target, method=method, headers=sent, port=self._port)
        self.connection.send(method, target, sent, body)
        return self

    def answer(self) -> Answer:
        """Waits for the answer, and holds `explain` to it as it was when the request was sent."""
        status, fields, body = self.connection.response()
        headers = httpx.Headers(fields)
        received = self._site.received(headers)
        check(self._explanation, Outcome(status, headers, received, None))
        return Answer(status, headers, body, received, self._explanation, None)


_NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: loading the system's certificates takes longer than most tests."""


def _total(statistics: Statistics) -> int:
    return sum(series.count for series in statistics.requests)


def newly_counted(before: Statistics, after: Statistics) -> RequestSeries:
    """The series in which the one exchange between two moments was counted."""
    counts = {_labels(series): series.count for series in merge((before,)).requests}
    new = [series for series in merge((after,)).requests if series.count != counts.get(_labels(series), 0)]
    assert len(new) == 1, f"one exchange was counted in {len(new)} series: {new}"
    return new[0]


def _labels(series: RequestSeries) -> tuple[object, ...]:
    names = (series.listener, series.gateway, series.route, series.rule, series.backend)
    return *names, series.code, series.flags, series.protocol, series.grpc_status
