"""Targets and authorities: one normal form, and what two readers could take differently refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import target as target_module
from gateway.http.refused import Refused
from gateway.http.target import PathRules, Target, normal_match_value, parse_authority, parse_target
from gateway.ir.listener import EscapedSlashes

KEEP = PathRules()
ALL_RULES = tuple(PathRules(slashes, merge) for slashes in ("Keep", "Reject", "Redirect", "Unescape") for merge in (False, True))


def path_of(target: bytes, rules: PathRules = KEEP) -> bytes:
    return parse_target(b"GET", target, rules).path


def refusal(target: bytes, method: bytes = b"GET", rules: PathRules = KEEP) -> Refused:
    with pytest.raises(Refused) as caught:
        parse_target(method, target, rules)
    return caught.value


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/api/v1/users/123", b"/api/v1/users/123"),
        (b"/-._~!$&'()*+,;=:@", b"/-._~!$&'()*+,;=:@"),
        (b"/%7Euser/%41%2D%2e%5f", b"/~user/A-._"),
        (b"/caf%c3%a9", b"/caf%C3%A9"),
        (b"/caf\xc3\xa9", b"/caf%C3%A9"),
        (b"/%E9t%E9", b"/%E9t%E9"),
        (b'/a|b^c"d<e>f`g{h}i[j]', b"/a%7Cb%5Ec%22d%3Ce%3Ef%60g%7Bh%7Di%5Bj%5D"),
        (b"/a%20b", b"/a%20b"),
        (b"/a%252e%252e/b", b"/a%252e%252e/b"),
        (b"/a%2fb%5cc", b"/a%2Fb%5Cc"),
        (b"/a//b", b"/a//b"),
        (b"//host/x", b"//host/x"),
        (b"/a;v=1/b", b"/a;v=1/b"),
        (b"/.well-known/..data/...", b"/.well-known/..data/..."),
    ],
)
def test_a_path_has_one_normal_form(target: bytes, path: bytes) -> None:
    """RFC 3986 6.2.2: unreserved characters are unescaped, other escapes are upper case, nothing is decoded twice."""
    assert path_of(target) == path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/b/..", b"/a/"),
        (b"/a/b/.", b"/a/b/"),
        (b"/a/..", b"/"),
        (b"/.", b"/"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/a/.%2e/b/%2e", b"/b/"),
        (b"/a//../b", b"/a/b"),
        (b"/a/b/c/./../../g", b"/a/g"),
    ],
)
def test_dot_segments_are_resolved(target: bytes, path: bytes) -> None:
    """RFC 3986 5.2.4, also where the dots are escaped."""
    assert path_of(target) == path


@pytest.mark.parametrize("target", [b"/..", b"/../a", b"/a/../../b", b"/%2e%2e/etc/passwd", b"/./.."])
def test_a_path_above_the_root_is_refused(target: bytes) -> None:
    """RFC 3986 5.2.4 would drop the surplus; nginx refuses it, and so do we."""
    assert (refusal(target).status, refusal(target).reason) == (400, "the path climbs above the root")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"/a\\b", "the path has a backslash"),
        (b"/a b", "the path has a space"),
        (b"/a\x00", "the path has a control byte"),
        (b"/a\tb", "the path has a control byte"),
        (b"/a\x7f", "the path has a control byte"),
        (b"/a%00b", "the path has an escaped NUL"),
        (b"/a%", "the path has the bad escape '%'"),
        (b"/a%4", "the path has the bad escape '%4'"),
        (b"/a%zz", "the path has the bad escape '%zz'"),
        (b"/a%%32e", "the path has the bad escape '%'"),
        (b"/%u002e", "the path has the bad escape '%u0'"),
        (b"/%c0%af", "the path has an overlong UTF-8 escape"),
        (b"/%C0%2e", "the path has an overlong UTF-8 escape"),
        (b"/\xc1\x9c", "the path has an overlong UTF-8 escape"),
        (b"/%e0%80%af", "the path has an overlong UTF-8 escape"),
        (b"/%f0%80%80%af", "the path has an overlong UTF-8 escape"),
        (b"/%f8%80%80%80%af", "the path has an overlong UTF-8 escape"),
        (b"/%fc%80%80%80%80%af", "the path has an overlong UTF-8 escape"),
        (b"/a/..;/b", "the path has a dot segment with parameters"),
        (b"/a/.;x=1/b", "the path has a dot segment with parameters"),
        (b"/a/%2e%2e;", "the path has a dot segment with parameters"),
        (b"/a/..%3b/b", "the path has a dot segment with parameters"),
        (b"/a#b", "the request target has a fragment"),
        (b"/a?b#c", "the request target has a fragment"),
        (b"http://a.example#b", "the request target has a fragment"),
    ],
)
def test_what_two_readers_take_differently_is_refused(target: bytes, reason: str) -> None:
    """RFC 3986 7.3 and the known path confusions: backslashes, NUL, broken and overlong escapes, '..;'."""
    assert (refusal(target).status, refusal(target).reason) == (400, reason)


@pytest.mark.parametrize(
    "target", [b"", b"a", b"a/b", b"*", b"*?x", b"a.example:443", b"ftp://a.example/", b"http:/a", b"http:///a", b"://a/"]
)
def test_other_forms_are_refused(target: bytes) -> None:
    """RFC 9112 3.2: origin-form or absolute-form, and '*' with OPTIONS only."""
    assert refusal(target).status == 400


@pytest.mark.parametrize("target", [b"a.example:443", b"/", b"http://a.example/"])
def test_connect_is_refused(target: bytes) -> None:
    """RFC 9110 9.3.6: a server may lack CONNECT; it says 405, whatever the target, also one it has seen before."""
    parse_target(b"GET", b"/", KEEP)
    assert refusal(target, b"CONNECT").status == 405


def test_asterisk_form_is_for_options() -> None:
    """RFC 9112 3.2.4, also for an absolute-form target with neither path nor query."""
    assert parse_target(b"OPTIONS", b"*", KEEP) == Target(b"*")
    assert parse_target(b"OPTIONS", b"http://a.example", KEEP) == Target(b"*", None, b"a.example", False, b"http")
    assert parse_target(b"OPTIONS", b"http://a.example?q", KEEP).path == b"/"
    assert parse_target(b"GET", b"http://a.example", KEEP).path == b"/"
    assert refusal(b"*?q", b"OPTIONS").status == 400


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://a.example/x?y", Target(b"/x", b"y", b"a.example", False, b"http")),
        (b"HTTPS://User@A.example:8443/%7e", Target(b"/~", None, b"User@A.example:8443", False, b"https")),
        (b"http://a.example?y", Target(b"/", b"y", b"a.example", False, b"http")),
        (b"http://a.example/../x", None),
    ],
)
def test_absolute_form_gives_its_authority(target: bytes, expected: Target | None) -> None:
    """RFC 9112 3.2.2: the authority is handed on as sent, for `parse_authority` to judge."""
    if expected is None:
        assert refusal(target).status == 400
    else:
        assert parse_target(b"GET", target, KEEP) == parse_target(b"GET", target, KEEP) == expected


def test_raw_bytes_of_a_query_are_escaped() -> None:
    """RFC 3986 3.4: a byte above 127 may not stand raw in a query; everything else stays as it is, escapes in either case too."""
    assert parse_target(b"GET", b"/a?b=\xc3\xa4&%c3=\x80\xff|^", KEEP).query == b"b=%C3%A4&%c3=%80%FF|^"
    assert parse_target(b"GET", b"http://h/a?\xff", KEEP).query == b"%FF"


def test_every_overlong_sequence_is_refused_and_nothing_else() -> None:
    """RFC 3629 3: of all pairs of bytes, raw, escaped or mixed, beside characters that a quick look might take for something else."""
    for first in range(0x80, 0x100):
        begins = {0xE0: range(0x80, 0xA0), 0xF0: range(0x80, 0x90), 0xF8: range(0x80, 0x88), 0xFC: range(0x80, 0x84)}.get(first, range(0))
        for second in range(0x80, 0x100):
            overlong = first in {0xC0, 0xC1} or second in {0xC0, 0xC1} or second in begins
            raw, escaped = bytes((first, second)), b"%%%02x%%%02X" % (first, second)
            for pair in (raw, escaped, raw[:1] + escaped[3:], escaped[:3] + raw[1:]):
                refused = False
                try:
                    parse_target(b"GET", b"/=3d=%3D" + pair + b"=", PathRules())
                except Refused as refusal:
                    refused = refusal.reason == "the path has an overlong UTF-8 escape"
                assert refused is overlong, pair


@given(st.binary(max_size=60))
def test_escaping_a_query_changes_no_parameter(raw: bytes) -> None:
    """What a query means, decoded, is the same as before, and it is ASCII."""
    query = raw.replace(b"#", b"")
    found = parse_target(b"GET", b"/?" + query, KEEP).query
    assert found is not None
    assert found.isascii()
    assert unquote_to_bytes(found) == unquote_to_bytes(query)


def test_the_query_is_not_touched() -> None:
    """RFC 3986 3.4: everything of ASCII after the first '?' passes as it is, and no '?' differs from an empty query."""
    assert parse_target(b"GET", b"/a?b/../%2e?c=%zz\\&|", KEEP) == Target(b"/a", b"b/../%2e?c=%zz\\&|")
    assert parse_target(b"GET", b"/a?", KEEP).query == b""
    assert parse_target(b"GET", b"/a", KEEP).query is None


@pytest.mark.parametrize(
    ("slashes", "path", "redirect"),
    [("Keep", b"/a%2Fb%5C..%2F../c", False), ("Reject", None, False), ("Unescape", b"/c", False), ("Redirect", b"/c", True)],
)
def test_escaped_slashes_follow_the_rules(slashes: EscapedSlashes, path: bytes | None, redirect: bool) -> None:
    """ListenerPolicy: kept as ordinary characters, refused, or made slashes before dot segments are resolved."""
    rules = PathRules(slashes)
    if path is None:
        assert refusal(b"/a%2fb%5C..%2f../c", rules=rules).reason == "the path has an escaped slash"
        return
    assert parse_target(b"GET", b"/a%2fb%5C..%2f../c", rules) == Target(path, redirect=redirect)
    assert parse_target(b"GET", b"/a%2fb%5C..%2f../c?q", rules) == Target(path, b"q", redirect=redirect)
    assert not parse_target(b"GET", b"/a/%252f", rules).redirect


def test_slashes_are_merged_where_the_rules_say() -> None:
    """ListenerPolicy: a run of slashes is one, before dot segments are resolved, as a file system reads it."""
    merge = PathRules(merge_slashes=True)
    assert path_of(b"//a///b//", merge) == b"/a/b/"
    assert path_of(b"/a//../b", merge) == b"/b"
    assert path_of(b"/a%2f/b", PathRules("Unescape", merge_slashes=True)) == b"/a/b"
    assert path_of(b"/a//b") == b"/a//b"


@pytest.mark.parametrize(
    ("value", "normal"),
    [("/", b"/"), ("/%7euser", b"/~user"), ("/caf%c3%a9", b"/caf%C3%A9"), ("/café", b"/caf%C3%A9"), ("/a%2fb", b"/a%2Fb")],
)
def test_a_match_value_has_the_form_of_a_path(value: str, normal: bytes) -> None:
    """HTTPPathMatch.value is compared with normal paths, so it is brought to the same form."""
    assert normal_match_value(value) == normal == path_of(value.encode())


def test_a_match_value_with_a_bad_escape_says_what_to_do() -> None:
    """The user reads this in a condition: what is wrong and the remedy."""
    with pytest.raises(ValueError, match=r"has the bad escape '%zz'; write two hexadecimal digits after '%', or '%25'"):
        normal_match_value("/a%zz")


# A second opinion: one character at a time, no cache, no pattern.

PIECES = [
    b"/",
    b"//",
    b"a",
    b".",
    b"..",
    b"...",
    b"%2e",
    b"%2E",
    b"%2f",
    b"%5C",
    b";",
    b"%3b",
    b"%25",
    b"%c3%a9",
    b"\xc3",
    b"%7E",
    b"|",
    b"%20",
]
BAD_PIECES = [b"%00", b"%zz", b"%", b"\\", b" ", b"\n", b"#", b"%c0%af", b"%4", b"%e0%80"]
paths = st.lists(st.sampled_from(PIECES) | st.sampled_from(PIECES + BAD_PIECES), max_size=14).map(lambda pieces: b"/" + b"".join(pieces))


def slow_path(raw: bytes, rules: PathRules) -> bytes | None:
    """None where it is refused."""
    characters = slow_characters(raw)
    if characters is None:
        return None
    if rules.escaped_slashes != "Keep":
        if rules.escaped_slashes == "Reject" and ("%2F" in characters or "%5C" in characters):
            return None
        characters = ["/" if character in ("%2F", "%5C") else character for character in characters]
    if rules.merge_slashes:
        characters = [
            character for place, character in enumerate(characters) if place == 0 or characters[place - 1 : place + 1] != ["/", "/"]
        ]
    text = "".join(characters)
    kept: list[str] = []
    segments = text.split("/")[1:]
    for place, segment in enumerate(segments):
        if segment.replace("%3B", ";").startswith((".;", "..;")) or (segment == ".." and not kept):
            return None
        if segment == "..":
            kept.pop()
        elif segment != ".":
            kept.append(segment)
        if place == len(segments) - 1 and segment in (".", ".."):
            kept.append("")
    return ("/" + "/".join(kept)).encode()


def slow_characters(raw: bytes) -> list[str] | None:
    """Characters and normal escapes."""
    characters: list[str] = []
    place = 0
    while place < len(raw):
        byte = raw[place]
        if byte <= 0x20 or byte == 0x7F or byte in b"#\\":
            return None
        escaped = byte == 0x25
        if escaped:
            digits = raw[place + 1 : place + 3].decode("latin-1")
            if len(digits) != 2 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                return None
            byte = int(digits, 16)
        if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "-._~"):
            characters.append(chr(byte))
        elif escaped or byte not in b"!$&'()*+,;=:@/":
            characters.append(f"%{byte:02X}")
        else:
            characters.append(chr(byte))
        place += 3 if escaped else 1
    joined = "".join(characters)
    if "%00" in characters or "%C0" in characters or "%C1" in characters or "%E0%8" in joined or "%E0%9" in joined:
        return None
    return characters


@given(paths, st.sampled_from(ALL_RULES))
def test_normal_forms_agree_with_a_slow_second_opinion(raw: bytes, rules: PathRules) -> None:
    """RFC 3986 5.2.4 and 6.2.2, read one character at a time."""
    expected = slow_path(raw, rules)
    if expected is None:
        assert refusal(raw, rules=rules).status == 400
    else:
        assert path_of(raw, rules) == expected


@given(paths | st.binary(max_size=40).map(lambda rest: b"/" + rest.replace(b"?", b"")), st.sampled_from(ALL_RULES))
def test_a_normal_form_is_normal_and_stays_below_the_root(raw: bytes, rules: PathRules) -> None:
    """Normalising again changes nothing, so a proxy behind us that also does it once reads the same path."""
    try:
        path = path_of(raw, rules)
    except Refused:
        return
    assert path_of(path, rules) == path
    assert path.startswith(b"/")
    assert path.isascii()
    assert not {b".", b".."} & set(path.split(b"/"))


@given(st.binary(max_size=30), st.sampled_from([b"GET", b"OPTIONS", b"CONNECT"]), st.sampled_from(ALL_RULES))
def test_nothing_but_a_refusal_is_raised(raw: bytes, method: bytes, rules: PathRules) -> None:
    """Bad input harms only itself: whatever the bytes are, there is a value or a status to answer."""
    assert status_of(lambda: parse_target(method, raw, rules)) in (200, 400, 405)
    assert status_of(lambda: parse_authority(raw)) in (200, 400)


def status_of(parse: Callable[[], object]) -> int:
    try:
        parse()
    except Refused as refused:
        return refused.status
    return 200


def steps(target: bytes) -> int:
    """Lines and bytecodes that parsing takes; the calls in between are single passes of C over bytes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse_target(b"GET", target, KEEP)
    except Refused:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "piece", [b"a", b"/a", b"/", b"//", b"/.", b"/a/..", b"%7e", b"%2f", b"\x80", b"%c3%a9", b"/%2e", b"/a;", b"..", b";", b"%zz", b"/..;"]
)
def test_time_is_linear_in_the_target(piece: bytes) -> None:
    """Twice the target takes at most twice the steps, whatever it repeats."""
    some, more = (b"/a" + piece * number for number in (300, 600))
    assert steps(more) <= 2 * steps(some) + 100


