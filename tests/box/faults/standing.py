"""Tidegate in a box, and a small shop that it serves: what the tests of faults look at while they break something."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

from tests.box.cluster import PATIENCE, ROOT, Box, BoxError, Object, available, condition

SYSTEM = "tidegate-system"
LEASE = "tidegate-controller"
CONTROLLERS = "app.kubernetes.io/name=tidegate-controller"
NAME = "shop.example"
RATE = 150
"""Requests a second of a load."""

BACKEND = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: echo
        image: registry.example/gateway-api/echo-basic:v1
        env:
        - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
        - {{name: NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
        readinessProbe: {{tcpSocket: {{port: 3000}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 3000}}]}}
---
"""
GATEWAY = """
apiVersion: tidegate.dev/v1alpha1
kind: GatewayParameters
metadata: {name: two}
spec: {replicas: 2, accessLog: "off"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: tidegate
  infrastructure: {parametersRef: {group: tidegate.dev, kind: GatewayParameters, name: two}}
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
"""


def route(backend: str, mark: str, name: str = "shop", host: str = NAME) -> str:
    """An HTTPRoute to a backend, which has it mark the answers: an edit changes both at once."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: [{host}]
  rules:
  - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: mark, value: "{mark}"}}]}}}}]
    backendRefs: [{{name: {backend}, port: 80}}]
"""


class Load:
    """Clients that ask all the time (asking.py). Times out with BoxError."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def more(self, count: int) -> dict[str, Any]:
        """The account, once so many further requests are answered or have failed."""
        return self._say(f"more {count}")

    def until(self, seen: str, begun: float | None = None) -> float:
        """Returns once an answer is this (status, backend, mark): seconds since `begun`, on the monotonic clock."""
        begun = time.monotonic() if begun is None else begun
        before = self.more(1)["answered"].get(seen, 0)
        while self.more(1)["answered"].get(seen, 0) == before:
            if time.monotonic() - begun > PATIENCE:
                raise BoxError(f"nobody was answered {seen!r}: {self.more(1)}")
        return time.monotonic() - begun

    def end(self) -> dict[str, Any]:
        """Ends the clients; the whole account."""
        return self._say("end")

    def _say(self, text: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BoxError("the clients have ended by a fault of their own")
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass(frozen=True)
class Shop:
    """Two backends, a Gateway of two replicas, and a route, in a namespace of their own."""

    box: Box
    namespace: str
    address: str

    @contextmanager
    def asked(self, rate: int = RATE) -> Iterator[Load]:
        """Clients ask while the context lasts; not one request of theirs may fail."""
        with self.load(rate) as load:
            yield load
            account = load.end()
        assert not account["failures"], f"of {account['begun']} requests failed {len(account['failures'])}: {account['failures'][:10]}"

    @contextmanager
    def load(self, rate: int = RATE) -> Iterator[Load]:
        """As `asked`, but failures are the caller's to judge."""
        script = str(Path(__file__).with_name("asking.py"))
        command = self.box.command(sys.executable, script, self.address, "80", NAME, str(rate))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                load = Load(process)
                load.more(rate)
                yield load
            finally:
                process.kill()

    def settled(self) -> None:
        """Returns when nothing moves any more: every Pod is as wanted and the Gateway is Programmed."""
        fresh(self.box, "tidegate-controller", SYSTEM, controllers(self.box))
        fresh(self.box, "web-tidegate", self.namespace, self.proxies())
        leader(self.box)
        self.set("blue", "blue")
        self.box.wait("gateway", "web", lambda it: condition(it, "Programmed") == "True", self.namespace)
        for name in ("blue", "green", "web-tidegate"):
            self.box.wait("deployment", name, available, self.namespace)

    def proxies(self) -> list[Object]:
        """The Pods of the Gateway that are not on their way out."""
        return _staying(self.box.objects("pods", self.namespace, "gateway.networking.k8s.io/gateway-name=web"))

    def set(self, backend: str, mark: str) -> None:
        """Edits the route: its backend and the mark together."""
        self.box.apply(route(backend, mark), self.namespace)


