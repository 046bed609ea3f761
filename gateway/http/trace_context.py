"""The context of a trace that a request carries: W3C Trace Context (traceparent, tracestate) and B3 (one field, or several).

Read strictly: what is malformed is as good as absent, and whoever takes part writes all of it anew. Who sends B3 gets B3 passed on in the
same form, beside traceparent, which everybody gets. Where both came and both are good, traceparent counts.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.http.head import Fields, RequestHead

MOST_MEMBERS: Final = 32
"""Of tracestate (Trace Context 3.3.1.1)."""

NAMES: Final = frozenset(
    {
        b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags",
    }
)  # fmt: skip

_traceparent = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch
_member = re.compile(rb"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]").fullmatch
_b3 = re.compile(rb"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-([0-9a-f]{16}))?)?").fullmatch
_trace_id = re.compile(rb"[0-9a-f]{16}(?:[0-9a-f]{16})?").fullmatch
_span_id = re.compile(rb"[0-9a-f]{16}").fullmatch

_DECISIONS: Final = {b"0": False, b"false": False, b"1": True, b"true": True, b"d": True}
"""Of B3; old senders write words."""
_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02
"""Flags of traceparent (Trace Context 3.2.2.5, level 2)."""
_FLAGS: Final = {(False, False): b"00", (False, True): b"01", (True, False): b"02", (True, True): b"03"}
"""By whether the trace id is random, and whether the trace is sampled."""


class TraceContext(NamedTuple):
    """What came with a request.

    trace_id   32 hex digits; b'' where the caller began no trace, and said at most whether there shall be one
    parent_id  16 hex digits, the caller's span; b'' together with trace_id
    sampled    the caller's decision, None where there is none (B3 only)
    state      tracestate as it is passed on
    random     whether the trace id is known to be random
    short      whether the trace id came as 64 bits (B3 only), which is how B3 passes it on
    debug      whether the trace is to be kept whatever anybody thinks (B3 only)
    """

    trace_id: bytes = b""
    parent_id: bytes = b""
    sampled: bool | None = None
    state: bytes = b""
    random: bool = False
    short: bool = False
    debug: bool = False


NO_CONTEXT: Final = TraceContext()


class Forms(NamedTuple):
    """In which forms of B3 a caller speaks."""

    single: bool = False
    several: bool = False


NO_FORMS: Final = Forms()
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16


def take(head: RequestHead) -> Fields:
    """Removes from a head what carries trace context, and returns it with lower-case names."""
    if head.edited is not None:
        found = [(name.lower(), value) for name, value in head.edited if name.lower() in NAMES]
        if found:
            head.edited = [pair for pair in head.edited if pair[0].lower() not in NAMES]
            head.changed()
        return found
    found, kept = [], []
    for line in head.lines:
        name, _, value = line.partition(b": ")
        if (lower := name.lower()) in NAMES:
            found.append((lower, value[:-2]))
        else:
            kept.append(line)
    if found:
        head.lines = kept
        head.changed()
    return found


def read(fields: Fields) -> tuple[TraceContext, Forms]:
    """What the fields that `take` took say together."""
    if not fields:
        return NO_CONTEXT, NO_FORMS
    parents, states, single, several = [], [], [], []
    for name, value in fields:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
        elif name == b"b3":
            single.append(value)
        else:
            several.append((name, value))
    context = _read_traceparent(parents[0], states) if len(parents) == 1 else None
    if not single and not several:
        return context or NO_CONTEXT, NO_FORMS
    if context is None and len(single) == 1:
        context = _read_single(single[0])
    if context is None and several:
        context = _read_several(several)
    return context or NO_CONTEXT, Forms(bool(single), bool(several))


def _read_traceparent(parent: bytes, states: list[bytes]) -> TraceContext | None:
    """Trace Context 3.2: version 00 as it is written; of a later one the parts that this one has."""
    found = _traceparent(parent)
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest is not None) or trace_id == _NO_TRACE or parent_id == _NO_SPAN:
        return None
    bits = int(flags, 16)
    state = _read_state(states) if states else b""
    return TraceContext(trace_id, parent_id, bits & _SAMPLED != 0, state, bits & _RANDOM != 0)


def _read_state(values: list[bytes]) -> bytes:
    """Trace Context 3.3.1: members in order, empty ones left out; nothing of a list with a malformed one, or with too many."""
    members = [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]
    if len(members) > MOST_MEMBERS or not all(map(_member, members)):
        return b""
    return b",".join(members)


def _read_single(value: bytes) -> TraceContext | None:
    """B3 "Single Header": ids with or without a decision, or a decision alone."""
    if value in (b"0", b"1", b"d"):
        return TraceContext(sampled=_DECISIONS[value], debug=value == b"d")
    found = _b3(value)
    if found is None:
        return None
    trace_id, span_id, state, _ = found.groups()
    return _of_b3(trace_id, span_id, _DECISIONS[state] if state is not None else None, debug=state == b"d")


def _read_several(fields: Fields) -> TraceContext | None:
    """B3 "Multiple Headers". Flags of 1 mean debug, which implies that the trace is sampled."""
    values = dict(fields)
    if len(values) < len(fields):
        return None
    trace_id, span_id, said, flags = (values.get(b"x-b3-" + name, b"") for name in (b"traceid", b"spanid", b"sampled", b"flags"))
    debug = flags == b"1"
    decision = True if debug else _DECISIONS.get(said.lower())
    if not trace_id and not span_id:
        return None if decision is None else TraceContext(sampled=decision, debug=debug)
    return _of_b3(trace_id, span_id, decision, debug=debug)


def _of_b3(trace_id: bytes, span_id: bytes, decision: bool | None, *, debug: bool) -> TraceContext | None:
    if not _trace_id(trace_id) or not _span_id(span_id) or not trace_id.strip(b"0") or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id.rjust(32, b"0"), span_id, decision, short=len(trace_id) == 16, debug=debug)


def lines(context: TraceContext, forms: Forms, span_id: bytes, *, sampled: bool) -> bytes:
    """The fields that carry a context on, as lines: `span_id` is that of the span which is the parent now, `context` has a trace id."""
    written = b"traceparent: 00-%b-%b-%b\r\n" % (context.trace_id, span_id, _FLAGS[context.random, sampled])
    if context.state:
        written += b"tracestate: %b\r\n" % context.state
    if forms is NO_FORMS:
        return written
    trace_id = context.trace_id[16:] if context.short else context.trace_id
    if forms.single:
        state = b"d" if context.debug else b"%d" % sampled
        written += b"b3: %b-%b-%b%b\r\n" % (trace_id, span_id, state, b"-" + context.parent_id if context.parent_id else b"")
    if forms.several:
        written += b"x-b3-traceid: %b\r\nx-b3-spanid: %b\r\n" % (trace_id, span_id)
        if context.parent_id:
            written += b"x-b3-parentspanid: %b\r\n" % context.parent_id
        written += b"x-b3-flags: 1\r\n" if context.debug else b"x-b3-sampled: %d\r\n" % sampled
    return written
