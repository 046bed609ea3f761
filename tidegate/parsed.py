"""What the texts of options say. All raise typer.BadParameter, with the option and the remedy, for what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

Parsed = TypeVar("Parsed")


def place(option: str, text: str) -> tuple[str, int]:
    from tidegate.addresses import parse_place

    return _parsed(option, text, parse_place)


def seconds(option: str, text: str) -> float:
    from tidegate.durations import parse_seconds

    return _parsed(option, text, parse_seconds, "; write for example 10s, 500ms or 1m30s")


def size(option: str, text: str) -> int:
    from tidegate.sizes import parse_size

    return _parsed(option, text, parse_size, "; write for example 512Mi or 2G")


def collector(option: str, text: str) -> str:
    from tidegate.tracing import parse_collector

    return _parsed(option, text, parse_collector)


def sampling(option: str, text: str) -> float:
    from gateway.ir.tracing import parse_sampling

    return _parsed(option, text, parse_sampling)


def _parsed(option: str, text: str, parse: Callable[[str], Parsed], remedy: str = "") -> Parsed:
    """What stands in an option's text. Raises BadParameter, with the option and the remedy, for what cannot be read."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}{remedy}", param_hint=option) from None
