"""The head of a request and of a response, as both sides of an exchange know them, whatever the codec.

Names and values stay bytes as they came; nothing is decoded. `fields` holds only what is passed on: host, framing,
hop-by-hop and forwarded fields were taken out by the codec and stand as attributes. Filters edit a head in place.
"""

from __future__ import annotations

from typing import Final

Fields = list[tuple[bytes, bytes]]

WITHOUT_BODY: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE"})
"""Methods for which an absent body needs no Content-Length (RFC 9110 8.6)."""


class FieldSection:
    """The fields of a head that are passed on, in order, names as sent.

    lines   each as it is written, `name: value` and its line end: what readers give, and what counts until somebody asks for `fields`
    edited  names and values, once somebody has asked for them: from then on they count; None before
    """

    __slots__ = ("edited", "lines")

    lines: list[bytes]
    edited: Fields | None

    @property
    def fields(self) -> Fields:
        """Names and values, to be read and edited."""
        if self.edited is None:
            self.edited = [(name, value) for name, _, value in [line[:-2].partition(b": ") for line in self.lines]]
        return self.edited

    @fields.setter
    def fields(self, fields: Fields) -> None:
        self.edited = fields

    def written(self) -> list[bytes]:
        """The lines as they are now."""
        return self.lines if self.edited is None else [b"%b: %b\r\n" % pair for pair in self.edited]


class RequestHead(FieldSection):
    """A request's head after parsing (RFC 9110 6.2, RFC 9112 3).

    method        as sent
    path          normalised path, starts with '/' (or is '*' for OPTIONS); what is matched, logged and forwarded
    query         what follows the first '?', None without one
    plain_target  whether the target as sent has, up to its query, nothing but bytes that a path may hold raw (RFC 3986 3.3): it needs no
                  escaping then
    authority     host and port as sent, what is forwarded as Host
    host          lower case, without port and trailing dot; what is matched
    length        body length in bytes; None when the length is not known beforehand (chunked), 0 without a body
    version       b'1.1', b'1.0' or b'2'
    grpc          content type of a call of gRPC or gRPC-Web, lower case, without parameters; b'' for other requests
    upgrade       the lower-case protocol the client asks to upgrade to (only b'websocket' is kept), else None
    expects       whether the client waits for 100 (Continue)
    trailers      whether the client takes trailers (TE: trailers)
    keep_alive    whether the client wants the connection kept
    forwarded_for x-forwarded-for as it came, values joined, None without one
    identity      identity fields as they came, believed only from trusted peers, None without any
    forwarded     fields that the proxy adds, already serialised lines; filters that edit heads call `unfold` first
    """

    __slots__ = (
        "_index",
        "authority",
        "expects",
        "forwarded",
        "forwarded_for",
        "grpc",
        "host",
        "identity",
        "keep_alive",
        "length",
        "method",
        "path",
        "plain_target",
        "query",
        "trailers",
        "upgrade",
        "version",
    )

    def __init__(self, method: bytes, path: bytes, query: bytes | None, authority: bytes, host: bytes) -> None:
        self.method, self.path, self.query, self.authority, self.host = method, path, query, authority, host
        self.lines = []
        self.edited = None
        self.length: int | None = 0
        self.version = b"1.1"
        self.grpc = b""
        self.upgrade: bytes | None = None
        self.plain_target = self.expects = self.trailers = False
        self.keep_alive = True
        self.forwarded_for: bytes | None = None
        self.identity: Fields | None = None
        self.forwarded = b""
        self._index: dict[bytes, bytes] | None = None

    @property
    def target(self) -> bytes:
        """Origin form: path and query."""
        return self.path if self.query is None else self.path + b"?" + self.query

    def index(self) -> dict[bytes, bytes]:
        """Values by lower-case name, ours too; repeated fields joined by ', ' (RFC 9110 5.3). Made once for a head."""
        if self._index is None:
            index: dict[bytes, bytes] = {}
            for name, value in (*self.fields, *self._forwarded_fields()):
                name = name.lower()
                seen = index.get(name)
                index[name] = value if seen is None else seen + (b"; " if name == b"cookie" else b", ") + value
            self._index = index
        return self._index

    def get(self, name: bytes) -> bytes | None:
        """Value of a field by its lower-case name; b'host' gives the authority."""
        if name == b"host":
            return self.authority
        return self.index().get(name)

    def unfold(self) -> None:
        """Makes the proxy's own forwarded fields ordinary ones, so that filters can edit them."""
        if self.forwarded:
            self.fields += self._forwarded_fields()
            self.forwarded = b""
            self._index = None

    def _forwarded_fields(self) -> Fields:
        lines = [line.partition(b": ") for line in self.forwarded.split(b"\r\n")]
        return [(name, value) for name, colon, value in lines if colon]

    def copy(self) -> RequestHead:
        """For an attempt of its own (a retry, a mirror, a backend's filters): edits do not reach the original."""
        head = RequestHead(self.method, self.path, self.query, self.authority, self.host)
        head.lines = self.lines
        head.edited = None if self.edited is None else self.edited.copy()
        head.length, head.version, head.upgrade, head.expects, head.trailers = (
            self.length,
            self.version,
            self.upgrade,
            self.expects,
            self.trailers,
        )
        head.forwarded, head.grpc = self.forwarded, self.grpc
        return head

    def changed(self) -> None:
        """To be called after `fields` was edited."""
        self._index = None


class ResponseHead(FieldSection):
    """A response's head (RFC 9112 4). `length` is None when unknown beforehand; framing is written anew from it."""

    __slots__ = ("length", "line", "reason", "status")

    def __init__(self, status: int, reason: bytes, fields: Fields | None, length: int | None, line: bytes = b"") -> None:
        """Without `fields` whoever made it fills `lines`."""
        self.status, self.reason, self.length = status, reason, length
        self.lines = []
        self.edited = fields
        self.line = line or b"HTTP/1.1 %d %b\r\n" % (status, reason)
        """The status line as HTTP/1.1 writes it; readers of heads, which see few different ones, hand it in."""

    def get(self, name: bytes) -> bytes | None:
        """First value of a field by its lower-case name."""
        for field, value in self.fields:
            if field.lower() == name:
                return value
        return None


class LocalReply:
    """An answer the proxy itself makes: status, why (for the log and x-tidegate-reason), fields and a small body.

    `length` is what Content-Length says: that of the body, unless the answer is to a HEAD and has none (RFC 9110 8.6).
    """

    __slots__ = ("body", "fields", "flag", "length", "reason", "status")

    def __init__(
        self, status: int, reason: str, fields: Fields | None = None, body: bytes = b"", flag: str = "", length: int | None = None
    ) -> None:
        self.status, self.reason, self.fields, self.body, self.flag = status, reason, fields or [], body, flag
        self.length = len(body) if length is None else length
