"""The values of authorization policies as they are compared: sets of texts with wildcards, of path templates, and of address blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

_MOST_KNOWN: Final = 4096
"""Addresses whose place in a set is kept."""

Holds = Callable[[bytes], bool]


class Texts:
    """Exact texts, and such with '*' at their end or beginning; '*' alone is whatever is not empty."""

    __slots__ = ("_exact", "_prefixes", "_present", "_suffixes")

    def __init__(self, values: Iterable[bytes]) -> None:
        given = list(values)
        self._present = b"*" in given
        self._exact = frozenset(value for value in given if b"*" not in (value[:1], value[-1:]))
        self._prefixes = tuple(value[:-1] for value in given if len(value) > 1 and value.endswith(b"*"))
        self._suffixes = tuple(value[1:] for value in given if len(value) > 1 and value.startswith(b"*"))

    def __contains__(self, value: bytes) -> bool:
        return (
            value in self._exact or value.startswith(self._prefixes) or value.endswith(self._suffixes) or (self._present and value != b"")
        )


class Paths:
    """Paths in normal form as Texts, and templates."""

    __slots__ = ("_templates", "_texts")

    def __init__(self, values: Iterable[str], normal: Callable[[str], bytes]) -> None:
        """`normal` brings the escapes of a value to the form in which paths have them. Raises ValueError."""
        plain: list[bytes] = []
        self._templates: list[Holds] = []
        for value in values:
            if "{" in value:
                self._templates.append(_template(value, normal))
            else:
                plain.append(normal(value))
        self._texts = Texts(plain)

    def __contains__(self, path: bytes) -> bool:
        return path in self._texts or any(template(path) for template in self._templates)


def _template(value: str, normal: Callable[[str], bytes]) -> Holds:
    """No part of it can be matched in two ways that both end at one place, so that a long path costs its length."""
    segments = [_SEGMENTS.get(segment) or re.escape(normal(segment)) for segment in value.split("/")]
    matches = re.compile(b"/".join(segments)).fullmatch
    return lambda path: matches(path) is not None


_SEGMENTS: Final = {"{*}": b"[^/]+", "{**}": b".*"}


class Blocks:
    """Address blocks."""

    __slots__ = ("_known", "_networks")

    def __init__(self, blocks: Iterable[str]) -> None:
        """Raises ValueError for what is no CIDR."""
        self._networks = tuple(ip_network(block) for block in blocks)
        self._known: dict[bytes, bool] = {}

    def __contains__(self, address: bytes) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[address] = self._holds(address)
        return known

    def _holds(self, address: bytes) -> bool:
        try:
            parsed = ip_address(address.decode("ascii"))
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
