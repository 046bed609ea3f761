"""Reads what the documentation promises: the links, headings and pieces of code of a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.house.tree import text_of

FENCE = re.compile(r"^\s*(```+|~~~+)")
SPAN = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"\]\(\s*<?([^()<>\s]+(?:\([^()\s]*\)[^()<>\s]*)?)>?(?:\s+[\"'][^)]*)?\)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*<?([^>\s]+)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")


class Piece(NamedTuple):
    """A piece of a Markdown file and the line it stands on."""

    text: str
    line: int


def _lines(file: Path) -> Iterator[tuple[str, int, bool]]:
    """Each line with its number and whether it is inside a fenced block; the fences themselves are left out."""
    fence = None
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        mark = FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and fence is not None and mark[1].startswith(fence):
            fence = None
        else:
            yield line, number, fence is not None


def links_of(file: Path) -> tuple[Piece, ...]:
    """Where the file's links and images point, as written."""
    found = []
    for line, number, is_code in _lines(file):
        if not is_code:
            prose = SPAN.sub("", line)
            found += [Piece(target, number) for target in (*LINK.findall(prose), *REFERENCE.findall(prose))]
    return tuple(found)


def anchors_of(file: Path) -> frozenset[str]:
    """The fragments that the file's headings give: lower case, punctuation dropped, spaces to hyphens, repeats numbered."""
    anchors: list[str] = []
    for line, _, is_code in _lines(file):
        heading = HEADING.match(line)
        if heading and not is_code:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            repeats = sum(1 for anchor in anchors if re.fullmatch(re.escape(slug) + r"(-\d+)?", anchor))
            anchors.append(f"{slug}-{repeats}" if repeats else slug)
    return frozenset(anchors)


def code_of(file: Path) -> tuple[Piece, ...]:
    """Every line of fenced code, lines continued by a backslash joined, and every span of code in prose."""
    found = []
    carried = ""
    for line, number, is_code in _lines(file):
        if not is_code:
            found += [Piece(span.strip(), number) for _, span in SPAN.findall(line)]
        elif line.endswith("\\"):
            carried += line[:-1] + " "
        else:
            found.append(Piece((carried + line).strip().removeprefix("$ "), number))
            carried = ""
    return tuple(found)
