"""Addresses as users type them: options ADDRESS:PORT, and the URLs under which listeners and routes are reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from gateway.ir.batch import AnyResource
from gateway.ir.hostnames import shared
from gateway.ir.listener import Listener
from gateway.ir.rule import Binding, HttpRule, StreamRule
from gateway.ir.value import Identity

_OWN_PORTS = {"http": 80, "https": 443}


def parse_place(text: str) -> tuple[str, int]:
    """Address and port of 127.0.0.1:15000 or [::1]:15000; port 0 lets the system choose. Raises ValueError."""
    address, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not ADDRESS:PORT; write for example 127.0.0.1:15000")
    return parse_address(address[1:-1] if address.startswith("[") and address.endswith("]") else address), int(port)


def parse_address(text: str) -> str:
    """An IP address. Raises ValueError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; write for example 127.0.0.1, or 0.0.0.0 for all") from None
    return text


def listener_url(listener: Listener, hostname: str = "") -> str:
    """Scheme, host and port with which a client on this machine reaches a listener; a hostname in place of the address.

    The scheme is the protocol in lower case, also of protocols that have no URLs of their own: tls, tcp, udp.
    """
    scheme = listener.protocol.lower()
    host = hostname or listener.hostname or _reachable(listener.address)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if listener.bind_port == _OWN_PORTS.get(scheme) else f"{scheme}://{host}:{listener.bind_port}"


def _reachable(address: str) -> str:
    """An address to connect to; one that stands for all is reached at loopback."""
    bound = ipaddress.ip_address(address)
    if not bound.is_unspecified:
        return address
    return "::1" if bound.version == 6 else "127.0.0.1"


def route_urls(rules: Iterable[Identity], resources: Mapping[Identity, AnyResource], listeners: Mapping[str, Listener]) -> tuple[str, ...]:
    """Where these rules are reached, each URL once, in the order of rules, hostnames and matches."""
    urls: dict[str, None] = {}
    for identity in rules:
        rule = resources.get(identity)
        if not isinstance(rule, HttpRule | StreamRule):
            continue
        paths = [_path(rule, index) for index in range(len(rule.matches))] if isinstance(rule, HttpRule) else [""]
        for binding in rule.bindings:
            listener = listeners.get(binding.listener)
            if listener is not None:
                bases = [listener_url(listener, hostname) for hostname in _served(rule, binding, listener)]
                urls.update(dict.fromkeys(base + path for path in paths for base in bases))
    return tuple(urls)


def _served(rule: HttpRule | StreamRule, binding: Binding, listener: Listener) -> tuple[str, ...]:
    """The hostnames that a rule really serves at a listener."""
    if isinstance(rule, StreamRule):
        return binding.hostnames
    taken = listener.namespaces is None or rule.route.partition("/")[0] in listener.namespaces
    return shared(listener.hostname, binding.hostnames) if taken else ()


def _path(rule: HttpRule, index: int) -> str:
    path = rule.matches[index].path
    return f" path {path.value}" if path.type == "RegularExpression" else path.value
