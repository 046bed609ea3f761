"""Signals of `tidegate run` as a process: the program replaced under load, again and again, and what may go wrong with that."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.running import run
from tests.tidegate.load import Client, asking, failures, more
from tests.tidegate.program import STARTED, Program, forwarding, free_port, gateway, program, redirecting, secret

pytestmark = pytest.mark.slow

TAKEN_OVER = "this program serves now"
REFUSED = "does not take over"


@asynccontextmanager
async def under_load(folder: Path, *options: str) -> AsyncIterator[tuple[Program, list[Client]]]:
    """A program, and clients of every kind that ask it without pause."""
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.certificate)
    plain, secure = free_port(), free_port()
    pair = authority.issue("localhost", "127.0.0.1")
    (folder / "site.yaml").write_text("\n---\n".join((gateway(plain, secure), secret(pair), redirecting())))
    clients = [Client(port, tls, keeps=keeps) for port, tls in ((plain, None), (secure, context)) for keeps in (True, False)]
    async with program(folder, *options) as running:
        await running.until(STARTED)
        async with asking(clients):
            await more(clients, 10)
            yield running, clients


@asynccontextmanager
async def serving(folder: Path, *options: str, **environment: str) -> AsyncIterator[tuple[Program, int]]:
    """A program with one worker on a plain port."""
    port = free_port()
    (folder / "site.yaml").write_text("\n---\n".join((gateway(port), redirecting())))
    async with program(folder, "--workers", "1", *options, environment=environment) as running:
        await running.until(STARTED)
        yield running, port


async def ask(port: int, target: str = "/", *, host: str = "localhost") -> bytes:
    """The whole answer of a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def processes(parent: int, part: bytes = b"") -> list[int]:
    """Processes that a process has started and whose command has this in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and part in command:
            found.append(int(folder.name))
    return sorted(found)


def variable(process: int, name: str) -> bytes:
    """Of the environment that a process was started with."""
    pairs = (entry.partition(b"=") for entry in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"))
    return {found: value for found, _, value in pairs}[name.encode()]


def test_a_program_is_replaced_again_and_again_and_no_request_fails(tmp_path: Path) -> None:
    """Issue 4, done when 5: connections that are kept and new ones, plain and TLS; whoever started it keeps its process."""

    async def test() -> None:
        async with under_load(tmp_path, "--workers", "2") as (running, clients):
            for replacement in range(1, 4):
                running.signal(signal.SIGUSR2)
                await running.until(TAKEN_OVER, replacement)
                await more(clients, 20)
            assert failures(clients) == []
            assert running.process.returncode is None
            assert running.count("replaced: what is under way") == 3

    run(test)


def test_a_worker_killed_under_load_costs_its_own_requests_alone(tmp_path: Path) -> None:
    """R5: of clients that ask one request at a time only those may fail whose connection was the dead worker's; nobody is refused."""

    async def test() -> None:
        port = free_port()
        (tmp_path / "site.yaml").write_text("\n---\n".join((gateway(port), redirecting())))
        clients = [Client(port) for _ in range(8)]
        async with program(tmp_path, "--workers", "2") as running:
            await running.until(STARTED)
            async with asking(clients):
                for killed in range(1, 4):
                    os.kill(processes(running.process.pid, b"gateway.worker")[0], signal.SIGKILL)
                    await running.until("was killed by signal SIGKILL", killed)
                    await more(clients, 20)
                    await more(clients, 20)
        assert len(failures(clients)) <= 3 * len(clients)
        assert not any("refused" in failure or "http/1.1" in failure for failure in failures(clients)), failures(clients)

    run(test)


def test_what_is_under_way_is_finished_by_the_program_that_began_it(tmp_path: Path) -> None:
    """The old one drains by the usual rules: a request that it has sent to a backend gets its answer."""

    async def test() -> None:
        asked, answering = asyncio.Event(), asyncio.Event()

        async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await answering.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(backend, "127.0.0.1", 0)
        async with serving(tmp_path) as (running, port):
            (tmp_path / "slow.yaml").write_text(forwarding("/slow", server.sockets[0].getsockname()[1]))
            await running.until("HTTPRoute default/forwarding")
            async with asyncio.TaskGroup() as tasks:
                slow = tasks.create_task(ask(port, "/slow"))
                await asked.wait()
                running.signal(signal.SIGUSR2)
                await running.until(TAKEN_OVER)
                assert (await ask(port)).startswith(b"HTTP/1.1 302")
                answering.set()
            assert slow.result().endswith(b"slow")
        server.close()

    run(test)


