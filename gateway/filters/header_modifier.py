"""RequestHeaderModifier and ResponseHeaderModifier (HTTPHeaderFilter): set replaces, add appends, remove removes; names ignore case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.filters.checks import authority, field_name, field_value
from gateway.filters.passage import Passage, RequestFilter, ResponseFilter
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.ir.filters import NameValue, RequestHeaderModifier, ResponseHeaderModifier

_JOINERS: Final = {b"cookie": b"; ", b"set-cookie": None}
"""How an added value joins the one that is there: None keeps it a field of its own (RFC 6265 3, 5.4). Others join with a comma alone,
the form that values of separate fields take when a recipient joins them; the conformance suite compares it byte by byte."""


_NONE: Final = frozenset[bytes]()
"""The one of all edits that only add: an empty set takes as much memory as a small one."""


class FieldEdits:
    """The three lists of one filter, ready to apply."""

    __slots__ = ("_adds", "_gone", "_sets")

    def __init__(self, sets: Fields, adds: Fields, removes: Sequence[bytes]) -> None:
        self._sets, self._adds = tuple(sets), tuple(adds)
        gone = [*[name for name, _ in sets], *removes]
        self._gone = frozenset(gone) if gone else _NONE

    def apply(self, fields: Fields) -> Fields:
        """A new list of fields."""
        gone = self._gone
        edited = [pair for pair in fields if pair[0].lower() not in gone] if gone else fields.copy()
        edited += self._sets
        for name, value in self._adds:
            _append(edited, name, value)
        return edited


def _append(fields: Fields, name: bytes, value: bytes) -> None:
    joiner = _JOINERS.get(name, b",")
    if joiner is not None:
        for place in range(len(fields) - 1, -1, -1):
            present, old = fields[place]
            if present.lower() == name:
                fields[place] = (present, old + joiner + value if old else value)
                return
    fields.append((name, value))


def request_header_modifier(modifier: RequestHeaderModifier) -> RequestFilter | None:
    """None if it does nothing. Setting host changes the authority sent to the backend. Raises ValueError."""
    host = _take_host(modifier)
    edits = _compile(modifier)
    if edits is None and host is None:
        return None

    def edit(head: RequestHead, passage: Passage) -> LocalReply | None:
        if host is not None:
            head.authority = host
        if edits is not None:
            head.fields = edits.apply(head.fields)
            head.changed()
        return None

    return edit


def response_header_modifier(modifier: ResponseHeaderModifier) -> ResponseFilter | None:
    """None if it does nothing. Raises ValueError."""
    edits = _compile(modifier)
    if edits is None:
        return None

    def edit(head: ResponseHead) -> None:
        head.fields = edits.apply(head.fields)

    return edit


def _take_host(modifier: RequestHeaderModifier) -> bytes | None:
    for action, names in (("add", [name for name, _ in modifier.add]), ("remove", list(modifier.remove))):
        if any(name.lower() == "host" for name in names):
            raise ValueError(f"{action}: a request has exactly one Host: set it instead")
    return next((authority(value) for name, value in modifier.set if name.lower() == "host"), None)


def _compile(modifier: RequestHeaderModifier | ResponseHeaderModifier) -> FieldEdits | None:
    skipped = b"host" if isinstance(modifier, RequestHeaderModifier) else None
    sets = [pair for pair in _pairs("set", modifier.set) if pair[0] != skipped]
    adds = _pairs("add", modifier.add)
    removes = [_checked("remove", name) for name in modifier.remove]
    return FieldEdits(sets, adds, removes) if sets or adds or removes else None


def _pairs(action: str, entries: Sequence[NameValue]) -> Fields:
    """Of several entries with one name the first counts (HTTPHeader.name)."""
    pairs: dict[bytes, bytes] = {}
    for name, text in entries:
        checked = _checked(action, name)
        try:
            pairs.setdefault(checked, field_value(text))
        except ValueError as error:
            raise ValueError(f"{action} {name!r}: {error}") from None
    return list(pairs.items())


def _checked(action: str, name: str) -> bytes:
    try:
        return field_name(name)
    except ValueError as error:
        raise ValueError(f"{action}: {error}") from None
