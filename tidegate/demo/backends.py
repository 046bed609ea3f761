"""`tidegate run --demo-backends`: whatever the files name as an endpoint on this machine answers.

The backends live in one process of their own (`tidegate.demo.server`), so that they never delay what they are there to show.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from gateway.ir.backend import EndpointSet
from gateway.ir.batch import AnyResource
from gateway.net.sockets import readable

_PROGRAM: Final = (sys.executable, "-P", "-m", "tidegate.demo.server")
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PATIENCE: Final = 5.0
"""Seconds that the process gets to end."""

Place = tuple[str, int, str]
"""Address, port and transport, tcp or udp."""


class DemoBackends:
    """Owner of the process. A backend that is there stays, also when nothing names it any more."""

    def __init__(self, message: Callable[[str], None]) -> None:
        self._message = message
        self._wanted: dict[Place, str] = {}
        self._started: set[Place] = set()
        self._all_started = asyncio.Event()
        self._all_started.set()
        self._process: asyncio.subprocess.Process | None = None

    def want(self, resources: Iterable[AnyResource]) -> None:
        """Notes the endpoints on loopback addresses that have no backend yet."""
        for resource in resources:
            if isinstance(resource, EndpointSet):
                transport = "udp" if resource.key.endswith("/udp") else "tcp"
                for endpoint in resource.endpoints:
                    place = (endpoint.address, endpoint.port, transport)
                    if place not in self._started and _is_loopback(endpoint.address):
                        self._wanted.setdefault(place, resource.source.name)
                        self._all_started.clear()

    async def start_wanted(self) -> None:
        """Starts what was noted. A port that somebody else has is left to them, which is told."""
        while self._wanted:
            place = next(iter(self._wanted))
            name = self._wanted.pop(place)
            self._started.add(place)
            problem = await self._start(place, name)
            if problem:
                remedy = "what listens there answers in its stead; stop it, or change the port of the EndpointSlice"
                self._message(f"no demo backend for {name} at {readable(*place[:2])}: {problem}; {remedy}")
        self._all_started.set()

    async def started(self) -> None:
        """Returns when `start_wanted` has started all that was noted."""
        await self._all_started.wait()

    async def _start(self, place: Place, name: str) -> str:
        """What is wrong, '' if nothing is."""
        if self._process is None or self._process.returncode is not None:
            path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(*_PROGRAM, stdin=pipe, stdout=pipe, env={**os.environ, "PYTHONPATH": path})
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"address": place[0], "port": place[1], "transport": place[2], "name": name}).encode() + b"\n")
        answer = await process.stdout.readline()
        return answer.decode().strip() if answer else "their process has ended"

    async def close(self) -> None:
        """Ends the process."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
