"""What stands in the cluster for a Gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.deploy.manifests import plan
from controller.deploy.objects import DEPLOYED, Manifest, ObjectKey, holds
from controller.translate.infrastructure import Autoscaling, DisruptionBudget, ExposedPort, Infrastructure, Parameters
from tests.controller.deploy.gateways import DNS, HTTP, SETTINGS, infrastructure

EVERYTHING = Parameters(autoscaling=Autoscaling(2, 9, 70), disruption_budget=DisruptionBudget(max_unavailable=1))
NAME, CLASS = "gateway.networking.k8s.io/gateway-name", "gateway.networking.k8s.io/gateway-class-name"


def manifests(wanted: Infrastructure) -> dict[str, Manifest]:
    """By kind, for Gateways with one of each kind."""
    return {manifest["kind"]: manifest for manifest in plan(wanted, SETTINGS).manifests}


def services(wanted: Infrastructure) -> list[Manifest]:
    return [manifest for manifest in plan(wanted, SETTINGS).manifests if manifest["kind"] == "Service"]


def pod(wanted: Infrastructure) -> dict[str, Any]:
    template: dict[str, Any] = manifests(wanted)["Deployment"]["spec"]["template"]
    return template


def test_a_gateway_has_an_account_authorities_a_service_and_a_deployment() -> None:
    """Without parameters four objects stand, named `<gateway>-<class>` in the Gateway's namespace (GEP-1762)."""
    names = [
        (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        for manifest in manifests(infrastructure()).values()
    ]
    assert names == [
        ("ServiceAccount", "shop", "web-edge"),
        ("ConfigMap", "shop", "web-edge-ca"),
        ("Service", "shop", "web-edge"),
        ("Deployment", "shop", "web-edge"),
    ]


def test_every_kind_may_stand() -> None:
    """An autoscaler and a disruption budget come with the parameters that ask for them, and no kind is unknown to the deployer."""
    assert tuple(manifests(infrastructure(parameters=EVERYTHING))) == DEPLOYED


@pytest.mark.parametrize("kind", DEPLOYED)
def test_the_gateway_owns_each(kind: str) -> None:
    """Each object is controlled by the Gateway, so that the cluster removes it with the Gateway."""
    (owner,) = manifests(infrastructure(parameters=EVERYTHING))[kind]["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "name": "web",
        "uid": "uid-of-web",
        "controller": True,
        "blockOwnerDeletion": True,
    }


@pytest.mark.parametrize("kind", [*DEPLOYED, "Pod"])
def test_labels_and_annotations_of_the_gateway_stand_on_each(kind: str) -> None:
    """Gateway.spec.infrastructure.labels and .annotations stand on every object, Pods included (GatewayInfrastructureMetadata)."""
    wanted = infrastructure(labels=(("team", "a"),), annotations=(("note", "b"),), parameters=EVERYTHING)
    metadata = pod(wanted)["metadata"] if kind == "Pod" else manifests(wanted)[kind]["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]["note"]) == ("a", "b")
    assert (metadata["labels"][NAME], metadata["labels"][CLASS]) == ("web", "edge")


@pytest.mark.parametrize("label", [NAME, CLASS, "app.kubernetes.io/managed-by", "app.kubernetes.io/name"])
def test_our_labels_are_never_overridden(label: str) -> None:
    """Neither spec.infrastructure nor the labels of Pods in GatewayParameters change a label that objects are found by."""
    wanted = infrastructure(labels=((label, "mine"),), parameters=replace(EVERYTHING, pod_labels=((label, "mine"),)))
    found = [
        *(manifest["metadata"]["labels"][label] for manifest in plan(wanted, SETTINGS).manifests),
        pod(wanted)["metadata"]["labels"][label],
    ]
    assert "mine" not in found


def test_the_selector_depends_on_names_alone() -> None:
    """A Deployment's selector cannot be changed: labels, ports and settings leave it as it is."""
    one = manifests(infrastructure())["Deployment"]["spec"]["selector"]
    other = manifests(infrastructure(labels=(("team", "a"),), ports=(DNS,), parameters=EVERYTHING))["Deployment"]["spec"]["selector"]
    assert one == other
    assert one["matchLabels"].items() <= pod(infrastructure())["metadata"]["labels"].items()


def test_a_change_of_listeners_restarts_no_pod() -> None:
    """Other ports and addresses leave the Deployment as it is."""
    changed = infrastructure(ports=(HTTP, DNS), addresses=("10.0.0.9",))
    assert manifests(changed)["Deployment"] == manifests(infrastructure())["Deployment"]


def test_a_change_of_authorities_restarts_no_pod() -> None:
    """Other certificates of the authority are a change of the ConfigMap alone."""
    wanted = infrastructure(parameters=EVERYTHING)
    before, after = plan(wanted, SETTINGS).manifests, plan(wanted, replace(SETTINGS, authorities="NEW")).manifests
    assert [new["kind"] for old, new in zip(before, after, strict=True) if old != new] == ["ConfigMap"]
    assert [new["data"] for new in after if new["kind"] == "ConfigMap"] == [{"ca.crt": "NEW"}]


def test_pods_are_told_where_traces_go() -> None:
    """A collector and a share that the controller is given are options of every data plane; without them it does as it does unasked."""
    traced = replace(SETTINGS, otlp_endpoint="http://collector:4318", trace_sampling="10")
    before, after = plan(infrastructure(), SETTINGS).manifests[-1], plan(infrastructure(), traced).manifests[-1]
    (untraced,), (container,) = (found["spec"]["template"]["spec"]["containers"] for found in (before, after))
    assert container["args"] == [*untraced["args"], "--otlp-endpoint=http://collector:4318", "--trace-sampling=10"]


def test_a_service_exposes_listeners_where_they_are_bound() -> None:
    """Service ports are those of the listeners, targets those that the proxy binds; TCP and UDP side by side."""
    ports = (HTTP, DNS, ExposedPort(15001, 16001, "TCP", "p15001-tcp"))
    spec = manifests(infrastructure(ports=ports))["Service"]["spec"]
    assert spec["ports"] == [
        {"name": "p80-tcp", "port": 80, "targetPort": 80, "protocol": "TCP"},
        {"name": "p53-udp", "port": 53, "targetPort": 53, "protocol": "UDP"},
        {"name": "p15001-tcp", "port": 15001, "targetPort": 16001, "protocol": "TCP"},
    ]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Cluster")


def test_each_static_address_has_a_service_of_its_own() -> None:
    """Gateway.spec.addresses: a Service each, which asks for the address; one without a value is assigned."""
    found = services(infrastructure(addresses=("10.0.0.1", "10.0.0.2", "")))
    assert [service["spec"].get("loadBalancerIP") for service in found] == ["10.0.0.1", "10.0.0.2", None]
    assert len({service["metadata"]["name"] for service in found}) == 3


def test_a_service_inside_the_cluster_states_nothing_of_the_outside() -> None:
    """ClusterIP has no externalTrafficPolicy, class or address of a load balancer: the API server would refuse them."""
    parameters = Parameters(service_type="ClusterIP")
    (service,) = services(infrastructure(addresses=("10.0.0.1",), parameters=parameters))
    assert set(service["spec"]) == {"type", "selector", "ports"}


def test_parameters_shape_the_service() -> None:
    """GatewayParameters.service: annotations under those of spec.infrastructure, and how traffic from outside comes."""
    parameters = Parameters(
        service_annotations=(("lb/zone", "b"), ("lb/kind", "nlb")), external_traffic_policy="Local", load_balancer_class="acme.test/lb"
    )
    wanted = infrastructure(annotations=(("lb/zone", "a"), ("note", "c")), parameters=parameters)
    service = manifests(wanted)["Service"]
    assert service["metadata"]["annotations"] == {"lb/zone": "a", "lb/kind": "nlb", "note": "c"}
    assert (service["spec"]["externalTrafficPolicy"], service["spec"]["loadBalancerClass"]) == ("Local", "acme.test/lb")
    assert pod(wanted)["metadata"]["annotations"] == {"lb/zone": "a", "note": "c"}


def test_a_gateway_without_ports_keeps_its_services() -> None:
    """A Service has at least one port (core/v1), so none is applied; one that is there keeps its address."""
    wanted = plan(infrastructure(ports=(), addresses=("10.0.0.1", "")), SETTINGS)
    assert [manifest["kind"] for manifest in wanted.manifests] == ["ServiceAccount", "ConfigMap", "Deployment"]
    assert {key.kind for key in wanted.kept} == {"Service"}
    assert ObjectKey("Service", "shop", "web-edge") in wanted.kept
    assert len(wanted.kept) == 2


@pytest.mark.parametrize(
    ("parameters", "replicas"),
    [
        (Parameters(), None),
        (Parameters(replicas=3), 3),
        (Parameters(replicas=3, autoscaling=Autoscaling(2, 9, 70)), None),
        (Parameters(replicas=0), 0),
    ],
)
def test_replicas_are_stated_only_by_who_decides(parameters: Parameters, replicas: int | None) -> None:
    """With an autoscaler, or when nothing is said, replicas are somebody else's to scale."""
    assert manifests(infrastructure(parameters=parameters))["Deployment"]["spec"].get("replicas") == replicas


def test_an_autoscaler_scales_the_deployment() -> None:
    """GatewayParameters.autoscaling as autoscaling/v2."""
    found = manifests(infrastructure(parameters=EVERYTHING))["HorizontalPodAutoscaler"]
    assert (found["apiVersion"], found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == ("autoscaling/v2", 2, 9)
    assert found["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-edge"}
    assert found["spec"]["metrics"][0]["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}


def test_a_disruption_budget_states_one_field() -> None:
    """policy/v1 allows either minAvailable or maxUnavailable."""
    spec = manifests(infrastructure(parameters=EVERYTHING))["PodDisruptionBudget"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    share = Parameters(disruption_budget=DisruptionBudget(min_available="50%"))
    assert manifests(infrastructure(parameters=share))["PodDisruptionBudget"]["spec"]["minAvailable"] == "50%"


def test_a_pod_is_restricted() -> None:
    """Pod Security Standards, restricted: not root, no privilege, no capability, seccomp, nothing of the host; only a safe sysctl."""
    spec = pod(infrastructure())["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not any("hostPort" in port for port in container["ports"])
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} == {"configMap", "projected", "emptyDir"}


def test_a_pod_has_a_token_for_the_controller_and_none_for_the_api_server() -> None:
    """A stolen Pod can read its own configuration and nothing of the cluster."""
    spec = pod(infrastructure())["spec"]
    (token,) = (source for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", ()))
    assert token == {"serviceAccountToken": {"audience": "tidegate", "expirationSeconds": 3600, "path": "token"}}
    assert spec["automountServiceAccountToken"] is False
    assert manifests(infrastructure())["ServiceAccount"]["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "web-edge"


def test_every_path_that_is_given_to_the_program_is_mounted() -> None:
    """The files that the arguments name lie in volumes of the Pod."""
    spec = pod(infrastructure())["spec"]
    (container,) = spec["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    values = [argument.partition("=")[2] for argument in container["args"]]
    assert all(any(value.startswith(mount) for mount in mounts) for value in values if value.startswith("/"))
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}


def test_the_program_is_told_whose_data_plane_it_is() -> None:
    """`tidegate gateway` learns Gateway, controller, trust domain and its own name."""
    wanted = infrastructure(parameters=Parameters(workers=4, access_log="off"))
    (container,) = pod(wanted)["spec"]["containers"]
    assert container["args"] == [
        "gateway",
        "--gateway=shop/web",
        "--controller=tidegate-controller.system.svc:15010",
        "--trust-domain=cluster.local",
        "--ca=/var/run/tidegate/ca/ca.crt",
        "--token=/var/run/tidegate/token/token",
        "--snapshot=/var/lib/tidegate",
        "--workers=4",
        "--access-log=off",
        "--drain-delay=5s",
        "--drain-timeout=30s",
    ]
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_a_pod_has_the_time_of_its_drain() -> None:
    """terminationGracePeriodSeconds is longer than what the drain may take."""
    settings = replace(SETTINGS, drain_delay=20, drain_timeout=300)
    (deployment,) = (manifest for manifest in plan(infrastructure(), settings).manifests if manifest["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 330


def test_a_roll_out_takes_no_pod_away_before_there_is_another() -> None:
    """Deployment.spec.strategy: one more, none fewer; new Pods count once they are ready."""
    spec = manifests(infrastructure())["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz/ready"
    assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/healthz/live"


def test_requests_of_the_parameters_stand_over_our_own() -> None:
    """What is requested has a default, limits have none; a default never exceeds a limit, which the API server takes as the request."""
    (container,) = pod(infrastructure(parameters=Parameters(requests=(("cpu", "2"),))))["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "128Mi"}}
    (limited,) = pod(infrastructure(parameters=Parameters(limits=(("memory", "64Mi"),))))["spec"]["containers"]
    assert limited["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}


def test_parameters_place_pods() -> None:
    """GatewayParameters.pod: nodes, tolerations and spread; without a spread one over nodes."""
    toleration = {"key": "edge", "operator": "Exists"}
    constraint = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    parameters = Parameters(node_selector=(("disk", "fast"),), tolerations=(toleration,), topology_spread_constraints=(constraint,))
    spec = pod(infrastructure(parameters=parameters))["spec"]
    assert (spec["nodeSelector"], spec["tolerations"], spec["topologySpreadConstraints"]) == ({"disk": "fast"}, [toleration], [constraint])
    (default,) = pod(infrastructure())["spec"]["topologySpreadConstraints"]
    assert (default["topologyKey"], default["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")


@pytest.mark.parametrize(
    ("live", "stated", "still"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": {}}, False),
        ({"ports": [{"port": 80, "nodePort": 3}]}, {"ports": [{"port": 80}]}, True),
        ({"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 80}]}, False),
        ({"a": "x"}, {"a": {"b": 1}}, False),
        ({"a": None}, {"a": []}, False),
    ],
)
def test_an_object_holds_what_was_stated(live: object, stated: object, still: bool) -> None:
    """What the API server or others added to a mapping is no difference; another value, and another number of entries, is."""
    assert holds(live, stated) is still
