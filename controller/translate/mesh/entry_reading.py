"""The values of a ServiceEntry in the form in which they are translated, and what is wrong with them.

An entry opens destinations. So one with anything wrong, or with a field that is not known or not supported, opens none of them, and its
condition names the field: part of an entry could be more than what was meant. What merely has no effect is said and harms nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, NamedTuple

from controller.api.istio import OpenModel
from controller.api.service_entry import EntryEndpoint, EntryPort, ServiceEntry, ServiceEntrySpec
from controller.translate.conditions import Problem
from controller.translate.mesh.problems import INVALID, UNSUPPORTED

Use = Literal["HTTP", "TLS", "TCP"]
"""By what calls at a port are told apart: the host of the request, the server name of the ClientHello, or nothing."""

HttpVariant = Literal["client", "h2c"]

NO_EFFECT: Final = "NoEffect"
"""Why an entry is accepted with a word: something of it changes nothing."""

_LABEL: Final = r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST_HOST: Final = 253
_BY_NAMES: Final = ("DNS", "DNS_ROUND_ROBIN")
_EVERYONE, _OWN, _NOBODY = "*", ".", "~"
_MAPPED_LENGTH: Final = 96

_PROTOCOLS: Final[dict[str, tuple[tuple[Use, ...], HttpVariant]]] = {
    "": (("HTTP", "TLS", "TCP"), "client"),
    "HTTP": (("HTTP",), "client"),
    "HTTP2": (("HTTP",), "h2c"),
    "GRPC": (("HTTP",), "h2c"),
    "GRPC-WEB": (("HTTP",), "client"),
    "HTTPS": (("TLS",), "client"),
    "TLS": (("TLS",), "client"),
    "TCP": (("TCP",), "client"),
    "MONGO": (("TCP",), "client"),
    "REDIS": (("TCP",), "client"),
    "MYSQL": (("TCP",), "client"),
}
"""What may come at a port by its protocol, in capitals, and how requests are passed on."""


class ReadPort(NamedTuple):
    """A port of an entry; `target` is the number at endpoints that say nothing else of it."""

    number: int
    name: str
    uses: tuple[Use, ...]
    http: HttpVariant
    target: int


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """An entry that can be translated.

    hosts       in lower case, each once
    addresses   and blocks, in their canonical form; none for every address
    exported    namespaces; None for all
    """

    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[ReadPort, ...]
    exported: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an entry says: `entry` is None with problems, `notes` are of what has no effect."""

    entry: ReadEntry | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()


def read_entry(entry: ServiceEntry) -> Reading:
    """Never raises for what an entry says."""
    reader = _Reader(entry)
    spec = entry.spec
    reader.unknown()
    hosts = reader.hosts()
    addresses = reader.addresses()
    ports = reader.ports()
    exported = reader.exported()
    reader.endpoints({port.name for port in ports})
    reader.identities()
    if reader.problems:
        return Reading(None, tuple(reader.problems))
    notes = tuple(Problem(NO_EFFECT, message) for message in _notes(spec))
    return Reading(ReadEntry(hosts, addresses, ports, exported), notes=notes)


def _notes(spec: ServiceEntrySpec) -> Iterator[str]:
    """What has no effect."""
    if not spec.ports:
        yield "spec.ports: there are none, so that no call is known by this entry; add the ports at which the hosts are called"
    if spec.resolution == "NONE":
        for index, port in enumerate(spec.ports):
            if port.target_port not in (None, port.number):
                yield f"spec.ports[{index}].targetPort: has no effect with resolution NONE, which goes to the port that was called"
    if spec.resolution == "STATIC" and not spec.endpoints:
        yield "spec.endpoints: there are none with resolution STATIC, so that calls are answered 503 or closed; add addresses"
    if spec.subject_alt_names and spec.location == "MESH_EXTERNAL":
        message = "has no effect in location MESH_EXTERNAL, where nothing is encrypted for the application and its own TLS is left to it"
        yield f"spec.subjectAltNames: {message}"


