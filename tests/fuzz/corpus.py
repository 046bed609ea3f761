"""The targets, and what each begins with: lines of corpora/NAME.txt, and rows of the attack table where they are its inputs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Final

from tests.attacks.row import Failed, Refused, Relayed, Served
from tests.attacks.table import ROWS
from tests.fuzz.edits import VALUES

FOLDER: Final = Path(__file__).parent
TARGETS: Final = tuple(sorted(file.stem for file in (FOLDER / "targets").glob("*.py")))
LONGEST_SEED: Final = 4096
"""Bytes; what is longer tests a limit, and stands in the attack table."""

Target = Callable[[bytes], None]


def target(name: str) -> Target:
    """`run` of the target: raises for a claim that does not hold, and for nothing else."""
    run: Target = import_module(f"tests.fuzz.targets.{name}").run
    return run


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Without repetitions, in order."""
    written = (FOLDER / "corpora" / f"{name}.txt").read_text(encoding="ascii").splitlines()
    lines = (ast.literal_eval(line) for line in written if line and not line.startswith("#"))
    return tuple(dict.fromkeys((*lines, *_FROM_ROWS.get(name, lambda: iter(()))())))


def _heads() -> Iterator[bytes]:
    for row in ROWS:
        if isinstance(row, Refused | Served) and len(row.sent) <= LONGEST_SEED:
            yield row.sent


def _targets() -> Iterator[bytes]:
    for sent in _heads():
        parts = sent.split(b"\r\n")[0].split(b" ")
        if len(parts) == 3:
            yield from (bytes((rules,)) + parts[1] for rules in ((0, 8) if parts[0] == b"OPTIONS" else (0, 7)))


def _hosts() -> Iterator[bytes]:
    for sent in _heads():
        yield from (line[5:].strip() for line in sent.split(b"\r\n") if line.startswith(b"Host:"))


def _bodies() -> Iterator[bytes]:
    for sent in _heads():
        head, _, body = sent.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            yield body


def _answers() -> Iterator[bytes]:
    for row in ROWS:
        if isinstance(row, Failed | Relayed) and len(row.answer) <= LONGEST_SEED:
            asked = b"W" if b"Upgrade: websocket" in row.sent else b"H" if row.sent.startswith(b"HEAD") else b"G"
            yield asked + row.answer


def _edits() -> Iterator[bytes]:
    for value in range(len(VALUES)):
        yield bytes((value * 3 % 256, 0xC0, value))


def _edits_of_resources() -> Iterator[bytes]:
    for edit in _edits():
        yield b"E" + edit


def _edits_of_documents() -> Iterator[bytes]:
    for place, edit in enumerate(_edits()):
        yield bytes((place,)) + edit


_FROM_ROWS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "request_head": _heads,
    "target": _targets,
    "authority": _hosts,
    "chunked_body": _bodies,
    "response": _answers,
    "http_route": _edits,
    "other_objects": _edits_of_documents,
    "snapshot": _edits_of_resources,
}

_ODD: Final = (*[bytes((byte,)) for byte in b"\r\n\x00 \t:;,%/0\x7f\xff"], b"\r\n", b"\r\n\r\n", b"%2e", b"..", b"chunked")


def mutated(name: str, random: Random) -> bytes:
    """A seed with a few bytes changed, cut, repeated, or joined with those of another."""
    known = seeds(name)
    data = bytearray(random.choice(known))
    for _ in range(random.randint(0, 4)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.randint(0, 8))
        match random.randrange(5):
            case 0:
                data[at:at] = random.choice(_ODD)
            case 1:
                del data[at:end]
            case 2:
                data[at:end] = random.randbytes(end - at)
            case 3:
                data[at:at] = data[at:end]
            case _:
                other = random.choice(known)
                data[at:] = other[random.randint(0, len(other)) :]
    return bytes(data)
