"""examples/mesh-local as a user runs it: sidecars, programs and a gateway as processes, real sockets; edits of files while it runs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.waiting import until
from tests.tidegate.local_mesh.running import EXAMPLE, ROOT, Mesh, started

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all addresses of 127.0.0.0/8")]

READY = tuple(f"Pod demo/{name} is ready" for name in ("catalog-v1", "catalog-v2", "guest", "shop"))
CATALOG_1, CATALOG_2, GUEST, SHOP = 1, 2, 3, 4
"""Numbers of the Pods, by the order of their names."""
OF_CATALOG = 16
"""Number of the Service catalog, by the order of names likewise."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with started(tmp_path_factory.mktemp("local")) as found:
        found.until(*READY)
        yield found


def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidegate", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)


def caller(answer: dict[str, dict[str, str]]) -> str:
    """Who has proved to have called, as the program was told."""
    return answer["headers"]["x-forwarded-client-cert"].rpartition("URI=")[2]


def test_the_gateway_and_workloads_call_each_other_as_who_they_are(mesh: Mesh) -> None:
    """Mutual TLS on both ways: each program is told the SPIFFE ID of its caller. The program finds the Service by its environment."""
    shop = httpx.get(f"{mesh.url}/").raise_for_status().json()
    assert (shop["workload"], caller(shop)) == ("shop", "spiffe://cluster.local/ns/demo/sa/web-tidegate")
    assert shop["asked"]["url"] == f"http://{mesh.prefix}.{SHOP}.{OF_CATALOG}:8000/"
    catalog = shop["asked"]["answer"]
    assert (shop["asked"]["status"], catalog["workload"]) == (200, "catalog-v1")
    assert caller(catalog) == "spiffe://cluster.local/ns/demo/sa/shop"


def test_a_route_on_the_service_holds_for_workloads(mesh: Mesh) -> None:
    """HTTPRoute with a Service as its parent: by header, in the sidecar of the caller."""
    shop = httpx.get(f"{mesh.url}/", headers={"x-try": "next"}).raise_for_status().json()
    assert shop["asked"]["answer"]["workload"] == "catalog-v2"


def test_the_gateway_may_ask_the_catalog_and_a_guest_may_not(mesh: Mesh) -> None:
    """AuthorizationPolicy by principals and by methods, at the workload."""
    found = httpx.get(f"{mesh.url}/catalog").raise_for_status().json()
    assert caller(found) == "spiffe://cluster.local/ns/demo/sa/web-tidegate"
    assert httpx.post(f"{mesh.url}/catalog").status_code == 403
    assert httpx.get(f"http://{mesh.prefix}.{GUEST}.{OF_CATALOG}:8000/").status_code == 403
    assert httpx.get(f"http://{mesh.prefix}.{SHOP}.{OF_CATALOG}:8000/").status_code == 200


def test_a_plain_call_is_refused(mesh: Mesh) -> None:
    """PeerAuthentication STRICT: who comes to the Pod's address without an identity hears nothing."""
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{mesh.prefix}.{CATALOG_1}.1:9080/")


def test_status_tells_sidecars_and_workloads(mesh: Mesh) -> None:
    """As in a cluster: the revision of each, and until when its certificate is good."""
    told = tidegate("status", "--admin", mesh.admin)
    assert told.returncode == 0, told.stderr
    assert f"Pod demo/shop at {mesh.prefix}.4.1, its application at {mesh.prefix}.4.2: ready" in told.stdout
    assert "live at 4 of 4" in told.stdout
    assert "demo/shop, certificate until 2" in told.stdout


def test_explain_says_what_a_workloads_request_would_meet(mesh: Mesh) -> None:
    """--from names the caller: of a Service it is for that workload's sidecar to say, of the gateway's port for the gateway."""
    told = tidegate("explain", "GET", "http://catalog:8000/", "--from", "demo/shop", "--admin", mesh.admin)
    assert f"100% {mesh.prefix}.{CATALOG_1}.1:9080, by mutual TLS with spiffe://cluster.local/ns/demo/sa/catalog" in told.stdout
    assert "as spiffe://cluster.local/ns/demo/sa/shop" in told.stdout
    told = tidegate("explain", "GET", f"{mesh.url}/", "--from", "demo/shop", "--admin", mesh.admin)
    assert "served by HTTPRoute demo/web" in told.stdout


def test_explain_of_a_sidecar_says_what_may_come_in(mesh: Mesh) -> None:
    """Its admin pages are at the Pod's address."""
    admin = f"http://{mesh.prefix}.{CATALOG_1}.1:15000"
    told = tidegate("explain", "GET", "http://catalog:9080/", "--inbound", "--from", "demo/guest", "--admin", admin)
    assert "403" in told.stdout
    told = tidegate("explain", "GET", "http://catalog:9080/", "--inbound", "--from", "demo/shop", "--admin", admin)
    assert f"{mesh.prefix}.{CATALOG_1}.2:9080" in told.stdout


def test_sidecars_count_who_calls_whom(mesh: Mesh) -> None:
    """Istio's labels, by the addresses and identities of workloads."""
    httpx.get(f"{mesh.url}/").raise_for_status()
    found = httpx.get(f"http://{mesh.prefix}.{CATALOG_1}.1:15020/metrics").text
    lines = [line for line in found.splitlines() if line.startswith("istio_requests_total{") and 'source_workload="shop"' in line]
    assert lines, found
    assert 'source_principal="spiffe://cluster.local/ns/demo/sa/shop"' in lines[0]


