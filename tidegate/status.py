"""`tidegate status`: what a running Tidegate serves, as its admin server tells it: standalone, a proxy in a Pod, or the controller."""

from __future__ import annotations

from typing import IO, Any

import msgspec
from rich.console import Console

from gateway.net.sockets import readable
from tidegate import controller_status
from tidegate.admin_client import AdminError, ask
from tidegate.report import Report, parts_of
from tidegate.status_lines import named, objects_of, show_ignored, show_rejected


def status(admin: str) -> dict[str, Any]:
    """The page `/status` of the admin server at the URL. Raises AdminError."""
    body = ask(admin, "/status")
    try:
        found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise AdminError(f"what answers at {admin} is not Tidegate: its /status is no JSON; name the admin port with --admin") from None
    return found


def as_json(found: dict[str, Any]) -> bytes:
    """The page as it is."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def show(found: dict[str, Any], stream: IO[str]) -> None:
    """Lines for people."""
    report = Report(Console(file=stream, highlight=False, soft_wrap=True))
    if "leading" in found:
        controller_status.show(report, found)
    else:
        _show_proxy(report, found)


def _show_proxy(report: Report, found: dict[str, Any]) -> None:
    """Of `tidegate run`, or of a data plane that follows a controller."""
    revision, workers = found["revision"], found["workers"]
    live = sum(worker["revision"] >= revision for worker in workers)
    report.line("ok" if live == len(workers) > 0 else "note", f"revision {revision}: live at {live} of {len(workers)} proxies")
    for worker in workers:
        if worker["revision"] < revision:
            report.under(f"{worker['name'] or 'a worker that has not said its name'} is at revision {worker['revision']}")
    if "controller" in found:
        _show_following(report, found)
    if found["snapshot"]:
        report.line("note", found["snapshot"])
    for judged in objects_of(found):
        report.judged(named(judged), _place(judged), tuple(parts_of(judged["status"])), lambda part, message: "")
    _show_mesh(report, found)
    show_ignored(report, found)
    show_rejected(report, found)
    for problem in found["problems"]:
        parts_of_line = (_place(problem), problem["object"], problem["field"], f"{problem['message']}. {problem['remedy']}")
        report.line("problem", ": ".join(filter(None, parts_of_line)))


def _show_mesh(report: Report, found: dict[str, Any]) -> None:
    """Of `tidegate run --mesh`."""
    for workload in found.get("workloads", ()):
        where = f"Pod {workload['namespace']}/{workload['name']} at {workload['address']}"
        beside = f", its application at {workload['application']}" if workload["sidecar"] else ", without a sidecar"
        restarts = f", restarted {workload['restarts']} times" if workload["restarts"] else ""
        state = "ready" if workload["ready"] else workload["state"]
        report.line("ok" if workload["ready"] else "note", f"{where}{beside}: {state}{restarts}")
    for namespace in found.get("mesh", ()):
        controller_status.show_sidecars(report, namespace)
        show_rejected(report, namespace, f" at sidecars of namespace {namespace['name']}")


def _show_following(report: Report, found: dict[str, Any]) -> None:
    """Of a data plane that follows a controller."""
    controller = found["controller"]
    where = f"the controller at {controller['address']}"
    served = f"Gateway {found['gateway']}" if found["gateway"] else f"Workload {found['workload']}"
    if controller["since"]:
        report.line("ok", f"{served}: connected to {where} since {controller['since']}")
    else:
        report.line("fault", f"{served}: not connected to {where}, which {controller['problem']}; what is live stays")
    for listener in found["listeners"]:
        name = f" for {listener['hostname']}" if listener["hostname"] else ""
        report.under(f"listener {listener['key']}: {listener['protocol']}{name} on {readable(listener['address'], listener['bind_port'])}")
    report.under("resources: " + (", ".join(f"{count} {kind}" for kind, count in found["resources"].items()) or "none"))


def _place(placed: dict[str, Any]) -> str:
    file, line = placed.get("file", ""), placed.get("line", 0)
    return f"{file}:{line}" if line else file
