"""What `tidegate status` shows of a controller: every object with its conditions, and under a Gateway at how many proxies it is live.

Each replica judges every object and serves every Gateway, but only the one that leads writes what it judges.
"""

from __future__ import annotations

from tidegate.report import Report, parts_of
from tidegate.status_lines import Found, named, objects_of, show_ignored, show_rejected


def show(report: Report, found: Found) -> None:
    """The whole page."""
    _show_replica(report, found)
    gateways = {gateway["name"]: gateway for gateway in found["gateways"]}
    for judged in objects_of(found):
        report.judged(named(judged), "", tuple(parts_of(judged["status"])), lambda part, message: "")
        if judged["kind"] == "Gateway" and (gateway := gateways.get(f"{judged['namespace']}/{judged['name']}")) is not None:
            _show_proxies(report, gateway)
    show_ignored(report, found)
    for gateway in found["gateways"]:
        show_rejected(report, gateway, f" at proxies of Gateway {gateway['name']}")
    for problem in found["problems"]:
        report.line("problem", f"{named(problem)}: {problem['message']}")


def _show_replica(report: Report, found: Found) -> None:
    if found["ready"]:
        report.line("fault", f"no configuration is served yet: {found['ready']}")
    if found["leading"]:
        report.line("ok", "this replica leads: what stands here is written to the objects")
    else:
        leader = f"{found['leader']} does" if found["leader"] else "nor any other for now"
        report.line("note", f"this replica does not lead, {leader}: what stands here is what it would write")
        report.under("proxies are counted where they are connected: ask the one that leads")


def _show_proxies(report: Report, gateway: Found) -> None:
    """Design 2: live at N of M proxies, with the revision."""
    revision, proxies = gateway["revision"], gateway["proxies"]
    live = sum(proxy["revision"] >= revision for proxy in proxies)
    style = "" if live == len(proxies) > 0 else "yellow"
    report.under(f"revision {revision}: live at {live} of {len(proxies)} proxies", style)
    for proxy in proxies:
        name = proxy["name"] or "one that has not said its name"
        if proxy["revision"] < revision:
            report.under(f"  {name} is at revision {proxy['revision']}", "yellow")
        if proxy["silent"]:
            report.under(f"  {name} is silent", "yellow")
