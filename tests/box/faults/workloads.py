"""Workloads of the mesh in a box: callees and callers with sidecars (calling.py), what the callers count, and who is asked how they are."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.box.cluster import PATIENCE, ROOT, Box, BoxError, Object, available

IMAGE: Final = "tidegate/tidegate:v0.1.0"
"""For its interpreter: what runs in it here is the tests' own program."""
SCRIPT: Final = Path(__file__).with_name("calling.py")
SERVICE: Final = """
apiVersion: v1
kind: Service
metadata: {name: callee}
spec:
  selector: {app: callee}
  ports:
  - {name: http, port: 80, targetPort: 8080, appProtocol: http}
  - {name: bytes, port: 9000, appProtocol: tcp}
---
"""
STRICT: Final = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
"""
DEPLOYMENT: Final = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{tidegate.dev/access-log: "off"}}}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: application
        image: {image}
        command: [sh, -c, 'exec "$TIDEGATE_INTERPRETER" /code/calling.py {arguments}']
        env: [{{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
        {more}
        volumeMounts: [{{name: code, mountPath: /code}}, {{name: accounts, mountPath: /accounts}}]
      volumes:
      - {{name: code, configMap: {{name: calling}}}}
      - {{name: accounts, hostPath: {{path: "{accounts}", type: Directory}}}}
---
"""
SERVES: Final = """readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 3}}}"""
"""As a workload that wants to lose nothing: it serves a while longer, until nobody comes any more."""


@dataclass(frozen=True)
class Workloads:
    """A namespace whose Pods have sidecars, in which nobody is heard in plain text. `accounts` is a folder that its callers write to."""

    box: Box
    namespace: str
    accounts: Path

    @property
    def host(self) -> str:
        """The cluster address of the callee."""
        return str(self.box.get("service", "callee", self.namespace)["spec"]["clusterIP"])

    def serve(self, replicas: int, name: str = "callee") -> None:
        """Deploys callees, as many as there are to be, and returns when they are there."""
        self._deploy(name, replicas, "serve", SERVES)

    def call(self, name: str, replicas: int, rate: float, held: int = 0) -> None:
        """Deploys callers, each with so many requests a second and so many held connections of each kind; returns when they are there,
        and have been answered."""
        self._deploy(name, replicas, f"call {self.host} {rate} {held} /accounts/$POD_NAME.json", "")
        self.more(1)

    def _deploy(self, name: str, replicas: int, arguments: str, more: str) -> None:
        values = {"name": name, "replicas": replicas, "arguments": arguments, "more": more}
        self.box.apply(DEPLOYMENT.format(image=IMAGE, accounts=self.accounts, **values), self.namespace)
        self.box.wait("deployment", name, available, self.namespace, patience=2 * PATIENCE)

    def pods(self, name: str) -> list[Object]:
        """Those of a Deployment that are not on their way out."""
        found = self.box.objects("pods", self.namespace, f"app={name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def account(self, pod: str) -> dict[str, Any]:
        """Of one caller, as it was last written; {} before that."""
        try:
            found: dict[str, Any] = json.loads((self.accounts / f"{pod}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    def all(self) -> dict[str, dict[str, Any]]:
        """The account of every caller that there was, by its Pod."""
        return {file.stem: self.account(file.stem) for file in self.accounts.glob("*.json")}

    def failures(self, since: float = 0.0) -> list[str]:
        """What failed of that which was begun, or held, after some time (epoch)."""
        return [f"{pod} {at:.3f} {what}" for pod, each in self.all().items() for at, what in each["failures"] if at > since]

    def answered(self) -> int:
        """Requests."""
        return sum(each["answered"] for each in self.all().values())

    def signs(self) -> dict[str, int]:
        """Signs of life on connections that are held, by kind."""
        kinds = {kind for each in self.all().values() for kind in each["held"]}
        return {kind: sum(each["held"].get(kind, 0) for each in self.all().values()) for kind in sorted(kinds)}

    def more(self, count: int) -> None:
        """Returns when every caller that is there has been answered so many times more. Raises BoxError."""
        staying = [pod for pod in self.box.objects("pods", self.namespace) if "deletionTimestamp" not in pod["metadata"]]
        callers = [pod["metadata"]["name"] for pod in staying if pod["metadata"]["labels"]["app"] not in ("callee", "elsewhere")]
        wanted = {name: self.account(name).get("answered", 0) + count for name in callers}
        end = time.monotonic() + PATIENCE
        while any(self.account(name).get("answered", 0) < number for name, number in wanted.items()):
            if time.monotonic() > end:
                raise BoxError(f"not every caller was answered {count} times more: {self.failures()[-10:]}")
            time.sleep(0.05)

    def during(self, seconds: float) -> None:
        """Lets calls go on for some time. Raises BoxError as soon as one has failed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.unharmed()
            time.sleep(1)

    def unharmed(self) -> None:
        """Raises BoxError if any call, or any connection that is held, has failed so far."""
        if failures := self.failures():
            raise BoxError(f"{len(failures)} failed, and {self.answered()} were answered: {failures[:10]}")

    def figures(self) -> str:
        """How much went well, for the end of a test."""
        slowest = max(each["slowest"] for each in self.all().values())
        held = "".join(f", {count} signs on {kind} connections" for kind, count in self.signs().items())
        return f"{len(self.failures())} failures, {self.answered()} requests answered, the slowest in {slowest:.3f} s{held}"

    def metric(self, pod: Object, name: str) -> float:
        """The sum of a metric of a Pod's sidecar, over its labels."""
        text = self.box.curl(f"http://{pod['status']['podIP']}:15020/metrics")
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)", text, re.MULTILINE))

    def sidecar_said(self, pod: Object) -> str:
        """The log of its sidecar."""
        return self.box.kubectl("logs", "--namespace", self.namespace, pod["metadata"]["name"], "--container", "tidegate-sidecar")


@contextmanager
def inhabited(box: Box, namespace: str) -> Iterator[Workloads]:
    """A namespace of the mesh with the Service, and without any workload as yet; what callers count stays until the end."""
    accounts = box.folder / f"accounts-{namespace}"
    accounts.mkdir()
    accounts.chmod(0o777)
    box.kubectl("create", "namespace", namespace)
    box.kubectl("label", "namespace", namespace, "tidegate.dev/inject=enabled")
    box.kubectl("create", "configmap", "calling", "--namespace", namespace, f"--from-file={SCRIPT}")
    box.kubectl("apply", "--server-side", "--filename", str(ROOT / "charts/tidegate/istio-crds"))
    box.apply(SERVICE + STRICT, namespace)
    try:
        yield Workloads(box, namespace, accounts)
    finally:
        box.kubectl("delete", "namespace", namespace, "--wait")


class Slices:
    """When the EndpointSlices of the callee lost an address, by a watch."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._seen: list[tuple[float, frozenset[str]]] = []
        self._lines = lines
        self._thread = threading.Thread(target=self._collect)
        self._thread.start()

    def _collect(self) -> None:
        for line in self._lines:
            found = json.loads(line)["object"]
            ready = [each for each in found.get("endpoints") or () if each["conditions"].get("ready")]
            self._seen.append((time.time(), frozenset(address for each in ready for address in each["addresses"])))

    def lost(self, address: str, since: float) -> float:
        """When it was first said after `since` that the address is none to call. Raises BoxError."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for at, addresses in self._seen:
                if at > since and address not in addresses:
                    return at
            time.sleep(0.01)
        raise BoxError(f"{address} stays in the EndpointSlices: {self._seen[-3:]}")

    def join(self) -> None:
        """After the end of the watch."""
        self._thread.join()