def test_our_own_settings_are_not_those_of_sidecars(mesh: Mesh) -> None:
    """TIDEGATE_WORKERS of the run's environment would make four processes of each."""
    sidecars = [line for line in mesh.processes() if " sidecar " in line]
    assert len(sidecars) == 4


# from here on the files are edited, in this order


def test_an_edit_of_a_policy_is_live_at_once(mesh: Mesh) -> None:
    """In the sidecars that it is for; nothing is started anew."""
    url = f"http://{mesh.prefix}.{GUEST}.{OF_CATALOG}:8000/"
    before = {line for line in mesh.processes() if " sidecar " in line}
    mesh.edit("policies.yaml", "sa/shop", "sa/guest")
    assert (httpx.get(url).status_code, httpx.get(f"{mesh.url}/").json()["asked"]["status"]) == (200, 403)
    mesh.edit("policies.yaml", "sa/guest", "sa/shop")
    assert (httpx.get(url).status_code, httpx.get(f"{mesh.url}/").json()["asked"]["status"]) == (403, 200)
    assert {line for line in mesh.processes() if " sidecar " in line} == before


def test_an_edit_of_a_route_is_live_at_once(mesh: Mesh) -> None:
    """In the sidecars of callers."""
    mesh.edit("routes.yaml", "name: catalog-v1", "name: catalog-v2")
    assert httpx.get(f"{mesh.url}/").json()["asked"]["answer"]["workload"] == "catalog-v2"


def test_a_service_is_added_while_others_serve(mesh: Mesh) -> None:
    """It gets the next address, which all sidecars listen at."""
    text = (EXAMPLE / "guest.yaml").read_text().partition("---\n")[2].replace("name: guest", "name: visitor")
    revision = mesh.revision()
    (mesh.folder / "visitor.yaml").write_text(text)
    until(lambda: mesh.is_live(revision), "the Service was never live")
    assert httpx.get(f"http://{mesh.prefix}.{SHOP}.21:8000/").json()["workload"] == "guest"


def test_a_port_that_is_taken_is_told_with_its_place_and_the_remedy(mesh: Mesh) -> None:
    """And is had as soon as it is free."""
    with socket.socket() as holder:
        holder.bind((f"{mesh.prefix}.{SHOP}.22", 8000))
        holder.listen()
        text = (EXAMPLE / "guest.yaml").read_text().partition("---\n")[2].replace("name: guest", "name: taken")
        (mesh.folder / "taken.yaml").write_text(text)
        mesh.until(f"cannot listen on {mesh.prefix}.{SHOP}.22:8000")
        line = next(line for line in mesh.shown if f"cannot listen on {mesh.prefix}.{SHOP}.22:8000" in line)
        assert "`ss -lntp` shows what holds it" in line
        told = mesh.status()["mesh"][0]["rejected"]
        assert [(each["kind"], each["key"]) for each in told] == [("Listener", "@mesh/@mesh/demo/taken:8000")]


def test_a_pod_that_is_changed_is_started_anew(mesh: Mesh) -> None:
    """Its processes end and others begin; it is ready again once its application accepts."""
    path = mesh.folder / "guest.yaml"
    path.write_text(path.read_text().replace("fieldPath: metadata.name", "fieldPath: metadata.namespace"))
    mesh.until(READY[2])
    assert httpx.get(f"http://{mesh.prefix}.{SHOP}.19:8000/").json()["workload"] == "demo"


def test_a_pod_that_cannot_be_run_harms_nobody(mesh: Mesh) -> None:
    """The file, the field and the remedy are told; what ran goes on."""
    path = mesh.folder / "shop.yaml"
    path.write_text(path.read_text().replace("command: [python3, -m, tidegate.demo.workload]", "image: shop:1"))
    mesh.until("no command is given, and images are not run here. Write the program in command")
    assert f"{path}:12: Pod demo/shop: spec.containers[0]" in mesh.shown[-1]
    assert httpx.get(f"{mesh.url}/").status_code == 200


def test_a_pod_that_is_removed_ends(mesh: Mesh) -> None:
    """With its processes, and with its endpoints."""
    (mesh.folder / "guest.yaml").unlink()
    until(lambda: not any(f"{mesh.prefix}.{GUEST}." in line for line in mesh.processes()), "its processes never ended")
    assert [each["name"] for each in mesh.status()["workloads"]] == ["catalog-v1", "catalog-v2", "shop"]


def test_everything_ends_with_it(mesh: Mesh) -> None:
    """SIGTERM: no process and no file of it is left."""
    assert mesh.end() == 0
    assert mesh.processes() == []


def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    """Also while sidecars are still starting."""
    with started(tmp_path) as mesh:
        mesh.until("admin at http")
        mesh.process.send_signal(signal.SIGINT)
        mesh.until("SIGINT: draining")
        assert mesh.end(signal.SIGINT) in (0, 1)
        assert mesh.processes() == []


def test_the_files_are_judged_without_running_them() -> None:
    """`tidegate check --mesh`: as if every application accepted."""
    told = tidegate("check", "--mesh", str(EXAMPLE), "-o", "json")
    found = json.loads(told.stdout)
    assert (told.returncode, found["good"], found["hints"], found["problems"]) == (0, True, [], [])
