"""What Istio's documentation says should become of a call, worked out from the objects as users write them.

istio.io/latest/docs/reference/config/security (PeerAuthentication, AuthorizationPolicy, Conditions), docs/concepts/security and
docs/tasks/security/authorization/authz-tcp. It shares no line with the product; what is not documented is as Istio's own code has it:
on bytes a rule of ALLOW with any field of HTTP is left out whole, one of the other actions holds without such fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

Document = dict[str, Any]
_OF_HTTP: Final = ("paths", "methods", "hosts", "requestPrincipals", "request.headers", "request.auth")


@dataclass(frozen=True, slots=True)
class Call:
    """What the callee knows of a call. `principal` is '' where none is proven; without `request` it is bytes."""

    principal: str
    address: str
    port: int
    request: bool = True
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    claims: Document = field(default_factory=dict)
    server_name: str = ""
    """Of TLS that the callee's sidecar sees and does not end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` as the log has it, '' if the call passes; `marks` are what AUDIT leaves there; `rules` is the first rule that matches of
    each policy by name, None where none does."""

    reason: str
    marks: str
    rules: dict[str, int | None]


# PeerAuthentication


def mode(documents: Sequence[Document], port: int) -> str:
    """Of Pods app=db in namespace shop: the selecting policy, then that of the namespace, then that of the root namespace."""
    policies = [document for document in documents if document["kind"] == "PeerAuthentication"]
    selecting = [each for each in policies if "selector" in each["spec"]]
    namespaces = [each for name in ("shop", "istio-system") for each in policies if each["metadata"]["namespace"] == name]
    found = "UNSET"
    for each in selecting:
        levels = each["spec"].get("portLevelMtls", {})
        found = levels.get(str(port), {}).get("mode", "UNSET")
    for each in (*selecting, *(one for one in namespaces if one not in selecting)):
        if found == "UNSET":
            found = each["spec"].get("mtls", {}).get("mode", "UNSET")
    return "PERMISSIVE" if found == "UNSET" else found


# AuthorizationPolicy


def judge(documents: Sequence[Document], call: Call) -> Verdict:
    """AUDIT leaves marks; then DENY; then, if there is a policy of ALLOW, one of them must match."""
    policies = [document for document in documents if document["kind"] == "AuthorizationPolicy" and _selects(document)]
    policies.sort(key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))
    rules = {_name(each): _first(each, call) for each in policies}
    marks = ", ".join(f"{_name(each)} rule {rules[_name(each)]}" for each in _of(policies, "AUDIT") if rules[_name(each)] is not None)
    reason = ""
    for each in _of(policies, "DENY"):
        if rules[_name(each)] is not None and not reason:
            reason = f"denied by AuthorizationPolicy {_name(each)}, rule {rules[_name(each)]}"
    allowing = [_name(each) for each in _of(policies, "ALLOW")]
    if not reason and allowing and all(rules[name] is None for name in allowing):
        reason = f"no AuthorizationPolicy allows it; there is {', '.join(allowing)}"
    return Verdict(reason, marks, rules)


def _name(policy: Document) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"


def _action(policy: Document) -> str:
    dry = policy["metadata"].get("annotations", {}).get("istio.io/dry-run") == "true"
    return "AUDIT" if dry else str(policy["spec"].get("action", "ALLOW"))


def _of(policies: Iterable[Document], action: str) -> list[Document]:
    return [each for each in policies if _action(each) == action]


def _selects(policy: Document) -> bool:
    labels = policy["spec"].get("selector", {}).get("matchLabels", {})
    return policy["metadata"]["namespace"] in ("shop", "istio-system") and labels in ({}, {"app": "db"})


def _first(policy: Document, call: Call) -> int | None:
    allows = policy["spec"].get("action", "ALLOW") == "ALLOW"
    for index, rule in enumerate(policy["spec"].get("rules", ())):
        parts = [each["source"] for each in rule.get("from", ())], [each["operation"] for each in rule.get("to", ())], rule.get("when", ())
        if not call.request and allows and any(_is_of_http(name) for name in _names(parts)):
            continue
        sources, operations, conditions = parts
        if not (not sources or any(_fields(each, call) for each in sources)):
            continue
        if not (not operations or any(_fields(each, call) for each in operations)):
            continue
        if all(_holds(each["key"], each.get("values", ()), each.get("notValues", ()), call) for each in conditions):
            return index
    return None


def _names(parts: tuple[Sequence[Document], Sequence[Document], Sequence[Document]]) -> Iterable[str]:
    sources, operations, conditions = parts
    yield from (_plain(name) for each in (*sources, *operations) for name in each)
    yield from (each["key"] for each in conditions)


def _plain(name: str) -> str:
    """notPaths -> paths."""
    return name[3].lower() + name[4:] if name.startswith("not") else name


def _is_of_http(name: str) -> bool:
    return name.startswith(_OF_HTTP)


def _fields(given: Document, call: Call) -> bool:
    """All fields of a source or an operation hold."""
    names = dict.fromkeys(_plain(name) for name in given)
    return all(_holds(name, given.get(name, ()), given.get(f"not{name[0].upper()}{name[1:]}", ()), call) for name in names)


def _holds(name: str, values: Sequence[str], not_values: Sequence[str], call: Call) -> bool:
    if _is_of_http(name) and not call.request:
        return True
    among = [_among(name, value, call) for value in values]
    return (not values or any(among)) and not any(_among(name, value, call) for value in not_values)


def _among(name: str, value: str, call: Call) -> bool:
    if name in ("ipBlocks", "remoteIpBlocks", "source.ip", "remote.ip"):
        return ip_address(call.address) in ip_network(value)
    if name in ("ports", "destination.port"):
        return int(value) == call.port
    if name == "paths":
        return _path(value, call.path.partition("?")[0])
    if name == "hosts":
        return any(_text(value.lower(), host) for host in (call.host.lower(), call.host.lower().partition(":")[0]))
    return any(_text(value, each) for each in _texts(name, call))


def _texts(name: str, call: Call) -> Sequence[str]:
    """What a field or attribute is compared with: '' for nothing."""
    match name:
        case "principals" | "source.principal":
            return (call.principal,)
        case "namespaces" | "source.namespace":
            return (call.principal.split("/")[2] if call.principal else "",)
        case "connection.sni":
            return (call.server_name,)
        case "methods":
            return (call.method,)
        case "requestPrincipals" | "request.auth.principal":
            return (f"{call.claims['iss']}/{call.claims['sub']}" if call.claims else "",)
        case "request.auth.audiences":
            return (call.claims.get("aud", ""),)
    if name.startswith("request.headers["):
        return [value for field_name, value in call.headers if field_name.lower() == name[16:-1].lower()]
    found = call.claims.get(name.removeprefix("request.auth.claims[").removesuffix("]"), "")
    return found if isinstance(found, list) else (found,)


def _text(pattern: str, text: str) -> bool:
    """Exact, prefix, suffix and presence."""
    if pattern == "*":
        return bool(text)
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _path(pattern: str, path: str) -> bool:
    """A template of {*}, one segment, and {**}, any number of characters; or a text."""
    if "{" not in pattern:
        return _text(pattern, path)
    return (
        re.fullmatch("".join({"{*}": "[^/]+", "{**}": ".*"}.get(part, re.escape(part)) for part in re.split(r"(\{\*\*?\})", pattern)), path)
        is not None
    )