@pytest.mark.parametrize("target", [b"/a" * 30_000, b"/a/.." * 10_000, b"/" + b"%7E" * 20_000, b"/" + b"\xff" * 60_000, b"/" * 60_000])
def test_a_target_of_60_kilobytes_is_parsed(target: bytes) -> None:
    """How long a target may be is the codec's business: here none is too long."""
    assert path_of(target) == slow_path(target, KEEP)


def test_caches_are_bounded() -> None:
    """A client that never repeats itself costs no more memory than one full cache, and long values are not kept."""
    rules = PathRules("Unescape")
    for number in range(target_module.CACHE_ENTRIES + 10):
        parse_target(b"GET", b"/%d" % number, rules)
        parse_authority(b"h%d.example" % number)
    assert 0 < len(rules.cache) <= target_module.CACHE_ENTRIES
    assert 0 < len(target_module.AUTHORITIES) <= target_module.CACHE_ENTRIES
    size = len(rules.cache)
    parse_target(b"GET", b"/" + b"long" * 200, rules)
    assert len(rules.cache) == size


def test_rules_that_differ_do_not_share_answers() -> None:
    """The same target under other rules is another path."""
    assert path_of(b"/x%2fy") == b"/x%2Fy"
    assert path_of(b"/x%2fy", PathRules("Unescape")) == b"/x/y"
    assert path_of(b"/x%2fy", PathRules()) == b"/x%2Fy"


