"""Istio's annotation `proxy.istio.io/config` (ProxyConfig of istio.mesh.v1alpha1): of its many settings one has a counterpart here.

That is `tracing.sampling`, by which people who come from Istio trace one workload more than others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from mesh.injection.names import ISTIO_CONFIG, TRACE_SAMPLING
from mesh.injection.settings import Refused

_MOST_LEVELS: Final = 64
"""Of nesting. The reader behind yaml.load calls itself for each level, and a million of them would end the process."""
_NOTHING: Final = frozenset({"", "~", "null"})
"""What YAML writes for it."""


def of_istio(annotations: Mapping[str, str]) -> tuple[str, str] | None:
    """Where the share of traces is said, and what; None where it is not. Raises Refused for what is no such annotation."""
    tracing = _map(_read(annotations).get("tracing", ""), "tracing")
    found = tracing.get("sampling")
    if found is None:
        return None
    return f"{ISTIO_CONFIG}, tracing.sampling", found if isinstance(found, str) else ""


def without_effect(annotations: Mapping[str, str]) -> Iterator[str]:
    """A warning of what is said besides. Raises Refused."""
    settings = _read(annotations)
    unread = [name for name in settings if name != "tracing"]
    unread += [f"tracing.{name}" for name in _map(settings.get("tracing", ""), "tracing") if name != "sampling"]
    if unread:
        yield f"annotation {ISTIO_CONFIG}: only tracing.sampling has an effect in Tidegate, and not {', '.join(sorted(unread))}"


def _read(annotations: Mapping[str, str]) -> dict[str, Any]:
    """All scalars as texts: what else they might be in YAML is nothing that we ask for."""
    text = annotations.get(ISTIO_CONFIG, "")
    try:
        level = 0
        for event in yaml.parse(text, yaml.CBaseLoader):
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > _MOST_LEVELS:
                raise Refused(f"annotation {ISTIO_CONFIG}: it is nested over more than {_MOST_LEVELS} levels. Write it with less nesting")
        return _map(yaml.load(text, yaml.CBaseLoader) or "", "it")  # noqa: S506  # this loader makes texts, lists and maps alone
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise Refused(f"annotation {ISTIO_CONFIG}: this is no YAML{where}. Correct it, or write {TRACE_SAMPLING} instead") from None


def _map(found: Any, what: str) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    if isinstance(found, str) and found in _NOTHING:
        return {}
    raise Refused(f'annotation {ISTIO_CONFIG}: {what} is no map. Write for example "tracing: {{sampling: 10}}", or {TRACE_SAMPLING}')
