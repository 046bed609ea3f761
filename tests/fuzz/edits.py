"""Edits of a JSON value: each is three bytes of an input, so that coverage can lead them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 65535, 65536, 2**70, 1.5, "", "a", "*", "/", "//", "/../", "/%zz", "(", "(?i)a", "a{1001}", "[[:x:]]",
    "x" * 300, "\u0000", "\u00e4", "\ud7ff\ue000", "a\r\nb: c", "1s", "-1s", "0s", "99999h", "1.5h", "1ms1us", "GET", "get", "Exact",
    "PathPrefix", "RegularExpression", "Cookie", "Header", "Permanent", "RequestRedirect", "ReplacePrefixMatch", "ExternalAuth",
    "ExtensionRef", "https", "ws", "web", "backend", "other", "Service", "default", "gateway.networking.k8s.io", "a.example",
    "*.a.example", "host", "content-length", ":path", [], {}, [None], [[]], [""], {"": ""}, {"name": "a"}, {"type": "a"},
    201, 302, 399, 503, 599, 600,
)  # fmt: skip


def edited(value: Any, data: bytes, kept: Sequence[str] = ()) -> Any:
    """A copy with each edit made: at which place, what is done there, and with which value. Fields that are `kept` stay."""
    found = deepcopy(value)
    for at in range(0, len(data) - 2, 3):
        where, what, which = data[at : at + 3]
        spots = list(_places(found, kept))
        if not spots:
            break
        holder, key = spots[(where + (what & 7) * 256) % len(spots)]
        match what >> 6:
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, deepcopy(holder[key]))
            case 2 if isinstance(holder[key], dict):
                holder[key][str(VALUES[(which + 1) % len(VALUES)])] = deepcopy(VALUES[which % len(VALUES)])
            case _:
                holder[key] = deepcopy(VALUES[which % len(VALUES)])
    return found


def _places(value: Any, kept: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) in a value, from the outside in."""
    keys = range(len(value)) if isinstance(value, list) else [key for key in value if key not in kept]
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key], kept)
