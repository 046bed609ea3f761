"""A runtime for tests of the processes: each listener answers one line with its worker's name and closes.

Run as a program it is a worker with this runtime. Resources named after a fault do it: a Backend with the key "crash" makes
apply raise, "die" ends the process at once, "hang" blocks the loop for ever.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from gateway.descriptors import ListeningSockets, Place, place_of
from gateway.ir.batch import Batch, Rejection
from gateway.ir.listener import Listener
from gateway.options import RuntimeOptions
from gateway.telemetry.statistics import Sample, Statistics


class FakeRuntime:
    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: ListeningSockets, options: RuntimeOptions) -> None:
        self.loop, self.sockets, self.options = loop, sockets, options
        self.listening: dict[str, socket.socket] = {}
        self.answered = 0
        self.keys: set[str] = set()
        self.broken = False

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        for resource in batch.set:
            if resource.key == "crash":
                raise RuntimeError("a resource that nobody foresaw")
            if resource.key == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if resource.key == "hang":
                signal.pause()
        rejected: list[Rejection] = []
        gone = {key for kind, key in batch.remove if kind == "Listener"}
        if batch.snapshot:
            gone |= self.listening.keys()
            self.keys.clear()
        for key in gone:
            self.stop(key)
        for resource in batch.set:
            self.keys.add(resource.key)
            if isinstance(resource, Listener):
                self.stop(resource.key)
                try:
                    self.listen(resource)
                except LookupError as error:
                    rejected.append(Rejection("Listener", resource.key, str(error)))
        return tuple(rejected)

    def rejections(self) -> tuple[Rejection, ...]:
        return ()

    def watch(self, changed: object) -> None:
        """Nothing changes here without a batch."""

    def listen(self, listener: Listener) -> None:
        bound = self.listening[listener.key] = self.sockets.take(place_of(listener))
        self.loop.add_reader(bound.fileno(), self.accept, bound)

    def accept(self, bound: socket.socket) -> None:
        try:
            connection, _ = bound.accept()
        except BlockingIOError:
            return
        self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        self.answered += 1
        with connection:
            connection.sendall(f"{self.options.name} {os.getpid()}\n".encode())

    def adopt(self, place: Place, connection: socket.socket) -> bool:
        if all(bound.getsockname() != (place.address, place.port) for bound in self.listening.values()):
            return False
        self.answer(connection)
        return True

    busy = full = False

    def stop_accepting(self) -> None:
        for key in list(self.listening):
            self.stop(key)

    def stop(self, key: str) -> None:
        bound = self.listening.pop(key, None)
        if bound is not None:
            self.loop.remove_reader(bound.fileno())
            bound.close()

    async def statistics(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(Statistics(counters=(Sample("tidegate_answered_total", (), self.answered),))))

    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(self._explained(argument)))

    def _explained(self, argument: dict[str, Any]) -> dict[str, Any]:
        match argument:
            case {"what": "modules"}:
                return {"modules": sorted(sys.modules)}
            case {"what": "state"}:
                return {"keys": sorted(self.keys), "listening": sorted(self.listening), "frozen": gc.get_freeze_count(), "pid": os.getpid()}
            case {"what": "hang"}:
                signal.pause()
            case {"what": "break"}:
                self.broken = True
                return {}
        raise ValueError("ask for modules or state")

    async def drain(self, delay: float, timeout: float) -> None:
        if self.broken:
            raise RuntimeError("cannot drain")
        if delay:
            await asyncio.sleep(delay)
        self.close()

    def close(self) -> None:
        for key in list(self.listening):
            self.stop(key)


if __name__ == "__main__":
    from gateway.worker import main

    main(FakeRuntime)
