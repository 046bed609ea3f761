"""What a status is to become, given what the server holds: ours made anew, everybody else's left as it stands.

Lists of conditions, parents and ancestors are written whole (the API's lists of parents and ancestors are atomic), so that what others
wrote has to be written again with ours. A condition whose status stays keeps its lastTransitionTime (API conventions, "Conditions").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from controller.status import to_json
from controller.translate.classes import OURS
from controller.translate.statuses import Status

Json = Mapping[str, Any]

CONDITIONS: Final = frozenset(
    {
        "Accepted",
        "Conflicted",
        "InsecureFrontendValidationMode",
        "OverlappingTLSConfig",
        "PartiallyInvalid",
        "Programmed",
        "ResolvedRefs",
    }
)
"""The types of the conditions that we write, so that one which no longer holds is taken away and those of others are not."""

_ENTRIES: Final = MappingProxyType({"parents": "parentRef", "ancestors": "ancestorRef"})
"""The lists that controllers share, and what an entry of them is about."""

_SHARED_CONDITIONS: Final = frozenset({"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication", "ServiceEntry"})
"""The kinds of whose status the conditions are such a list."""

_MOST_ENTRIES: Final = MappingProxyType({"parents": 32, "ancestors": 16})
"""How many entries such a list may have (RouteStatus.parents, PolicyStatus.ancestors)."""


def merged(status: Status, held: Json, now: str) -> dict[str, Any] | None:
    """The fields of `.status` that are to be written, None if the server holds them already. `held` is its present `.status`, of any
    shape; `now` is RFC 3339 and becomes the lastTransitionTime of what changes."""
    wanted = to_json(status, now)
    for name, subject in _ENTRIES.items():
        if name in wanted:
            wanted[name] = _shared(wanted[name], _entries(held, name), subject, _MOST_ENTRIES[name])
    if "conditions" in wanted:
        before = _entries(held, "conditions")
        others = [condition for condition in before if str(condition.get("type")) not in CONDITIONS]
        wanted["conditions"] = [*_timed(wanted["conditions"], before), *others]
    if "listeners" in wanted:
        known = {str(listener.get("name")): listener for listener in _entries(held, "listeners")}
        for listener in wanted["listeners"]:
            listener["conditions"] = _timed(listener["conditions"], _entries(known.get(listener["name"], {}), "conditions"))
    return wanted if any(held.get(name) != value for name, value in wanted.items()) else None


def withdrawn(kind: str, held: Json) -> dict[str, Any] | None:
    """The fields of `.status` to be written of an object about which we have nothing more to say; None if nothing there is ours.

    Where one controller alone writes the status (Gateway, GatewayClass, ListenerSet) the next one takes it over as it is; conditions of
    Istio's kinds are everybody's.
    """
    left: dict[str, Any] = {}
    if kind in _SHARED_CONDITIONS:
        conditions = _entries(held, "conditions")
        others = [condition for condition in conditions if str(condition.get("type")) not in CONDITIONS]
        if len(others) != len(conditions):
            left["conditions"] = others
    for name in _ENTRIES:
        entries = _entries(held, name)
        others = [entry for entry in entries if entry.get("controllerName") not in OURS]
        if len(others) != len(entries):
            left[name] = others
    return left or None


def _shared(ours: list[dict[str, Any]], held: list[Json], subject: str, most: int) -> list[Json]:
    """The entries of others in their order, each of ours where it stands already, what is new of ours at the end.

    What does not fit stays out: the others were there first.
    """
    waiting = {_frozen(entry[subject]): entry for entry in ours}
    result: list[Json] = []
    for entry in held:
        if entry.get("controllerName") not in OURS:
            result.append(entry)
        elif (mine := waiting.pop(_frozen(entry.get(subject)), None)) is not None:
            mine["conditions"] = _timed(mine["conditions"], _entries(entry, "conditions"))
            result.append(mine)
    return [*result, *waiting.values()][:most]


def _timed(conditions: list[dict[str, Any]], held: list[Json]) -> list[dict[str, Any]]:
    """The conditions, each with the time at which its status became what it is."""
    before = {str(condition.get("type")): condition for condition in held}
    for condition in conditions:
        known = before.get(condition["type"])
        if known is not None and known.get("status") == condition["status"] and known.get("lastTransitionTime"):
            condition["lastTransitionTime"] = known["lastTransitionTime"]
    return conditions


def _entries(held: Json, name: str) -> list[Json]:
    """A list of objects inside a status, without whatever else stands there."""
    found = held.get(name)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, Iterable) else []


def _frozen(reference: Any) -> Any:
    return frozenset((name, str(value)) for name, value in reference.items()) if isinstance(reference, Mapping) else None
