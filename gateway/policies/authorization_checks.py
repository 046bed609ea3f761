"""The fields of authorization rules as checks on what is asked.

A repeated field of a request has several values. A rule that denies takes it as matching if one of them matches, or all of them as a
list; a rule that allows only if all do: so that nobody gets around either by sending a field twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from gateway.http.head import RequestHead
from gateway.http.target import normal_match_value
from gateway.ir.policy import AttributeMatch, OperationMatch, SourceMatch
from gateway.policies.caller import Asked
from gateway.policies.patterns import Blocks, Holds, paths, texts

SPACED_CLAIMS: Final = frozenset(("scope", "permission"))
"""Claims that hold words with spaces between, each of which is a value (RFC 8693 4.2)."""

_MERGED: Final = re.compile(r"//+")
Asking = Callable[[Asked], bool]
Getter = Callable[[Asked], bytes]


class Check(NamedTuple):
    """One field of a rule. `of_http`: it asks for what only a request has."""

    words: str
    holds: Asking
    of_http: bool = False


def source_checks(source: SourceMatch) -> Iterator[Check]:
    """Raises ValueError for what cannot be compared."""
    yield from _texts("principals", _principal, source.principals, source.not_principals)
    yield from _texts("namespaces", _namespace, source.namespaces, source.not_namespaces)
    yield from _blocks("ipBlocks", _address, source.ip_blocks, source.not_ip_blocks)
    yield from _blocks("remoteIpBlocks", _remote, source.remote_ip_blocks, source.not_remote_ip_blocks)
    yield from _texts("requestPrincipals", _request_principal, source.request_principals, source.not_request_principals, of_http=True)


def operation_checks(operation: OperationMatch) -> Iterator[Check]:
    """What tells most apart comes first. Raises ValueError for what cannot be compared."""
    yield from _either("paths", operation.paths, operation.not_paths, _path_among, of_http=True)
    yield from _either("methods", operation.methods, operation.not_methods, _method_among, of_http=True)
    yield from _either("ports", operation.ports, operation.not_ports, _port_among)
    yield from _either("hosts", operation.hosts, operation.not_hosts, _host_among, of_http=True)


def condition_checks(condition: AttributeMatch, *, denying: bool) -> Iterator[Check]:
    """Raises ValueError for what cannot be compared."""
    attribute, values, not_values = condition.attribute, condition.values, condition.not_values
    words = attribute + "".join(f"[{name}]" for name in condition.names)
    if attribute == "request.headers":
        yield from _header_checks(words, condition, denying=denying)
    elif attribute in _ADDRESSES:
        yield from _blocks(words, _ADDRESSES[attribute], values, not_values)
    elif attribute in _TEXTS:
        yield from _texts(words, _TEXTS[attribute], values, not_values, of_http=attribute.startswith("request."))
    elif attribute == "destination.port":
        yield from _either(words, [int(value) for value in values], [int(value) for value in not_values], _port_among)
    else:
        names = ("aud",) if attribute == "request.auth.audiences" else condition.names
        yield from _either(words, values, not_values, lambda values: _claim_among(names, values), of_http=True)


def _either(
    words: str, values: Sequence[Any], not_values: Sequence[Any], among: Callable[[Any], Asking], *, of_http: bool = False
) -> Iterator[Check]:
    """One of the values, and none of the others. `among` makes of values the question whether what is asked is one of them."""
    if values:
        yield Check(words, among(values), of_http)
    if not_values:
        unwanted = among(not_values)
        yield Check(f"not {words}", lambda asked: not unwanted(asked), of_http)


def _texts(words: str, get: Getter, values: Sequence[str], not_values: Sequence[str], *, of_http: bool = False) -> Iterator[Check]:
    def among(values: Sequence[str]) -> Asking:
        holds = _as_texts(values)
        return lambda asked: holds(get(asked))

    return _either(words, values, not_values, among, of_http=of_http)


def _blocks(words: str, get: Getter, values: Sequence[str], not_values: Sequence[str]) -> Iterator[Check]:
    def among(values: Sequence[str]) -> Asking:
        holds = Blocks(values).hold
        return lambda asked: holds(get(asked))

    return _either(words, values, not_values, among)


def _as_texts(values: Sequence[str]) -> Holds:
    return texts(value.encode() for value in values)


def normal_path(value: str) -> bytes:
    """A path, or a part of one, as requests have it where a policy looks at it: escapes in one form, slashes merged. Raises ValueError."""
    return normal_match_value(quote(_MERGED.sub("/", value), safe="!$&'()*+,;=:@/%"))


# what is asked


def _principal(asked: Asked) -> bytes:
    return asked.caller.principal


def _namespace(asked: Asked) -> bytes:
    return asked.caller.namespace


def _address(asked: Asked) -> bytes:
    return asked.caller.address


def _remote(asked: Asked) -> bytes:
    return asked.remote


def _destination(asked: Asked) -> bytes:
    return asked.caller.destination


def _server_name(asked: Asked) -> bytes:
    return asked.caller.server_name


def _port_among(ports: Sequence[int]) -> Asking:
    holds = frozenset(ports).__contains__
    return lambda asked: holds(asked.port)


def _method_among(methods: Sequence[str]) -> Asking:
    holds = _as_texts(methods)
    return lambda asked: holds(asked.head.method)


def _path_among(values: Sequence[str]) -> Asking:
    holds = paths(values, normal_path)
    return lambda asked: holds(asked.head.path)


def _host_among(hosts: Sequence[str]) -> Asking:
    """With or without the port."""
    holds = _as_texts(hosts)

    def among(asked: Asked) -> bool:
        head = asked.head
        return holds(head.host) or (b":" in head.authority and holds(head.authority.lower()))

    return among


def _claim_among(names: tuple[str, ...], values: Sequence[str]) -> Asking:
    holds = _as_texts(values)
    return lambda asked: any(holds(value) for value in claim_values(asked, names))


def _request_principal(asked: Asked) -> bytes:
    """ISSUER/SUBJECT, b'' without a token that has both."""
    claims = asked.claims or {}
    issuer, subject = claims.get("iss"), claims.get("sub")
    return f"{issuer}/{subject}".encode() if isinstance(issuer, str) and isinstance(subject, str) else b""


def _presenter(asked: Asked) -> bytes:
    return next(iter(claim_values(asked, ("azp",))), b"")


def claim_values(asked: Asked, names: tuple[str, ...]) -> list[bytes]:
    """The values of a claim, found by the names that lead to it; none for what is not there, and for objects."""
    found: Any = asked.claims
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, str) and names[-1] in SPACED_CLAIMS:
        found = found.split()
    return [text for each in (found if isinstance(found, list) else [found]) if (text := _claim_text(each)) is not None]


def _claim_text(value: Any) -> bytes | None:
    match value:
        case bool():
            return b"true" if value else b"false"
        case str() | int():
            return str(value).encode("utf-8", "surrogatepass")
        case _:
            return None


_ADDRESSES: Final[dict[str, Getter]] = {"source.ip": _address, "remote.ip": _remote, "destination.ip": _destination}
_TEXTS: Final[dict[str, Getter]] = {
    "source.namespace": _namespace,
    "source.principal": _principal,
    "request.auth.principal": _request_principal,
    "request.auth.presenter": _presenter,
    "connection.sni": _server_name,
}


# fields of a request


def _header_checks(words: str, condition: AttributeMatch, *, denying: bool) -> Iterator[Check]:
    name = condition.names[0].encode("ascii")
    if condition.values:
        wanted, lenient = _as_texts(condition.values), "*" in condition.values
        yield Check(words, lambda asked: _matches(asked, name, wanted, whole=lenient, one=denying), of_http=True)
    if condition.not_values:
        unwanted, strict = _as_texts(condition.not_values), "*" in condition.not_values
        yield Check(f"not {words}", lambda asked: not _matches(asked, name, unwanted, whole=strict, one=not denying), of_http=True)


def _matches(asked: Asked, name: bytes, holds: Holds, *, whole: bool, one: bool) -> bool:
    """Whether one of a field's values matches, or all of them; `whole`: it is enough that the field is there."""
    head = asked.head
    value = head.get(name)
    if value is None:
        return False
    if whole:
        return True
    values = _values(head, name) if b"," in value or b";" in value else [value]
    if one:
        return holds(value) or any(holds(each) for each in values)
    return all(holds(each) for each in values)


def _values(head: RequestHead, name: bytes) -> list[bytes]:
    """Each value of a field by its lower-case name, as it was sent."""
    if name == b"host":
        return [head.authority]
    found = [value for field, value in head.fields if field.lower() == name]
    return found or [head.get(name) or b""]
