"""Lines of `tidegate status` that are the same whoever is asked, from the JSON of the page `/status`."""

from __future__ import annotations

from typing import Any

from controller.translate.objects import called
from tidegate.report import Report, rank

Found = dict[str, Any]


def named(entry: Found) -> str:
    """The object that an entry is about."""
    return called(entry["kind"], entry["namespace"], entry["name"])


def objects_of(found: Found) -> list[Found]:
    """The entries of objects, what others hang on first."""
    return sorted(found["objects"], key=lambda entry: rank(entry["kind"]))


def show_ignored(report: Report, found: Found) -> None:
    """What has no effect."""
    for ignored in found["ignored"]:
        report.line("ignored", named(ignored))
        report.under(ignored["reason"])


def show_rejected(report: Report, found: Found, where: str = "") -> None:
    """What proxies could not build; `where` says which, if not all."""
    for rejected in found["rejected"]:
        report.line("fault", f"{rejected['kind']} {rejected['key']} could not be built{where}")
        for reason in rejected["reasons"]:
            report.under(reason)
