"""A box leaves nothing behind, and knows nothing of another one beside it."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

from tests.box.cluster import PROGRAMS, Box, start, started, stop

NAMESPACES = ("net", "mnt", "pid", "ipc")
WRITTEN_TO = ("/run", "/var/log", "/var/lib", "/etc", "/tmp", "/root/.kube", "/root/.config", "/root/.cache")
"""Folders of the machine in which clusters, and programs that talk to them, keep things."""


def inside(namespaces: dict[str, str]) -> list[str]:
    """The processes of this machine that are in one of the namespaces; not those that have ended and wait for their parent to notice."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for kind, number in namespaces.items():
            try:
                if os.readlink(process / "ns" / kind) == number and " Z " not in (process / "stat").read_text():
                    found.append(f"{process.name} in {kind}")
            except OSError:  # it has ended
                continue
    return found


def machine() -> dict[str, str]:
    """What a box could change of the machine: its network, its packet filter, and names of files."""
    commands = (["ip", "-brief", "address"], ["ip", "route"], ["nft", "list", "ruleset"], ["ip", "netns", "list"])
    found = {" ".join(command): subprocess.run(command, capture_output=True, check=True, text=True).stdout for command in commands}
    found["/proc/sys"] = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    for folder in WRITTEN_TO:
        found[folder] = "\n".join(sorted(os.listdir(folder))) if os.path.isdir(folder) else ""
    found["/var/log/containers"] = str(os.path.exists("/var/log/containers") and sorted(os.listdir("/var/log/containers")))
    return found


def test_the_end_of_a_box_leaves_nothing_behind(box_folder: Path) -> None:
    """After `box down` no process, namespace or mount of the box is left, and the machine is as it was."""
    folder = box_folder / "ending"
    folder.mkdir()
    before = machine()
    box = start(folder)
    first = (folder / "pid").read_text().split()[0]
    namespaces = {kind: os.readlink(f"/proc/{first}/ns/{kind}") for kind in NAMESPACES}
    box.kubectl("get", "pods", "--all-namespaces")
    box.run("helm", "list", "--all-namespaces")
    assert inside(namespaces)
    stop(box)
    assert not inside(namespaces)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert not list((folder / "run").iterdir())
    assert machine() == before


def test_a_command_ends_with_whoever_ran_it(box: Box) -> None:
    """A command in the box ends when the program that entered it is killed."""
    with subprocess.Popen(box.command("sh", "-c", "echo $$; exec sleep 1000"), stdout=subprocess.PIPE, text=True) as entered:
        assert entered.stdout is not None
        number = entered.stdout.readline().strip()
        assert "sleep 1000" in box.run("ps", "-o", "args", "-p", number).stdout
        entered.kill()
        assert entered.stdout.read() == ""  # the command had it open too, so it is gone
    assert "sleep 1000" not in box.run("ps", "-o", "args", "-p", number, check=False).stdout


def test_a_box_ends_with_its_owner(box_folder: Path) -> None:
    """A box whose owner is killed ends too: a test run that is cut off leaves no cluster behind."""
    folder = box_folder / "owned"
    folder.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as owner:
        up = [str(PROGRAMS / "box"), "up", "--dir", str(folder), "--owner", str(owner.pid)]
        subprocess.run(up, check=True, capture_output=True)
        first = os.pidfd_open(int((folder / "pid").read_text().split()[0]))
        owner.kill()
        assert select.select([first], [], [], 30)[0]
        os.close(first)


def test_two_boxes_are_up_at_once(box: Box, box_folder: Path) -> None:
    """Another box has the same addresses in namespaces of its own, and neither sees the other's objects."""
    folder = box_folder / "second"
    folder.mkdir()
    with started(folder) as other:
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" not in box.kubectl("get", "namespaces")
        assert "only-here" in other.kubectl("get", "namespaces")
    assert box.kubectl("get", "nodes")
