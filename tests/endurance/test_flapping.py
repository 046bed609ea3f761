"""One backend of four that comes and goes: how many requests fail without a retry, and how soon it is in use again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endurance.answering import Health, answering
from tests.endurance.asking import Asked, Clients, asking
from tests.endurance.objects import Files, endpoints, forwarding, gateway, listener, route, service
from tests.endurance.standing import Sizes, standing, until
from tests.tidegate.program import free_port

EVERY = 0.005
"""Seconds between two requests, all of them together."""
CLIENTS = 4
SHARE = 10
"""How many times fewer errors than round robin has."""
WITHIN = 2.0
"""Seconds until a backend that is well again is asked."""


@pytest.mark.parametrize("illness", [Health.REFUSING, Health.RESETTING], ids=["refuses-connections", "resets-requests"])
def test_a_flapping_backend_costs_a_tenth_of_what_it_costs_in_turn(
    tmp_path: Path, sizes: Sizes, figure: Callable[[str], None], illness: Health
) -> None:
    """Issue 4, done when 5: without retries at most a tenth of the errors of plain round robin, and back in use within 2 s."""

    async def test() -> None:
        port, cycles, seconds = free_port(), sizes.of(1, 5), sizes.of(3.0, 22.0)
        files = Files(tmp_path / "site")
        async with answering("one", "two", "three", "four") as backends:
            ports = [backend.port for backend in backends]
            files.put("site.yaml", gateway("web", listener("http", port)), route("steady", "steady.example", forwarding("all")))
            files.put("all.yaml", service("all"), *endpoints("all", ports))
            asked = [Asked(port, every=EVERY * CLIENTS)] * CLIENTS
            async with standing(files.folder) as gate, asking(asked) as clients:
                await clients.more(20)
                flapping, back, during = backends[-1], [], 0
                for _ in range(cycles):
                    before = clients.answers + len(clients.failures)
                    await flapping.become(illness)
                    await asyncio.sleep(seconds)
                    during += clients.answers + len(clients.failures) - before
                    back.append(await well_again(clients, flapping.name.encode(), lambda: flapping.become(Health.GOOD)))
                    await asyncio.sleep(seconds if sizes.whole else 0)
                assert gate.process.returncode is None
        failed, expected = len(clients.failures), during / len(backends)
        figure(f"{failed} of {clients.answers} requests failed, {expected:.0f} would have in turn; back in use after "
               f"{', '.join(f'{each:.2f}' for each in back)} s")  # fmt: skip
        assert failed <= expected / SHARE, clients.failures
        if sizes.whole:
            assert max(back) < WITHIN

    sizes.run(test)


async def well_again(clients: Clients, name: bytes, recover: Callable[[], object]) -> float:
    """Lets a backend recover; seconds until it has answered a request."""
    begun = asyncio.get_running_loop().time()
    recovered = recover()
    assert asyncio.iscoroutine(recovered)
    await recovered
    return await until(lambda: any(client.seen.get(name, 0) > begun for client in clients), "the backend is asked again")
