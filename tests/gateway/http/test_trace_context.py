"""What carries the context of a trace: W3C Trace Context and B3, read strictly and written anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import Fields, RequestHead
from gateway.http.trace_context import NO_CONTEXT, TraceContext, lines, read, take

TRACE, SPAN, OURS = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7", b"b7ad6b7169203331"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)

identifiers = st.binary(min_size=16, max_size=16).filter(any).map(lambda drawn: drawn.hex().encode())
spans = st.binary(min_size=8, max_size=8).filter(any).map(lambda drawn: drawn.hex().encode())
members = st.from_regex(rb"[a-z0-9][a-z0-9_*/@-]{0,9}=[!-+\--<>-~]{1,9}", fullmatch=True)
contexts = st.tuples(identifiers, spans, st.booleans(), st.lists(members, max_size=32).map(b",".join), st.booleans())


def context_of(*fields: tuple[bytes, bytes]) -> TraceContext:
    return read(list(fields))[0]


def fields_in(text: bytes) -> Fields:
    return [(name, value) for name, _, value in (line.partition(b": ") for line in text.split(b"\r\n") if line)]


def test_traceparent_says_trace_parent_and_decision() -> None:
    """Trace Context 3.2.2."""
    assert context_of((b"traceparent", PARENT)) == TraceContext(TRACE, SPAN, True)
    assert context_of((b"traceparent", PARENT[:-1] + b"0")).sampled is False
    assert context_of((b"traceparent", PARENT[:-1] + b"3")).random is True


@pytest.mark.parametrize(
    "parent",
    [
        b"", b"00", PARENT[:-1], PARENT + b"-", PARENT + b"-x", b" " + PARENT, PARENT.upper(), b"ff" + PARENT[2:], b"0x" + PARENT[2:],
        PARENT.replace(TRACE, b"0" * 32), PARENT.replace(SPAN, b"0" * 16), PARENT.replace(b"-01", b"-0g"), PARENT.replace(b"-", b"_"),
        b"01" + PARENT[2:] + b"x",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_none(parent: bytes) -> None:
    """Trace Context 3.2.2: version 00 is exactly 55 characters of lower-case hex; ff, and ids of zeros, are invalid, state and all."""
    assert context_of((b"traceparent", parent), (b"tracestate", b"a=1")) == NO_CONTEXT


def test_two_traceparents_are_none() -> None:
    """Nobody could say which of them counts."""
    assert context_of((b"traceparent", PARENT), (b"traceparent", PARENT)) == NO_CONTEXT


def test_of_a_later_version_the_known_parts_count() -> None:
    """Trace Context 4.1, versioning."""
    assert context_of((b"traceparent", b"cc" + PARENT[2:] + b"-what-else")).trace_id == TRACE


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ((b"a=1",), b"a=1"),
        ((b"a=1 ,\tb=2",), b"a=1,b=2"),
        ((b"a=1", b"b=2,,c=3"), b"a=1,b=2,c=3"),
        ((b"tenant@system=x y",), b"tenant@system=x y"),
        ((b"A=1",), b""),
        ((b"a=1,b",), b""),
        ((b"a=1=2",), b""),
        ((b"a=",), b""),
        ((b"k" * 257 + b"=1",), b""),
        ((b"a=" + b"v" * 257,), b""),
        ((b"a=\x7f",), b""),
        ((b",".join(b"k%d=1" % number for number in range(32)),), b",".join(b"k%d=1" % number for number in range(32))),
        ((b",".join(b"k%d=1" % number for number in range(33)),), b""),
    ],
)
def test_tracestate_is_kept_whole_or_not_at_all(values: tuple[bytes, ...], state: bytes) -> None:
    """Trace Context 3.3.1: up to 32 members of a key and a value; the trace itself goes on without them."""
    context = context_of((b"traceparent", PARENT), *[(b"tracestate", value) for value in values])
    assert (context.trace_id, context.state) == (TRACE, state)


@pytest.mark.parametrize(
    ("value", "context"),
    [
        (b"%b-%b-1" % (TRACE, SPAN), TraceContext(TRACE, SPAN, True)),
        (b"%b-%b-0-%b" % (TRACE, SPAN, OURS), TraceContext(TRACE, SPAN, False)),
        (b"%b-%b" % (TRACE, SPAN), TraceContext(TRACE, SPAN, None)),
        (b"%b-%b-d" % (TRACE, SPAN), TraceContext(TRACE, SPAN, True, debug=True)),
        (b"%b-%b-1" % (TRACE[:16], SPAN), TraceContext(b"0" * 16 + TRACE[:16], SPAN, True, short=True)),
        (b"0", TraceContext(sampled=False)),
        (b"1", TraceContext(sampled=True)),
        (b"d", TraceContext(sampled=True, debug=True)),
        (b"2", NO_CONTEXT),
        (b"%b-%b-2" % (TRACE, SPAN), NO_CONTEXT),
        (b"%b-%b" % (TRACE[:20], SPAN), NO_CONTEXT),
        (b"%b-%b" % (b"0" * 32, SPAN), NO_CONTEXT),
        (b"%b-%b" % (TRACE.upper(), SPAN), NO_CONTEXT),
    ],
)
def test_b3_in_one_field(value: bytes, context: TraceContext) -> None:
    """B3 propagation, "Single Header": ids of 64 or 128 bits, a decision that may be left out, or a decision alone."""
    assert context_of((b"b3", value)) == context


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({b"traceid": TRACE, b"spanid": SPAN, b"sampled": b"1"}, TraceContext(TRACE, SPAN, True)),
        ({b"traceid": TRACE, b"spanid": SPAN, b"sampled": b"false"}, TraceContext(TRACE, SPAN, False)),
        ({b"traceid": TRACE, b"spanid": SPAN}, TraceContext(TRACE, SPAN, None)),
        ({b"traceid": TRACE, b"spanid": SPAN, b"flags": b"1"}, TraceContext(TRACE, SPAN, True, debug=True)),
        ({b"sampled": b"0"}, TraceContext(sampled=False)),
        ({b"sampled": b"maybe"}, NO_CONTEXT),
        ({b"traceid": TRACE, b"sampled": b"1"}, NO_CONTEXT),
        ({b"spanid": SPAN, b"sampled": b"1"}, NO_CONTEXT),
        ({b"traceid": b"xyz", b"spanid": SPAN}, NO_CONTEXT),
    ],
)
def test_b3_in_several_fields(fields: dict[bytes, bytes], context: TraceContext) -> None:
    """B3 propagation, "Multiple Headers"."""
    assert context_of(*[(b"x-b3-" + name, value) for name, value in fields.items()]) == context


def test_traceparent_counts_before_b3() -> None:
    """Of two that are good; a malformed one leaves the word to the other."""
    single = (b"b3", b"%b-%b-0" % (TRACE[::-1], SPAN))
    assert context_of((b"traceparent", PARENT), single).trace_id == TRACE
    assert context_of((b"traceparent", b"malformed"), single).trace_id == TRACE[::-1]


@given(
    contexts,
    spans,
    st.booleans(),
)
def test_what_is_written_reads_the_same(said: tuple[bytes, bytes, bool, bytes, bool], ours: bytes, sampled: bool) -> None:
    """Every context that can be read is sent on as what the next one reads as the same trace, with our span as its parent."""
    context = TraceContext(*said)
    fields = fields_in(lines(context, read([(b"b3", b"0"), (b"x-b3-sampled", b"0")])[1], ours, sampled=sampled))
    expected = context._replace(parent_id=ours, sampled=sampled)
    assert read(fields)[0] == expected
    for form in (b"b3", b"x-b3-"):
        of_b3 = read([(name, value) for name, value in fields if name.startswith(form)])[0]
        assert of_b3 == TraceContext(context.trace_id, ours, sampled)


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x-b3-flags"]), st.binary(max_size=80))))
def test_nothing_that_comes_is_a_fault(fields: Fields) -> None:
    """Whatever clients send: a context, or none."""
    context, forms = read(fields)
    if context.trace_id:
        assert fields_in(lines(context, forms, OURS, sampled=True))[0][0] == b"traceparent"


@pytest.mark.parametrize("edited", [False, True])
def test_taking_leaves_the_other_fields_in_order(edited: bool) -> None:
    """Only what carries trace context is removed, in any spelling of its name."""
    head = RequestHead(b"GET", b"/", None, b"a", b"a")
    head.lines = [b"One: 1\r\n", b"TraceParent: x\r\n", b"Two: 2\r\n", b"B3: 0\r\n", b"b3-other: y\r\n"]
    if edited:
        assert head.fields
    assert head.get(b"b3") == b"0" if edited else True
    assert take(head) == [(b"traceparent", b"x"), (b"b3", b"0")]
    assert head.written() == [b"One: 1\r\n", b"Two: 2\r\n", b"b3-other: y\r\n"]
    assert head.get(b"b3") is None
