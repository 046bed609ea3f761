"""How every script begins and ends: cleaning up on Ctrl-C and SIGTERM, one line for what stands in the way, exit codes.

0: measured, and nothing wrong was seen; 1: a wrong answer or a transport error was seen; 2: nothing could be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

GOOD = 0
WRONG = 1
NOT_MEASURED = 2


class CannotMeasure(Exception):
    """Something that a measurement needs is not there or does not start; says what, and the remedy."""


def run_script(main: Callable[[], int]) -> int:
    """Runs a script's main so that its `with` blocks end what they started, however it ends. Returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return main()
    except CannotMeasure as reason:
        print(f"cannot measure: {reason}", file=sys.stderr)
        return NOT_MEASURED
    except KeyboardInterrupt:
        print("interrupted: everything that was started has ended, nothing is reported", file=sys.stderr)
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def positive_integer(text: str) -> int:
    """An argument: 1 or more."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def positive_number(text: str) -> float:
    """An argument: above 0 and finite."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def non_negative_integers(text: str) -> tuple[int, ...]:
    """An argument: whole numbers of 0 or more, with commas between them."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, as in 1,1000,10000")
    return tuple(dict.fromkeys(map(int, parts)))


def writable_file(text: str) -> Path:
    """An argument: a file that can be written, asked before minutes are spent on what goes into it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: name a file in a folder that exists")
    return path


def plain_options(options: argparse.Namespace) -> dict[str, object]:
    """Options as JSON takes them."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Writes values, dataclasses among them, as JSON."""
    path.write_text(json.dumps(found, indent=2, default=_plain) + "\n", encoding="utf-8")
    print(f"written to {path}")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
