"""How a unit fails: the value of its node says where it began and why."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

Node = tuple[str, Any]
"""A unit's name and the key it runs for; the key of a root is its object's."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The value of a node whose unit raised, and of every node that needs it; `node` is where it began."""
    node: Node
    error: str

    def __str__(self) -> str:
        return f"{_named(self.node)}: {self.error}"


def cycle(nodes: list[Node]) -> Failed:
    """The failure of nodes that need one another, the same wherever the evaluation entered the cycle."""
    first = min(range(len(nodes)), key=lambda place: repr(nodes[place]))
    round_trip = nodes[first:] + nodes[:first + 1]
    return Failed(round_trip[0], f"needs its own result, by way of {' > '.join(map(_named, round_trip))}")


def described(error: Exception, engine: str) -> str:
    """What was raised and where, without the frames of the engine's own file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != engine]
    where = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[-3:])
    return f"{''.join(traceback.format_exception_only(error)).strip()} ({where})"


def _named(node: Node) -> str:
    return f"{node[0]} {'/'.join(map(str, node[1])) if isinstance(node[1], tuple) else node[1]}"
