"""The control plane as a process: it reads, deploys, writes statuses, streams, and ends as Kubernetes ends it."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import json
import signal
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.ir.listener import Gateway
from tests.controller.sources.kube.cluster import EVERY, WRITTEN
from tests.kubernetes_api import KubernetesApi, Value
from tests.mesh.injection.pods import pod, review
from tests.running import run
from tests.tidegate.control_plane.running import GATEWAY, SYSTEM, condition, following, gateway_class, process, replica, web
from tests.tidegate.program import free_port
from tidegate.status import show

WEB = ("shop", "web")
DEPLOYED = ("shop", "web-tidegate")


def of(api: KubernetesApi, plural: str, group: str = "") -> dict[tuple[str, str], Value]:
    return api.objects.setdefault((group, plural), {})


def shown(status: dict[str, Any]) -> str:
    """What `tidegate status` prints of a page."""
    output = io.StringIO()
    show(status, output)
    return output.getvalue()


def test_a_gateway_is_deployed_served_and_judged(tmp_path: Path) -> None:
    """From the first list to Programmed: Deployment and Service, an address, a proxy that has everything in place; the Lease is given
    back at the end."""

    async def test() -> None:
        async with KubernetesApi((*EVERY, *WRITTEN)) as api:
            api.put(gateway_class())
            async with replica(api.kubeconfig(tmp_path)) as one:
                await api.until(lambda: condition(of(api, "gatewayclasses", GATEWAY)["", "tidegate"], "Accepted") == "True")
                assert (await one.get("health", "/healthz/live")).status_code == 200
                assert (await one.get("health", "/healthz/ready")).status_code == 200
                api.put(web())
                await api.until(lambda: DEPLOYED in of(api, "deployments", "apps"))
                await api.until(lambda: condition(of(api, "gateways", GATEWAY)[WEB], "Programmed") == "False")
                service = copy.deepcopy(of(api, "services")[DEPLOYED])
                api.put(service | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}})
                async with following(one, api, tmp_path) as proxy:
                    await proxy.until(("Gateway", "shop/web"), ("Listener", "shop/web/http"))
                    await api.until(lambda: condition(of(api, "gateways", GATEWAY)[WEB], "Programmed") == "True")
                    text = shown(await one.status())
                    assert "ok      this replica leads" in text
                    assert "ok      Gateway shop/web\n        Accepted True, ResolvedRefs True, Programmed True" in text
                    assert "live at 1 of 1 proxies" in text
                holder = of(api, "leases", "coordination.k8s.io")[SYSTEM, "tidegate-controller"]["spec"]["holderIdentity"]
                assert holder == f"one_{one.places['stream']}"
                one.signal(signal.SIGTERM)
                assert await one.ended() == 0
                lease = of(api, "leases", "coordination.k8s.io")[SYSTEM, "tidegate-controller"]["spec"]
                assert "holderIdentity" not in lease
                assert all(line.startswith("one: ") for line in one.lines)

    run(test)


def test_every_replica_serves_and_one_writes(tmp_path: Path) -> None:
    """A second replica serves proxies that cannot reach the first, with the same configuration and key of sessions; it says who leads."""

    async def test() -> None:
        async with KubernetesApi((*EVERY, *WRITTEN)) as api:
            api.put(gateway_class())
            api.put(web())
            async with replica(api.kubeconfig(tmp_path)) as one:
                await api.until(lambda: condition(of(api, "gateways", GATEWAY)[WEB], "Accepted") == "True")
                async with replica(api.kubeconfig(tmp_path), "two") as two:
                    async with following(one, api, tmp_path) as first, following(two, api, tmp_path, anywhere=True) as second:
                        for proxy in (first, second):
                            await proxy.until(("Gateway", "shop/web"), ("Listener", "shop/web/http"))
                        assert first.resources == second.resources
                        gateway = first.resources["Gateway", "shop/web"]
                        assert isinstance(gateway, Gateway)
                        assert gateway.session_key is not None
                    text = shown(await two.status())
                    assert "note    this replica does not lead, one does: what stands here is what it would write" in text
                    assert two.count("this replica leads") == 0

    run(test)


def test_sidecars_get_into_pods(tmp_path: Path) -> None:
    """A namespace with the label gets the authorities, the webhook's configuration the root that it is known by, and with that root
    the API server has Pods injected; a replica without a mesh does none of it."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"tidegate.dev/inject": "enabled"}}}
    admission = "admissionregistration.k8s.io"
    service = {"clientConfig": {"service": {"namespace": SYSTEM, "name": "localhost"}}, "name": "namespace.inject.tidegate.dev"}
    name = f"tidegate-injection-{SYSTEM}"
    configuration = {
        "apiVersion": f"{admission}/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name}, "webhooks": [service],
    }  # fmt: skip

    async def test() -> None:
        async with KubernetesApi((*EVERY, *WRITTEN)) as api:
            for raw in (gateway_class(), namespace, configuration):
                api.put(raw)
            async with replica(api.kubeconfig(tmp_path), "none") as none:
                await none.until("this replica leads")
                await api.until(lambda: condition(of(api, "gatewayclasses", GATEWAY)["", "tidegate"], "Accepted") == "True")
                assert "webhook" not in none.places
            assert not of(api, "configmaps")
            async with replica(api.kubeconfig(tmp_path), "one", "--mesh", "--sidecar-cpu", "7m") as one:
                hooks = of(api, "mutatingwebhookconfigurations", admission)
                await api.until(lambda: "caBundle" in hooks["", name]["webhooks"][0]["clientConfig"])
                await api.until(lambda: ("shop", "tidegate-mesh-ca") in of(api, "configmaps"))
                bundle = base64.b64decode(hooks["", name]["webhooks"][0]["clientConfig"]["caBundle"]).decode()
                assert of(api, "configmaps")["shop", "tidegate-mesh-ca"]["data"] == {"ca.crt": bundle}
                url = f"https://{one.places['webhook'].replace('127.0.0.1', 'localhost')}"
                async with httpx.AsyncClient(verify=ssl.create_default_context(cadata=bundle), trust_env=False) as client:
                    answer = (await client.post(f"{url}/inject", content=review(pod()))).json()["response"]
                    operations = json.loads(base64.b64decode(answer["patch"]))
                (containers,) = (each["value"] for each in operations if each["path"] == "/spec/initContainers")
                sidecar = containers[1]
                assert (sidecar["image"], sidecar["resources"]["requests"]["cpu"]) == ("tidegate:1", "7m")
                assert "--controller=localhost:15010" in sidecar["args"]

    run(test)


