"""The gateway that the rows are sent to, in one loop with its backend and its client, so that a turn of the loop is a read of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.attacks.backend import Backend, Link
from tests.attacks.canonical import check_requests
from tests.attacks.client import Client
from tests.attacks.reading import Request
from tests.attacks.row import get
from tests.wire.serving import Site, service

T = TypeVar("T")

SITE: Final = """
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: rejecting, port: 80, protocol: HTTP, hostname: rejecting.example}
  - {name: redirecting, port: 80, protocol: HTTP, hostname: redirecting.example}
  - {name: unescaping, port: 80, protocol: HTTP, hostname: unescaping.example}
  - {name: impatient, port: 81, protocol: HTTP}
---
kind: ListenerPolicy
metadata: {name: rejecting}
spec: {targetRefs: [{name: web, sectionName: rejecting}], paths: {escapedSlashes: Reject}}
---
kind: ListenerPolicy
metadata: {name: redirecting}
spec: {targetRefs: [{name: web, sectionName: redirecting}], paths: {escapedSlashes: Redirect}}
---
kind: ListenerPolicy
metadata: {name: unescaping}
spec: {targetRefs: [{name: web, sectionName: unescaping}], paths: {escapedSlashes: Unescape, mergeSlashes: true}}
---
kind: ListenerPolicy
metadata: {name: impatient}
spec: {targetRefs: [{name: web, sectionName: impatient}], timeouts: {idle: 100ms, header: 100ms}}
---
- matches: [{path: {value: /private}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: login.example, statusCode: 302}}]
- matches: [{path: {value: /scarce}}]
  backendRefs: [{name: scarce, port: 80}]
- backendRefs: [{name: backend, port: 80}]
---
kind: BackendPolicy
metadata: {name: scarce}
spec: {targetRefs: [{name: scarce}], limits: {connections: 1}}
"""


class Stage:
    """A site with one backend, and what a row needs to know of both."""

    def __init__(self, folder: Path, *texts: str) -> None:
        """`texts` stand in place of the site of the rows about plain connections."""
        self.site = Site(folder, {})
        self.backend = Backend()
        self._serving = AsyncExitStack()
        self.run(self._serving.enter_async_context(self.backend.serving()))
        self.site.change(*(texts or (SITE,)), service("backend", self.backend.port), service("scarce", self.backend.port))
        self._logged = 0
        self._settled = True
        self._marks = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that ran in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.site._thread.loop).result()

    def _call(self, function: Callable[[], None]) -> None:
        self.site._thread.call(function)

    def begin(self) -> None:
        """Before a row: what came before is not its concern."""
        self._call(self.backend.forget)
        if not self._settled:  # a row failed, and nobody knows how many lines it left
            self.all_logged()
            self._call(self.backend.forget)
        self._settled = False

    def all_logged(self) -> list[dict[str, Any]]:
        """The next lines of the access log, however many there are, without those of canaries."""
        self._marks += 1
        mark = f"/canary/{self._marks}"
        self.run(self.canary(mark.encode()))
        self._call(self.site.runtime._log_some)
        lines: list[dict[str, Any]] = []
        while (line := self.site.log.wait_for(self._logged + 1)[self._logged])["path"] != mark:
            lines.append(line)
            self._logged += 1
        self._logged += 1
        self._settled = True
        return [line for line in lines if line["path"] not in ("/canary", "/next")]

    def logged(self, count: int) -> list[dict[str, Any]]:
        """The next lines of the access log, without those of canaries; the gateway would write them a moment later by itself."""
        self._call(self.site.runtime._log_some)
        lines = self.site.log.wait_for(self._logged + count)[self._logged :]
        self._logged += len(lines)
        self._settled = len(lines) == count
        assert self._settled, f"{count} exchanges, but {len(lines)} lines: {lines}"
        return [line for line in lines if line["path"] not in ("/canary", "/next")]

    async def connect_client(self, port: int = 80) -> Client:
        return await Client.connect(self.site.address(port))

    async def canary(self, target: bytes = b"/canary") -> None:
        """The gateway still serves: a good request on a new connection. Whatever it forwarded before has come by then."""
        with await self.connect_client() as client:
            await client.send([get(target=target)])
            answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"ok"), "the gateway no longer serves"

    def close(self) -> None:
        self.run(self._serving.aclose())
        self.site.close()


def served_requests(backend: Backend, unfinished: Sequence[Link] = ()) -> list[Request]:
    """The whole requests that reached the backend, without canaries. All that it got must stand in the one form in which we write, but for
    connections with a request that is `unfinished`."""
    for link in backend.links:
        if link in unfinished:
            continue
        assert not link.fault, f"what was forwarded is no request: {link.fault}: {bytes(link.received)!r}"
        check_requests(bytes(link.received))
    return [request for request in backend.requests if request.target != b"/canary"]
