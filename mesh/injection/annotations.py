"""What a Pod's annotations say about its sidecar. What is wrong refuses the Pod, since a typing error must not open a hole in the capture.

What merely has no effect is told as a warning: annotations of Istio that we have nothing for, and names of ours that do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Final, NoReturn, get_args

from gateway.ir.tracing import parse_sampling
from mesh.injection import names
from mesh.injection.proxy_config import of_istio, without_effect
from mesh.injection.settings import AccessLog, Refused, SidecarSettings

_QUANTITY: Final = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(?:m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_OUR_DOMAIN: Final = "tidegate.dev/"
_CAPTURE: Final = (
    ("include-inbound-ports", names.INCLUDE_INBOUND_PORTS),
    ("exclude-inbound-ports", names.EXCLUDE_INBOUND_PORTS),
    ("exclude-outbound-ports", names.EXCLUDE_OUTBOUND_PORTS),
    ("exclude-outbound-cidrs", names.EXCLUDE_OUTBOUND_CIDRS),
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The annotations of one Pod, checked. `capture` are options of `tidegate init` with their values."""

    capture: tuple[tuple[str, str], ...]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    access_log: AccessLog
    trace_sampling: str
    rewrite_probes: bool
    warnings: tuple[str, ...]


def is_quantity(value: str) -> bool:
    """Whether this is a Kubernetes quantity that is not negative (resource.Quantity)."""
    return _QUANTITY.fullmatch(value) is not None


def read_wishes(annotations: Mapping[str, str], settings: SidecarSettings) -> Wishes:
    """Raises Refused, which names annotation, value and remedy."""
    found = _Annotations(annotations)
    limits = {
        "cpu": found.quantity(names.CPU_LIMIT, settings.cpu_limit),
        "memory": found.quantity(names.MEMORY_LIMIT, settings.memory_limit),
    }
    # A limit alone is the request, too (core/v1 ResourceRequirements), so that our default never exceeds what somebody allows.
    default = {
        "cpu": "" if names.CPU_LIMIT in found else settings.cpu,
        "memory": "" if names.MEMORY_LIMIT in found else settings.memory,
    }
    requests = {"cpu": found.quantity(names.CPU, default["cpu"]), "memory": found.quantity(names.MEMORY, default["memory"])}
    return Wishes(
        capture=tuple((option, value) for option, name in _CAPTURE if (value := found.capture(name)) is not None),
        requests={resource: amount for resource, amount in requests.items() if amount},
        limits={resource: amount for resource, amount in limits.items() if amount},
        access_log=found.access_log(settings.access_log),
        trace_sampling=found.trace_sampling(settings.trace_sampling),
        rewrite_probes=found.boolean(names.REWRITE_PROBES),
        warnings=warnings_of(annotations),
    )


def warnings_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """What has no effect, in the order of the names."""
    told = []
    for name in sorted(annotations):
        if name in names.WITHOUT_EFFECT and annotations[name] != "*":
            told.append(f"annotation {name} has no effect in Tidegate: remove it, or exclude traffic with {names.EXCLUDE_OUTBOUND_CIDRS}")
        elif name.startswith(_OUR_DOMAIN) and name not in names.OURS:
            close = get_close_matches(name, names.OURS, 1)
            told.append(f"annotation {name} is not known, and has no effect" + (f": did you mean {close[0]}?" if close else ""))
    return (*told, *without_effect(annotations))


class _Annotations:
    """Annotations by our names, whichever spelling was used."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def quantity(self, name: str, default: str) -> str:
        """A quantity as it was written."""
        if (found := self._find(name)) is None:
            return default
        spelling, value = found
        if not is_quantity(value.strip()):
            _refuse(spelling, value, "this is no quantity: write a number, alone or with a unit, such as 500m for CPU or 128Mi for memory")
        return value.strip()

    def access_log(self, default: AccessLog) -> AccessLog:
        if (found := self._find(names.ACCESS_LOG)) is None:
            return default
        for form in get_args(AccessLog):
            if form == found[1]:
                return form  # type: ignore[no-any-return]  # get_args knows no types
        _refuse(*found, f"write one of {', '.join(get_args(AccessLog))}")

    def trace_sampling(self, default: str) -> str:
        """A percentage as it was written."""
        if (found := self._find(names.TRACE_SAMPLING)) is None and (found := of_istio(self._annotations)) is None:
            return default
        try:
            parse_sampling(found[1].strip())
        except ValueError:
            _refuse(*found, "this is no percentage: write a number from 0 to 100 such as 1 or 0.5")
        return found[1].strip()

    def boolean(self, name: str) -> bool:
        """True where nothing is said."""
        if (found := self._find(name)) is None:
            return True
        if found[1] not in {"true", "false"}:
            _refuse(*found, 'write "true" or "false"')
        return found[1] == "true"

    def capture(self, name: str) -> str | None:
        """The value of an option of `tidegate init`, without blanks; None where nothing is said."""
        if (found := self._find(name)) is None:
            return None
        spelling, value = found
        parts = [part.strip() for part in value.split(",")] if value.strip() else []
        if name == names.INCLUDE_INBOUND_PORTS and parts in ([], ["none"], ["*"]):
            return None if parts == ["*"] else "none"  # all are captured without a word
        if not parts:
            return None
        check = _check_network if name == names.EXCLUDE_OUTBOUND_CIDRS else _check_port
        for part in parts:
            check(spelling, value, part)
        return ",".join(parts)

    def _find(self, name: str) -> tuple[str, str] | None:
        """The spelling that is used, and the value."""
        for spelling in (name, names.OF_ISTIO.get(name, name)):
            if spelling in self._annotations:
                return spelling, self._annotations[spelling]
        return None


def _check_port(name: str, value: str, part: str) -> None:
    if not part.isascii() or not part.isdecimal() or not 0 < int(part[:6]) <= 65_535:
        _refuse(name, value, f"{part!r} is no port: write numbers from 1 to 65535 with commas between them, such as 22,8080")


def _check_network(name: str, value: str, part: str) -> None:
    try:
        ip_network(part, strict=False)
    except ValueError as error:
        _refuse(name, value, f"{error}. Write networks with commas between them, such as 10.0.0.0/8,fd00::/8")


def _refuse(name: str, value: str, remedy: str) -> NoReturn:
    raise Refused(f"annotation {name}: {value!r}: {remedy}")
