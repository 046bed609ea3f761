"""What we write to stops taking it: the access log's pipe, the terminal, the disk. Serving goes on, and what is lost is counted."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry import access_log
from gateway.telemetry.access_log import AccessLog
from tests.faults.programs import Program
from tests.faults.seclusion import command, secluded
from tests.faults.waiting import until
from tests.wire.conftest import Serve
from tests.wire.serving import Site

REDIRECT = "- filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere.test}}]"
LONG = "/" + "a" * 4000

Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Makes programs that end with the test."""
    programs: list[Program] = []

    def make(*options: str, **how: Any) -> Program:
        folder = tmp_path / f"config-{len(programs)}"
        folder.mkdir()
        programs.append(Program(folder, *options, **how))
        return programs[-1]

    yield make
    for program in programs:
        program.close()


def log_to(site: Site, descriptor: int) -> None:
    """From now on the lines of this gateway go to this descriptor."""

    def change() -> None:
        runtime = site.runtime
        assert runtime._log is not None
        runtime._log.close()
        runtime._log = AccessLog(runtime._core.log, "json", descriptor)

    site._thread.call(change)


def dropped(site: Site) -> int:
    (found,) = [sample.value for sample in site.statistics().counters if sample.name == "tidegate_access_log_dropped_lines_total"]
    return int(found)


def test_a_log_that_nobody_reads_is_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults, "log sink slow": requests are served as ever, what is beyond the bound is dropped and counted; once somebody reads, what
    waited comes whole, and the lines after it."""
    monkeypatch.setattr(access_log, "WAITING_LIMIT", 50_000)
    site = serve(REDIRECT)
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        log_to(site, write)
        assert {site.ask(LONG).status for _ in range(40)} == {302}
        until(lambda: not site.runtime._core.log and dropped(site) > 0, "nothing is dropped")
        lost = dropped(site)
        came = [json.loads(reader.readline()) for _ in range(40 - lost)]
        assert {line["path"] for line in came} == {LONG}
        assert site.ask("/after").status == 302
        assert json.loads(reader.readline())["path"] == "/after"
        assert dropped(site) == lost
        log_to(site, site.log.descriptor)
        os.close(write)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "not blocking"])
def test_a_log_whose_reader_leaves(serve: Serve, blocking: bool) -> None:
    """Faults, "log sink": with nobody at the other end every line is lost, and counted, and nothing else happens."""
    site = serve(REDIRECT)
    read, write = os.pipe()
    os.set_blocking(write, blocking)
    log_to(site, write)
    assert site.ask("/before").status == 302
    assert json.loads(os.read(read, 4096))["path"] == "/before"
    os.close(read)
    assert {site.ask().status for _ in range(10)} == {302}
    until(lambda: dropped(site) == 10, "not all that is lost is counted")
    log_to(site, site.log.descriptor)
    os.close(write)


def test_a_log_that_does_not_block_is_waited_for(serve: Serve) -> None:
    """Who shares our standard output may have made it non-blocking: a reader that is merely slow loses nothing."""
    site = serve(REDIRECT)
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        os.set_blocking(write, False)
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        log_to(site, write)
        assert {site.ask(f"{LONG}/{number}").status for number in range(10)} == {302}
        until(lambda: site._thread.call(lambda: not site.runtime._core.log), "the lines are not formatted")
        assert [json.loads(reader.readline())["path"] for _ in range(10)] == [f"{LONG}/{number}" for number in range(10)]
        assert dropped(site) == 0
        log_to(site, site.log.descriptor)
        os.close(write)


@secluded
def test_a_log_on_a_full_disk(serve: Serve, tmp_path: Path) -> None:
    """Faults, "disk full": lines are dropped and counted while it is full, written again once it is not."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk))
    (disk / "filler").write_bytes(b"x" * 8192)
    site = serve(REDIRECT)
    log = os.open(disk / "access.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log_to(site, log)
    assert {site.ask(LONG).status for _ in range(20)} == {302}
    until(lambda: dropped(site) + (disk / "access.log").read_bytes().count(b"\n") == 20, "not all that is lost is counted")
    before = dropped(site)
    assert before > 10
    (disk / "filler").unlink()
    assert site.ask("/after").status == 302
    until(lambda: b'"path":"/after"' in (disk / "access.log").read_bytes(), "the line is not written")
    assert dropped(site) == before
    log_to(site, site.log.descriptor)
    os.close(log)


def test_a_log_on_a_device_that_is_always_full(serve: Serve) -> None:
    """/dev/full: every line is lost and counted."""
    site = serve(REDIRECT)
    with open("/dev/full", "wb") as full:
        log_to(site, full.fileno())
        assert {site.ask().status for _ in range(10)} == {302}
        until(lambda: dropped(site) == 10, "not all that is lost is counted")
        log_to(site, site.log.descriptor)


# the program and its standard streams


@pytest.mark.slow
def test_a_reader_of_standard_output_that_leaves(run: Run) -> None:
    """`tidegate run | head -1`: no signal ends a worker; the lines are counted as dropped."""
    read, write = os.pipe()
    program = run(stdout=write)
    os.close(write)
    os.close(read)
    assert [program.ask() for _ in range(5)] == [302] * 5
    until(lambda: program.metric("tidegate_access_log_dropped_lines_total") >= 5, "the lines are not counted")
    assert program.metric("tidegate_worker_ends_total") == 0
    assert program.end() == 0


@pytest.mark.slow
def test_a_terminal_that_stands_still(run: Run) -> None:
    """Nobody reads what is shown: changes are served, health answers, and SIGTERM drains, all the same."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    program = run("--access-log", "off", stdout=write, stderr=write)
    os.close(write)
    for number in range(100):  # more than the pipe holds
        program.write(f"bad-{number}.yaml", "kind: [")
    until(lambda: program.metric("tidegate_problems") == 100, "the problems are not noticed")
    assert (program.page("/healthz/live").status_code, program.ask()) == (200, 302)
    assert program.end() == 0
    os.close(read)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(run: Run, closed: str) -> None:
    """Whoever starts us may have closed them. No socket takes their numbers, so that no line of the log is written into one."""
    program = run(wrapper=("sh", "-c", f'exec "$@" {closed}', "sh"))
    for process in (program.process.pid, *workers(program)):
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{process}/fd/{number}").startswith(("/dev/", "pipe:", "/")), "not a socket or an epoll"
    assert [program.ask() for _ in range(3)] == [302] * 3
    assert program.metric("tidegate_access_log_dropped_lines_total") == 0
    assert program.end() == 0


def workers(program: Program) -> list[int]:
    """Process ids of its workers."""
    children = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children")
    return [int(number) for number in children.read_text().split()]
