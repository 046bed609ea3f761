"""A program that really runs out of something: descriptors, memory. It goes on, says so, and comes back by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.running import run
from tests.tidegate.program import Program, free_port, gateway, program, redirecting

DESCRIPTORS = 128
LIMITED = ("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh")
"""Runs a program with few descriptors; it may not have more."""

Ends = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


@asynccontextmanager
async def many(port: int, count: int, begun: bytes = b"") -> AsyncIterator[Ends]:
    """So many connections, on which so much was sent."""
    ends: Ends = []
    try:
        for _ in range(count):
            ends.append(await asyncio.open_connection("127.0.0.1", port))
            ends[-1][1].write(begun)
        yield ends
    finally:
        for _, writer in ends:
            writer.transport.abort()


async def ask(port: int, path: str = "/") -> tuple[int, str]:
    """Status and body of one answer; status 0 if the connection ended without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    except ConnectionError:
        answer = ""
    finally:
        writer.transport.abort()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


async def metric(admin: int, name: str) -> float:
    """The sum of a metric's series."""
    status, text = await ask(admin, "/metrics")
    assert status == 200
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def admin_of(started: Program) -> int:
    (line,) = [line for line in started.lines if "admin at http" in line]
    return int(line.rpartition(":")[2])


def test_with_few_descriptors_connections_are_refused_and_others_served(tmp_path: Path) -> None:
    """RLIMIT_NOFILE 128: more clients than that harm neither who is connected nor the admin pages; when they leave all is well."""

    async def scenario() -> None:
        plain = free_port()
        (tmp_path / "site.yaml").write_text(f"{gateway(plain)}\n---\n{redirecting()}")
        async with program(tmp_path, "--workers", "1", before=LIMITED) as started:
            await started.until("admin at http")
            admin = admin_of(started)
            reader, writer = await asyncio.open_connection("127.0.0.1", plain)
            async with many(plain, 2 * DESCRIPTORS) as ends:
                refused = 0
                for end, _ in ends[DESCRIPTORS:]:
                    try:
                        refused += await end.read(1) == b""
                    except ConnectionError:
                        refused += 1
                assert refused == DESCRIPTORS
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 302 ")
                assert await metric(admin, "tidegate_connections_refused_total") >= DESCRIPTORS
                assert await metric(admin, "tidegate_connections") < DESCRIPTORS / 2
                assert (await ask(admin, "/healthz/ready"))[0] == 200
                assert (await ask(plain))[0] == 0
            writer.close()
            while await metric(admin, "tidegate_connections"):
                pass
            assert (await ask(plain))[0] == 302

    run(scenario)


def test_memory_that_clients_hold_is_shed_and_given_back(tmp_path: Path) -> None:
    """--memory-limit: heads that never end fill it; the worker says so, sheds, and is itself again when they are gone."""

    async def scenario() -> None:
        plain = free_port()
        (tmp_path / "site.yaml").write_text(f"{gateway(plain)}\n---\n{redirecting()}")
        async with program(tmp_path, "--workers", "1", "--memory-limit", "90Mi") as started:
            await started.until("admin at http")
            admin = admin_of(started)
            assert await metric(admin, "tidegate_overload_stage") == 0
            assert (await ask(plain))[0] == 302
            head = b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000
            async with many(plain, 1500, head):
                await started.until("worker-0: overload of memory")
                while await metric(admin, "tidegate_overload_stage") < 3:
                    pass
                assert (await ask(admin, "/healthz/ready"))[0] == 200
            await started.until("worker-0: overload is over")
            assert (await ask(plain))[0] == 302
            assert await metric(admin, "tidegate_overload_stage") == 0

    run(scenario)
