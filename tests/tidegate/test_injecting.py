"""`tidegate inject`: files in, files with sidecars out, or everything that is wrong with them."""

from __future__ import annotations

import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from controller.sources.documents import parse
from mesh.injection.inject import inject
from mesh.injection.settings import SidecarSettings
from tests.mesh.injection.pods import pod
from tidegate.cli import app

SETTINGS = SidecarSettings("tidegate:1", "tidegate-controller.tidegate-system.svc:15010", "tidegate-system")
TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": [{"name": "app", "image": "cart:1"}]}}


def call(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(app, ["inject", "--image=tidegate:1", *arguments], input=given)


def workload(api_version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "cart", "namespace": "shop"}, "spec": spec}


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("v1", "ReplicationController"),
    ],
)
def test_templates_get_a_sidecar(tmp_path: Path, api_version: str, kind: str) -> None:
    """Of every kind that makes Pods; what stands beside the template stays."""
    file = tmp_path / "in.yaml"
    file.write_text(yaml.safe_dump(workload(api_version, kind, {"other": 3, "template": TEMPLATE})))
    answer = call("-f", str(file))
    assert answer.exit_code == 0, answer.stderr
    injected = inject(TEMPLATE, "shop", SETTINGS).pod
    assert yaml.safe_load(answer.stdout) == workload(api_version, kind, {"other": 3, "template": injected})


def test_pods_cron_jobs_and_lists_do_too(tmp_path: Path) -> None:
    """A Pod itself, the template within the template of a CronJob, and what `kubectl get -o yaml` gives for several objects."""
    file = tmp_path / "in.yaml"
    cron = workload("batch/v1", "CronJob", {"schedule": "@daily", "jobTemplate": {"spec": {"template": TEMPLATE}}})
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod(), {"apiVersion": "v1", "kind": "Secret"}]}
    file.write_text(yaml.safe_dump_all([pod(), cron, listed]))
    plain, job, several = yaml.safe_load_all(call("-f", str(file)).stdout)
    assert plain == several["items"][0] == inject(pod(), "shop", SETTINGS).pod
    assert job["spec"]["jobTemplate"]["spec"]["template"] == inject(TEMPLATE, "shop", SETTINGS).pod
    assert several["items"][1] == {"apiVersion": "v1", "kind": "Secret"}


def test_everything_else_passes_through_as_it_is_read() -> None:
    """Other kinds, those of the same name in other groups, and texts that somebody may read as numbers or booleans."""
    given = textwrap.dedent("""\
        apiVersion: batch.example/v1
        kind: Job
        spec: {template: 1}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: "1e3", labels: {commit: "12e4567", octal: "0o14", old: "014", yes: "on", none: "null", hex: "0x1F"}}
        data: {"8080": "true", text: "a\\nb\\n", number: 7, float: 1e3, empty: "", tail: "x \\ny"}
        """)
    answer = call("-f", "-", given=given)
    assert answer.exit_code == 0
    assert [each.value for each in parse(answer.stdout)] == [each.value for each in parse(given)]


def test_output_given_in_again_stays_as_it_is() -> None:
    """A Pod that has its sidecar gets no second one; that is told."""
    once = call("-f", "-", given=yaml.safe_dump(pod()))
    twice = call("-f", "-", given=once.stdout)
    assert twice.stdout == once.stdout
    assert twice.stderr == "standard input: document 1 (line 1), Pod shop/cart stays as it is: it has its sidecar already\n"


def test_what_is_wrong_names_file_document_and_object_and_nothing_is_written(tmp_path: Path) -> None:
    """All of it at once, exit status 1: half of an application in the mesh is nothing to apply."""
    bad = pod(annotations={"tidegate.dev/exclude-inbound-ports": "http"})
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([pod(), bad, workload("apps/v1", "Deployment", {})], explicit_start=True))
    (tmp_path / "b.yaml").write_text("a: 1\n---\na: [\n")
    answer = call("-f", str(tmp_path / "a.yaml"), "-f", str(tmp_path / "b.yaml"), "-f", str(tmp_path / "c.yaml"))
    assert (answer.exit_code, answer.stdout) == (1, "")
    first, second, third, fourth = answer.stderr.splitlines()
    annotation = "annotation tidegate.dev/exclude-inbound-ports: 'http'"
    assert first.startswith(f"{tmp_path}/a.yaml: document 2 (line 12), Pod shop/cart: {annotation}")
    assert second.endswith(", Deployment shop/cart: spec.template is missing or no map, so there is no template of a Pod. Add it")
    assert third.startswith(f"{tmp_path}/b.yaml:4: the YAML cannot be parsed")
    assert fourth == f"{tmp_path}/c.yaml: it cannot be read: No such file or directory"


def test_the_namespace_counts() -> None:
    """Nothing is injected for the namespaces of the cluster and of the controller, whether the object names it or --namespace does."""
    raw = pod()
    del raw["metadata"]["namespace"]
    given = yaml.safe_dump(raw)
    assert "tidegate-sidecar" in call("-f", "-", given=given).stdout
    assert "tidegate-sidecar" in call("-f", "-", "--service", "localhost", given=given).stdout
    for options in (("-n", "kube-system"), ("-n", "tidegate-system"), ("-n", "edge", "--service", "tidegate-controller.edge.svc")):
        answer = call("-f", "-", *options, given=given)
        assert yaml.safe_load(answer.stdout) == raw
        assert "nothing is injected in namespace" in answer.stderr


def test_options_reach_the_sidecar() -> None:
    """Image, controller, trust domain, traces and resources; the image is that of this version where none is named."""
    given = yaml.safe_dump(pod())
    place = ("--service=c.edge.svc", "--trust-domain=example.org")
    traces = ("--otlp-endpoint=http://collector:4318", "--trace-sampling=10")
    own = ("--sidecar-cpu=1", "--sidecar-memory-limit=1Gi", "--sidecar-access-log=off", *traces)
    sidecar = yaml.safe_load(call("-f", "-", "-o", "yaml", *place, *own, given=given).stdout)["spec"]["initContainers"][1]
    assert {"--controller=c.edge.svc:15010", "--trust-domain=example.org", "--access-log=off", *traces} <= set(sidecar["args"])
    assert sidecar["resources"] == {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
    default = CliRunner().invoke(app, ["inject", "-f", "-"], input=given)
    assert yaml.safe_load(default.stdout)["spec"]["initContainers"][1]["image"] == f"tidegate/tidegate:{version('tidegate')}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sidecar-cpu=half",), "--sidecar-cpu 'half'"),
        (("--trace-sampling=half",), "--trace-sampling 'half'"),
        (("-o", "json"), "'json'"),
    ],
)
def test_a_wrong_option_is_refused(options: tuple[str, ...], words: str) -> None:
    """Exit status 2, with the option."""
    answer = call("-f", "-", *options)
    assert answer.exit_code == 2
    assert words in answer.stderr
