"""A place among the workers, for one process after another: starting it, hearing of it, ending it, and what became of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import msgspec

from gateway.allocator import SETTINGS
from gateway.descriptors import Connection, DescriptorSender
from gateway.options import RuntimeOptions
from gateway.watchdog import Pulse

PROGRAM: Final = (sys.executable, "-P", "-m", "gateway.worker")
"""-P keeps the folder that the user stands in out of the import path."""

_POLL: Final = 0.01


class WorkerProcess:
    """Owner of one process at a time, of its pulse, and of our end of its descriptor channel."""

    __slots__ = ("_starts", "failed", "name", "number", "process", "pulse", "sender")

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"worker-{number}"
        self.process: subprocess.Popen[bytes] | None = None
        self.sender: DescriptorSender | None = None
        self.pulse = Pulse()
        self.failed = False
        """Whether the last process ended with a status of its own that is not 0."""
        self._starts = 0

    @property
    def serves(self) -> bool:
        """Whether it accepts what comes to its sockets: it has put its first batch in place and is not silent."""
        return self.sender is not None and self.pulse.serving and not self.pulse.silent

    @property
    def takes(self) -> bool:
        """Whether connections may be handed to it."""
        return self.serves and not self.pulse.full

    @property
    def silent(self) -> bool:
        """Whether nobody should wait for it now."""
        return self.pulse.silent

    @property
    def late(self) -> bool:
        """Whether it replaces one that served, so that nothing waits for it before it serves."""
        return self._starts > 1

    def listen(self) -> None:
        """Takes note of the heartbeats that have come."""
        for beat in self.sender.beats() if self.sender is not None else ():
            self.pulse.heard(beat)

    def start(self, program: tuple[str, ...], options: RuntimeOptions) -> tuple[socket.socket, DescriptorSender]:
        """Starts a process; returns our ends of its stream and of its descriptor channel. Raises OSError."""
        stream, its_stream = socket.socketpair()
        channel, its_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inherited = (its_stream.fileno(), its_channel.fileno())
        arguments = (*program, *map(str, inherited), msgspec.json.encode(options).decode())
        shared = () if options.shared_descriptor is None else (options.shared_descriptor,)
        try:
            # What the terminal sends to all must not meet a worker before it ignores it: blocked signals stay blocked over exec.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            try:
                self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, pass_fds=inherited + shared, env=_environment())
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        except BaseException:
            stream.close()
            channel.close()
            raise
        finally:
            its_stream.close()
            its_channel.close()
        self._starts += 1
        self.pulse = Pulse()
        self.sender = DescriptorSender(channel)
        return stream, self.sender

    async def end_within(self, seconds: float) -> bool:
        """Waits for the process to end; False if it has not."""
        if self.process is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await _ended(self.process)
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def disconnect(self) -> tuple[Connection, ...]:
        """Closes the descriptor channel; the connections that had not been sent yet are the caller's."""
        sender, self.sender = self.sender, None
        return sender.close() if sender is not None else ()

    async def bury(self) -> str:
        """Ends the process if it still lives; returns what became of it."""
        process = self.process
        assert process is not None
        killed = process.poll() is None
        process.kill()
        await _ended(process)
        self.process = None
        self.failed = process.returncode > 0
        if killed:
            return f"{self.name} (process {process.pid}) closed its stream and did not end: it was killed"
        return f"{self.name} (process {process.pid}) {_ending(process.returncode)}"


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110  # no event on every platform; its stream has ended or it was killed, so this is short
        await asyncio.sleep(_POLL)


def _ending(status: int) -> str:
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}  # most real-time signals have none
        return f"was killed by signal {names.get(-status, -status)}"
    if status:
        return f"failed with exit status {status} (standard error says why)"
    return "ended without being told to"


def _environment() -> dict[str, str]:
    """Ours, and where this very package is, unless every interpreter of this installation finds it anyway."""
    root = str(Path(__file__).resolve().parents[1])
    environment = SETTINGS | os.environ
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
    return environment
