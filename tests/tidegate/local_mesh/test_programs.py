"""Programs that are kept running, as real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tidegate.local_mesh.launch
from tests.faults.waiting import until
from tests.running import run
from tidegate.local_mesh.programs import Command, Program, RestartPolicy, pause_before
from tidegate.local_mesh.variables import NotRunnable

LAUNCH = Path(tidegate.local_mesh.launch.__file__)


class Told:
    """Lines of a program, and what is said about it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[str] = []
        self._news = asyncio.Event()

    def line(self, text: str) -> None:
        self.lines.append(text)
        self._news.set()

    def message(self, text: str) -> None:
        self.messages.append(text)
        self._news.set()

    async def until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            self._news.clear()
            await self._news.wait()


def program(told: Told, *arguments: str, policy: RestartPolicy = "Always", folder: str = "") -> Program:
    command = Command(arguments, {"PATH": os.environ["PATH"], "GREETING": "hello"}, folder, told.line)
    return Program("shop/cart", lambda: command, policy, told.message)


def called(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def is_there(process: int) -> bool:
    """One that has ended may wait for whoever is to hear of it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("restarts", "pause"), [(0, 0.0), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (60, 30.0)])
def test_each_restart_waits_longer(restarts: int, pause: float) -> None:
    """Not at all the first time, half a minute at most."""
    assert pause_before(restarts) == pause


def test_lines_are_passed_on_from_both_outputs_and_the_last_without_its_end(tmp_path: Path) -> None:
    """With the environment that was given and no other, in the folder that was named."""

    async def test() -> None:
        told = Told()
        script = 'echo "$GREETING $HOME"; pwd >&2; printf rest'
        assert await program(told, "sh", "-c", script, policy="Never", folder=str(tmp_path)).run()
        assert told.lines == ["hello ", str(tmp_path), "rest"]
        assert told.messages == ["shop/cart: it ended with status 0"]

    run(test)


def test_it_is_started_again_as_its_policy_says() -> None:
    """OnFailure: until it ends well; the first time at once."""

    async def test() -> None:
        told = Told()
        kept = program(told, "sh", "-c", "echo here; exit 3", policy="OnFailure")
        running = asyncio.create_task(kept.run())
        await told.until(lambda: len(told.messages) == 2)
        await kept.stop(1.0)
        assert not await running
        assert told.messages[:2] == [
            "shop/cart: it ended with status 3, and is started again at once",
            "shop/cart: it ended with status 3, and is started again in 1 s",
        ]
        assert (kept.starts, kept.running) == (2, False)

    run(test)


@pytest.mark.parametrize(("command", "status"), [("no-such-program", 127), ("/etc/hostname", 126)])
def test_what_cannot_be_run_is_told(command: str, status: int) -> None:
    """With what the system says, and the status that shells have for it."""

    async def test() -> None:
        told = Told()
        assert not await program(told, command, policy="Never").run()
        assert told.lines[0].startswith(f"cannot run '{command}': ")
        assert told.messages == [f"shop/cart: it ended with status {status}"]

    run(test)


def test_a_fault_of_its_description_is_told_once_and_tried_again() -> None:
    """As kubelet tries again: what is missing may come."""

    async def test() -> None:
        told, tries = Told(), []

        def command() -> Command:
            tries.append(1)
            if len(tries) < 3:
                raise NotRunnable("env[0]: there is no ConfigMap")
            return Command(("true",), {"PATH": os.environ["PATH"]}, "", told.line)

        assert await Program("shop/cart", command, "OnFailure", told.message).run()
        assert told.messages == ["shop/cart: env[0]: there is no ConfigMap", "shop/cart: it ended with status 0"]

    run(test)


def test_the_end_reaches_what_it_has_started() -> None:
    """SIGTERM is the program's own; what is left of its group when it has ended is killed."""

    async def test() -> None:
        told = Told()
        kept = program(told, "sh", "-c", "sleep 600 & echo $!; wait")
        running = asyncio.create_task(kept.run())
        await told.until(lambda: bool(told.lines))
        child = int(told.lines[0])
        assert is_there(child)
        await kept.stop(10.0)
        assert not await running
        await asyncio.to_thread(until, lambda: not is_there(child), "what it had started goes on")

    run(test)


def test_who_does_not_end_is_killed() -> None:
    """After the grace, and that is told."""

    async def test() -> None:
        told = Told()
        kept = program(told, sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()")
        running = asyncio.create_task(kept.run())
        await told.until(lambda: bool(told.lines))
        await kept.stop(0.0)
        assert not await running
        assert told.messages == ["shop/cart: it has not ended within 0 s of SIGTERM, and is killed"]

    run(test)


def test_a_program_does_not_outlive_who_started_it() -> None:
    """Prctl(2), PR_SET_PDEATHSIG: also one that was killed and could end nobody."""

    async def test() -> None:
        script = f"{sys.executable} -I -S {LAUNCH} $$ sleep 600 & echo $!; exec sleep 600"
        outer = await asyncio.create_subprocess_exec("bash", "-c", script, stdout=asyncio.subprocess.PIPE)
        assert outer.stdout is not None
        inner = int(await outer.stdout.readline())
        await asyncio.to_thread(until, lambda: called(inner) == "sleep", "it never became its command")
        outer.kill()
        await outer.wait()
        await asyncio.to_thread(until, lambda: not is_there(inner), "it goes on")

    run(test)
