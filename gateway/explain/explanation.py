"""What an explanation says, as values: how a request would be answered, and by which decisions.

The JSON of `/explain` and of `tidegate explain -o json` is exactly this: every field is always there, names do not change.
Percentages are of the requests that get so far.
"""

from __future__ import annotations

import msgspec

Header = tuple[str, str]


class Fact(msgspec.Struct, frozen=True):
    """Base of all parts of an explanation."""


class Asked(Fact, frozen=True):
    """The request in question."""

    method: str
    url: str
    headers: tuple[Header, ...] = ()


class Listening(Fact, frozen=True):
    """The listener that takes the request. `bound` is ADDRESS:PORT; `why` says how port and host led to it."""

    gateway: str
    name: str
    protocol: str
    hostname: str
    port: int
    bound: str
    why: str


class Considered(Fact, frozen=True):
    """A match of a rule. `rule` is its name or index, `match` its place in the rule; `outcome` is 'matches' or what failed first."""

    kind: str
    route: str
    rule: str
    match: int
    hostnames: tuple[str, ...]
    conditions: str
    outcome: str
    matched: bool


class Judged(Fact, frozen=True):
    """What one policy says. `policy` is namespace/name; `outcome` the rule that matches, or what does not match of each."""

    kind: str
    policy: str
    action: str
    outcome: str
    matched: bool


class Reply(Fact, frozen=True):
    """An answer that the proxy itself makes. `flag` is the access log's."""

    status: int
    reason: str
    flag: str = ""
    headers: tuple[Header, ...] = ()


class Forwarded(Fact, frozen=True):
    """The request as a backend gets it, without the fields that only say where it came from (x-forwarded-*, x-request-id)."""

    method: str
    host: str
    target: str
    headers: tuple[Header, ...] = ()


class Reachable(Fact, frozen=True):
    """An endpoint that may be asked, or that would be if it were healthy (0 percent). `fault` says why asking it would fail; `identity` is
    the SPIFFE ID that it must prove to be reached by mutual TLS of the mesh, '' where it is reached otherwise, `as_identity` ours there."""

    address: str
    percent: float
    fault: str = ""
    identity: str = ""
    as_identity: str = ""


class Authorization(Fact, frozen=True):
    """What an authorization server would be asked, or asked about over gRPC; whatever is said beyond it holds if the server allows it.
    `fields` are the names that its answer may change in the request; empty for any. `max_body` is how much of a body it is shown."""

    backend: str
    request: Forwarded
    fields: tuple[str, ...] = ()
    max_body: int = 0
    protocol: str = "HTTP"


class Portion(Fact, frozen=True):
    """What a share of the rule's requests or connections gets: a reply of the proxy, an end (`closed` says why), or one of the
    endpoints."""

    backend: str
    percent: float
    filters: tuple[str, ...] = ()
    authorization: Authorization | None = None
    reply: Reply | None = None
    forwarded: Forwarded | None = None
    endpoints: tuple[Reachable, ...] = ()
    protocol: str = ""
    """Of a request: HTTP/1.1, HTTP/2, or HTTP/2 or HTTP/1.1 as the endpoint chooses."""
    tls: str = ""
    balancing: str = ""
    closed: str = ""


class Copy(Fact, frozen=True):
    """A mirror."""

    backend: str
    percent: float


class Taken(Fact, frozen=True):
    """The rule that serves the request, and what it does in words, in order."""

    kind: str
    route: str
    rule: str
    filters: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class Explanation(Fact, frozen=True):
    """Exactly one of these is said: `closed`, why there is no answer, or nothing is passed on; `reply`, the proxy's own; `portions`."""

    request: Asked
    host: str = ""
    path: str = ""
    listener: Listening | None = None
    policies: tuple[Judged, ...] = ()
    """In the order in which they count; a request that they deny goes no further."""
    considered: tuple[Considered, ...] = ()
    rule: Taken | None = None
    limits: tuple[str, ...] = ()
    """Of the listener; a request over a rate limit gets 429, and what is passed on ends."""
    authorization: Authorization | None = None
    closed: str = ""
    reply: Reply | None = None
    session: str = ""
    mirrors: tuple[Copy, ...] = ()
    portions: tuple[Portion, ...] = ()
    notes: tuple[str, ...] = ()
