"""What breaks in a box: processes that are killed or stopped, packets that are lost, an API server that is away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.box.cluster import PATIENCE, Box, BoxError, Object
from tests.endurance.standing import command, descendants

API_PORT = 6443
STREAM_PORT = 15010
_TICKS = os.sysconf("SC_CLK_TCK")


def component(box: Box, name: str) -> int:
    """The process of a part of the cluster, by its number on this machine: kube-apiserver, etcd, node."""
    return _only([pid for pid in _processes(box) if command(pid).startswith(b"box\0" + name.encode() + b"\0")], name)


def program(box: Box, pod: str) -> int:
    """The process of Tidegate in a Pod, by its number on this machine."""
    found = [pid for pid in _processes(box) if b"-m\0tidegate\0" in command(pid) and _variable(pid, "POD_NAME") == pod]
    return _only(found, f"Tidegate in Pod {pod}")


def awaited(look: Callable[[], int], but: int = 0) -> int:
    """The process that `look` finds, once it is there and is another one than `but`. Raises BoxError after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if (pid := look()) != but:
                return pid
        except BoxError:
            pass  # not there yet
        time.sleep(0.01)
    raise BoxError(f"no process came in place of {but}")


def killed(look: Callable[[], int]) -> int:
    """Kills the process that `look` finds; returns the one that comes in its place."""
    pid = look()
    os.kill(pid, signal.SIGKILL)
    return awaited(look, pid)


def started_at(pid: int) -> float:
    """When a process was started, in seconds of the epoch."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / _TICKS


@contextmanager
def lost(box: Box, *rules: str) -> Iterator[None]:
    """Packets on their way in the node that match one of these rules of nft(8) are dropped, without a word to anybody."""
    with _filtered(box, [f"{rule} drop" for rule in rules]):
        yield


@contextmanager
def silent_between(box: Box, pod: Object, port: int, peer: Object | None = None) -> Iterator[None]:
    """A Pod and a TCP port, of one peer or of everybody, hear nothing of each other: what is open stays open and silent."""
    address = pod["status"]["podIP"]
    other = peer["status"]["podIP"] if peer else ""
    there, back = (f"ip daddr {other} ", f"ip saddr {other} ") if other else ("", "")
    with lost(box, f"ip saddr {address} {there}tcp dport {port}", f"ip daddr {address} {back}tcp sport {port}"):
        yield


@contextmanager
def api_away(box: Box) -> Iterator[None]:
    """The API server is killed, and nobody gets a connection to it, until the end; then it is up again when the context is left."""

    def look() -> int:
        return component(box, "kube-apiserver")

    with _filtered(box, [f"tcp dport {API_PORT} reject with tcp reset"]):
        pid = killed(look)
        os.kill(pid, signal.SIGSTOP)  # not even to itself, which costs nothing then
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
            awaited(look, pid)
    await_api(box)


@contextmanager
def api_stopped(box: Box) -> Iterator[None]:
    """The API server stands still: it takes connections, and says nothing on any."""
    pid = component(box, "kube-apiserver")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
    await_api(box)


def await_api(box: Box) -> None:
    """Returns when the API server says that it is ready. Raises BoxError after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while box.run("kubectl", "get", "--raw", "/readyz", "--request-timeout=2s", check=False).stdout != "ok":
        if time.monotonic() > end:
            raise BoxError("the API server is not ready again")


@contextmanager
def _filtered(box: Box, rules: list[str]) -> Iterator[None]:
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} priority filter; {'; '.join(rules)}; }}\n" for hook in ("input", "forward", "output")
    )
    box.run("nft", "-f", "-", given=f"table ip faults {{\n{chains}}}\n")
    try:
        yield
    finally:
        box.run("nft", "delete", "table", "ip", "faults")


def _processes(box: Box) -> tuple[int, ...]:
    return descendants(int((box.folder / "pid").read_text(encoding="ascii").split()[0]))


def _variable(pid: int, name: str) -> str:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""  # it has ended
    start = name.encode() + b"="
    return next((each.removeprefix(start).decode() for each in environment if each.startswith(start)), "")


def _only(found: list[int], what: str) -> int:
    if len(found) != 1:
        raise BoxError(f"{len(found)} processes are {what}")
    return found[0]
