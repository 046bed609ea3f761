"""What the models refuse, said for people: the field, what is wrong with its value, and the remedy.

The models raise their own rules with message and remedy; pydantic's errors of type, pattern and size are worded here.
"""

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.sources.problems import Path, field_path

_MOST = 20
_LONGEST_VALUE = 60
_TOO_FEW = "too_short"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One refusal: `path` leads to a place in the document, `field` is its written form."""

    path: Path
    field: str
    message: str
    remedy: str


def complaints(error: ValidationError, model: type[BaseModel], show_values: bool) -> list[Complaint]:
    """What `model` refused, at most twenty, in the order of the fields. Without `show_values` no value is repeated (Secrets)."""
    details = error.errors(include_url=False, include_context=True, include_input=True)
    told = [detail for detail in details if not _follows_from_another(detail, details)]
    return [_complaint(detail, model, show_values) for detail in told[:_MOST]]


def _follows_from_another(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    # A list whose items are all refused also counts as too short.
    place = detail["loc"]
    return detail["type"] == _TOO_FEW and any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details)


def _complaint(detail: ErrorDetails, model: type[BaseModel], show_values: bool) -> Complaint:
    path = detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if detail["type"] == "rule":
        path = (*path, *_steps(context["field"]))
        return Complaint(path, field_path(path), context["message"], context["remedy"])
    if detail["type"] == "extra_forbidden":
        message, remedy = _unknown_field(model, path)
    else:
        message, remedy = _said(detail["type"], context, _shown(detail["input"]) if show_values else "the value")
    return Complaint(path, field_path(path), message, remedy)


def _steps(field: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", field))


_NO_MAP = ("{value} is not a map", "Write fields below it, each with a name, a colon and a value.")
_NO_TIME = ("{value} is not a time with time zone", "Write a time such as 2026-01-31T12:00:00Z, or remove the field.")
_SAID: Mapping[str, tuple[str, str]] = {
    "missing": ("the field is missing", "Add it."),
    "literal_error": ("{value} is not one of {expected}", "Write one of these values."),
    "string_type": ("{value} is not text", "Put the value in quotes."),
    "int_type": ("{value} is not a whole number", "Write a number without quotes."),
    "bool_type": ("{value} is neither true nor false", "Write true or false without quotes."),
    "string_pattern_mismatch": ("{value} does not have the form {pattern}", "Correct the value; mind upper case, dots and hyphens."),
    "string_too_short": ("the value is empty", "Write a value, or remove the field."),
    "string_too_long": ("the value is longer than {max_length} characters", "Shorten it."),
    "greater_than_equal": ("{value} is less than {ge}", "Write a number of at least {ge}."),
    "less_than_equal": ("{value} is greater than {le}", "Write a number of at most {le}."),
    "too_short": ("fewer than {min_length} entries are given", "Add an entry, or remove the field."),
    "too_long": ("more than {max_length} entries are given", "Remove entries, or split the object into several."),
    "tuple_type": ("{value} is not a list", "Write a list: an entry a line, each beginning with a hyphen."),
    "dict_type": _NO_MAP,
    "mapping_type": _NO_MAP,
    "model_type": _NO_MAP,
    "timezone_aware": _NO_TIME,
    "datetime_type": _NO_TIME,
    "datetime_parsing": _NO_TIME,
    "datetime_from_date_parsing": _NO_TIME,
}


def _said(kind: str, context: Mapping[str, Any], value: str) -> tuple[str, str]:
    message, remedy = _SAID.get(kind, ("{value} is not valid: {kind}", "Correct the value."))
    said = {**context, "value": value, "kind": kind.replace("_", " ")}
    return message.format_map(said), remedy.format_map(said)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return "a map"
        case list() | tuple():
            return "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _unknown_field(model: type[BaseModel], path: Path) -> tuple[str, str]:
    name = str(path[-1])
    known = sorted(_field_names(model, path[:-1]))
    if near := difflib.get_close_matches(name, known, n=1):
        return "the field is not known here", f"Did you mean {near[0]}?"
    return "the field is not known here", f"Remove it; known here: {', '.join(known)}."


def _field_names(model: type[BaseModel], path: Path) -> set[str]:
    models: list[type[BaseModel]] = [model]
    for step in path:
        if isinstance(step, int):
            continue
        fields = [field for each in models for field in each.model_fields.values() if (field.alias or "") == step]
        models = [found for field in fields for found in _models_in(field.annotation)]
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, tuple):
        for argument in get_args(annotation):
            yield from _models_in(argument)
