"""What `tidegate status` shows of a controller: every object with its conditions, under a Gateway at how many proxies it is live, the
sidecars of each namespace, and what is not in the mesh.

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
    for namespace in found["mesh"]:
        show_sidecars(report, namespace)
    _show_outside(report, found)
    show_ignored(report, found)
    for gateway in found["gateways"]:
        show_rejected(report, gateway, f" at proxies of Gateway {gateway['name']}")
    for namespace in found["mesh"]:
        show_rejected(report, namespace, f" at sidecars of namespace {namespace['name']}")
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


def show_sidecars(report: Report, namespace: Found) -> None:
    """Each by name, since each is a Pod of its own; a namespace without any is left out."""
    if not namespace["proxies"]:
        return
    revision, sidecars = namespace["revision"], namespace["proxies"]
    live = sum(sidecar["revision"] >= revision for sidecar in sidecars)
    style = "ok" if live == len(sidecars) else "note"
    report.line(style, f"sidecars of namespace {namespace['name']}, revision {revision}: live at {live} of {len(sidecars)}")
    for sidecar in sorted(sidecars, key=lambda sidecar: str(sidecar["name"])):
        name, ends = sidecar["name"] or "one that has not said its name", sidecar["certificate_ends"]
        until = f", certificate until {ends}" if ends else ""
        behind = "" if sidecar["revision"] >= revision else f" is at revision {sidecar['revision']}"
        silent = " and silent" if sidecar["silent"] and behind else " is silent" if sidecar["silent"] else ""
        report.under(f"{name}{behind}{silent}{until}", "yellow" if behind or silent else "")


def _show_outside(report: Report, found: Found) -> None:
    """What is not in the mesh: in one line what has one reason and one remedy."""
    alike: dict[tuple[str, ...], list[Found]] = {}
    for each in found["outside"]:
        alike.setdefault((each["kind"], each["namespace"], each["reason"], each["remedy"]), []).append(each)
    for (*_, reason, remedy), those in alike.items():
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        report.line("note", f"{named(those[0])}{more}: not in the mesh")
        report.under(reason)
        if remedy:
            report.under(remedy)


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