class _Reader:
    """One entry, and the problems found in it."""

    __slots__ = ("_entry", "_spec", "problems")

    def __init__(self, entry: ServiceEntry) -> None:
        self._entry, self._spec = entry, entry.spec
        self.problems: list[Problem] = []

    def _problem(self, place: str, message: str, reason: str = INVALID) -> None:
        self.problems.append(Problem(reason, f"spec.{place}: {message}"))

    def unknown(self) -> None:
        """Fields that are not known, and those that are known not to be supported."""
        spec = self._spec
        parts: list[tuple[str, OpenModel]] = [("", spec)]
        parts += [(f"ports[{index}].", port) for index, port in enumerate(spec.ports)]
        parts += [(f"endpoints[{index}].", endpoint) for index, endpoint in enumerate(spec.endpoints)]
        for place, part in parts:
            for name in part.unknown:
                self._problem(f"{place}{name}", "is not known", UNSUPPORTED)
        if spec.workload_selector is not None:
            self._problem("workloadSelector", "is not supported; write the addresses as endpoints", UNSUPPORTED)
        if spec.resolution == "DYNAMIC_DNS":
            self._problem("resolution", "DYNAMIC_DNS is not supported; use NONE, STATIC, DNS or DNS_ROUND_ROBIN", UNSUPPORTED)

    def hosts(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for index, written in enumerate(self._spec.hosts):
            host = written.lower().removesuffix(".")
            if not _HOST.fullmatch(host.removeprefix("*.")) or len(host) > _LONGEST_HOST:
                self._problem(f"hosts[{index}]", f"{written!r} is no host name; write one, or *. before one")
            elif host.startswith("*.") and self._spec.resolution in _BY_NAMES and not self._spec.endpoints:
                message = f"{written} cannot be asked for with resolution {self._spec.resolution}; name endpoints, or use NONE"
                self._problem(f"hosts[{index}]", message)
            found[host] = None
        return tuple(found)

    def addresses(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for index, written in enumerate(self._spec.addresses):
            try:
                found[canonical(written)] = None
            except ValueError:
                self._problem(f"addresses[{index}]", f"{written!r} is no IP address and no CIDR")
        return tuple(found)

    def ports(self) -> tuple[ReadPort, ...]:
        found: list[ReadPort] = []
        for index, port in enumerate(self._spec.ports):
            known = _PROTOCOLS.get(port.protocol.upper())
            if known is None:
                self._protocol(index, port)
            elif any(port.number == other.number for other in found):
                self._problem(f"ports[{index}].number", f"{port.number} stands twice; leave one of the two out")
            elif any(port.name == other.name for other in found):
                self._problem(f"ports[{index}].name", f"{port.name!r} stands twice; give one of the two another name")
            else:
                found.append(ReadPort(port.number, port.name, *known, port.target_port or port.number))
        return tuple(found)

    def _protocol(self, index: int, port: EntryPort) -> None:
        if port.protocol.upper() == "UDP":
            self._problem(f"ports[{index}].protocol", "UDP is not captured, and goes past the sidecar; leave the port out", UNSUPPORTED)
        else:
            known = ", ".join(name for name in _PROTOCOLS if name)
            self._problem(f"ports[{index}].protocol", f"{port.protocol!r} is not known; use one of {known}, or none", UNSUPPORTED)

    def exported(self) -> tuple[str, ...] | None:
        given = self._spec.export_to
        for index, name in enumerate(given):
            if name in (_EVERYONE, _NOBODY) and len(set(given)) > 1:
                self._problem(f"exportTo[{index}]", f"{name!r} stands beside others; keep it alone, or the others")
            elif name not in (_EVERYONE, _OWN, _NOBODY) and not _NAMESPACE.fullmatch(name):
                self._problem(f"exportTo[{index}]", f"{name!r} is no namespace; write its name, . for the entry's own, or * for all")
        if not given or _EVERYONE in given:
            return None
        own = self._entry.namespace
        return tuple(sorted({own if name == _OWN else name for name in given if name != _NOBODY}))

    def endpoints(self, names: set[str]) -> None:
        spec = self._spec
        if spec.endpoints and spec.resolution == "NONE":
            self._problem("endpoints", "there are some with resolution NONE; use STATIC or DNS, or leave them out")
        if len(spec.endpoints) > 1 and spec.resolution == "DNS_ROUND_ROBIN":
            self._problem("endpoints", "there is more than one with resolution DNS_ROUND_ROBIN; keep one, or use DNS")
        for index, endpoint in enumerate(spec.endpoints):
            self._endpoint(endpoint, f"endpoints[{index}]", names)

    def _endpoint(self, endpoint: EntryEndpoint, place: str, names: set[str]) -> None:
        address = endpoint.address.lower().removesuffix(".")
        if endpoint.network:
            self._problem(
                f"{place}.network", "is not supported; leave it out if the address can be reached directly", UNSUPPORTED
            )
        if address.startswith("unix:"):
            self._problem(f"{place}.address", "a Unix socket is not supported; write an IP address", UNSUPPORTED)
        elif not is_address(address):
            if self._spec.resolution == "STATIC":
                self._problem(f"{place}.address", f"{endpoint.address!r} is no IP address; write one, or use resolution DNS")
            elif not _HOST.fullmatch(address) or len(address) > _LONGEST_HOST:
                self._problem(f"{place}.address", f"{endpoint.address!r} is no host name and no IP address")
        for name, number in endpoint.ports.items():
            if name not in names:
                self._problem(
                    f"{place}.ports[{name}]", f"no port of spec.ports has this name; there are {', '.join(sorted(names)) or 'none'}"
                )
            elif not 0 < number < 65536:
                self._problem(f"{place}.ports[{name}]", f"{number} is no port")

    def identities(self) -> None:
        for index, name in enumerate(self._spec.subject_alt_names):
            if not name:
                self._problem(f"subjectAltNames[{index}]", "is empty; leave it out")


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def canonical(text: str) -> str:
    """An address, or a block of them as a CIDR, in the form in which equal ones are equal texts. Raises ValueError."""
    if "%" in text:
        raise ValueError("a scope means nothing to others")
    network = ip_network(text, strict=False)
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped is not None and network.prefixlen >= _MAPPED_LENGTH:
        network = ip_network((first.ipv4_mapped, network.prefixlen - _MAPPED_LENGTH))
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)
