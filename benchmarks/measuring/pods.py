"""A node with two Pods, as network namespaces of our own on one bridge: who calls, and who is called.

Nothing of it has a name outside: a namespace is there for as long as the program that holds it. Needs root, ip, unshare and nsenter.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.processes import START, Processes, Program, path_of
from measuring.script import CannotMeasure

NODE, CALLER, CALLEE = "10.77.0.1", "10.77.0.2", "10.77.0.3"
"""Addresses of the node, where the controller is, and of the Pods; all else is by way of the node."""
SERVICE_ADDRESS, SERVICE_PORT = "10.96.0.10", 80
"""Of the Service that leads to the Pod that is called."""
BACKEND_PORT = 8080
"""Of the application in it."""
NODE_NAME = "tidegate-controller.tidegate-system.svc"
"""What the node is called in the Pods."""
GROUP = 1337
"""Of a sidecar's process: by it the rules of capture know what they are to leave alone. It need not be another user, who might not reach
this checkout."""
_NEW_NETWORK = 0x4000_0000
"""CLONE_NEWNET of sched.h."""


@dataclass(frozen=True, slots=True)
class Space:
    """A network namespace, with a file system in which /etc/hosts is its own."""

    name: str
    holder: Program

    @property
    def network(self) -> str:
        """The file by which it is entered."""
        return f"/proc/{self.holder.pid}/ns/net"

    def command(self, words: Sequence[str], *, sidecar: bool = False) -> list[str]:
        """What runs a command inside, in place of it; `sidecar`: as one whose connections are not captured."""
        prefix = ["nsenter", f"--net={self.network}", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--"]
        return [*prefix, *(("setpriv", "--regid", str(GROUP), "--clear-groups", "--") if sidecar else ()), *words]

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """Runs a command to its end. Raises CannotMeasure."""
        done = subprocess.run(self.command(words), capture_output=True, text=True, check=False, timeout=START, env=environment)
        if done.returncode:
            raise CannotMeasure(f"{' '.join(words)}, in the network of {self.name}: {(done.stderr or done.stdout).strip()[-1000:]}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, is in the network."""
        with open("/proc/thread-self/ns/net", "rb") as before, open(self.network, "rb") as within:
            _enter(within.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NEW_NETWORK):
        raise CannotMeasure(f"a network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")


@dataclass(frozen=True, slots=True)
class Node:
    """The node's own network, and those of its two Pods."""

    own: Space
    caller: Space
    callee: Space

    @property
    def holders(self) -> tuple[int, ...]:
        """Processes that hold the namespaces and do nothing."""
        return tuple(space.holder.pid for space in (self.own, self.caller, self.callee))


def make_node(processes: Processes, name: str) -> Node:
    """Makes the namespaces, a bridge, and a pair of interfaces for each Pod. Raises CannotMeasure."""
    if os.geteuid():
        raise CannotMeasure("network namespaces are made by root alone: run this as root")
    for program, package in (("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux"), ("setpriv", "util-linux")):
        path_of(program, package)
    hosts = processes.folder / f"{name}.hosts"
    hosts.write_text(f"127.0.0.1 localhost\n::1 localhost\n{NODE} {NODE_NAME}\n", encoding="ascii")
    node = Node(*(_space(processes, f"{name}-{part}", hosts) for part in ("node", "caller", "callee")))
    node.own.run("ip", "link", "add", "bridge0", "type", "bridge")
    node.own.run("ip", "address", "add", f"{NODE}/24", "dev", "bridge0")
    node.own.run("ip", "link", "set", "bridge0", "up")
    for space, address in ((node.caller, CALLER), (node.callee, CALLEE)):
        link = f"veth{address[-1]}"
        node.own.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(space.holder.pid))
        node.own.run("ip", "link", "set", link, "master", "bridge0", "up")
        space.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        space.run("ip", "link", "set", "eth0", "up")
        space.run("ip", "route", "add", "default", "via", NODE)
    return node


def _space(processes: Processes, name: str, hosts: Path) -> Space:
    script = 'mount --bind "$0" /etc/hosts && ip link set lo up && exec sleep infinity'
    holder = processes.start(name, ["unshare", "--net", "--mount", "sh", "-c", script, str(hosts)])
    limit = time.monotonic() + START
    while Path(f"/proc/{holder.pid}/comm").read_text(encoding="ascii").strip() != "sleep":
        holder.check()
        if time.monotonic() > limit:
            raise CannotMeasure(f"the network of {name} is not there after {START:g} s")
        time.sleep(0.005)
    return Space(name, holder)
