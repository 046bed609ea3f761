"""The driver, which runs in the box: python -m cluster.driver PLAN, with KUBECONFIG. What it finds goes, as JSON, into PLAN's `result`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from measuring.script import CannotMeasure

from cluster import attached_routes, edited_route, many_routes, route_by_route
from cluster.api import Api
from cluster.found import Found
from cluster.site import prepare, say
from controller.sources.kube.access import Access
from controller.sources.kube.client import Client
from controller.sources.kube.timing import Timing


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. Numbers of routes and edits; seconds."""

    result: str
    tests: str
    attached: int
    routes: int
    edits: int
    every: float
    beside: int
    many: int
    churn: float


async def run(plan: Plan) -> Found:
    """The tests, one after the other."""
    attached = applied = edited = many = None
    timing = Timing(watch_silence=3_600)  # one watch lasts for a whole test, and may have nothing to tell
    async with Client(Access(Path(os.environ["KUBECONFIG"])), timing) as client:
        site = await prepare(Api(client))
        if "A" in plan.tests:
            say(f"A: {plan.attached} routes at once")
            attached = await attached_routes.measure(site, plan.attached)
        if "B" in plan.tests:
            say(f"B: {plan.routes} routes one by one")
            applied = await route_by_route.measure(site, range(plan.routes))
            await site.api.delete_all("HTTPRoute", route_by_route.SPACE)
        if "C" in plan.tests:
            say(f"C: {plan.edits} edits under traffic, {plan.beside} other routes")
            edited = await edited_route.measure(site, plan.edits, plan.every, plan.beside)
        if "D" in plan.tests:
            say(f"D: {plan.many} routes, and {plan.routes} one by one")
            numbers = range(plan.routes, 2 * plan.routes)  # hosts that nobody has asked for before
            many = await many_routes.measure(site, plan.many, plan.churn, numbers)
    return Found(attached, applied, edited, many)


def main() -> int:
    """The exit status: 0, or 2 when nothing could be measured."""
    plan = Plan(**json.loads(sys.argv[1]))
    try:
        found = uvloop.run(run(plan))
    except CannotMeasure as reason:
        say(f"cannot measure: {reason}")
        return 2
    Path(plan.result).write_text(json.dumps(asdict(found)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
