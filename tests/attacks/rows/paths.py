"""Paths that two parties could read differently (RFC 3986 6.2.2, reference 2.3).

`/private` belongs to a rule that redirects and has no backend: what reaches the backend as one of its paths went round the rule.
Hosts rejecting.example, redirecting.example and unescaping.example are listeners with other rules for escaped slashes.
"""

from __future__ import annotations

from tests.attacks.row import HOST, Refused, Served, get, lines

_NORMAL = "RFC 3986 6.2.2, 5.2.4"
_ESCAPE = "RFC 3986 2.1"
_DOTS = "RFC 3986 5.2.4"
_ROUND = "CVE-2021-29492, CVE-2021-31920, CVE-2019-9901"
_SLASHES = "design 7: escaped slashes stay escaped"
_OVERLONG = "RFC 3629 3: overlong UTF-8"
_PARAMETERS = "dot segments with parameters"


def _bad(name: str, source: str, target: bytes) -> Refused:
    return Refused(name, source, get(target=target))


def _round(name: str, target: bytes) -> Refused:
    return Refused(name, _ROUND, get(target=target), 302, closes=False)


def _normal(name: str, source: str, target: bytes, normal: bytes) -> Served:
    return Served(name, source, get(target=target), target=normal)


def _at(host: bytes, target: bytes) -> bytes:
    return lines(b"GET %b HTTP/1.1" % target, b"Host: " + host)


REFUSED = (
    _bad("escape without digits", _ESCAPE, b"/a%"),
    _bad("escape with one digit", _ESCAPE, b"/a%2"),
    _bad("escape of no digits", _ESCAPE, b"/%zz"),
    _bad("escape in the form of %u", _ESCAPE, b"/%u002e%u002e/a"),
    _bad("escape with a sign", "int() takes it", b"/%+1"),
    _bad("escape with a space's digit", _ESCAPE, b"/% 1".replace(b" ", b"\xa0")),
    _bad("escaped NUL", "reference 2.3", b"/a%00b"),
    _bad("escaped NUL before an extension", "reference 2.3", b"/a.php%00.jpg"),
    _bad("backslash", "reference 2.3", b"/a\\b"),
    _bad("dot segment between backslashes", "reference 2.3", b"/a\\..\\b"),
    _bad("slash in two bytes", _OVERLONG, b"/..%c0%af../a"),
    _bad("dot in two bytes", _OVERLONG, b"/%c0%ae%c0%ae/a"),
    _bad("letter in two bytes", _OVERLONG, b"/%c1%81"),
    _bad("slash in three bytes", _OVERLONG, b"/..%e0%80%afa"),
    _bad("slash in four bytes", _OVERLONG, b"/..%f0%80%80%afa"),
    _bad("slash in five bytes", _OVERLONG, b"/..%f8%80%80%80%afa"),
    _bad("above the root", _DOTS, b"/../a"),
    _bad("above the root and nothing more", _DOTS, b"/.."),
    _bad("above the root, escaped", _DOTS, b"/%2e%2e/a"),
    _bad("above the root, half escaped", _DOTS, b"/.%2E/a"),
    _bad("above the root from below", _DOTS, b"/a/../../b"),
    _bad("above the root in an absolute target", _DOTS, b"http://a.example/../b"),
    _bad("dot segment with a parameter", _PARAMETERS, b"/a/..;/b"),
    _bad("dot segment with a named parameter", _PARAMETERS, b"/a/..;x=y/b"),
    _bad("dot segment with an escaped semicolon", _PARAMETERS, b"/a/..%3b/b"),
    _bad("escaped dot segment with a parameter", _PARAMETERS, b"/a/%2e%2e;/b"),
    _bad("single dot with a parameter", _PARAMETERS, b"/a/.;/b"),
    Refused("escaped slash where it is rejected", "reference 2.3", _at(b"rejecting.example", b"/a%2fb")),
    Refused("escaped backslash where it is rejected", "reference 2.3", _at(b"rejecting.example", b"/a%5Cb")),
    Refused("above the root by unescaping", "reference 2.3", _at(b"unescaping.example", b"/..%2fa")),
    Refused("escaped slash where it redirects", "reference 2.3", _at(b"redirecting.example", b"/a%2fb"), 307, closes=False),
)

