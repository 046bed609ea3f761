"""Decodes Huffman-coded strings (RFC 7541 5.2, Appendix B) by whole bytes.

The tables of the hpack library go by half bytes. Two of their steps make one of ours; the steps out of a state are worked out when the
state first occurs, since text needs few of the 256 and a process that speaks no HTTP/2 none.
"""

from __future__ import annotations

from typing import Final

from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

_DEAD: Final = 256
"""State after a code that means nothing, or the end-of-string symbol; there is no way out."""
_ENDS: Final = frozenset({0, *[state for state, flags, _ in HUFFMAN_TABLE if flags & HUFFMAN_COMPLETE]})
"""States in which a string may end: nothing is pending but the first bits of the end-of-string symbol, fewer than eight."""

_NEXT: Final[list[list[int]]] = [[] for _ in range(_DEAD)] + [[_DEAD] * 256]
"""By state and byte: the next state; empty for a state that did not occur yet."""
_SYMBOLS: Final[list[list[bytes]]] = [[] for _ in range(_DEAD)] + [[b""] * 256]
"""By state and byte: the symbols that are complete with it."""
_SHARED: Final[dict[bytes, bytes]] = {}
"""One object for each of those; all states together then take under three MiB."""


class BadHuffmanCode(ValueError):
    """A string has a code that means nothing, or padding that is not the shortest of ones."""


def decode_huffman(coded: bytes) -> bytes:
    """Raises BadHuffmanCode."""
    state = 0
    symbols: list[bytes] = []
    for byte in coded:
        following = _NEXT[state]
        if not following:
            _work_out(state)
        symbols.append(_SYMBOLS[state][byte])
        state = following[byte]
    if state not in _ENDS:
        raise BadHuffmanCode
    return b"".join(symbols)


def _work_out(state: int) -> None:
    for byte in range(256):
        middle, first = _half_step(state, byte >> 4)
        end, second = _half_step(middle, byte & 0xF)
        _NEXT[state].append(end)
        _SYMBOLS[state].append(_SHARED.setdefault(first + second, first + second))


def _half_step(state: int, bits: int) -> tuple[int, bytes]:
    if state == _DEAD:
        return _DEAD, b""
    following, flags, symbol = HUFFMAN_TABLE[state * 16 + bits]
    if flags & HUFFMAN_FAIL:
        return _DEAD, b""
    return following, bytes((symbol,)) if flags & HUFFMAN_EMIT_SYMBOL else b""
