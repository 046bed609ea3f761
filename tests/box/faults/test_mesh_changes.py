"""Workloads of the mesh start, end and are rolled out, certificates and roots are renewed, endpoints go away: calls do not notice."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.box.cluster import ROOT, Box, BoxError, Object, available
from tests.box.faults.standing import SYSTEM, await_said, controllers, renewed
from tests.box.faults.workloads import IMAGE, Slices, Workloads
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {{name: dialling}}
spec:
  completions: {completions}
  parallelism: {parallelism}
  backoffLimit: 0
  template:
    metadata: {{labels: {{app: dialling}}, annotations: {{tidegate.dev/access-log: "off"}}}}
    spec:
      restartPolicy: Never
      containers:
      - name: application
        image: {image}
        command: [curl, --silent, --show-error, --fail, --max-time, "10", --output, /dev/null, "http://{host}/"]
"""
ROUND = 100
"""Pods of one Job; the node keeps them until it is deleted."""
RATE = 200
PROMISED = 1.0
"""Seconds after which nobody asks an endpoint that has gone."""


def test_an_application_that_dials_at_once_is_answered(workloads: Workloads, sizes: Sizes, figure: Figure) -> None:
    """Pods of Jobs whose first instruction is a call: none fails, and every Pod ends with its application (whole: 1,000)."""
    workloads.serve(2)
    box, total, begun = workloads.box, sizes.of(30, 1000), time.monotonic()
    for done in range(0, total, ROUND):
        count = min(ROUND, total - done)
        manifest = JOB.format(completions=count, parallelism=6, image=IMAGE, host=workloads.host)
        box.apply(manifest, workloads.namespace)
        job = box.wait("job", "dialling", partial(is_over, count), workloads.namespace, 900)
        status = job["status"]
        assert (status.get("succeeded"), status.get("failed", 0)) == (count, 0), said(box, workloads.namespace)
        box.delete("job", "dialling", workloads.namespace)
    figure(f"0 of {total} first calls failed, {(time.monotonic() - begun) / total:.2f} s for each Pod, six at once")


def is_over(count: int, job: Object) -> bool:
    """Whether so many Pods of a Job have ended well, or one has not."""
    return job["status"].get("succeeded", 0) >= count or bool(job["status"].get("failed"))


def said(box: Box, namespace: str) -> str:
    return "\n".join(box.logs(pod["metadata"]["name"], namespace)[-2000:] for pod in box.objects("pods", namespace, "app=dialling")[-3:])


def test_both_ends_are_rolled_out_under_load(workloads: Workloads, sizes: Sizes, figure: Figure) -> None:
    """`kubectl rollout restart` of callee and caller at once, under 200 requests a second: no call fails, on either end of a Pod's life."""
    workloads.serve(2)
    workloads.call("caller", 2, RATE / 2)
    for _ in range(sizes.of(1, 10)):
        names = ("deployment/callee", "deployment/caller", "--namespace", workloads.namespace)
        workloads.box.kubectl("rollout", "restart", *names)
        for name in ("callee", "caller"):
            workloads.box.wait("deployment", name, available, workloads.namespace, patience=120)
        workloads.more(100)
    ending = len([each for each in workloads.all().values() if not each["ended"]])
    figure(workloads.figures())
    workloads.unharmed()
    assert ending == 2, "callers that were rolled out ended by themselves"


@contextmanager
def living_for(box: Box, life: str) -> Iterator[None]:
    """Certificates are issued for this time, and as they were afterwards."""
    chart = str(ROOT / "charts/tidegate")
    upgrade = ("helm", "upgrade", "tidegate", chart, "--reset-values", "--namespace", SYSTEM, "--wait", "--timeout", "90s")
    box.run(*upgrade, "--set", f"certificateLifetime={life}")
    try:
        yield
    finally:
        box.run(*upgrade)


@pytest.fixture
def short_lived(workloads: Workloads, sizes: Sizes) -> Iterator[tuple[Workloads, float]]:
    """Workloads that call each other and hold connections, under certificates of a minute (20 s in the short form)."""
    life = sizes.of(20.0, 60.0)
    with living_for(workloads.box, f"{life:.0f}s"):
        workloads.serve(2)
        workloads.call("caller", 2, 25, held=2)
        yield workloads, life
        workloads.box.delete("deployment", "caller", workloads.namespace)


