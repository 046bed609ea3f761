"""Kinds of field names, lists, and the pattern that splits field lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import fields
from gateway.http.fields import find_fields, kind_of, named_by_connection, only_in_head, read_line, split_list


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"host", fields.HOST),
        (b"HOST", fields.HOST),
        (b"Content-Length", fields.CONTENT_LENGTH),
        (b"tRANSFER-eNCODING", fields.TRANSFER_ENCODING),
        (b"Connection", fields.CONNECTION),
        (b"X-Forwarded-For", fields.FORWARDED_FOR),
        (b"Expect", fields.EXPECT),
        (b"TE", fields.TE),
        (b"Upgrade", fields.UPGRADE),
        (b"Keep-Alive", fields.DROPPED),
        (b"X-Forwarded-Client-Cert", fields.IDENTITY),
        (b"X-Real-Ip", fields.IDENTITY),
        (b"x_forwarded_for", fields.DROPPED),
        (b"X.Real.IP", fields.DROPPED),
        (b"content_length", fields.DROPPED),
        (b"X-Forwarded-For-Me", 0),
        (b"my_own", 0),
        (b"content-type", 0),
        (b"x", 0),
    ],
)
def test_a_name_has_one_kind_in_every_spelling(name: bytes, kind: int) -> None:
    """Names are compared without case (RFC 9110 5.1); '_' and '.' in the place of '-' make no ordinary field of a protected one."""
    assert kind_of(name) == kind_of(name) == kind


@given(st.sampled_from(sorted(fields.KINDS)), st.data())
def test_case_never_changes_a_kind(name: bytes, data: st.DataObject) -> None:
    """However a protected name is written, it is protected."""
    spelling = bytes(data.draw(st.sampled_from([byte, bytes((byte,)).upper()[0]])) for byte in name)
    assert kind_of(spelling) == fields.KINDS[name]


def test_lines_of_clients_are_not_kept_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many nor long ones fill the memory, and secrets are never kept."""
    monkeypatch.setattr(fields, "LINES", {})
    for number in range(10_000):
        read_line(b"x-%d: y\r" % number)
    read_line(b"x: " + b"y" * 60_000 + b"\r")
    read_line(b"Cookie: a=secret\r")
    assert 0 < len(fields.LINES) <= 6144
    assert max(map(len, fields.LINES)) <= 256
    assert not any(line.startswith(b"Cookie") for line in fields.LINES)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"A, b\t,c", [b"a", b"b", b"c"]),
        (b",, a ,, ,b,", [b"a", b"b"]),
        (b"a b", [b"a b"]),
        (b"\xa0a", [b"\xa0a"]),
    ],
)
def test_a_list_is_split_at_commas(value: bytes, members: list[bytes]) -> None:
    """Empty members are left out, only space and tab are stripped (RFC 9110 5.6.1)."""
    assert split_list(value) == members


def test_connection_names_ordinary_fields_only() -> None:
    """Known options and hop-by-hop fields need no naming: they are taken out anyway (RFC 9110 7.6.1)."""
    assert named_by_connection([b"close", b"keep-alive", b"upgrade", b"te", b"x-own", b"y"]) == {b"x-own", b"y"}


@pytest.mark.parametrize(
    "option", [*b"host content-length transfer-encoding authorization cookie x-forwarded-for forwarded a:".split(), b"a b"]
)
def test_connection_takes_nothing_away_that_is_protected(option: bytes) -> None:
    """A client must not make the proxy drop what identifies it or frames its message (catalogue 2.4)."""
    with pytest.raises(ValueError, match="Connection"):
        named_by_connection([b"close", option])


def test_which_fields_are_taken_from_trailers() -> None:
    """RFC 9110 6.5.1."""
    names = b"grpc-status Server-Timing x-checksum ETag Content-Type IF-Match Date Host x-real-ip".split()
    assert [name for name in names if not only_in_head(name)] == [b"grpc-status", b"Server-Timing", b"x-checksum", b"ETag"]


def naive(section: bytes) -> list[tuple[bytes, bytes]] | None:
    """Field lines as RFC 9112 5 has them, read line by line; None where one is malformed."""
    token = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if section.count(b"\n") != section.count(b"\r\n") or section.count(b"\r") != section.count(b"\r\n"):
        return None
    pairs = []
    for line in section.split(b"\r\n")[:-1]:
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= token or any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in value):
            return None
        pairs.append((name, value.strip(b" \t")))
    return pairs


PARTS = [b"A", b"b-c", b":", b": ", b" ", b"\t", b"x y", b"\r\n", b"\r\n", b"\r", b"\n", b"\x00", b"\x7f", b"\xff", b"("]


@given(st.lists(st.sampled_from(PARTS)))
def test_the_pattern_finds_all_lines_of_a_good_section_and_not_of_a_bad_one(parts: list[bytes]) -> None:
    """One pass over a head agrees with reading it line by line: the number of matches tells whether every line is well formed."""
    section = b"".join(parts) + b"\r\n"
    found = find_fields(b"\r\n" + section, 2)
    expected = naive(section)
    if expected is None:
        assert len(found) != section.count(b"\n") or section.count(b"\n") == 0
    else:
        assert [(name, value.rstrip(b" \t")) for name, value in found] == expected
