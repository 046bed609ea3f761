"""Replicas of the controller die, are rolled out anew, or lose sight of the API server or their proxies: traffic does not notice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.box.cluster import available, condition
from tests.box.faults.injuring import API_PORT, killed, program, silent_between, started_at
from tests.box.faults.standing import (
    LEASE,
    SYSTEM,
    Shop,
    await_said,
    controllers,
    leader,
    leads,
    name_of,
    renewed,
    watching_programmed,
)
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
EDITS = 12


def mixed(account: dict[str, Any]) -> list[str]:
    """Answers of a backend with a mark that was set with the other one."""
    seen = (each.split() for each in account["answered"])
    return [" ".join(each) for each in seen if len(each) != 3 or not each[2].startswith(each[1])]


def test_all_replicas_killed_at_once_are_not_noticed(shop: Shop, figure: Figure) -> None:
    """SIGKILL of every replica: no request fails, an edit of the time without is served once one is back, no status flaps."""
    places = [partial(program, shop.box, name_of(pod)) for pod in controllers(shop.box)]
    with watching_programmed(shop) as programmed, shop.asked() as load:
        for look in places:
            os.kill(look(), signal.SIGSTOP)  # from here on nothing is taken
        shop.set("green", "green-1")
        processes = [killed(look) for look in places]
        load.until("200 green green-1")
        figure(f"an edit of the time without a controller is served {time.time() - min(map(started_at, processes)):.2f} s after its start")
        assert mixed(load.more(100)) == []
    assert set(programmed) == {"True"}


def test_the_leader_killed_between_edits_mixes_none(shop: Shop, sizes: Sizes) -> None:
    """The leader is killed while a route is edited again and again: every answer is of one edit, whole, and the last one is served."""
    with shop.asked() as load:
        for number in range(sizes.of(EDITS, 20 * EDITS)):
            backend = ("green", "blue")[number % 2]
            shop.set(backend, f"{backend}-{number}")
            if number % EDITS == EDITS // 2:
                name = name_of(leader(shop.box))
                killed(partial(program, shop.box, name))
                shop.box.kubectl("delete", "pod", name, "--namespace", SYSTEM, "--wait=false")  # the kubelet would wait longer each time
        load.until(f"200 {backend} {backend}-{number}")
        assert mixed(load.more(100)) == []


def test_a_lost_leader_is_followed(shop: Shop, figure: Figure) -> None:
    """A leader that stands still is followed by the other replica, which writes the status of what changed meanwhile; whoever comes to
    itself again does not write, and proxies were served all the time (R10)."""
    pod = leader(shop.box)
    pid = program(shop.box, name_of(pod))
    with watching_programmed(shop) as programmed, shop.asked() as load:
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            shop.set("green", "green-1")
            served = load.until("200 green green-1", begun)
            generation = shop.box.get("httproute", "shop", shop.namespace)["metadata"]["generation"]
            shop.box.wait("httproute", "shop", lambda it: observed(it) == generation, shop.namespace)
            written = time.monotonic() - begun
            figure(f"without the leader an edit is served after {served:.1f} s, its status written after {written:.1f} s")
            assert leads(shop.box) != name_of(pod)
        finally:
            os.kill(pid, signal.SIGCONT)
        await_said(shop.box, pod, "another replica leads", time.time() - 1)
        other = leads(shop.box)
        shop.set("blue", "blue-2")
        load.until("200 blue blue-2")
        assert leads(shop.box) == other != name_of(pod)
    assert set(programmed) == {"True"}


def test_a_leader_that_cannot_reach_the_api_server_is_followed(shop: Shop, figure: Figure) -> None:
    """A leader that is cut off from the API server stops by itself, the other replica begins, and proxies come over to it."""
    pod = leader(shop.box)
    with watching_programmed(shop) as programmed, shop.asked() as load:
        begun = time.monotonic()
        with silent_between(shop.box, pod, API_PORT):
            since = time.time()
            shop.box.wait("lease", LEASE, lambda it: it["spec"]["holderIdentity"].partition("_")[0] not in ("", name_of(pod)), SYSTEM)
            shop.set("green", "green-1")
            load.until("200 green green-1")
            generation = shop.box.get("httproute", "shop", shop.namespace)["metadata"]["generation"]
            shop.box.wait("httproute", "shop", lambda it: observed(it) == generation, shop.namespace)
            figure(f"an edit is served and its status written {time.monotonic() - begun:.1f} s after the leader was cut off")
            await_said(shop.box, pod, "another replica leads", since)
        shop.set("blue", "blue-2")
        load.until("200 blue blue-2")
    assert set(programmed) == {"True"}


def test_a_rolling_restart_is_not_noticed(shop: Shop, sizes: Sizes, figure: Figure) -> None:
    """`kubectl rollout restart` of the controller under load: no request fails, Programmed never leaves True, and edits are served."""
    with watching_programmed(shop) as programmed, shop.asked() as load:
        for number in range(sizes.of(1, 10)):
            renewed(shop.box, "tidegate-controller", SYSTEM)
            shop.set("green", f"green-{number}")
            load.until(f"200 green green-{number}")
        account = load.more(100)
        assert mixed(account) == []
        figure(f"0 of {account['begun']} requests failed, the slowest took {account['slowest']:.3f} s")
    assert set(programmed) == {"True"}
    assert available(shop.box.get("deployment", "tidegate-controller", SYSTEM))
    assert condition(shop.box.get("gateway", "web", shop.namespace), "Programmed") == "True"


def observed(route: Any) -> int:
    """The generation that all of a route's conditions are about, 0 if they are not of one."""
    parents = route.get("status", {}).get("parents", ())
    seen = {each["observedGeneration"] for parent in parents for each in parent["conditions"]}
    return int(seen.pop()) if len(seen) == 1 else 0
