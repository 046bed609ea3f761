"""A small, real Kubernetes for tests: starts a box, talks to it with kubectl, waits for what happens in it, and ends it.

    with started(folder) as box:                       # a session fixture `box` in conftest.py does this for all tests
        box.apply("apiVersion: v1 ...")
        box.wait("pod", "echo", ready, namespace="one")
        box.curl("http://198.19.128.1/")

Everything runs inside the box's namespaces; the machine itself reaches none of its addresses. `make box-build` builds the programs;
each box has a folder and namespaces of its own, so several are up at once without knowing of each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build" / "box"
"""Where `make box-build` puts the programs; a copy from another checkout will do."""
PATIENCE = 60.0
"""Seconds until a wait is given up. Nothing waits so long unless it fails."""
LONGEST_COMMAND = 120.0
"""Seconds for one command in the box."""

Object = Mapping[str, Any]
"""An API object as kubectl's JSON has it."""


class BoxError(AssertionError):
    """A command failed in the box, or what was waited for did not come; says what was last seen."""


@dataclass(frozen=True, slots=True)
class Box:
    """A cluster that is up. `folder` holds its keys (pki/), kubeconfig (pki/admin.kubeconfig) and logs (logs/, logs/pods/)."""

    folder: Path

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command inside, for whoever wants to start it by hand: in this folder, as root, with KUBECONFIG
        and with kubectl and helm in PATH. Ending it (SIGTERM, SIGKILL) ends the command inside."""
        return [str(PROGRAMS / "box"), "exec", "--dir", str(self.folder), "--", *command]

    def run(self, *command: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command inside to its end; `given` is its standard input. Raises BoxError for an exit code other than 0 if `check`."""
        ended = subprocess.run(self.command(*command), input=given, capture_output=True, text=True, check=False, timeout=LONGEST_COMMAND)
        if check and ended.returncode:
            raise BoxError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl prints. Raises BoxError if it fails."""
        return self.run("kubectl", *arguments, given=given).stdout

    def apply(self, manifest: str, namespace: str = "default") -> None:
        """Creates or changes the objects of a YAML text; those that name no namespace go to the given one."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "--namespace", namespace, "--filename", "-", given=manifest)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Deletes an object and waits until it is gone."""
        self.kubectl("delete", kind, name, "--namespace", namespace, "--wait")

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object. Raises BoxError if there is none."""
        found: Object = json.loads(self.kubectl("get", kind, name, "--namespace", namespace, "--output", "json"))
        return found

    def objects(self, kind: str, namespace: str = "default", selector: str = "") -> list[Object]:
        """All objects of a kind in a namespace, or those with some labels: `app=echo`."""
        options = ("--namespace", namespace, "--selector", selector, "--output", "json")
        found: list[Object] = json.loads(self.kubectl("get", kind, *options))["items"]
        return found

    def wait(
        self, kind: str, name: str, condition: Callable[[Object], bool], namespace: str = "default", patience: float = PATIENCE
    ) -> Object:
        """The object as soon as the condition holds for it, by a watch: the object may be there, change, or come only later.

        Raises BoxError after `patience` seconds, with the object as it was last seen.
        """
        last: Object | None = None
        with closing(self._events(kind, name, namespace, patience)) as events:
            for event in events:
                last = event["object"]
                if event["type"] != "DELETED" and condition(last):
                    return last
        seen = "it never existed" if last is None else f"last seen:\n{json.dumps(last, indent=1)}"
        raise BoxError(f"{kind} {namespace}/{name} is not as waited for after {patience:.0f} s; {seen}")

    def wait_gone(self, kind: str, name: str, namespace: str = "default") -> None:
        """Returns when the object does not exist. Raises BoxError after PATIENCE."""
        self.kubectl("wait", "--for=delete", f"{kind}/{name}", "--namespace", namespace, f"--timeout={PATIENCE:.0f}s")

    def curl(self, *arguments: str) -> str:
        """What curl prints, asking from the node: `box.curl("--include", "http://ADDRESS/path")`. Raises BoxError if it fails."""
        return self.run("curl", "--silent", "--show-error", "--max-time", "10", *arguments).stdout

    def within(self, pod: str, *command: str, namespace: str = "default") -> str:
        """What a command prints that runs in a Pod's first container. Every program of the machine is there."""
        return self.kubectl("exec", "--namespace", namespace, pod, "--", *command)

    def logs(self, pod: str, namespace: str = "default") -> str:
        """What the containers of a Pod have written."""
        return self.kubectl("logs", "--namespace", namespace, pod, "--all-containers")

    def _events(self, kind: str, name: str, namespace: str, patience: float) -> Generator[dict[str, Any], None, None]:
        """Watch events of one object, `{"type": ..., "object": ...}`, the first with its state; ends after some seconds."""
        arguments = ("get", kind, "--namespace", namespace, "--field-selector", f"metadata.name={name}")
        command = self.command("kubectl", *arguments, "--watch", "--output-watch-events", "--output", "json")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            end = Timer(patience, watching.kill)
            end.start()
            try:
                for line in watching.stdout:  # one event a line
                    yield json.loads(line)
            finally:
                end.cancel()
                watching.kill()


def ready(subject: Object) -> bool:
    """Whether a Pod or a Node has the condition Ready."""
    return condition(subject, "Ready") == "True"


def available(subject: Object) -> bool:
    """Whether all replicas of a Deployment are as its newest generation wants them, and available."""
    status = subject.get("status", {})
    wanted = subject["spec"].get("replicas", 1)
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {wanted} and bool(status.get("observedGeneration") == subject["metadata"]["generation"])


def condition(subject: Object, name: str) -> str | None:
    """The status of a condition, `True`, `False` or `Unknown`; None if the object has none of that type."""
    return next((each["status"] for each in subject.get("status", {}).get("conditions", ()) if each["type"] == name), None)


def address(service: Object) -> str:
    """The load balancer's address of a Service, or '' while it has none."""
    ingress = service["status"]["loadBalancer"].get("ingress", [])
    return str(ingress[0]["ip"]) if ingress else ""


def start(folder: Path) -> Box:
    """Starts a box that keeps its files in the folder, with Tidegate's image from this checkout. It ends with this process at the latest.

    Raises BoxError if it does not start.
    """
    images = folder / "images.json"
    for command in (
        [sys.executable, str(ROOT / "conformance" / "images.py"), str(images)],
        [str(PROGRAMS / "box"), "up", "--dir", str(folder), "--images", str(images), "--owner", str(os.getpid())],
    ):
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if ended.returncode:
            raise BoxError(f"{' '.join(command)}:\n{ended.stdout}")
    return Box(folder)


def stop(box: Box) -> None:
    """Ends a box with everything that runs in it. Its keys and logs stay in the folder."""
    subprocess.run([str(PROGRAMS / "box"), "down", "--dir", str(box.folder)], check=True)


@contextmanager
def started(folder: Path) -> Iterator[Box]:
    """A box for as long as the context lasts."""
    box = start(folder)
    try:
        yield box
    finally:
        stop(box)
