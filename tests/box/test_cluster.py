"""The box is a cluster: Pods run, find each other by name and by address, and can be looked into."""

from __future__ import annotations

from tests.box.cluster import Box, available, ready
from tests.box.reaching import await_reached

ECHO = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: registry.example/gateway-api/echo-basic:v1
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        readinessProbe: {tcpSocket: {port: 3000}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: LoadBalancer
  selector: {app: echo}
  ports: [{port: 80, targetPort: 3000}]
"""
STANDALONE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: redirect}
data:
  gateway.yaml: |
    apiVersion: gateway.networking.k8s.io/v1
    kind: GatewayClass
    metadata: {name: tidegate}
    spec: {controllerName: tidegate.dev/gateway-controller}
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {name: front, namespace: default}
    spec:
      gatewayClassName: tidegate
      listeners: [{name: http, port: 80, protocol: HTTP}]
    ---
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: away, namespace: default}
    spec:
      parentRefs: [{name: front}]
      rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: redirect}
spec:
  containers:
  - name: tidegate
    image: ghcr.io/tidegate/tidegate:v0.1.0
    args: [run, /configuration, --bind, 0.0.0.0]
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
    volumeMounts: [{name: configuration, mountPath: /configuration}]
  volumes: [{name: configuration, configMap: {name: redirect}}]
"""


def test_the_node_is_ready(box: Box) -> None:
    """When `box up` returns, the one node is Ready and takes Pods."""
    node = box.get("node", "node1")
    assert ready(node)
    assert "taints" not in node["spec"]


def test_a_pod_is_reached_by_service_name_and_address(box: Box, namespace: str) -> None:
    """Pods resolve the names of Services, and ClusterIP, load balancer and Pod addresses all lead to the Pod behind them."""
    box.apply(ECHO, namespace)
    box.wait("deployment", "echo", available, namespace)
    service = box.wait("service", "echo", lambda it: "ingress" in it["status"]["loadBalancer"], namespace)
    (pod,) = box.objects("pod", namespace)
    for place in (
        service["spec"]["clusterIP"],
        service["status"]["loadBalancer"]["ingress"][0]["ip"],
        f"{pod['status']['podIP']}:3000",
    ):
        url = f"http://{place}/some/path"
        await_reached(box, url)
        assert f'"namespace": "{namespace}"' in box.curl(url)
    name = pod["metadata"]["name"]
    answer = box.within(
        name, "curl", "--silent", "--max-time", "10", f"http://echo.{namespace}.svc.cluster.local/by-name", namespace=namespace
    )
    assert '"path": "/by-name"' in answer


def test_the_images_user_is_not_root_and_the_log_is_kept(box: Box, namespace: str) -> None:
    """A container runs as its image's user, which may write to /dev/stdout by its path, and what it wrote is its log."""
    box.apply(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: writer}
        spec:
          restartPolicy: Never
          containers:
          - {name: writer, image: gateway-api/echo-basic, command: [sh, -c, "id -u >/dev/stdout; echo second"]}
        """,
        namespace,
    )
    box.wait("pod", "writer", lambda it: it["status"].get("phase") == "Succeeded", namespace)
    assert box.logs("writer", namespace) == "65532\nsecond\n"


def test_an_image_that_is_not_mapped_is_refused_by_name(box: Box, namespace: str) -> None:
    """A Pod whose image stands for no program of the checkout waits, and its status says where to add the image."""
    box.apply(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: unknown}
        spec: {containers: [{name: unknown, image: nobody/nothing:v1}]}
        """,
        namespace,
    )
    box.wait("pod", "unknown", lambda it: "images.json" in str(it["status"].get("containerStatuses")), namespace)


def test_the_checkouts_own_tidegate_runs_as_its_image(box: Box, namespace: str) -> None:
    """`tidegate/tidegate` at any tag is the checkout's program with the commands of `tidegate`, as a user that is not root."""
    box.apply(STANDALONE, namespace)
    pod = box.wait("pod", "redirect", ready, namespace)
    answer = box.curl("--include", f"http://{pod['status']['podIP']}/there")
    assert "location: http://example.org/there" in answer.lower()
    assert box.within("redirect", "id", "-u", namespace=namespace).strip() == "65532"


def test_helm_speaks_to_the_cluster(box: Box) -> None:
    """`helm` is among the box's programs and finds the cluster."""
    assert "NAMESPACE" in box.run("helm", "list", "--all-namespaces").stdout