def test_certificates_are_renewed_under_calls_and_held_connections(
    short_lived: tuple[Workloads, float], sizes: Sizes, figure: Figure
) -> None:
    """Certificates of a minute's life, for half an hour: no call fails, no WebSocket, response or TCP connection ends by a renewal."""
    workloads, life = short_lived
    pods = [*workloads.pods("callee"), *workloads.pods("caller")]
    first = [workloads.metric(pod, "tidegate_identity_not_after_seconds") for pod in pods]
    workloads.during(sizes.of(2.5 * life, 1800.0))
    last = [workloads.metric(pod, "tidegate_identity_not_after_seconds") for pod in pods]
    figure(f"{workloads.figures()}, over {(min(last) - min(first)) / life:.1f} lives of a certificate")
    workloads.unharmed()
    assert min(now - before for now, before in zip(last, first, strict=True)) > life
    assert {workloads.metric(pod, "tidegate_identity_renewal_failed_seconds") for pod in pods} == {0.0}


def test_a_root_is_followed_by_another_under_calls_and_held_connections(short_lived: tuple[Workloads, float], figure: Figure) -> None:
    """The annotation tidegate.dev/rotate-root: a new root is trusted, signs, and stands alone; no call fails on the way, and who is
    started afterwards calls and is called."""
    workloads, life = short_lived
    box, since, begun = workloads.box, time.time(), time.monotonic()
    before = root_of(box)
    box.kubectl("annotate", "secret", "tidegate-ca", "--namespace", SYSTEM, "tidegate.dev/rotate-root=now")
    pods = controllers(box)
    patience = 4 * life + 90
    while not any(has_said(box, pod, "the old root certificate is trusted no more", since) for pod in pods):
        workloads.unharmed()
        assert time.monotonic() - begun < patience, [await_said(box, pod, "root", since, 1) for pod in pods]
        time.sleep(1)
    figure(f"{workloads.figures()}, while one root followed another within {time.monotonic() - begun:.0f} s")
    workloads.during(life)
    assert root_of(box) != before
    assert "annotations" not in box.get("secret", "tidegate-ca", SYSTEM)["metadata"]
    renewed(box, "callee", workloads.namespace)
    workloads.call("newcomer", 1, 25)
    workloads.more(50)
    assert not [each for each in workloads.failures() if " a " not in each], workloads.failures()[:10]


def has_said(box: Box, pod: Object, text: str, since: float) -> bool:
    try:
        await_said(box, pod, text, since, patience=0.1)
    except BoxError:
        return False
    return True


def root_of(box: Box) -> str:
    """The older of the roots, as it is stored."""
    return str(box.get("secret", "tidegate-ca", SYSTEM)["data"]["tls.crt"])


@contextmanager
def watched(workloads: Workloads) -> Iterator[Slices]:
    """The EndpointSlices of the callee."""
    chosen = ("--namespace", workloads.namespace, "--selector", "kubernetes.io/service-name=callee")
    command = workloads.box.command("kubectl", "get", "endpointslices", *chosen, "--watch", "--output-watch-events", "--output", "json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        slices = Slices(iter(watching.stdout))
        try:
            yield slices
        finally:
            watching.kill()
            slices.join()


def test_an_endpoint_that_goes_is_out_of_use_everywhere_within_a_second(workloads: Workloads, sizes: Sizes, figure: Figure) -> None:
    """Of all callers (10, whole: 50), none asks a Pod a second after the EndpointSlice has lost it: one that left its Service and would
    still answer, and one that was deleted without grace."""
    workloads.serve(3)
    callers = sizes.of(10, 50)
    workloads.call("caller", callers, sizes.of(10, 4))
    workloads.more(20)
    box, namespace = workloads.box, workloads.namespace
    with watched(workloads) as slices:
        leaving, killed = workloads.pods("callee")[:2]
        since = time.time()
        box.kubectl("label", "pod", leaving["metadata"]["name"], "--namespace", namespace, "app=elsewhere", "--overwrite")
        changed = slices.lost(leaving["status"]["podIP"], since)
        workloads.more(20)
        calls = [each["last"].get(leaving["metadata"]["name"], (0.0, 0.0)) for each in workloads.all().values()]
        assert len(calls) == callers
        begun, answered = (max(times) - changed for times in zip(*calls, strict=True))
        figure(
            f"of {callers} sidecars the last call to a Pod that left its Service began {begun:.3f} s after the EndpointSlice changed, and"
            f" the last answer came {answered:.3f} s after; {workloads.figures()}"
        )
        workloads.unharmed()
        assert begun < PROMISED
        since = time.time()
        box.kubectl("delete", "pod", killed["metadata"]["name"], "--namespace", namespace, "--grace-period=0", "--force")
        changed = slices.lost(killed["status"]["podIP"], since)
        workloads.more(30)
        failures = workloads.failures()
        times = ", ".join(f"{float(each.split(' ')[1]) - changed:.3f} s" for each in failures)
        figure(f"a Pod deleted without grace cost {len(failures)} calls, begun {times or 'never'} after its EndpointSlice changed")
        assert not workloads.failures(changed + PROMISED)
