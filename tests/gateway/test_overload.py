"""The ladder of overload: readings lead to stages, stages to what ports are told. Readings are plain values here."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.overload import Overload, Readings, Stage
from gateway.overload.descriptors import DescriptorShare, limit, most_connections
from gateway.overload.ladder import LEVELS, Ladder
from gateway.overload.memory import give_back, memory_share, resident
from gateway.overload.overload import PERIOD, TICK
from gateway.proxy.restraint import Restraint


class Told:
    """A port that remembers what it was told last."""

    def __init__(self) -> None:
        self.port = self
        self.ports = (self,)
        self.connections: set[Any] = set()
        self.idle_ceiling = inf
        self.restraint = Restraint()
        self.accepting = True

    def press(self, idle_ceiling: float, restraint: Restraint) -> None:
        self.idle_ceiling, self.restraint = idle_ceiling, restraint

    def pause(self) -> None:
        self.accepting = False

    def resume(self) -> None:
        self.accepting = True

    def tend(self) -> None:
        pass

    @property
    def stage(self) -> Stage:
        """What the port does, as the stage it stands for."""
        if not self.accepting:
            return Stage.NOT_ACCEPTING
        if self.restraint.shortage:
            return Stage.SHEDDING
        if self.restraint.closing:
            return Stage.NO_KEEP_ALIVE
        return Stage.SHORT_IDLE if self.idle_ceiling < inf else Stage.NORMAL


class Worker:
    """An Overload with one port, on a clock and with readings that the test sets."""

    def __init__(self) -> None:
        self.opened = Told()
        self.share = {"memory": 0.0, "descriptors": 0.0}
        self.lines: list[str] = []
        self.now = 1000.0
        self.overload = Overload(
            SimpleNamespace(),  # type: ignore[arg-type]  # the core is only needed where connections are idle
            lambda: [self.opened],  # type: ignore[list-item]  # as much of an OpenPort as an Overload calls
            SimpleNamespace(memory=lambda: self.share["memory"], descriptors=lambda: self.share["descriptors"]),
            self.lines.append,
        )
        self.overload.tick(self.now, 0.0)

    def pass_time(self, seconds: float, late: float = 0.0) -> None:
        """The loop ticks, each time so late."""
        end = self.now + seconds
        while self.now < end:
            self.now = self.overload.next_tick(self.now, busy=True) + late
            self.overload.tick(self.now, late)

    def read(self, **shares: float) -> Stage:
        self.share.update(shares)
        self.pass_time(2 * PERIOD)
        return self.overload.stage


@pytest.fixture
def worker() -> Worker:
    return Worker()


# ticks


def test_a_worker_that_has_nothing_to_do_wakes_once_a_period(worker: Worker) -> None:
    """And four times as often while it has, or as long as it is late although it has not."""
    assert worker.overload.next_tick(worker.now, busy=False) == worker.now + PERIOD
    assert worker.overload.next_tick(worker.now, busy=True) == worker.now + TICK
    worker.now += TICK
    worker.overload.tick(worker.now, 0.1)
    assert worker.overload.next_tick(worker.now, busy=False) == worker.now + TICK
    worker.now += TICK
    worker.overload.tick(worker.now, 0.001)
    assert worker.overload.next_tick(worker.now, busy=False) == worker.now + 2 * TICK


# stages


@pytest.mark.parametrize("what", ["memory", "descriptors"])
def test_each_level_of_a_limit_has_its_stage(worker: Worker, what: str) -> None:
    """85 % shortens idle times, 92 % ends keep-alive, 95 % sheds, 98 % stops accepting."""
    shares = [0.5, 0.84, 0.85, 0.91, 0.92, 0.94, 0.95, 0.97, 0.98, 1.2]
    stages = [worker.read(**{what: share}) for share in shares]
    assert stages == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_stage_ends_below_its_level(worker: Worker) -> None:
    """Each is left a few percent below where it begins, so that a worker at the edge does not go back and forth."""
    worker.read(memory=0.99)
    shares = [0.96, 0.94, 0.93, 0.91, 0.89, 0.87, 0.81, 0.79]
    assert [worker.read(memory=share) for share in shares] == [4, 3, 3, 2, 2, 1, 1, 0]


def test_pressure_that_is_gone_is_over_at_once(worker: Worker) -> None:
    """Down all stages with one reading, as up."""
    assert [worker.read(memory=share) for share in (0.99, 0.1, 0.99, 0.1)] == [4, 0, 4, 0]


def test_the_scarcest_resource_decides(worker: Worker) -> None:
    """And each has to recover by itself."""
    assert worker.read(memory=0.93, descriptors=0.96) == Stage.SHEDDING
    assert worker.read(descriptors=0.5) == Stage.NO_KEEP_ALIVE
    assert worker.read(memory=0.5) == Stage.NORMAL


def test_a_late_loop_sheds_and_goes_on_accepting(worker: Worker) -> None:
    """A queue of connections that nobody accepts would make a late loop no faster, and would not end by itself."""
    stages = []
    for late in (0.15, 0.25, 0.65, 1.05, 5.0):
        worker.pass_time(60, late)
        stages.append(worker.overload.stage)
    assert stages == [0, 1, 2, 3, 3]
    assert worker.opened.accepting
    worker.pass_time(60)
    assert worker.overload.stage == Stage.NORMAL


def test_one_long_delay_is_no_overload(worker: Worker) -> None:
    """A batch, a collection of garbage or a suspended machine stops the loop once."""
    for _ in range(5):
        worker.now += 30
        worker.overload.tick(worker.now, 30)
        worker.pass_time(PERIOD)
        assert worker.overload.stage == Stage.NORMAL


@given(st.lists(st.builds(Readings, *[st.floats(0, 2)] * 3), min_size=1))
def test_the_stage_is_between_what_the_readings_alone_would_give(history: list[Readings]) -> None:
    """Never below the stage whose level the last reading reaches, never above the highest that one of its resources has reached."""
    ladder = Ladder()
    for readings in history:
        ladder.read(readings)
    last = dict(zip(Readings._fields, history[-1], strict=True))
    assert ladder.stage >= max(sum(last[name] >= level for level in LEVELS[name].enter) for name in LEVELS)
    highest = [max(getattr(readings, name) for readings in history) for name in LEVELS]
    assert ladder.stage <= max(sum(top >= level for level in LEVELS[name].enter) for name, top in zip(LEVELS, highest, strict=True))
    assert bool(ladder.shortage) == bool(ladder.stage)


# what is done


def test_each_stage_does_what_those_below_it_do(worker: Worker) -> None:
    """Short idle times, then no keep-alive, then 503 with what ran short, then no new connections."""
    done = []
    for share in (0.5, 0.85, 0.92, 0.95, 0.98):
        worker.read(memory=share)
        opened = worker.opened
        done.append((opened.idle_ceiling, opened.restraint.closing, opened.restraint.shortage, opened.accepting))
    assert done == [
        (inf, False, "", True),
        (2.0, False, "", True),
        (2.0, True, "", True),
        (2.0, True, "memory", True),
        (2.0, True, "memory", False),
    ]
    worker.read(memory=0.1)
    assert worker.opened.stage == Stage.NORMAL


def test_a_port_that_is_opened_under_overload_is_told(worker: Worker) -> None:
    """With the next readings."""
    worker.read(descriptors=0.96)
    worker.opened = Told()
    worker.pass_time(2 * PERIOD)
    assert worker.opened.restraint.shortage == "file descriptors"


def test_a_change_is_said_once(worker: Worker) -> None:
    """What ran short, how much of it is used, and what is done about it."""
    worker.read(memory=0.96)
    worker.read(memory=0.961)
    worker.read(memory=0.2)
    assert worker.lines == [
        "overload of memory (96% in use): new requests are answered with 503",
        "overload is over: serving as usual",
    ]


def test_gauges_are_each_workers_own(worker: Worker) -> None:
    """Sums over workers would mean nothing."""
    worker.read(memory=0.93, descriptors=0.5)
    found = {(sample.name, dict(sample.labels).get("resource")): sample.value for sample in worker.overload.gauges("worker-1")}
    assert found["tidegate_overload_stage", None] == 2
    assert found["tidegate_overload_pressure", "memory"] == 0.93
    assert found["tidegate_overload_pressure", "descriptors"] == 0.5
    assert all(dict(sample.labels)["worker"] == "worker-1" for sample in worker.overload.gauges("worker-1"))


# readings of the system


def group(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A root folder with what the kernel shows of control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_a_control_group_counts_as_a_whole(tmp_path: Path) -> None:
    """Its limit kills all that is in it; the page cache that the kernel can take back does not count (memory.stat, inactive_file)."""
    root = group(
        tmp_path,
        "0::/pod/box\n",
        {
            "pod/box/memory.max": "1000\n",
            "pod/box/memory.current": "900\n",
            "pod/box/memory.stat": "anon 600\nfile 300\nslab 7\ninactive_file 200\n",
            "pod/memory.max": "max\n",
        },
    )
    assert memory_share(0, 1, root)() == 0.7


def test_the_smallest_limit_on_the_way_out_counts(tmp_path: Path) -> None:
    """A group inside another has both limits (control groups version 2)."""
    files = {
        "pod/box/memory.max": "4000\n",
        "pod/box/memory.current": "100\n",
        "pod/box/memory.stat": "inactive_file 0\n",
        "pod/memory.max": "1000\n",
        "pod/memory.current": "500\n",
        "pod/memory.stat": "inactive_file 0\n",
    }
    assert memory_share(0, 1, group(tmp_path, "0::/pod/box\n", files))() == 0.5


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    """Other names, and a huge number for no limit; in a container the path is the host's and the files are at the base."""
    files = {
        "memory/memory.limit_in_bytes": "1000\n",
        "memory/memory.usage_in_bytes": "800\n",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
    }
    root = group(tmp_path, "9:name=systemd:/\n4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n0::/\n", files)
    assert memory_share(0, 1, root)() == 0.5


