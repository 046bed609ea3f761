"""The wire format of Protocol Buffers (protobuf.dev, Encoding): what the proxy writes, and what it reads of whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.protobuf import (
    Malformed,
    last_number,
    last_text,
    merged,
    message_field,
    number_field,
    read_fields,
    text_field,
    texts,
    varint,
)

NUMBERS = st.integers(1, (1 << 29) - 1)
FIELDS = st.lists(st.tuples(NUMBERS, st.integers(1, (1 << 64) - 1) | st.binary(max_size=300)), max_size=8)


@pytest.mark.parametrize(
    ("number", "octets"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (1 << 63, "80808080808080808001"), (-1, "ffffffffffffffffff01")],
)
def test_numbers_are_varints(number: int, octets: str) -> None:
    """Base 128 Varints, the lowest seven bits first; negative numbers as their complement of 64 bits."""
    assert varint(number).hex() == octets


@given(FIELDS)
def test_fields_are_read_as_they_were_written(fields: list[tuple[int, int | bytes]]) -> None:
    """Numbers and values in order."""
    written = [number_field(number, value) if isinstance(value, int) else message_field(number, value) for number, value in fields]
    assert read_fields(b"".join(written)) == fields


@given(FIELDS, st.integers(0, 3000))
def test_a_message_that_is_cut_is_malformed_or_shorter(fields: list[tuple[int, int | bytes]], at: int) -> None:
    """Never something else."""
    written = [number_field(number, value) if isinstance(value, int) else message_field(number, value) for number, value in fields]
    try:
        found = read_fields(b"".join(written)[:at])
    except Malformed:
        return
    assert found == fields[: len(found)]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    """Nothing else is raised."""
    try:
        fields = read_fields(data)
        for number, _ in fields:
            last_number(fields, number)
            last_text(fields, number)
            merged(fields, number)
    except Malformed:
        pass


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        ("08", "cut"),
        ("0a0541", "cut"),
        ("0d000000", "cut"),
        ("0b", "wire type 3"),
        ("00", "without a number"),
        ("08" + "ff" * 10 + "01", "too long"),
    ],
)
def test_what_is_malformed(octets: str, fault: str) -> None:
    """Fields that are cut, groups, field 0, and numbers of more than 64 bits."""
    with pytest.raises(Malformed, match=fault):
        read_fields(bytes.fromhex(octets))


def test_absent_is_empty() -> None:
    """Proto3: a field that is absent has its default; of several the last counts, and messages are put together."""
    assert (number_field(1, 0), text_field(1, b""), message_field(1, b"")) == (b"", b"", b"\x0a\x00")
    assert (last_number([], 1), last_text([], 1), merged([], 1), texts([], 1)) == (0, b"", None, [])
    fields = read_fields(number_field(1, 7) + number_field(1, 8) + text_field(2, b"a") + text_field(2, b"b"))
    assert (last_number(fields, 1), last_text(fields, 2), texts(fields, 2)) == (8, b"b", [b"a", b"b"])
    pieces = read_fields(message_field(1, number_field(1, 1)) + message_field(1, number_field(2, 2)))
    assert merged(pieces, 1) == [(1, 1), (2, 2)]


def test_numbers_have_a_sign() -> None:
    """int32: 32 bits of what may come as 64."""
    assert last_number(read_fields(number_field(1, -1)), 1) == -1
    assert last_number(read_fields(number_field(1, (1 << 31) - 1)), 1) == (1 << 31) - 1


def test_a_field_of_another_kind_is_malformed() -> None:
    """Rather than guessed at."""
    with pytest.raises(Malformed):
        last_number([(1, b"a")], 1)
    with pytest.raises(Malformed):
        texts([(1, 1)], 1)