def controllers(box: Box) -> list[Object]:
    """The Pods of the controller that are not on their way out."""
    return _staying(box.objects("pods", SYSTEM, CONTROLLERS))


def leads(box: Box) -> str:
    """The Pod of the replica of the controller that leads, by name; '' if none does."""
    return str(box.get("lease", LEASE, SYSTEM)["spec"].get("holderIdentity", "")).partition("_")[0]


def leader(box: Box) -> Object:
    """The Pod of the replica that leads, as soon as there is one."""
    names = {name_of(pod) for pod in controllers(box)}
    box.wait("lease", LEASE, lambda it: it["spec"].get("holderIdentity", "").partition("_")[0] in names, SYSTEM)
    return box.get("pod", leads(box), SYSTEM)


def name_of(it: Object) -> str:
    return str(it["metadata"]["name"])


def renewed(box: Box, deployment: str, namespace: str) -> None:
    """Rolls a Deployment out anew and waits until the old Pods are on their way out."""
    box.kubectl("rollout", "restart", f"deployment/{deployment}", "--namespace", namespace)
    box.wait("deployment", deployment, available, namespace)


def fresh(box: Box, deployment: str, namespace: str, pods: list[Object]) -> None:
    """As `renewed`, if one of its Pods has ended before: the kubelet would wait longer with each time that it ends."""
    if any(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ())):
        renewed(box, deployment, namespace)


def said(box: Box, pod: Object) -> list[tuple[float, str]]:
    """What a Pod has said on standard error, before its last restart too, with the time (epoch) of each line. Needs no API server."""
    metadata = pod["metadata"]
    folder = box.folder / "logs" / "pods" / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
    texts = [log.read_text(encoding="utf-8") for log in sorted(folder.glob("*/*.log"))]
    lines = [line.split(" ", 3) for text in texts for line in text.splitlines() if " stderr " in line]
    return [(_epoch(line[0]), line[3]) for line in lines]


def await_said(box: Box, pod: Object, text: str, since: float, patience: float = PATIENCE) -> float:
    """When a Pod said something of which `text` is a part, after `since` (epoch). Raises BoxError."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        for at, line in said(box, pod):
            if at >= since and text in line:
                return at
        time.sleep(0.01)
    raise BoxError(f"{pod['metadata']['name']} has not said {text!r} within {patience:.0f} s, but:\n{said(box, pod)[-20:]}")


def metric(box: Box, pod: Object, name: str) -> float:
    """The sum of a metric over its labels, of a Pod."""
    text = box.curl(f"http://{pod['status']['podIP']}:15020/metrics")
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)", text, re.MULTILINE))


@contextmanager
def watching_programmed(shop: Shop) -> Iterator[list[str | None]]:
    """Every value that the condition Programmed of the shop's Gateway has while the context lasts, by a watch that has begun."""
    seen: list[str | None] = []
    named = ("--namespace", shop.namespace, "--field-selector", "metadata.name=web")
    command = shop.box.command("kubectl", "get", "gateway", *named, "--watch", "--output-watch-events", "--output", "json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        lines = watch.stdout
        seen.append(condition(json.loads(lines.readline())["object"], "Programmed"))

        def collect() -> None:
            for line in lines:
                seen.append(condition(json.loads(line)["object"], "Programmed"))

        collecting = Thread(target=collect)
        collecting.start()
        try:
            yield seen
        finally:
            watch.kill()
            collecting.join()


def _staying(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _epoch(text: str) -> float:
    """Of RFC 3339 with nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text).replace("Z", "+00:00")).timestamp()


def install(box: Box) -> None:
    """Installs Tidegate by its chart, two replicas of the controller, and waits until it is available."""
    chart = str(ROOT / "charts" / "tidegate")
    options = ("--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "90s")
    box.run("helm", "install", "tidegate", chart, *options)


def opened(box: Box, namespace: str) -> Shop:
    """A shop whose address is known."""
    box.apply(BACKEND.format(name="blue") + BACKEND.format(name="green") + GATEWAY, namespace)
    programmed = box.wait("gateway", "web", lambda it: condition(it, "Programmed") == "True", namespace)
    return Shop(box, namespace, programmed["status"]["addresses"][0]["value"])
