"""The mesh in a cluster: examples/mesh, installed by the chart, with the echo server and client of the Gateway API's own mesh tests."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.box.cluster import ROOT, Box, available

SPACE = "store"
FRONT = "spiffe://cluster.local/ns/store/sa/front"
ORDERS = "spiffe://cluster.local/ns/store/sa/orders"
STRANGER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger, namespace: store}
spec:
  selector: {matchLabels: {app: stranger}}
  template:
    metadata: {labels: {app: stranger, tidegate.dev/inject: "false"}}
    spec:
      serviceAccountName: front
      containers:
      - {name: echo, image: "registry.k8s.io/gateway-api/echo-advanced:v1.5.1", args: ["--port=8080"]}
"""
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: door, namespace: store}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: door, namespace: store}
spec:
  parentRefs: [{name: door}]
  rules: [{backendRefs: [{name: front, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: store}
spec:
  selector: {app: front}
  ports: [{name: http, port: 80, appProtocol: http, targetPort: 8080}]
"""
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: dialling, namespace: store}
spec:
  completions: 12
  parallelism: 4
  backoffLimit: 0
  template:
    metadata: {labels: {app: dialling}}
    spec:
      serviceAccountName: front
      restartPolicy: Never
      containers:
      - name: echo
        image: registry.k8s.io/gateway-api/echo-advanced:v1.5.1
        command: [client, "http://orders/"]
"""


@pytest.fixture(scope="module")
def mesh(box: Box) -> Iterator[Box]:
    """The box with the example in it."""
    chart, options = str(ROOT / "charts/tidegate"), ("--namespace", "tidegate-system", "--create-namespace", "--wait", "--timeout", "90s")
    box.run("helm", "install", "tidegate", chart, *options, "--set", "controller.replicas=1,istioKinds.install=true")
    try:
        box.kubectl("apply", "--filename", str(ROOT / "examples/mesh"))
        box.apply(STRANGER, SPACE)
        for name in ("front", "orders-v1", "orders-v2", "stranger"):
            box.wait("deployment", name, available, SPACE)
        yield box
    finally:
        box.kubectl("delete", "namespace", SPACE, "--wait")
        box.run("helm", "uninstall", "tidegate", "--namespace", "tidegate-system", "--wait")


def asks(box: Box, deployment: str, *arguments: str) -> list[str]:
    """What the echo client of a Deployment prints of its requests, whatever came of them."""
    command = ("kubectl", "exec", "--namespace", SPACE, f"deploy/{deployment}", "--container", "echo", "--", "client", *arguments)
    return box.run(*command, check=False).stdout.splitlines()


def statuses(lines: list[str]) -> list[int]:
    """The status of each answer."""
    return [int(line.partition("StatusCode=")[2]) for line in lines if "StatusCode=" in line]


def test_calls_are_mutual_tls_between_identities(mesh: Box) -> None:
    """The workload called learns both SPIFFE IDs (x-forwarded-client-cert), and a request of its caller's own has no say in it."""
    lines = asks(mesh, "front", "-H", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/store/sa/admin", "http://orders/")
    assert statuses(lines) == [200]
    [told] = [line for line in lines if "X-Forwarded-Client-Cert" in line]
    assert re.fullmatch(rf'.*:By={ORDERS};Hash=[0-9a-f]{{64}};Subject="";URI={FRONT}', told)


def test_a_route_on_a_service_holds_for_its_callers(mesh: Box) -> None:
    """examples/mesh/routes.yaml: version 2 for who asks for it, version 1 for everybody else."""
    for fields, version in (((), "orders-v1"), (("-H", "x-try: next"), "orders-v2")):
        lines = asks(mesh, "front", *fields, "--count", "5", "http://orders/")
        assert statuses(lines) == [200] * 5
        assert {line.partition("Hostname=")[2].rsplit("-", 2)[0] for line in lines if "Hostname=" in line} == {version}


def test_who_has_no_sidecar_is_not_heard(mesh: Box) -> None:
    """PeerAuthentication STRICT: a plain connection is refused, and the log says why."""
    assert statuses(asks(mesh, "stranger", "--timeout", "3s", "http://orders-v1/")) == []
    said = mesh.kubectl("logs", "--namespace", SPACE, "deploy/orders-v1", "--container", "tidegate-sidecar")
    assert "plain text, and PeerAuthentication asks for mutual TLS" in said


def test_policies_hold_by_identity(mesh: Box) -> None:
    """AuthorizationPolicy: orders answers front, and its GET alone; a workload that calls its own Service is a caller like any other.
    `tidegate explain` in the sidecar says the same."""
    assert statuses(asks(mesh, "front", "--method", "POST", "http://orders/")) == [403]
    assert statuses(asks(mesh, "orders-v1", "http://orders-v1/")) == [403]
    for caller, status in (("store/front", None), ("store/orders", 403)):
        asked = ("tidegate", "explain", "GET", "http://orders:8080/", "--inbound", "--from", caller, "-o", "json")
        command = ("exec", "--namespace", SPACE, "deploy/orders-v1", "--container", "tidegate-sidecar", "--", *asked)
        reply = json.loads(mesh.kubectl(*command))["reply"]
        assert (reply and reply["status"]) == status


def test_a_gateway_reaches_workloads_as_a_member(mesh: Box) -> None:
    """A Gateway's proxies are of the mesh: under STRICT its requests are heard, under its own identity."""
    mesh.apply(GATEWAY, SPACE)
    gateway = mesh.wait("gateway", "door", lambda it: bool(it.get("status", {}).get("addresses")), SPACE)
    mesh.kubectl("wait", "gateway/door", "--namespace", SPACE, "--for", "condition=Programmed", "--timeout", "60s")
    mesh.wait("deployment", "door-tidegate", available, SPACE)
    where = f"http://{gateway['status']['addresses'][0]['value']}/"
    answer = mesh.curl("--fail", "--retry", "5", "--retry-connrefused", where)
    assert "URI=spiffe://cluster.local/ns/store/sa/door-tidegate" in answer


def test_an_application_that_dials_at_once_is_served_and_its_job_ends(mesh: Box) -> None:
    """Capture, sidecar and identity are there before the application's first instruction, and the sidecar ends with it."""
    mesh.apply(JOB, SPACE)
    mesh.kubectl("wait", "job/dialling", "--namespace", SPACE, "--for", "condition=Complete", "--timeout", "90s")
    pods = mesh.objects("pods", SPACE, "app=dialling")
    logs = [mesh.kubectl("logs", "--namespace", SPACE, pod["metadata"]["name"], "--container", "echo") for pod in pods]
    assert [statuses(log.splitlines()) for log in logs] == [[200]] * 12


def test_a_rolling_restart_loses_no_call(mesh: Box) -> None:
    """Callee and caller are restarted under load, the callee first: no call fails."""
    count = 1200
    load = ("client", "--count", str(count), "--qps", "100", "--timeout", "30s", "http://orders/")
    command = mesh.command("kubectl", "exec", "--namespace", SPACE, "deploy/front", "--container", "echo", "--", *load)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as loading:
        mesh.kubectl("rollout", "restart", "deployment/orders-v1", "--namespace", SPACE)
        mesh.kubectl("rollout", "status", "deployment/orders-v1", "--namespace", SPACE, "--timeout", "60s")
        output, _ = loading.communicate()
    assert statuses(output.splitlines()) == [200] * count, output[-2000:]
