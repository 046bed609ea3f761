"""The cells of the matrix: a demand for identity or some policies, who calls, what is spoken, and what is due by the oracle.

A cell is named by what is in it. Cells of one set of policies stand together, so that the sidecars are told each set once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.gateway.policies.tokens import ISSUER, jwks, token
from tests.wire.capturing import OTHER, OWN
from tests.wire.policy_matrix import oracle
from tests.wire.policy_matrix.callers import Caller, Fields, Spoken
from tests.wire.policy_matrix.pods import ANY, ANY_FIRST, BYTES, FIRST, GRPC, HTTP, MARKS, NAMESPACES, Document

SELECTOR: Final = {"matchLabels": {"app": "db"}}
WAYS: Final[dict[str, tuple[Spoken, int]]] = {
    "HTTP/1.1": ("http/1.1", HTTP), "HTTP/2": ("h2", HTTP), "gRPC": ("grpc", GRPC), "WebSocket": ("websocket", HTTP),
    "TCP": ("bytes", BYTES), "HTTP/1.1 that is detected": ("http/1.1", ANY), "HTTP/2 that is detected": ("h2", ANY),
    "TCP that is detected": ("bytes", ANY),
}  # fmt: skip
"""What is spoken, and at which port."""
FIRST_WAYS: Final[dict[str, tuple[Spoken, int]]] = {
    "TCP, server first": ("greeting", FIRST), "TCP that is detected, server first": ("greeting", ANY_FIRST),
}  # fmt: skip
PLAIN: Final = "plain text, and PeerAuthentication asks for mutual TLS"
FOREIGN: Final = "TLS that is not the mesh's, and PeerAuthentication asks for mutual TLS"
TLS_ON_PLAIN: Final = "a TLS handshake, and plain HTTP is spoken here"


@dataclass(frozen=True, slots=True)
class Cell:
    """`documents` are all policies that there are."""

    name: str
    documents: tuple[Document, ...]
    caller: Caller
    spoken: Spoken
    port: int
    method: str = "GET"
    path: str = "/"
    host: str = "db.shop"
    fields: Fields = ()
    subject: str = ""
    """Of the token that the caller shows, '' for none."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is due by the documentation.

    word      what the caller gets (see callers.call); '' for nothing
    flag      of the access log; '-' where the application answers a request, '' where a connection is passed on
    reason    in the access log; '' where nothing is refused
    identity  of the account that the callee knows; '' for none
    verdict   of the policies, None where nobody asks them
    """

    word: str
    flag: str
    reason: str
    identity: str = ""
    verdict: oracle.Verdict | None = None

    @property
    def is_served(self) -> bool:
        return not self.reason


def due(cell: Cell) -> Due:
    """By the documents of the cell."""
    mode, tls = oracle.mode(cell.documents, cell.port), cell.caller in ("own TLS", "stranger")
    if cell.caller == "stranger" and mode != "DISABLE":
        return Due("", "DPE", "certificate_refused")
    if mode == "STRICT" and cell.caller not in MARKS:
        return Due("", "NR", FOREIGN if tls else PLAIN)
    if mode == "DISABLE" and tls and cell.port in (HTTP, GRPC):
        return Due("", "DPE", TLS_ON_PLAIN)  # the port is declared to speak HTTP, and nobody ends TLS there
    identity = cell.caller if cell.caller in MARKS and mode != "DISABLE" else ""
    verdict = oracle.judge(cell.documents, asked(cell, identity))
    is_request = cell.spoken not in ("bytes", "greeting") and not tls
    if verdict.reason:
        return Due(("grpc 7" if cell.spoken == "grpc" else "403") if is_request else "", "RBAC", verdict.reason, identity, verdict)
    word = {"http/1.1": "200", "h2": "200", "grpc": "grpc 0", "websocket": "101"}.get(cell.spoken, "bytes")
    return Due(word, "-" if is_request else "", "", identity, verdict)


def asked(cell: Cell, identity: str) -> oracle.Call:
    """What the callee knows."""
    principal = f"cluster.local/ns/{NAMESPACES[identity]}/sa/{identity}" if identity else ""
    is_request = cell.spoken not in ("bytes", "greeting") and cell.caller not in ("own TLS", "stranger")
    claims = {"iss": ISSUER, "sub": cell.subject, **CLAIMS} if cell.subject else {}
    method = "POST" if cell.spoken == "grpc" else cell.method
    return oracle.Call(
        principal, OTHER if cell.caller == "elsewhere" else OWN, cell.port, is_request, method, cell.path, cell.host, cell.fields, claims,
        "db.shop" if cell.caller == "own TLS" else "",
    )  # fmt: skip


# what callers must prove


def demand(mode: str, namespace: str = "shop", ports: dict[int, str] | None = None, *, selects: bool = False) -> Document:
    """A PeerAuthentication."""
    spec: Document = {"mtls": {"mode": mode}}
    if ports or selects:
        spec["selector"] = SELECTOR
        spec["portLevelMtls"] = {str(port): {"mode": of_port} for port, of_port in (ports or {}).items()}
    name = "pods" if ports or selects else "default"
    return {"kind": "PeerAuthentication", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


_SOME: Final = (HTTP, BYTES, ANY_FIRST)
"""Ports at which something else holds."""
MODES: Final[dict[str, tuple[Document, ...]]] = {
    "nothing said": (),
    "DISABLE": (demand("DISABLE"),),
    "PERMISSIVE": (demand("PERMISSIVE"),),
    "STRICT": (demand("STRICT"),),
    "STRICT in the root namespace, UNSET here": (demand("STRICT", "istio-system"), demand("UNSET")),
    "STRICT, but DISABLE at some ports": (demand("STRICT", ports=dict.fromkeys(_SOME, "DISABLE")),),
    "DISABLE, but STRICT at some ports": (demand("DISABLE", ports=dict.fromkeys(_SOME, "STRICT")),),
    "UNSET, but STRICT at some ports": (demand("DISABLE"), demand("UNSET", ports=dict.fromkeys(_SOME, "STRICT"))),
}


def demands() -> Iterator[Cell]:
    """Each mode, caller and protocol, without any other policy."""
    callers: tuple[Caller, ...] = ("web", "plain", "own TLS", "stranger")
    for mode, documents in MODES.items():
        for caller in callers:
            for way, (spoken, port) in WAYS.items():
                yield Cell(f"{mode}: {way}, {caller}", documents, caller, spoken, port)


def silent_demands() -> Iterator[Cell]:
    """The same where servers speak first: no client of TLS of its own waits for them."""
    callers: tuple[Caller, ...] = ("web", "plain")
    for mode, documents in MODES.items():
        for caller in callers:
            for way, (spoken, port) in FIRST_WAYS.items():
                yield Cell(f"{mode}: {way}, {caller}", documents, caller, spoken, port)


# what policies do


def policy(action: str, *rules: Document, name: str = "p", namespace: str = "shop", dry: bool = False) -> Document:
    """An AuthorizationPolicy for the callee; without rules it matches nothing."""
    metadata: Document = {"name": name, "namespace": namespace}
    if dry:
        metadata["annotations"] = {"istio.io/dry-run": "true"}
    selector = {} if namespace == "istio-system" else {"selector": SELECTOR}
    return {"kind": "AuthorizationPolicy", "metadata": metadata, "spec": {**selector, "action": action, "rules": list(rules)}}


def source(**fields: Sequence[str]) -> Document:
    return {"from": [{"source": {name: list(values) for name, values in fields.items()}}]}


def operation(**fields: Sequence[str]) -> Document:
    return {"to": [{"operation": {name: list(values) for name, values in fields.items()}}]}


def when(key: str, *values: str, unless: Sequence[str] = ()) -> Document:
    return {"when": [{"key": key, **({"values": list(values)} if values else {}), **({"notValues": list(unless)} if unless else {})}]}


WEB: Final = source(principals=["cluster.local/ns/shop/sa/web"])
NOBODY: Final = source(principals=["cluster.local/ns/shop/sa/nobody"])
SHAPES: Final[dict[str, tuple[Document, ...]]] = {
    "no policy": (),
    "ALLOW web": (policy("ALLOW", NOBODY, WEB),),
    "ALLOW somebody else": (policy("ALLOW", NOBODY),),
    "ALLOW nothing": ({"kind": "AuthorizationPolicy", "metadata": {"name": "p", "namespace": "shop"}, "spec": {}},),
    "ALLOW everything": (policy("ALLOW", {}),),
    "DENY web": (policy("DENY", NOBODY, WEB),),
    "DENY somebody else": (policy("DENY", NOBODY),),
    "DENY everything": (policy("DENY", {}),),
    "AUDIT web": (policy("AUDIT", NOBODY, WEB),),
    "DENY web, in a dry run": (policy("DENY", WEB, dry=True),),
    "DENY web and ALLOW everything": (policy("DENY", WEB, name="d"), policy("ALLOW", {}, name="a")),
    "DENY api and ALLOW web, AUDIT both": (
        policy("DENY", source(namespaces=["desk"]), name="d"), policy("ALLOW", WEB, name="a"),
        policy("AUDIT", source(principals=["*"]), name="z"),
    ),
    "two of ALLOW": (policy("ALLOW", NOBODY, name="a"), policy("ALLOW", WEB, name="b")),
    "DENY web in the root namespace, ALLOW everything here": (policy("DENY", WEB, namespace="istio-system"), policy("ALLOW", {})),
    "ALLOW web, but STRICT": (policy("ALLOW", WEB), demand("STRICT")),
    "ALLOW web, but DISABLE": (policy("ALLOW", WEB), demand("DISABLE")),
    "DENY whoever proves nothing": (policy("DENY", source(notPrincipals=["*"])),),
}  # fmt: skip


def shapes() -> Iterator[Cell]:
    """Each set of policies, caller and protocol."""
    callers: tuple[Caller, ...] = ("web", "api", "plain")
    ways = {way: WAYS[way] for way in ("HTTP/1.1", "HTTP/2", "gRPC", "WebSocket", "TCP", "TCP that is detected")}
    for shape, documents in SHAPES.items():
        for caller in callers:
            for way, (spoken, port) in ways.items():
                yield Cell(f"{shape}: {way}, {caller}", documents, caller, spoken, port)
        yield Cell(f"{shape}: TCP, own TLS", documents, "own TLS", "bytes", BYTES)
        yield Cell(f"{shape}: HTTP/1.1 in TLS of its own", documents, "own TLS", "http/1.1", HTTP)


def silent_shapes() -> Iterator[Cell]:
    for shape in ("ALLOW web", "DENY web", "DENY api and ALLOW web, AUDIT both"):
        for caller in ("web", "plain"):
            for way, (spoken, port) in FIRST_WAYS.items():
                yield Cell(f"{shape}: {way}, {caller}", SHAPES[shape], caller, spoken, port)


# what rules ask for

CLAIMS: Final = {"aud": "shop", "groups": ["admins", "staff"]}
TOKENS: Final[Document] = {
    "kind": "RequestAuthentication", "metadata": {"name": "tokens", "namespace": "shop"},
    "spec": {"selector": SELECTOR, "jwtRules": [{"issuer": ISSUER, "jwks": jwks()}]},
}  # fmt: skip
_HTTP_CALL: Final = Cell("", (), "web", "http/1.1", HTTP)
_TCP_CALL: Final = Cell("", (), "web", "bytes", BYTES)
_IDENTITIES: Final = {
    "HTTP, web": _HTTP_CALL, "HTTP, api": replace(_HTTP_CALL, caller="api"), "HTTP, plain": replace(_HTTP_CALL, caller="plain"),
    "TCP, web": _TCP_CALL, "TCP, api": replace(_TCP_CALL, caller="api"), "TCP, plain": replace(_TCP_CALL, caller="plain"),
}  # fmt: skip
_ADDRESSES: Final = {
    "HTTP, here": replace(_HTTP_CALL, caller="plain"), "HTTP, elsewhere": replace(_HTTP_CALL, caller="elsewhere"),
    "TCP, here": replace(_TCP_CALL, caller="plain"), "TCP, elsewhere": replace(_TCP_CALL, caller="elsewhere"),
}  # fmt: skip
_PORTS: Final = {
    "HTTP": _HTTP_CALL, "HTTP that is detected": replace(_HTTP_CALL, port=ANY), "TCP": _TCP_CALL,
    "TCP that is detected": replace(_TCP_CALL, port=ANY),
}  # fmt: skip
_NAMES: Final = {
    "TLS of its own": replace(_TCP_CALL, caller="own TLS"), "HTTP in TLS of its own": replace(_HTTP_CALL, caller="own TLS"),
    "TCP": _TCP_CALL, "HTTP": _HTTP_CALL,
}  # fmt: skip


def _methods() -> dict[str, Cell]:
    return {
        "GET": _HTTP_CALL, "POST": replace(_HTTP_CALL, method="POST"),
        "DELETE over HTTP/2": replace(_HTTP_CALL, method="DELETE", spoken="h2"),
        "gRPC": replace(_HTTP_CALL, spoken="grpc", port=GRPC), "TCP": _TCP_CALL,
    }  # fmt: skip


def _paths(*paths: str) -> dict[str, Cell]:
    return {path: replace(_HTTP_CALL, path=path) for path in paths} | {"TCP": _TCP_CALL}


def _hosts(*hosts: str) -> dict[str, Cell]:
    over_2 = {f"{hosts[0]} over HTTP/2": replace(_HTTP_CALL, host=hosts[0], spoken="h2")}
    return {host: replace(_HTTP_CALL, host=host) for host in hosts} | over_2 | {"TCP": _TCP_CALL}


def _headers(*values: str) -> dict[str, Cell]:
    shown = {value: replace(_HTTP_CALL, fields=(("x-team", value),)) for value in values}
    return shown | {
        "nothing": _HTTP_CALL,
        "TCP": _TCP_CALL,
        "gRPC": replace(_HTTP_CALL, spoken="grpc", port=GRPC, fields=(("x-team", values[0]),)),
    }


def _tokens() -> dict[str, Cell]:
    return {
        "alice": replace(_HTTP_CALL, subject="alice"), "bob": replace(_HTTP_CALL, subject="bob", spoken="h2"), "nobody": _HTTP_CALL,
        "plain alice": replace(_HTTP_CALL, subject="alice", caller="plain"), "TCP": _TCP_CALL,
    }  # fmt: skip


RULES: Final[dict[str, tuple[Document, dict[str, Cell]]]] = {
    "principals": (WEB, _IDENTITIES),
    "principals by their end": (source(principals=["*/sa/api"]), _IDENTITIES),
    "any principal": (source(principals=["*"]), _IDENTITIES),
    "notPrincipals": (source(notPrincipals=["cluster.local/ns/shop/sa/web"]), _IDENTITIES),
    "namespaces": (source(namespaces=["shop"]), _IDENTITIES),
    "notNamespaces": (source(notNamespaces=["shop"]), _IDENTITIES),
    "source.principal": (when("source.principal", "cluster.local/ns/desk/*"), _IDENTITIES),
    "source.namespace": (when("source.namespace", unless=["desk"]), _IDENTITIES),
    "ipBlocks": (source(ipBlocks=["10.77.0.0/16"]), _ADDRESSES),
    "notIpBlocks": (source(notIpBlocks=["10.77.0.1"]), _ADDRESSES),
    "remoteIpBlocks": (source(remoteIpBlocks=["10.88.0.0/24"]), _ADDRESSES),
    "source.ip": (when("source.ip", "10.88.0.1"), _ADDRESSES),
    "a namespace and an address": (source(namespaces=["shop"], ipBlocks=["10.77.0.0/16"]), _IDENTITIES),
    "ports": (operation(ports=[str(HTTP), str(BYTES)]), _PORTS),
    "notPorts": (operation(notPorts=[str(ANY)]), _PORTS),
    "destination.port": (when("destination.port", str(ANY)), _PORTS),
    "connection.sni": (when("connection.sni", "*.shop"), _NAMES),
    "connection.sni that is another": (when("connection.sni", unless=["db.shop"]), _NAMES),
    "methods": (operation(methods=["GET"]), _methods()),
    "notMethods": (operation(notMethods=["GET", "POST"]), _methods()),
    "paths": (operation(paths=["/a", "/b/*"]), _paths("/a", "/a/b", "/b/c?d", "/b")),
    "notPaths": (operation(notPaths=["/a*"]), _paths("/ab", "/b")),
    "paths by template": (operation(paths=["/v/{*}/items"]), _paths("/v/1/items", "/v/1/2/items", "/v//items", "/v/items")),
    "paths by template to the end": (operation(paths=["/v/{*}/x/{**}"]), _paths("/v/1/x/2/3", "/v/1/y", "/v/1/x/")),
    "hosts": (operation(hosts=["db.shop", "*.test"]), _hosts("db.shop", "DB.shop:8080", "a.test", "other")),
    "notHosts": (operation(notHosts=["other*"]), _hosts("other", "db.shop")),
    "a method and a port": (operation(methods=["GET"], ports=[str(HTTP), str(BYTES)]), _methods()),
    "a method, or a port": ({"to": [{"operation": {"methods": ["GET"]}}, {"operation": {"ports": [str(BYTES)]}}]}, _methods()),
    "a header": (when("request.headers[x-team]", "red", "blue*"), _headers("red", "bluebird", "green")),
    "not a header": (when("request.headers[X-Team]", unless=["red"]), _headers("red", "green")),
    "requestPrincipals": (source(requestPrincipals=[f"{ISSUER}/alice"]), _tokens()),
    "no requestPrincipals": (source(notRequestPrincipals=["*"]), _tokens()),
    "a claim": (when("request.auth.claims[groups]", "admins"), _tokens()),
    "a claim that is another": (when("request.auth.claims[sub]", unless=["alice"]), _tokens()),
    "request.auth.audiences": (when("request.auth.audiences", "shop"), _tokens()),
    "who, what and when": (
        {**WEB, **operation(methods=["GET"], paths=["/*"]), **when("request.headers[x-team]", "red")}, _headers("red", "green"),
    ),
}  # fmt: skip


def rules() -> Iterator[Cell]:
    """Each field and attribute, in ALLOW and in DENY, with calls that have what it asks for and calls that have not."""
    for asks, (rule, calls) in RULES.items():
        for action in ("ALLOW", "DENY"):
            documents = (policy(action, rule), TOKENS) if any(each.subject for each in calls.values()) else (policy(action, rule),)
            for which, each in calls.items():
                yield replace(each, name=f"{action} by {asks}: {which}", documents=documents)


def credentials(cell: Cell) -> Fields:
    """The fields of the caller's token."""
    if not cell.subject:
        return ()
    return (("Authorization", f"Bearer {_token(cell.subject)}"),)


def _token(subject: str) -> str:
    claims: dict[str, Any] = {"iss": ISSUER, "sub": subject, **CLAIMS}
    return token(claims).decode()


CELLS: Final = (*demands(), *shapes(), *rules())
SILENT_CELLS: Final = (*silent_demands(), *silent_shapes())