def test_broken_new_code_is_told_and_the_old_goes_on(tmp_path: Path) -> None:
    """A program that ends before it is ready takes nothing with it; when it is mended, the next signal works."""
    code = tmp_path / "code"
    code.mkdir()
    files = tmp_path / "files"
    files.mkdir()

    async def test() -> None:
        async with serving(files, PYTHONPATH=str(code)) as (running, port):
            (code / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
            running.signal(signal.SIGUSR2)
            await running.until(REFUSED)
            assert running.count("it ended with exit status 3 before it was ready; this one goes on") == 1
            assert (await ask(port)).startswith(b"HTTP/1.1 302")
            (code / "sitecustomize.py").unlink()
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            assert (await ask(port)).startswith(b"HTTP/1.1 302")

    run(test)


def test_files_that_cannot_be_read_keep_the_old_program(tmp_path: Path) -> None:
    """It still has the last good version of what is in them; a new one would not."""

    async def test() -> None:
        async with serving(tmp_path) as (running, port):
            site = (tmp_path / "site.yaml").read_text()
            (tmp_path / "site.yaml").write_text("kind: [")
            await running.until("problem")
            running.signal(signal.SIGUSR2)
            await running.until(REFUSED)
            assert running.count("the files cannot all be read") == 1
            assert (await ask(port)).startswith(b"HTTP/1.1 302")
            (tmp_path / "site.yaml").write_text(site)
            await running.until("solved")
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            assert (await ask(port)).startswith(b"HTTP/1.1 302")

    run(test)


def test_a_storm_of_signals_does_no_harm(tmp_path: Path) -> None:
    """SIGHUP is idempotent; SIGUSR2 while a replacement is under way is told once and otherwise ignored."""

    async def test() -> None:
        async with under_load(tmp_path, "--workers", "1") as (running, clients):
            for _ in range(50):
                running.signal(signal.SIGHUP)
                running.signal(signal.SIGUSR2)
                await asyncio.sleep(0)
            await running.until(TAKEN_OVER)
            for _ in range(50):
                running.signal(signal.SIGHUP)
                await asyncio.sleep(0)
            await more(clients, 20)
            assert failures(clients) == []
            assert running.count("starts to take over") == running.count(TAKEN_OVER)
            assert running.count("is being replaced already") <= running.count("starts to take over")

    run(test)


def test_a_hangup_reads_all_files_again_and_following_goes_on(tmp_path: Path) -> None:
    """SIGHUP, as for other servers, is a reload: what is served stays, and the next change comes as before."""

    async def test() -> None:
        async with serving(tmp_path) as (running, port):
            running.signal(signal.SIGHUP)
            await running.until("SIGHUP: all files are read again")
            assert (await ask(port)).startswith(b"HTTP/1.1 302")
            (tmp_path / "more.yaml").write_text(forwarding("/more", free_port()))
            await running.until("HTTPRoute default/forwarding")
            assert (await ask(port, "/more")).startswith(b"HTTP/1.1 503")

    run(test)


def test_whoever_started_the_program_still_speaks_to_it(tmp_path: Path) -> None:
    """A supervisor or container knows one process: it stays, passes signals on, and ends with the status of the last program."""

    async def test() -> None:
        async with serving(tmp_path, "--drain-timeout", "1s") as (running, port):
            for replacement in (1, 2):
                running.signal(signal.SIGUSR2)
                await running.until(TAKEN_OVER, replacement)
            running.signal(signal.SIGHUP)
            await running.until("SIGHUP: all files are read again")
            assert (await ask(port)).startswith(b"HTTP/1.1 302")
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
            with pytest.raises(ConnectionRefusedError):
                await ask(port)

    run(test)


def test_signals_of_every_moment_are_passed_on(tmp_path: Path) -> None:
    """Also while the old program turns into the small one that stays: none ends it, and the last one is heard."""

    async def test() -> None:
        async with serving(tmp_path, "--drain-timeout", "1s") as (running, _):
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            while running.process.pid not in processes(os.getpid(), b"forwarder"):
                running.signal(signal.SIGHUP)
                await asyncio.sleep(0.001)
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
            assert running.count("SIGTERM: draining") == 1

    run(test)


def test_the_end_of_the_new_program_is_the_end(tmp_path: Path) -> None:
    """A crash is not hidden from a supervisor, which would have started the first one again."""

    async def test() -> None:
        async with serving(tmp_path) as (running, _):
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            await running.until("replaced: what is under way")
            (successor,) = processes(running.process.pid, b"tidegate")
            os.kill(successor, signal.SIGKILL)
            assert await running.ended() == 128 + signal.SIGKILL

    run(test)


def test_a_termination_while_it_is_being_replaced_ends_everything(tmp_path: Path) -> None:
    """No other program takes over from one that was told to end."""

    async def test() -> None:
        async with serving(tmp_path) as (running, port):
            running.signal(signal.SIGUSR2)
            await running.until("starts to take over")
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
            with pytest.raises(ConnectionRefusedError):
                await ask(port)

    run(test)


def test_the_session_key_is_passed_on(tmp_path: Path) -> None:
    """A key that was drawn at the start, so that sessions outlive the program."""

    async def test() -> None:
        async with serving(tmp_path) as (running, _):
            keys = {variable(worker, "TIDEGATE_SESSION_KEY") for worker in processes(running.process.pid, b"gateway.worker")}
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            (successor,) = processes(running.process.pid, b"tidegate")
            assert keys == {variable(successor, "TIDEGATE_SESSION_KEY")}

    run(test)


def test_a_second_instance_is_told_what_is_taken(tmp_path: Path) -> None:
    """On the same admin port it ends, with the option to change; on another one it names the listener's port that it cannot have."""

    async def test() -> None:
        async with serving(tmp_path) as (first, port):
            admin = next(line.rpartition("http://")[2] for line in first.lines if STARTED in line)
            async with program(tmp_path, "--admin", admin) as second:
                assert await second.ended() == 2
            assert second.count("--admin chooses another address or port, for example if tidegate runs already") == 1
            async with program(tmp_path, "--workers", "1") as third:
                await third.until(f"cannot listen on 127.0.0.1:{port}: the port is in use")
            assert (await ask(port)).startswith(b"HTTP/1.1 302")

    run(test)


def test_a_terminal_that_goes_ends_what_was_started_on_it(tmp_path: Path) -> None:
    """SIGHUP means that, too, and a foreground program is not to live on unseen."""

    async def test() -> None:
        (tmp_path / "site.yaml").write_text("\n---\n".join((gateway(free_port()), redirecting())))
        screen, terminal = os.openpty()
        async with program(tmp_path, "--workers", "1", terminal=terminal) as running:
            await running.until(STARTED)
            os.close(terminal)
            os.close(screen)
            await running.until("SIGHUP: draining")
            assert await running.ended() == 0

    run(test)


def test_demo_backends_answer_throughout(tmp_path: Path) -> None:
    """Old and new ones share their ports for a while, so that the quick start can be replaced like anything else."""

    async def test() -> None:
        async with serving(tmp_path, "--demo-backends", "--drain-timeout", "1s") as (running, port):
            (tmp_path / "demo.yaml").write_text(forwarding("/demo", free_port()))
            await running.until("HTTPRoute default/forwarding")
            assert (await ask(port, "/demo")).startswith(b"HTTP/1.1 200")
            running.signal(signal.SIGUSR2)
            await running.until(TAKEN_OVER)
            while processes(running.process.pid, b"gateway.worker"):
                assert (await ask(port, "/demo")).startswith(b"HTTP/1.1 200")
            assert (await ask(port, "/demo")).startswith(b"HTTP/1.1 200")
            assert running.count("no demo backend") == 0

    run(test)
