"""A Pod whose traffic is captured: `tidegate init` before everything, a native sidecar before the application, and then every connection.

The sidecar here is a few lines that accept at both ports and say where a connection was going: what a real one does with it is tested
elsewhere. What is shown is the chain: the capabilities of an init container, the order of start, and the rules among those of kube-proxy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.box.cluster import Box, available, ready
from tests.box.test_cluster import ECHO

ACCEPTING = """
import json, os, signal, socket, struct, sys, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
def accept(port):
    for client, address in iter(servers[port].accept, None):
        number, packed = struct.unpack_from("!2xH4s", client.getsockopt(socket.SOL_IP, 80, 16))
        going = f"{socket.inet_ntoa(packed)}:{number}"
        client.sendall(json.dumps({"at": port, "to": going, "from": address[0], "by": os.getuid()}).encode())
        client.close()
servers = {port: socket.create_server(("", port)) for port in (15001, 15006)}
for port in servers:
    threading.Thread(target=accept, args=(port,), daemon=True).start()
healthy = socket.create_server(("", 15021))
while True:
    healthy.accept()[0].close()
"""
POD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: sidecar}
data:
  accepting.py: |
CODE
---
apiVersion: v1
kind: Pod
metadata: {name: captured, labels: {app: captured}}
spec:
  initContainers:
  - name: tidegate-init
    image: tidegate/tidegate:v0.1.0
    args: [init, --exclude-inbound-ports, "22"]
    securityContext:
      runAsUser: 0
      runAsGroup: 0
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW]}
  - name: tidegate-sidecar
    image: tidegate/tidegate:v0.1.0
    restartPolicy: Always
    command: [python3, /code/accepting.py]
    securityContext:
      runAsUser: 1337
      runAsGroup: 1337
      runAsNonRoot: true
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    startupProbe: {tcpSocket: {port: 15021}, periodSeconds: 1, failureThreshold: 60}
    volumeMounts: [{name: code, mountPath: /code}]
  containers:
  - name: application
    image: gateway-api/echo-basic
    command: [sh, -c, "curl --silent --max-time 10 telnet://198.51.100.7:443 </dev/null >/tmp/first; exec /echo-basic"]
    env:
    - {name: POD_NAME, value: captured}
    - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  volumes: [{name: code, configMap: {name: sidecar}}]
""".replace("CODE", "\n".join(f"    {line}" for line in ACCEPTING.strip().splitlines()))

DIAL = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10, (sys.argv[3], 0));"
    "print(s.makefile().read())"
)
GET = (
    "import http.client, sys; c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10, source_address=(sys.argv[3], 0));"
    "c.request('GET', '/'); print(c.getresponse().read().decode())"
)


@pytest.fixture
def captured(box: Box, namespace: str) -> Iterator[tuple[str, str]]:
    """The namespace and the address of the captured Pod, beside which there is one that nothing is said of, behind a Service."""
    box.apply(ECHO, namespace)
    box.apply(POD, namespace)
    box.wait("deployment", "echo", available, namespace)
    pod = box.wait("pod", "captured", ready, namespace)
    yield namespace, pod["status"]["podIP"]
    box.delete("pod", "captured", namespace)


def say(box: Box, namespace: str, container: str, *words: str) -> str:
    return box.kubectl("exec", "--namespace", namespace, "captured", "--container", container, "--", *words)


def test_every_connection_of_a_captured_pod_comes_to_its_sidecar(box: Box, captured: tuple[str, str]) -> None:
    """Mesh: the application's first connection already; names are resolved as always, Service and Pod addresses are what it was going to;
    the sidecar itself, from the same Pod, reaches both."""
    namespace, address = captured
    (other,) = [each["status"]["podIP"] for each in box.objects("pod", namespace, "app=echo")]
    service = box.get("service", "echo", namespace)["spec"]["clusterIP"]
    name = f"echo.{namespace}.svc.cluster.local"

    first = json.loads(say(box, namespace, "application", "cat", "/tmp/first"))
    assert first == {"at": 15001, "to": "198.51.100.7:443", "from": address, "by": 1337}
    for host, port, destination in ((name, "80", f"{service}:80"), (other, "3000", f"{other}:3000")):
        arrival = json.loads(say(box, namespace, "application", "python3", "-c", DIAL, host, port, ""))
        assert arrival == {"at": 15001, "to": destination, "from": address, "by": 1337}
        assert f'"namespace": "{namespace}"' in say(box, namespace, "tidegate-sidecar", "python3", "-c", GET, host, port, "")


def test_every_connection_to_a_captured_pod_comes_to_its_sidecar(box: Box, captured: tuple[str, str]) -> None:
    """Mesh: from another Pod, and from its own sidecar; but what the sidecar sends from 127.0.0.6 reaches the application."""
    namespace, address = captured
    (other,) = box.objects("pod", namespace, "app=echo")
    arrival = json.loads(box.within(other["metadata"]["name"], "python3", "-c", DIAL, address, "3000", "", namespace=namespace))
    assert arrival == {"at": 15006, "to": f"{address}:3000", "from": other["status"]["podIP"], "by": 1337}
    assert '"pod": "captured"' in say(box, namespace, "tidegate-sidecar", "python3", "-c", GET, address, "3000", "127.0.0.6")
    own = json.loads(say(box, namespace, "tidegate-sidecar", "python3", "-c", DIAL, address, "3000", ""))
    assert own == {"at": 15006, "to": f"{address}:3000", "from": address, "by": 1337}


def test_the_containers_of_a_captured_pod_may_do_what_is_said_of_them(box: Box, captured: tuple[str, str]) -> None:
    """The log of the init container says what it did; the sidecar is user 1337 without capabilities and runs beside the application."""
    namespace, _ = captured
    said = box.kubectl("logs", "--namespace", namespace, "captured", "--container", "tidegate-init")
    assert said.startswith("TCP of IPv4 and IPv6 is captured by nftables: ")
    assert "but ports 22 15000 15020 15021 15090" in said
    status = say(box, namespace, "tidegate-sidecar", "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert fields["Uid"].split() == fields["Gid"].split() == ["1337"] * 4
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    first, second = box.get("pod", "captured", namespace)["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == 0
    assert (second["started"], second["restartCount"]) == (True, 0)