ROUND = (
    _round("the private path itself", b"/private/a"),
    _round("dot segment before the private path", b"/./private/a"),
    _round("dot segments through another path", b"/public/../private/a"),
    _round("escaped dot segments through another path", b"/public/%2e%2e/private/a"),
    _round("escaped dot segment in front", b"/%2e/private/a"),
    _round("escaped letter", b"/%70rivate/a"),
    _round("every letter escaped", b"/%70%72%69%76%61%74%65/a"),
    _round("dot segment at the end of the private path", b"/private/."),
    _round("absolute target of the private path", b"http://a.example/private/a"),
    _round("absolute target of the private path with dot segments", b"http://a.example/public/../private/a"),
    _round("escaped CR LF in what a redirect repeats", b"/private/%0d%0aSet-Cookie:%20a=b"),
    _round("raw bytes in what a redirect repeats", b"/private/\xff<a>"),
    _round("private path with a query", b"/private?/../../public"),
    Refused("unescaped slash into the private path", _ROUND, _at(b"unescaping.example", b"/public%2f..%2fprivate/a"), 302, closes=False),
    Refused("two slashes before the private path, merged", "CVE-2021-39156", _at(b"unescaping.example", b"//private/a"), 302, closes=False),
    Refused(
        "private path named by an override field", "X-Original-URL", get(b"X-Original-URL: /", target=b"/private/a"), 302, closes=False
    ),
    Refused(
        "private path with another method named by a field",
        "X-HTTP-Method-Override",
        lines(b"GET /private/a HTTP/1.1", HOST, b"X-HTTP-Method-Override: POST"),
        302,
        closes=False,
    ),
)

FORWARDED_AS_MATCHED = (
    _normal("dot segment", _DOTS, b"/a/./b", b"/a/b"),
    _normal("two dots", _DOTS, b"/a/../b", b"/b"),
    _normal("dot at the end", _DOTS, b"/a/.", b"/a/"),
    _normal("two dots at the end", _DOTS, b"/a/b/..", b"/a/"),
    _normal("escaped dot segments", _NORMAL, b"/a/%2e%2E/b", b"/b"),
    _normal("double escape stays", "never decode twice", b"/a/%252e%252e/b", b"/a/%252e%252e/b"),
    _normal("double escape of a slash stays", "never decode twice", b"/a%252fb", b"/a%252fb"),
    _normal("escaped slash stays", _SLASHES, b"/a/..%2fb", b"/a/..%2Fb"),
    _normal("escaped backslash stays", _SLASHES, b"/a%5c..%5cb", b"/a%5C..%5Cb"),
    _normal("escaped slash into the private path is another path", _SLASHES, b"/private%2fa", b"/private%2Fa"),
    _normal("two slashes stay", "design 7", b"//private/a", b"//private/a"),
    _normal("three dots are a name", _DOTS, b"/a/.../b", b"/a/.../b"),
    _normal("escaped CR LF stays escaped", "RFC 3986 2.4", b"/a%0d%0aX:%20y", b"/a%0D%0AX:%20y"),
    Served("unescaped slashes are resolved", "reference 2.3", _at(b"unescaping.example", b"/a%2f..%2fb%5Cc"), target=b"/b/c"),
    Served("merged slashes", "reference 2.3", _at(b"unescaping.example", b"/a//b///c"), target=b"/a/b/c"),
    Served(
        "override field of the path is not believed", "X-Rewrite-URL", get(b"X-Rewrite-URL: /private", target=b"/public"), target=b"/public"
    ),
)

ATTACKS = REFUSED + ROUND + FORWARDED_AS_MATCHED
