"""Marks a written line whose sender forbids to compress it with a table, on every connection that it passes (RFC 7541 6.2.3, 7.1.3).

The mark is its type, so whoever only writes lines need not know. mypyc compiles no class of bytes: this module stays plain.
"""

from __future__ import annotations


class SensitiveLine(bytes):
    """As any line of `FieldSection.lines`. An edited head is written anew, without marks; the encoder knows the usual secrets by name."""

    __slots__ = ()

    __hash__ = object.__hash__  # so that no dict takes it for the equal line that somebody else let into a table
