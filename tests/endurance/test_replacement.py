"""The program is replaced by a new one again and again (SIGUSR2) under a steady rate of requests, and no request notices."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.certificates import Authority
from tests.endurance.answering import answering
from tests.endurance.asking import Asked, Clients, asking, trusting
from tests.endurance.objects import Files, endpoints, forwarding, gateway, listener, route, secret, service
from tests.endurance.standing import Sizes, Standing, standing, until
from tests.tidegate.program import free_port

TAKEN_OVER = "this program serves now"
RATE = 200
"""Requests a second of each kind."""
HOUR = 3600.0
CLIENTS = 10
"""Half of them keep their connection."""


def test_no_request_fails_while_the_program_is_replaced(tmp_path: Path, sizes: Sizes, figure: Callable[[str], None]) -> None:
    """Issue 4, done when 5: 30,000 requests at 200 a second, plain as well as TLS, on kept and on new connections: 0 errors."""

    async def test() -> None:
        authority = Authority()
        requests, replacements = sizes.of(400, 30_000), sizes.of(2, 15)
        plain, secure = free_port(), free_port()
        files = Files(tmp_path / "site")
        async with answering("one") as (backend,):
            listeners = (listener("http", plain), listener("https", secure, "pair"))
            files.put("site.yaml", gateway("web", *listeners), secret("pair", authority.issue("steady.example")))
            files.put("route.yaml", route("steady", "steady.example", forwarding("one")))
            files.put("one.yaml", service("one"), *endpoints("one", [backend.port]))
            kinds = ((plain, None), (secure, trusting(authority.certificate)))
            asked = [
                Asked(port, tls=tls, keeps=bool(number % 2), every=CLIENTS / RATE) for port, tls in kinds for number in range(CLIENTS)
            ]
            async with standing(files.folder) as gate, asking(asked) as clients:
                for replacement in range(1, replacements + 1):
                    gate.process.send_signal(signal.SIGUSR2)
                    await serving_anew(gate, replacement)
                    await answered(clients, 2 * requests * replacement // replacements)
                assert clients.failures == []
        figure(f"{clients.answers} requests, {replacements} replacements, {len(clients.failures)} errors")
        assert clients.answers >= 2 * requests
        assert clients.failures == []

    sizes.run(test)


async def serving_anew(gate: Standing, times: int) -> None:
    await until(lambda: gate.count(TAKEN_OVER) >= times, "the new program serves")


async def answered(clients: Clients, count: int) -> None:
    """Returns when all have got so many answers together, or one has failed."""
    await until(lambda: clients.answers >= count or bool(clients.failures), f"{count} answers", HOUR)