@pytest.mark.parametrize(
    ("value", "host", "authority"),
    [
        (b"example.com", b"example.com", b"example.com"),
        (b"Example.COM:8080", b"example.com", b"Example.COM:8080"),
        (b"example.com.", b"example.com", b"example.com."),
        (b"example.com.:80", b"example.com", b"example.com.:80"),
        (b"example.com:", b"example.com", b"example.com"),
        (b"localhost", b"localhost", b"localhost"),
        (b"my_service-1.ns", b"my_service-1.ns", b"my_service-1.ns"),
        (b"xn--caf-dma.example", b"xn--caf-dma.example", b"xn--caf-dma.example"),
        (b"127.0.0.1:8080", b"127.0.0.1", b"127.0.0.1:8080"),
        (b"[::1]", b"[::1]", b"[::1]"),
        (b"[2001:DB8::1]:443", b"[2001:db8::1]", b"[2001:DB8::1]:443"),
        (b"[::ffff:192.0.2.1]", b"[::ffff:192.0.2.1]", b"[::ffff:192.0.2.1]"),
    ],
)
def test_an_authority_gives_the_host_to_match_and_what_to_forward(value: bytes, host: bytes, authority: bytes) -> None:
    """RFC 9110 4.2.3 and 7.2: case, port and one trailing dot do not tell hosts apart; what is forwarded stays as sent."""
    assert parse_authority(value) == parse_authority(value) == (host, authority)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", "is empty"),
        (b"user@example.com", "has user information"),
        (b"user:password@example.com:80", "has user information"),
        (b"example.com/path", "has a path"),
        (b"a b", "has a space"),
        (b" example.com", "has a space"),
        (b"a.example,b.example", "is a list"),
        (b"caf\xc3\xa9.example", "is not ASCII"),
        (b"example.com:http", "has a bad port"),
        (b"example.com:80:80", "has a bad port"),
        (b"example.com:-1", "has a bad port"),
        (b"example.com:+80", "has a bad port"),
        (b"example.com:123456", "has a bad port"),
        (b"example.com:65536", "has a port outside 1 to 65535"),
        (b"example.com:0", "has a port outside 1 to 65535"),
        (b":80", "has a character"),
        (b"*.example.com", "has a character"),
        (b"a%2eb", "has a character"),
        (b"a\x00b", "has a character"),
        (b"a\tb", "has a character"),
        (b"a\nb", "has a character"),
        (b"example.com\n", "has a character"),
        (b"a..b", "has an empty label"),
        (b".example.com", "has an empty label"),
        (b".", "has an empty label"),
        (b"example.com..", "has an empty label"),
        (b"::1", "has a character"),
        (b"[::1", "has a character"),
        (b"[::1]x", "has a character"),
        (b"[1::2::3]", "is not an IPv6 address"),
        (b"[127.0.0.1]", "is not an IPv6 address"),
        (b"[fe80::1%25eth0]", "has a character"),
        (b"[v1.x]", "has a character"),
        (b"a." * 127 + b"ab", "is longer than 255 bytes"),
        (b"a" * 60_000, "is longer than 255 bytes"),
    ],
)
def test_a_bad_host_is_refused(value: bytes, fault: str) -> None:
    """RFC 9112 3.2: 400 to whatever is not a host with an optional port."""
    with pytest.raises(Refused) as caught:
        parse_authority(value)
    assert caught.value.status == 400
    assert fault in caught.value.reason
    assert len(caught.value.reason) < 500
    assert caught.value.reason.isprintable()
