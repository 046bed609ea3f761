"""Tests in a network of their own: no other program has their addresses, ports and resolver, and a cable can be cut.

A test that is `secluded` runs in a thread with its own network and mount namespaces. Threads and processes that it starts are
born into them, and the kernel takes them away when the last of these is gone, so nothing of the machine is touched.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, get_native_id
from typing import Any, Final, ParamSpec, TypeVar

import pytest

from tests.wire.backends import LIMIT

_CLONE_NEWNS: Final = 0x20000
_CLONE_NEWNET: Final = 0x40000000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000

HERE: Final = "192.0.2.1"
FAR: Final = "192.0.2.2"
_MAC: Final = "02:00:00:00:00:02"

P = ParamSpec("P")
T = TypeVar("T")


def secluded(test: Callable[P, None]) -> Callable[P, None]:
    """Runs the test in namespaces of its own, with a loopback interface and nothing else; skips it where that is not permitted."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        def inside() -> None:
            enter()
            test(*args, **kwargs)

        _in_thread(inside)

    return run


def enter() -> None:
    """Takes the calling thread into new namespaces."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a network namespace is needed: run as root on Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) or libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None):
        pytest.skip(f"no namespaces of our own are to be had here: {os.strerror(ctypes.get_errno())}")
    try:
        command("ip", "link", "set", "lo", "up")
    except FileNotFoundError:
        pytest.skip("the program `ip` is needed: install iproute2")


def command(*words: str) -> None:
    """Runs a program in the namespaces of the calling thread."""
    done = subprocess.run(words, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, (words, done.stderr.decode())


def resolve_by(folder: Path, *lines: str) -> None:
    """From now on /etc/resolv.conf holds these lines, and /etc/hosts and /etc/nsswitch.conf add nothing to them."""
    for name, text in (("resolv.conf", "\n".join(lines)), ("hosts", ""), ("nsswitch.conf", "hosts: dns")):
        (folder / name).write_text(text + "\n")
        command("mount", "--bind", str(folder / name), f"/etc/{name}")


def _in_thread(work: Callable[[], object]) -> None:
    faults: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as fault:  # also what skips a test
            faults.append(fault)

    thread = Thread(target=run, name="secluded")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]


class FarHost:
    """Another host, FAR, at the other end of a cable; this one is HERE. Made and closed inside a secluded test."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        ready: SimpleQueue[int | BaseException] = SimpleQueue()
        self._thread = Thread(target=self._live, args=(ready,), name="far host", daemon=True)
        self._thread.start()
        born = ready.get(timeout=LIMIT)
        if isinstance(born, BaseException):
            raise born
        namespace = f"/proc/{os.getpid()}/task/{born}/ns/net"
        command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "address", _MAC, "netns", namespace)
        command("ip", "address", "add", f"{HERE}/24", "dev", "near")
        command("ip", "link", "set", "near", "up")
        command("ip", "neighbour", "add", FAR, "lladdr", _MAC, "dev", "near", "nud", "permanent")
        self.call(lambda: command("ip", "link", "set", "far", "up"))
        self.come_back()

    def _live(self, ready: SimpleQueue[int | BaseException]) -> None:
        try:
            enter()
        except BaseException as fault:
            ready.put(fault)
            return
        ready.put(get_native_id())
        while (job := self._jobs.get()) is not None:
            job()

    def call(self, function: Callable[[], T]) -> T:
        """The result of a function that ran on the other host: sockets and threads that it makes are there."""
        results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def job() -> None:
            try:
                results.put((function(), None))
            except BaseException as fault:
                results.put((None, fault))

        self._jobs.put(job)
        result, fault = results.get(timeout=LIMIT)
        if fault is not None:
            raise fault
        found: Any = result
        return found  # type: ignore[no-any-return]  # None only where T is None

    def vanish(self) -> None:
        """Takes no packet any more and says nothing, as if its power were gone."""
        self.call(lambda: command("ip", "address", "del", f"{FAR}/24", "dev", "far"))

    def come_back(self) -> None:
        self.call(lambda: command("ip", "address", "add", f"{FAR}/24", "dev", "far"))

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(LIMIT)
