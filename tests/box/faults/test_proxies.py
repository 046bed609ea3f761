"""The Pods of a Gateway are rolled out anew, killed, cut off from their controller, or find their snapshot damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.box.cluster import available, ready
from tests.box.faults.injuring import STREAM_PORT, killed, program, silent_between, started_at
from tests.box.faults.standing import Shop, await_said, name_of, renewed, said, watching_programmed
from tests.endurance.standing import Sizes

Figure = Callable[[str], None]
DEPLOYMENT = "web-tidegate"


def test_a_rolling_restart_is_not_noticed(shop: Shop, sizes: Sizes, figure: Figure) -> None:
    """`kubectl rollout restart` of a Gateway's Pods under load: no request fails (R3), and Programmed never leaves True."""
    with watching_programmed(shop) as programmed, shop.asked() as load:
        for _ in range(sizes.of(1, 10)):
            old = shop.proxies()
            renewed(shop.box, DEPLOYMENT, shop.namespace)
            for pod in old:
                shop.box.wait_gone("pod", name_of(pod), shop.namespace)
        account = load.more(100)
        figure(f"0 of {account['begun']} requests failed, the slowest took {account['slowest']:.3f} s")
    assert set(programmed) == {"True"}


def test_a_killed_proxy_costs_its_own_connections_alone(shop: Shop, figure: Figure) -> None:
    """SIGKILL of one of two proxies: what it had fails, and from its return on nothing does."""
    pod = shop.proxies()[0]
    with shop.load() as load:
        begun = time.time()
        new = killed(partial(program, shop.box, name_of(pod)))
        await_said(shop.box, pod, "ready: the first configuration is in place", started_at(new))
        shop.box.wait("deployment", DEPLOYMENT, available, shop.namespace)
        before = load.more(1)["failures"]
        account = load.more(300)
    figure(f"{len(before)} of {account['begun']} requests failed until it was back after {started_at(new) - begun:.1f} s and more")
    assert account["failures"] == before


def test_a_proxy_that_is_cut_off_serves_and_starts_from_its_snapshot(shop: Shop, figure: Figure) -> None:
    """A proxy that cannot reach the controller serves on, and when it is killed meanwhile it serves its snapshot at once (R8); what it
    has missed comes when the controller is there again."""
    kept, cut = shop.proxies()
    with silent_between(shop.box, cut, STREAM_PORT), shop.load() as load:
        shop.set("green", "green-1")
        load.until("200 green green-1")
        assert load.more(100)["answered"]["200 blue blue"] > 0, "the one that is cut off serves what it had"
        new = killed(partial(program, shop.box, name_of(cut)))
        up = await_said(shop.box, cut, "ready: the first configuration is in place", started_at(new))
        figure(f"ready from its snapshot {up - started_at(new):.2f} s after its process began")
        assert any("serving the snapshot of" in line for at, line in said(shop.box, cut) if at > started_at(new))
        shop.box.wait("deployment", DEPLOYMENT, available, shop.namespace)
        before = load.more(1)
        after = load.more(200)
        assert after["failures"] == before["failures"]
        assert after["answered"]["200 blue blue"] > before["answered"]["200 blue blue"]
    with shop.asked() as load:
        since = time.time()
        shop.set("blue", "blue-2")
        await_said(shop.box, cut, "connected to the controller", started_at(new))
        load.until("200 blue blue-2")
        figure(f"it has the last edit {time.time() - since:.1f} s after it was made, with the controller in reach again")
    assert ready(shop.box.get("pod", name_of(kept), shop.namespace))


def test_a_torn_snapshot_leaves_the_one_before(shop: Shop) -> None:
    """Of a snapshot that is cut off in the middle nothing is served: the one before it is; and without any whole one a proxy is
    not ready until the controller has answered, rather than serving nothing."""
    shop.set("green", "green-1")
    cut = shop.proxies()[0]
    look = partial(program, shop.box, name_of(cut))
    with shop.asked() as load:
        load.until("200 green green-1")
    with silent_between(shop.box, cut, STREAM_PORT):
        snapshots = Path(f"/proc/{look()}/root/var/lib/tidegate")
        tear(snapshots / "current.snapshot")
        new = killed(look)
        await_said(shop.box, cut, "current.snapshot", started_at(new))
        await_said(shop.box, cut, "ready: the first configuration is in place", started_at(new))
        assert "serving the snapshot of" in "\n".join(line for at, line in said(shop.box, cut) if at > started_at(new))
        snapshots = Path(f"/proc/{new}/root/var/lib/tidegate")
        for each in snapshots.glob("*.snapshot"):
            tear(each)
        empty = killed(look)
        await_said(shop.box, cut, "the controller cannot be reached", started_at(empty))
        assert "503" in shop.box.curl("--include", f"http://{cut['status']['podIP']}:15021/healthz/ready")
    await_said(shop.box, cut, "ready: the first configuration is in place", started_at(empty))
    shop.box.wait("deployment", DEPLOYMENT, available, shop.namespace)
    with shop.asked() as load:
        load.more(200)


def tear(file: Path) -> None:
    """Leaves the first half of it."""
    with file.open("r+b") as snapshot:
        snapshot.truncate(file.stat().st_size // 2)
