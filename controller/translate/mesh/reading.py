"""The values of AuthorizationPolicies in the form of resources, and what is wrong with them.

What is wrong must never allow more: a part that cannot be read is left out of a rule that denies, which then denies more, and makes a rule
that allows void.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar, get_args

from controller.api.authorization_policy import Operation, Rule, Source, When
from controller.api.istio import OpenModel
from controller.translate.conditions import Problem
from controller.translate.mesh.problems import INVALID, UNSUPPORTED
from gateway.ir.policy import Attribute, AttributeMatch, AuthorizationRule, OperationMatch, SourceMatch

Read = TypeVar("Read", str, int)
Each = TypeVar("Each", bound=OpenModel)
Found = TypeVar("Found")

_HEADER: Final = re.compile(r"request\.headers\[([A-Za-z0-9!#$%&'*+\-.^_`|~]+)\]")
_CLAIM: Final = re.compile(r"request\.auth\.claims((?:\[[^\[\]]+\])+)")
_TEMPLATE_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=:@]|%[0-9A-Fa-f]{2})+|\{\*\}|\{\*\*\}")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN: Final = frozenset(get_args(Attribute)) - {"request.headers", "request.auth.claims"}
_MOST_TEMPLATE_SEGMENTS: Final = 64


def text(value: str) -> str:
    """A value with a wildcard at one of its ends. Raises ValueError."""
    if not value:
        raise ValueError("is empty")
    if "*" in value[1:-1] or (len(value) > 1 and value[0] == value[-1] == "*"):
        raise ValueError(f"{value!r} has an asterisk that is not its only one at its beginning or end")
    return value


def host(value: str) -> str:
    """A host, in lower case. Raises ValueError."""
    return text(value).lower()


def path(value: str) -> str:
    """A path or a template. Raises ValueError."""
    if "{" not in value and "}" not in value:
        if _ESCAPE.search(value):
            raise ValueError(f"{value!r} has a bad escape; write two hexadecimal digits after '%', or '%25' for the sign itself")
        return text(value)
    segments = value.split("/")
    if segments[0] or not all(_TEMPLATE_SEGMENT.fullmatch(segment) for segment in segments[1:] if segment):
        raise ValueError(f"{value!r} is no template: it begins with '/', and {{*}} and {{**}} are whole segments, without other wildcards")
    operators = [segment for segment in segments if segment.startswith("{")]
    if "{**}" in operators[:-1] or "" in segments[1:-1] or len(segments) > _MOST_TEMPLATE_SEGMENTS:
        most = _MOST_TEMPLATE_SEGMENTS
        raise ValueError(f"{value!r} is no template: {{**}} is the last of its wildcards, segments are not empty, nor more than {most}")
    return value


def block(value: str) -> str:
    """An address or an address block, in CIDR form. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is no address and no address block") from None


def port(value: str) -> int:
    """A port. Raises ValueError."""
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise ValueError(f"{value!r} is no port")
    return int(value)


