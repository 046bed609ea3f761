"""Keep-alive clients that ask for one route as fast as they can while it is edited, and judge every answer.

A version of the route shows in three places: the response's field x-edit, the request's field as the backend saw it, and the
backend that answered. All three must be of one version, which has been written, and is not older than what the connection saw before.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from measuring.keep_alive import Answer, KeepAlive, TransportError
from measuring.site import EDITED_HOST


class Clients:
    """Threads with a connection each; a context manager. `newest` is the version that was begun last, set by who edits."""

    def __init__(self, port: int, backend_ports: tuple[int, int], number: int) -> None:
        self.newest = 0
        self.wrong: list[str] = []
        self._backend_ports = backend_ports
        self._ending = threading.Event()
        self._clients = [_Client(self, port) for _ in range(number)]

    def __enter__(self) -> Clients:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        for client in self._clients:
            client.join()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    @property
    def requests(self) -> int:
        """Answered so far."""
        return sum(client.answered for client in self._clients)

    @property
    def versions_seen(self) -> int:
        """How many versions anyone saw; changes that come while one is on its way are put in place together."""
        return len(set().union(*(client.first for client in self._clients)))

    def wait_for(self, version: int, seconds: float) -> None:
        """Until every client has seen a version, which is wrong if it takes longer."""
        limit = time.monotonic() + seconds
        while any(client.last < version and client.is_alive() for client in self._clients):
            if time.monotonic() > limit:
                self.wrong.append(f"version {version} was not seen by every client within {seconds:g} s")
                return
            time.sleep(0.005)

    def first_seen(self, versions: int) -> dict[int, float]:
        """When each version, or a later one, had first come to anyone; seconds of the monotonic clock."""
        found: dict[int, float] = {}
        for client in self._clients:
            for version, at in client.first.items():
                found[version] = min(at, found.get(version, at))
        earliest = float("inf")
        for version in range(versions, 0, -1):
            earliest = min(earliest, found.get(version, earliest))
            if earliest < float("inf"):
                found[version] = earliest
        return {version: at for version, at in found.items() if version > 0}

    def judge(self, answer: Answer, last: int) -> int:
        """The version that an answer is of; notes what is wrong with it."""
        try:
            version = int(answer.fields.get("x-edit", ""))
        except ValueError:
            version = -1
        expected = f"{self._backend_ports[version % 2]} {version}".encode()
        if answer.status != 200 or answer.body != expected:
            field = answer.fields.get("x-edit", "without a version")
            self.wrong.append(f"neither the old nor the new: {answer.status}, {field}, {answer.body[:60]!r}")
        elif version > self.newest:
            self.wrong.append(f"version {version} was served before it was written")
        elif version < last:
            self.wrong.append(f"version {version} came on a connection that had seen version {last}")
        return version


class _Client(threading.Thread):
    """One connection. `first` says when each version came first."""

    def __init__(self, clients: Clients, port: int) -> None:
        super().__init__(name="client", daemon=True)
        self._clients = clients
        self._port = port
        self.answered = 0
        self.last = 0
        self.first: dict[int, float] = {}

    def run(self) -> None:
        try:
            with KeepAlive(self._port) as connection:
                while not self._clients.ending:
                    answer = connection.get(EDITED_HOST, "/edited")
                    now = time.monotonic()
                    self.answered += 1
                    version = self._clients.judge(answer, self.last)
                    self.first.setdefault(version, now)
                    self.last = max(version, self.last)
        except TransportError as error:
            self._clients.wrong.append(str(error))
