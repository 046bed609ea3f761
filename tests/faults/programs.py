"""The program `tidegate run` as a process of its own, for faults of what it inherits: descriptors, limits, signals, streams."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.faults.waiting import until
from tests.wire.backends import LIMIT

CONFIGURATION = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: @PORT, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: here}
spec:
  parentRefs: [{name: web}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere.test}}]}]
"""
"""Whatever is asked for is answered 302 by the proxy itself."""


class Program:
    """A running `tidegate run`, and what it is asked. `folder` holds its files."""

    def __init__(self, folder: Path, *options: str, wrapper: tuple[str, ...] = (), **how: Any) -> None:
        """`options` of the command line, `how` as for subprocess.Popen; `wrapper` is a command that runs the one it is given."""
        self.folder = folder
        self.port, admin = free_ports(2)
        self.admin = ("127.0.0.1", admin)
        self.write("web.yaml", CONFIGURATION.replace("@PORT", str(self.port)))
        command = (sys.executable, "-m", "tidegate", "run", str(folder), "--workers", "1", "--admin", f"127.0.0.1:{admin}", *options)
        self.process = subprocess.Popen((*wrapper, *command), stdin=subprocess.DEVNULL, **how)
        self._client = httpx.Client(timeout=LIMIT, trust_env=False)
        until(self._serves, "it does not begin to serve")

    def _serves(self) -> bool:
        assert self.process.poll() is None, f"it has ended with {self.process.returncode}"
        try:
            return self.page("/healthz/ready").status_code == 200 and self.ask() == 302
        except httpx.TransportError:
            return False

    def write(self, name: str, text: str) -> None:
        """By rename, as careful editors do."""
        (self.folder / f".{name}.new").write_text(text)
        (self.folder / f".{name}.new").rename(self.folder / name)

    def ask(self, path: str = "/") -> int:
        """The status of one request."""
        return self._client.get(f"http://127.0.0.1:{self.port}{path}").status_code

    def page(self, path: str) -> httpx.Response:
        """A page of the admin server."""
        return self._client.get(f"http://127.0.0.1:{self.admin[1]}{path}")

    def metric(self, name: str) -> float:
        lines = self.page("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def end(self) -> int:
        """Drains; the exit status."""
        self.process.terminate()
        return self.process.wait(LIMIT)

    def close(self) -> None:
        self._client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