class Reading:
    """One rule, and the problems found in it."""

    __slots__ = ("_namespace", "_place", "problems")

    def __init__(self, namespace: str, place: str) -> None:
        """`namespace` is the policy's, `place` the field in which the rule stands."""
        self._namespace, self._place = namespace, place
        self.problems: list[Problem] = []

    def rule(self, rule: Rule, name: str) -> AuthorizationRule:
        """The rule without what is wrong with it, which makes it match more."""
        self._unknown(rule, "")
        sources = self._alternatives("from", rule.from_, lambda each, place: self._source(each.source, each, f"{place}.source"))
        operations = self._alternatives("to", rule.to, lambda each, place: self._operation(each.operation, each, f"{place}.operation"))
        conditions = [found for index, when in enumerate(rule.when) if (found := self._condition(when, f".when[{index}]")) is not None]
        return AuthorizationRule(name, sources, operations, tuple(conditions))

    def _problem(self, place: str, message: str, reason: str = INVALID) -> None:
        self.problems.append(Problem(reason, f"{self._place}{place}: {message}"))

    def _unknown(self, value: OpenModel, place: str) -> None:
        for name in value.unknown:
            self._problem(f"{place}.{name}", "is not known", UNSUPPORTED)

    def _alternatives(self, field: str, given: Sequence[Each] | None, read: Callable[[Each, str], Found]) -> tuple[Found, ...]:
        if given is None:
            return ()
        if not given:
            self._problem(f".{field}", "is empty; leave it out to mean any")
        return tuple([read(each, f".{field}[{index}]") for index, each in enumerate(given)])

    def _values(self, given: Sequence[str], place: str, read: Callable[[str], Read]) -> tuple[Read, ...]:
        """All of them, or none where one is wrong."""
        found: list[Read] = []
        for index, value in enumerate(given):
            try:
                found.append(read(value))
            except ValueError as fault:
                self._problem(f"{place}[{index}]", str(fault))
        return tuple(found) if len(found) == len(given) else ()

    def _source(self, source: Source, around: OpenModel, place: str) -> SourceMatch:
        self._unknown(around, place.rpartition(".")[0])
        self._unknown(source, place)
        if not source.model_fields_set and not source.unknown:
            self._problem(place, "is empty; leave out `from` to mean any")
        accounts = self._values(source.service_accounts, f"{place}.serviceAccounts", self._account)
        if accounts and source.principals:
            self._problem(f"{place}.serviceAccounts", "stands beside principals; keep one of them")
            accounts = ()
        return SourceMatch(
            self._values(source.principals, f"{place}.principals", text) or accounts,
            (
                *self._values(source.not_principals, f"{place}.notPrincipals", text),
                *self._values(source.not_service_accounts, f"{place}.notServiceAccounts", self._account),
            ),
            self._values(source.request_principals, f"{place}.requestPrincipals", text),
            self._values(source.not_request_principals, f"{place}.notRequestPrincipals", text),
            self._values(source.namespaces, f"{place}.namespaces", text),
            self._values(source.not_namespaces, f"{place}.notNamespaces", text),
            self._values(source.ip_blocks, f"{place}.ipBlocks", block),
            self._values(source.not_ip_blocks, f"{place}.notIpBlocks", block),
            self._values(source.remote_ip_blocks, f"{place}.remoteIpBlocks", block),
            self._values(source.not_remote_ip_blocks, f"{place}.notRemoteIpBlocks", block),
        )

    def _account(self, value: str) -> str:
        """A ServiceAccount as the end of a principal. Raises ValueError."""
        namespace, slash, name = value.rpartition("/")
        if not name or (slash and not namespace) or "/" in namespace or "*" in value:
            raise ValueError(f"{value!r} is no ServiceAccount; write NAMESPACE/NAME or NAME, without wildcards")
        return f"*/ns/{namespace or self._namespace}/sa/{name}"

    def _operation(self, operation: Operation, around: OpenModel, place: str) -> OperationMatch:
        self._unknown(around, place.rpartition(".")[0])
        self._unknown(operation, place)
        if not operation.model_fields_set and not operation.unknown:
            self._problem(place, "is empty; leave out `to` to mean any")
        return OperationMatch(
            self._values(operation.hosts, f"{place}.hosts", host),
            self._values(operation.not_hosts, f"{place}.notHosts", host),
            self._values(operation.ports, f"{place}.ports", port),
            self._values(operation.not_ports, f"{place}.notPorts", port),
            self._values(operation.methods, f"{place}.methods", text),
            self._values(operation.not_methods, f"{place}.notMethods", text),
            self._values(operation.paths, f"{place}.paths", path),
            self._values(operation.not_paths, f"{place}.notPaths", path),
        )

    def _condition(self, when: When, place: str) -> AttributeMatch | None:
        self._unknown(when, place)
        if not when.values and not when.not_values:
            self._problem(place, "has neither values nor notValues")
            return None
        names: tuple[str, ...] = ()
        attribute: str = when.key
        if header := _HEADER.fullmatch(when.key):
            attribute, names = "request.headers", (header[1].lower(),)
        elif claim := _CLAIM.fullmatch(when.key):
            attribute, names = "request.auth.claims", tuple(claim[1][1:-1].split("]["))
        known = next((each for each in get_args(Attribute) if each == attribute), None)
        if known is None or (not names and known not in _PLAIN):
            self._problem(f"{place}.key", f"{when.key!r} is not supported", UNSUPPORTED)
            return None
        read = _READERS.get(known, text)
        values = self._values(when.values, f"{place}.values", read)
        not_values = self._values(when.not_values, f"{place}.notValues", read)
        return AttributeMatch(known, names, values, not_values) if values or not_values else None


def _port_text(value: str) -> str:
    return str(port(value))


_READERS: Final[dict[str, Callable[[str], str]]] = {
    "source.ip": block,
    "remote.ip": block,
    "destination.ip": block,
    "destination.port": _port_text,
}
