"""The API server of a cluster is away, or silent: traffic does not notice, and what happened meanwhile is caught up with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.box.faults.injuring import API_PORT, api_away, killed, lost, program, started_at
from tests.box.faults.standing import Shop, await_said, controllers, leader, metric, name_of, said, watching_programmed
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
MINUTES_2 = 120.0
MINUTES_30 = 1800.0
SHORT = 12.0
"""Longer than a leader can go on without the API server."""


@pytest.mark.parametrize("whole", [MINUTES_2, MINUTES_30])
def test_an_api_server_that_is_away_is_not_noticed(shop: Shop, sizes: Sizes, figure: Figure, whole: float) -> None:
    """No API server for half an hour: no request fails, a proxy that is restarted meanwhile serves its snapshot (R8), and an edit is
    served when it is back."""
    if not sizes.whole and whole == MINUTES_30:
        pytest.skip("half an hour: make endurance")
    restarted = shop.proxies()[0]
    with shop.load() as load:
        with api_away(shop.box):
            begun = time.monotonic()
            new = killed(partial(program, shop.box, name_of(restarted)))
            up = await_said(shop.box, restarted, "ready: the first configuration is in place", started_at(new))
            dead = load.more(1)["failures"]
            while time.monotonic() - begun < sizes.of(SHORT, whole):
                account = load.more(100)
            failed = len(account["failures"]) - len(dead)
            figure(f"{failed} of {account['begun']} requests failed in {time.monotonic() - begun:.0f} s without it")
            figure(f"a proxy that was restarted meanwhile was ready {up - started_at(new):.2f} s after its process began")
            assert account["failures"] == dead, account["failures"][-5:]
        back = time.monotonic()
        shop.set("green", "green-1")
        load.until("200 green green-1")
        figure(f"an edit is served {time.monotonic() - back:.1f} s after it is back")
        assert load.more(100)["failures"] == dead
    assert any("serving the snapshot of" in line for at, line in said(shop.box, restarted) if at > started_at(new))


def test_a_watch_that_goes_silent_is_noticed(shop: Shop, sizes: Sizes, figure: Figure) -> None:
    """Packets between the controllers and the API server are lost without a word: what is live stays, the seconds of silence are a
    metric, within a minute the watches are given up (R9; whole form), and what was edited meanwhile is served once they are through."""
    pods = controllers(shop.box)
    addresses = ", ".join(pod["status"]["podIP"] for pod in pods)
    with watching_programmed(shop) as programmed, shop.asked() as load:
        with lost(shop.box, f"ip saddr {{ {addresses} }} tcp dport {API_PORT}", f"ip daddr {{ {addresses} }} tcp sport {API_PORT}"):
            since, begun = time.time(), time.monotonic()
            shop.set("green", "green-1")
            while time.monotonic() - begun < sizes.of(SHORT, 70.0):
                account = load.more(100)
            assert "200 green green-1" not in account["answered"]
            assert metric(shop.box, pods[0], "tidegate_controller_watch_silent_seconds") > 0
            if sizes.whole:
                noticed = [await_said(shop.box, pod, "what was read stays in place", since) - since for pod in pods]
                figure(f"noticed after {', '.join(f'{each:.0f} s' for each in noticed)}")
                assert max(noticed) <= 60.0  # R9: a promise, not a speed
        through = time.monotonic()
        load.until("200 green green-1", through)
        figure(f"what was edited meanwhile is served {time.monotonic() - through:.1f} s after packets are through again")
        leader(shop.box)
    assert set(programmed) == {"True"}