def test_an_api_server_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """Live, not ready, and one line that says why; once it answers everything goes on by itself."""

    async def test() -> None:
        async with KubernetesApi((*EVERY, *WRITTEN)) as api:
            api.put(gateway_class())
            away = api.fail("", "", 503, times=1_000)
            async with replica(api.kubeconfig(tmp_path)) as one:
                await one.until("the certificate authority cannot be read, and is tried again")
                assert (await one.get("health", "/healthz/live")).status_code == 200
                assert (await one.get("health", "/healthz/ready")).status_code == 503
                assert "fault   no configuration is served yet" in shown(await one.status())
                away.times = 0
                await api.until(lambda: condition(of(api, "gatewayclasses", GATEWAY)["", "tidegate"], "Accepted") == "True")
                assert one.count("the certificate authority cannot be read") == 1

    run(test)


def test_a_replica_that_reaches_nobody_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """SIGTERM counts from the start on, whatever is waited for."""
    cluster = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}
    user = {"name": "it", "user": {"token": "t"}}
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    config = {"current-context": "it", "contexts": [context], "clusters": [cluster], "users": [user]}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))

    async def test() -> None:
        async with replica(tmp_path / "kubeconfig") as one:
            await one.until("the certificate authority cannot be read")
            one.signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await one.ended() == 0

    run(test)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--namespace '': this is no name of a namespace"),
        (("--namespace", "a", "--name", "b", "--service", "s"), "--image is empty"),
        (("--namespace", "a", "--name", "b", "--image", "i"), "--service is empty"),
        (("--namespace", "a", "--name", "b", "--image", "i", "--service", "s", "--kubeconfig", "/nowhere"), "/nowhere"),
        (("--stream", "everywhere"), "'everywhere' is not ADDRESS:PORT"),
    ],
)
def test_bad_options_are_refused_with_the_remedy(options: tuple[str, ...], words: str) -> None:
    """Design 8: exit status 2, before anything is started."""

    async def test() -> None:
        async with process(*options) as one:
            assert await one.ended() == 2
            assert words in " ".join(one.lines)

    run(test)