@pytest.mark.parametrize("files", [{}, {"memory.max": "max\n"}, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}])
def test_without_a_limit_each_worker_has_its_part_of_the_machine(tmp_path: Path, files: dict[str, str]) -> None:
    """Resident memory (statm, second number) against the machine's, shared by all workers."""
    root = group(tmp_path, "0::/\n2:memory:/\n", files)
    page = os.sysconf("SC_PAGE_SIZE")
    pages = os.sysconf("SC_PHYS_PAGES") // 4
    (root / "proc/self/statm").write_text(f"{2 * pages} {pages} 7 1 0 9 0\n")
    assert memory_share(0, 4, root)() == pytest.approx(1, abs=0.01)
    assert memory_share(4 * pages * page, 4, root)() == 0.25


def test_a_limit_that_was_given_goes_before_that_of_the_group(tmp_path: Path) -> None:
    """--memory-limit is for those who know better."""
    root = group(tmp_path, "0::/\n", {"memory.max": "1000\n", "memory.current": "999\n"})
    (root / "proc/self/statm").write_text("200 100 7 1 0 9 0\n")
    assert memory_share(1000 * os.sysconf("SC_PAGE_SIZE"), 1, root)() == 0.1


def test_memory_of_this_very_process() -> None:
    """The system tells it, and it is more than nothing and less than all."""
    assert 0 < memory_share(0, 1)() < 1
    assert resident() > 10_000_000
    give_back()


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """A limit of 32 above what is open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(os.listdir("/proc/self/fd")) + 32
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_of_this_very_process(few_descriptors: int) -> None:
    """The share rises with each socket and falls with its end."""
    share = DescriptorShare()
    before = share()
    with socket.socket(), socket.socket(), socket.socket():
        assert share() == pytest.approx(before + 3 / few_descriptors)
    assert share() == pytest.approx(before)


def test_listing_descriptors_agrees_with_counting_them() -> None:
    """What older kernels are asked."""
    before, counted = DescriptorShare()._list(), DescriptorShare()()
    sockets = [socket.socket() for _ in range(100)]
    listed = DescriptorShare()._list() - before
    counted = (DescriptorShare()() - counted) * limit()
    for each in sockets:
        each.close()
    assert abs(listed - 100) < 10  # other threads of the test run come and go
    assert abs(counted - 100) < 10


def test_clients_get_less_than_half_of_the_descriptors(few_descriptors: int) -> None:
    """Each may need another one to its backend."""
    assert 0 < most_connections() < few_descriptors / 2
