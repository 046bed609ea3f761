"""The controller, its webhook or a sidecar is away: what calls go on, and what is said of those that do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.box.cluster import Box, Object, available
from tests.box.faults.injuring import killed, program, started_at
from tests.box.faults.standing import SYSTEM, await_said, controllers, name_of
from tests.box.faults.workloads import IMAGE, Workloads
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
SHORT = 30.0
MINUTES_10 = 600.0
RATE = 200
READY = "ready: "
BACK = 10.0
"""Seconds within which the kubelet has a killed sidecar up again, a promise and no speed."""


@contextmanager
def without_controllers(box: Box) -> Iterator[None]:
    """No replica of the controller is there; both are again when the context is left."""
    pods = controllers(box)
    scale = ("scale", "deployment/tidegate-controller", "--namespace", SYSTEM)
    box.kubectl(*scale, "--replicas=0")
    try:
        for pod in pods:
            box.wait_gone("pod", name_of(pod), SYSTEM)
        yield
    finally:
        box.kubectl(*scale, f"--replicas={len(pods)}")
        box.wait("deployment", "tidegate-controller", available, SYSTEM)


def test_calls_go_on_without_a_controller(workloads: Workloads, sizes: Sizes, figure: Figure) -> None:
    """No controller for ten minutes: no call fails, on new connections or old ones, but of a sidecar that is killed meanwhile, until the
    kubelet has it up again. That goes on from its snapshot under the identity of before, and its calls are taken under STRICT."""
    workloads.serve(2)
    workloads.call("caller", 2, 50, held=1)
    workloads.call("restarted", 1, 10)
    box = workloads.box
    [pod] = workloads.pods("restarted")
    with without_controllers(box):
        begun = time.monotonic()
        new = killed(partial(program, box, name_of(pod)))
        await_said(box, pod, READY, started_at(new))
        box.wait("pod", name_of(pod), is_ready, workloads.namespace)
        since = time.time()
        beyond = box.objects("pods", "kube-system")[0]["status"]["podIP"]
        asked = ("curl", "--silent", "--fail", "--retry", "5", "--retry-connrefused", f"http://{beyond}:8181/ready")
        box.kubectl("exec", "--namespace", workloads.namespace, name_of(pod), "--container", "application", "--", *asked)
        workloads.more(50)
        assert not workloads.failures(since)
        while time.monotonic() - begun < sizes.of(SHORT, MINUTES_10):
            assert not others(workloads, pod), others(workloads, pod)[:10]
            time.sleep(1)
        took = time.monotonic() - begun
        figure(f"{len(others(workloads, pod))} failures of others in {took:.0f} s without a controller; of all {workloads.figures()}")
        assert not others(workloads, pod)
    box.wait("pod", name_of(pod), is_ready, workloads.namespace)
    since = time.time()
    workloads.more(50)
    assert not workloads.failures(since)


def others(workloads: Workloads, but: Object) -> list[str]:
    """What failed of callers but one."""
    return [each for each in workloads.failures() if not each.startswith(name_of(but))]


def test_pods_while_no_controller_answers_the_webhook(workloads: Workloads) -> None:
    """docs/mesh/injection.md: where nothing else is said a Pod is refused, and its ReplicaSet tries again; a namespace may say that it
    is created without a sidecar."""
    workloads.serve(1)
    box, namespace, lax = workloads.box, workloads.namespace, f"{workloads.namespace}-lax"
    box.kubectl("create", "namespace", lax)
    box.kubectl("label", "namespace", lax, "tidegate.dev/inject=enabled", "tidegate.dev/inject-failure-policy=ignore")
    create, sleeping = ("kubectl", "run", "pod", f"--image={IMAGE}"), ("--command", "--", "sleep", "1000")
    try:
        with without_controllers(box):
            refused = box.run(*create, "--namespace", namespace, *sleeping, check=False)
            assert refused.returncode
            assert "failed calling webhook" in refused.stderr
            assert "inject.tidegate.dev" in refused.stderr
            box.run(*create, "--namespace", lax, *sleeping)
            assert containers(box.get("pod", "pod", lax)) == {"pod"}
            box.kubectl("scale", "deployment/callee", "--namespace", namespace, "--replicas=2")
        box.wait("deployment", "callee", available, namespace, patience=150)
        assert all("tidegate-sidecar" in containers(pod) for pod in workloads.pods("callee"))
    finally:
        box.kubectl("delete", "namespace", lax, "--wait=false")


def containers(pod: Object) -> set[str]:
    """Their names."""
    spec = pod["spec"]
    return {each["name"] for each in (*spec["containers"], *spec.get("initContainers", ()))}


def test_a_killed_sidecar_costs_what_was_under_way(workloads: Workloads, figure: Figure) -> None:
    """SIGKILL of a callee's sidecar: calls that begin afterwards are answered, by the other callee at first. Of a caller's: its own
    calls fail until the kubelet has it up again, and nobody else's."""
    workloads.serve(2)
    workloads.call("caller", 2, RATE / 2)
    box, callee = workloads.box, workloads.pods("callee")[0]
    at = time.time()
    up = restarted(box, callee)
    box.wait("pod", name_of(callee), is_ready, workloads.namespace)
    workloads.more(2 * RATE)
    failures = workloads.failures()
    figure(f"a callee's sidecar was back {up - at:.2f} s after SIGKILL, and cost {len(failures)} of {workloads.answered()} calls")
    assert not workloads.failures(at), failures[:10]
    caller, other = workloads.pods("caller")
    at = time.time()
    up = restarted(box, caller)
    box.wait("pod", name_of(caller), is_ready, workloads.namespace)
    since = time.time()
    workloads.more(2 * RATE)
    lost = workloads.failures(at - 1)
    figure(f"a caller's sidecar was back {up - at:.2f} s after SIGKILL, and cost {len(lost)} calls of its own")
    assert {each.split(" ")[0] for each in lost} <= {name_of(caller)}, name_of(other)
    assert not workloads.failures(since)
    assert up - at < BACK


def restarted(box: Box, pod: Object) -> float:
    """Kills the sidecar of a Pod; returns when (epoch) the next one says that it is ready."""
    new = killed(partial(program, box, name_of(pod)))
    return await_said(box, pod, READY, started_at(new))


def is_ready(pod: Object) -> bool:
    """Whether all of its containers are."""
    status = pod["status"]
    return all(each["ready"] for each in (*status["containerStatuses"], *status["initContainerStatuses"]))
