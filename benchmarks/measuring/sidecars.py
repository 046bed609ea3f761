"""Pairs of proxies between the two Pods of a node: two `tidegate sidecar`, two Envoys, or none.

Both Pods have the rules of `tidegate init`, by which a connection to the Service comes to one sidecar of either kind and then to the other.
Tidegate's have the configuration of a real controller, which reads a cluster of measuring.cluster_api.
"""

from __future__ import annotations

import base64
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from measuring.configuration import ROOT, fill
from measuring.identities import make_identities
from measuring.load import program
from measuring.pods import BACKEND_PORT, CALLEE, NODE, NODE_NAME, SERVICE_ADDRESS, SERVICE_PORT, Node, Space, make_node
from measuring.processes import START, Processes, Program, path_of
from measuring.proxies import envoy_program
from measuring.script import CannotMeasure
from measuring.tidegate import COMPILED, NO_PROXY, environment

SYSTEM = "tidegate-system"
STREAM_PORT = 15010
READY = "http://127.0.0.1:15021/healthz/ready"


@dataclass(frozen=True, slots=True)
class Pair:
    """Running, with the application behind it. `proxies` are the one of who calls and the one of who is called, `logs` theirs."""

    name: str
    version: str
    node: Node
    address: str
    port: int
    """Where the caller's requests go."""
    proxies: tuple[Program, ...]
    logs: tuple[Path, ...]
    beside: tuple[int, ...]
    """All other processes: the application, the controller and so on."""

    @property
    def serving(self) -> tuple[int, ...]:
        return tuple(each.pid for each in self.proxies)


@dataclass(frozen=True, slots=True)
class Site:
    """What pairs are made with."""

    processes: Processes
    proxy_core: int
    load_core: int
    services: int = 0
    """Services that there are besides."""


def no_pair(site: Site) -> Pair:
    """The caller reaches the application itself, over the same bridge."""
    node = make_node(site.processes, "direct")
    backend = _backend(site, node, "direct")
    return Pair("direct", "", node, CALLEE, BACKEND_PORT, (), (), (*node.holders, backend.pid))


def tidegate_pair(site: Site, name: str = "tidegate") -> Pair:
    """Two sidecars under a controller; `tidegate-compiled` with the modules of `make compiled`."""
    node = make_node(site.processes, name)
    backend = _backend(site, node, name)
    beside = start_controller(site, node, name)
    _capture(site, node)
    started = [start_sidecar(site, space, name, pod) for space, pod in ((node.caller, "caller"), (node.callee, "callee"))]
    for space, (sidecar, _) in zip((node.caller, node.callee), started, strict=True):
        wait_until_ready(space, sidecar)
    proxies, logs = zip(*started, strict=True)
    others = (*node.holders, backend.pid, *(each.pid for each in beside))
    return Pair(name, "this commit", node, SERVICE_ADDRESS, SERVICE_PORT, proxies, logs, others)


def compiled_pair(site: Site) -> Pair:
    """See tidegate_pair. Raises CannotMeasure."""
    if not list(COMPILED.glob("gateway/http/request.*.so")):
        raise CannotMeasure("nothing is compiled: `make compiled` does that")
    return tidegate_pair(site, "tidegate-compiled")


