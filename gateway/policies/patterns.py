"""The values of authorization policies as they are compared: sets of texts with wildcards, of path templates, and of address blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

_MOST_KNOWN: Final = 4096
"""Addresses whose place in a set is kept."""

Holds = Callable[[bytes], bool]


def texts(values: Iterable[bytes]) -> Holds:
    """Exact texts, and such with '*' at their end or beginning; '*' alone is whatever is not empty. Those of one sort, as most are, are
    compared in one step."""
    given = tuple(values)
    if not any(b"*" in (value[:1], value[-1:]) for value in given):
        return frozenset(given).__contains__
    if all(len(value) > 1 and value.endswith(b"*") for value in given):
        prefixes = tuple(value[:-1] for value in given)
        return lambda value: value.startswith(prefixes)
    return _Texts(given).hold


class _Texts:
    """Of any sort."""

    __slots__ = ("_exact", "_prefixes", "_present", "_suffixes")

    def __init__(self, given: tuple[bytes, ...]) -> None:
        self._present = b"*" in given
        self._exact = frozenset(value for value in given if b"*" not in (value[:1], value[-1:]))
        self._prefixes = tuple(value[:-1] for value in given if len(value) > 1 and value.endswith(b"*"))
        self._suffixes = tuple(value[1:] for value in given if len(value) > 1 and value.startswith(b"*"))

    def hold(self, value: bytes) -> bool:
        return (
            value in self._exact or value.startswith(self._prefixes) or value.endswith(self._suffixes) or (self._present and value != b"")
        )


def paths(values: Iterable[str], normal: Callable[[str], bytes]) -> Holds:
    """Paths in normal form as `texts`, and templates. `normal` brings the escapes of a value to the form in which paths have them. Raises
    ValueError."""
    plain = [normal(value) for value in values if "{" not in value]
    templates = [_template(value, normal) for value in values if "{" in value]
    among = texts(plain)
    return among if not templates else lambda path: among(path) or any(template(path) for template in templates)


def _template(value: str, normal: Callable[[str], bytes]) -> Holds:
    """No part of it can be matched in two ways that both end at one place, so that a long path costs its length."""
    segments = [_SEGMENTS.get(segment) or re.escape(normal(segment)) for segment in value.split("/")]
    matches = re.compile(b"/".join(segments)).fullmatch
    return lambda path: matches(path) is not None


_SEGMENTS: Final = {"{*}": b"[^/]+", "{**}": b".*"}


class Blocks:
    """Address blocks; asked by `hold`."""

    __slots__ = ("_known", "_networks")

    def __init__(self, blocks: Iterable[str]) -> None:
        """Raises ValueError for what is no CIDR."""
        self._networks = tuple(ip_network(block) for block in blocks)
        self._known: dict[bytes, bool] = {}

    def hold(self, address: bytes) -> bool:
        """Whether one of them has the address."""
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
