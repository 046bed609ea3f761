"""A rate limit holds for `tidegate run` as a whole, whichever of its worker processes a connection comes to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from controller.sources.problems import Problem
from controller.store import Key
from controller.translate.statuses import Status
from tests.running import run
from tidegate import run as composition
from tidegate.options import RunOptions
from tidegate.show import Configuration

pytestmark = pytest.mark.slow

CONFIGURATION = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: PORT, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: other.example}}]}]
---
apiVersion: tidegate.dev/v1alpha1
kind: ListenerPolicy
metadata: {name: limits}
spec:
  targetRefs: [{name: g}]
  rateLimits: [{requests: 10, period: 1h}]
"""


class Quiet:
    """A Show that only tells when everything is bound."""

    def __init__(self) -> None:
        self.bound = asyncio.Event()

    def message(self, text: str) -> None:
        """Nothing is said of it here."""

    def problem(self, problem: Problem) -> None:
        raise AssertionError(problem)

    def solved(self, problem: Problem) -> None:
        """There are none."""

    def state(self, configuration: Configuration) -> None:
        """Comes before the sockets."""

    def listening(self, configuration: Configuration) -> None:
        self.bound.set()

    def changed(self, statuses: tuple[Status, ...], gone: tuple[Key, ...]) -> None:
        """Nothing changes."""


def test_all_workers_count_together(tmp_path: Path) -> None:
    """Of many connections, spread by the kernel over three workers, exactly as many requests pass as one limit allows."""

    async def test() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (tmp_path / "g.yaml").write_text(CONFIGURATION.replace("PORT", str(port)))
        show = Quiet()
        options = RunOptions((tmp_path,), workers=3, admin=None, access_log="off", drain_timeout=1.0)
        task = asyncio.create_task(composition.run(options, show))
        await show.bound.wait()
        statuses = []
        for _ in range(40):
            async with httpx.AsyncClient() as client:
                statuses.append((await client.get(f"http://127.0.0.1:{port}/")).status_code)
        assert statuses == [302] * 10 + [429] * 30
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0

    run(test)