def envoy_pair(site: Site) -> Pair:
    """Two Envoys with the listeners and clusters that Istio gives its sidecars. Raises CannotMeasure."""
    command, version = envoy_program()
    node = make_node(site.processes, "envoy")
    backend = _backend(site, node, "envoy")
    _capture(site, node)
    values = make_identities(_folder(site, "envoy-identities"), ("caller", "callee")) | {
        "SERVICE_ADDRESS": SERVICE_ADDRESS,
        "SERVICE_PORT": SERVICE_PORT,
        "CALLEE": CALLEE,
        "BACKEND_PORT": BACKEND_PORT,
    }
    proxies, logs = [], []
    for space, direction in ((node.caller, "outbound"), (node.callee, "inbound")):
        folder = _folder(site, f"envoy-{direction}")
        logs.append(folder / "access.log")
        file = fill(f"mesh-envoy-{direction}.yaml", folder, values | {"LOG": logs[-1]})
        words = [command, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
        proxies.append(site.processes.start(f"envoy-{direction}", space.command(words, sidecar=True), site.proxy_core))
    return Pair("envoy", version, node, SERVICE_ADDRESS, SERVICE_PORT, tuple(proxies), tuple(logs), (*node.holders, backend.pid))


PAIRS: Mapping[str, Callable[[Site], Pair]] = {
    "direct": no_pair,
    "tidegate": tidegate_pair,
    "tidegate-compiled": compiled_pair,
    "envoy": envoy_pair,
}
"""By name, in the order of the table. Each raises CannotMeasure."""


def start_controller(site: Site, node: Node, name: str) -> tuple[Program, Program]:
    """A cluster's API server and the controller, at the node; returns when their authority is there and written to a file."""
    folder = _folder(site, name)
    variables = environment(site.processes.folder, ROOT)
    api = site.processes.start(
        f"{name}-api",
        node.own.command(program("cluster_api", {"folder": str(folder), "services": site.services})),
        site.load_core,
        environment=variables | {"PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"},
    )
    kubeconfig = folder / "kubeconfig"
    _wait(api, "its kubeconfig is not written", kubeconfig.exists)
    options = ["--mesh", "--namespace", SYSTEM, "--name", "one", "--image", "none", "--service", NODE_NAME, "--pod-address", NODE]
    words = [sys.executable, "-P", "-m", "tidegate", "controller", *options, "--kubeconfig", str(kubeconfig)]
    controller = site.processes.start(f"{name}-controller", node.own.command(words), site.load_core, environment=variables)
    server = json.loads(kubeconfig.read_text(encoding="utf-8"))["clusters"][0]["cluster"]["server"]

    def authority() -> bool:
        secret = json.loads(_get(node.own, f"{server}/api/v1/namespaces/{SYSTEM}/secrets/tidegate-ca"))
        (folder / "ca.crt").write_bytes(base64.b64decode(secret["data"]["tls.crt"]))
        return True

    _wait(controller, "the authority has not been made", authority)
    _wait(controller, "it is not ready", lambda: _get(node.own, READY) != b"")
    return api, controller


def start_sidecar(site: Site, space: Space, name: str, pod: str) -> tuple[Program, Path]:
    """`tidegate sidecar` in a Pod, `tidegate-compiled` as in tidegate_pair, and the file of its access log."""
    root = COMPILED if name == "tidegate-compiled" else ROOT
    folder = site.processes.folder / name
    (folder / pod).write_text(pod, encoding="ascii")
    options = {"workload": f"shop/{pod}", "controller": f"{NODE_NAME}:{STREAM_PORT}", "ca": folder / "ca.crt", "token": folder / pod}
    words = [sys.executable, "-P", "-m", "tidegate", "sidecar", *(f"--{option}={value}" for option, value in options.items())]
    log = folder / f"{pod}.log"
    command = space.command(words, sidecar=True)
    return site.processes.start(f"{name}-{pod}", command, site.proxy_core, log, environment(site.processes.folder, root)), log


def wait_until_ready(space: Space, sidecar: Program) -> None:
    """Returns when it serves what comes and goes. Raises CannotMeasure."""
    _wait(sidecar, "it is not ready", lambda: _get(space, READY) != b"")


def _backend(site: Site, node: Node, name: str) -> Program:
    """nginx as the application."""
    folder = _folder(site, f"{name}-backend")
    file = fill("mesh-backend.conf", folder, {"BACKEND_PORT": BACKEND_PORT})
    words = [path_of("nginx", "nginx-light"), "-p", str(folder), "-e", "backend.error", "-c", str(file)]
    return site.processes.start(f"{name}-backend", node.callee.command(words), site.load_core)


def _capture(site: Site, node: Node) -> None:
    """The rules of `tidegate init`."""
    path_of("nft", "nftables")
    for space in (node.caller, node.callee):
        space.run(sys.executable, "-P", "-m", "tidegate", "init", environment=environment(site.processes.folder, ROOT))


def _folder(site: Site, name: str) -> Path:
    folder = site.processes.folder / name
    folder.mkdir()
    return folder


def _get(space: Space, url: str) -> bytes:
    with space.inside(), NO_PROXY.open(urllib.request.Request(url), timeout=START) as response:
        body: bytes = response.read()
        return body


def _wait(running: Program, what: str, done: Callable[[], bool]) -> None:
    limit = time.monotonic() + START
    while time.monotonic() < limit:
        running.check()
        try:
            if done():
                return
        except OSError:  # nobody listens yet, or it is not there yet (urllib's HTTPError is one)
            pass
        time.sleep(0.01)
    raise CannotMeasure(f"{running.name}: {what} after {START:g} s; it said:{running.said()}")
