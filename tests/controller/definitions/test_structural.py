"""The schema of a model, as the API server reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from controller.api.base import Integer, Model, Text, expressions, text
from controller.api.durations import Duration
from controller.api.rate_limits import Size
from controller.definitions.structural import duration_text, structural
from controller.durations import parse_duration


class Part(Model):
    """A part."""

    name: Annotated[str, text(pattern="^a+$", shortest=1, longest=9)]


class Whole(Model):
    """Everything that a model of ours may hold."""

    model_config = expressions(("has(self.part) || has(self.size)", "one of the two"))

    kind: Literal["Only"] = "Only"
    mode: Literal["Off", "On"] = Field(default="Off", description="Whether it is on.")
    part: Part | None = Field(default=None, description="Told where it is used.")
    parts: tuple[Part, ...] = Field(default=(), max_length=4)
    wait_for: Duration = Field(default=90_000, description="How long.")
    size: Size | None = None
    labels: dict[Annotated[str, text(pattern="^k")], Annotated[str, text(longest=3)]] | None = Field(default=None, max_length=2)
    count: Annotated[Integer, Field(ge=1, le=5)]


def test_each_form_of_a_field() -> None:
    """Constants, choices, parts, lists, durations, sizes, mappings and numbers, with their bounds (apiextensions.k8s.io/v1)."""
    name = {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a+$"}
    part = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    assert structural(Whole) == {
        "description": "Everything that a model of ours may hold.",
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["Only"], "description": "Default: Only."},
            "mode": {"type": "string", "enum": ["Off", "On"], "description": "Whether it is on. Default: Off."},
            "part": {**part, "description": "Told where it is used."},
            "parts": {"type": "array", "maxItems": 4, "items": {**part, "description": "A part."}},
            "waitFor": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "description": "How long. Default: 90s."},
            "size": {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "x-kubernetes-int-or-string": True,
                "minimum": 1,
                "pattern": "^[0-9]{1,15}(k|M|G|T|Ki|Mi|Gi|Ti)?$",
            },
            "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string", "maxLength": 3}},
            "count": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 5},
        },
        "required": ["count"],
        "x-kubernetes-validations": [{"rule": "has(self.part) || has(self.size)", "message": "one of the two"}],
    }


class Choice(Model):
    """Two types, which a structural schema has no words for."""

    field: bool | Text


class Formless(Model):
    """Anything at all."""

    field: Any


class Bounded(Model):
    """A bound that this version of the API does not know."""

    field: Annotated[Integer, Field(gt=3)]


class Length(Model):
    """A length that comes after a validator."""

    field: Annotated[tuple[Text, ...], AfterValidator(lambda texts: texts)] | None = Field(default=None, max_length=3)


@pytest.mark.parametrize("model", [Choice, Formless, Bounded, Length])
def test_what_has_no_structural_schema_is_refused(model: type[Model]) -> None:
    """Nothing is left out silently: the field is named."""
    with pytest.raises(ValueError, match=rf"{model.__name__}\.field"):
        structural(model)


@pytest.mark.parametrize(("milliseconds", "written"), [(0, "0s"), (250, "250ms"), (90_000, "90s"), (120_000, "2m"), (3_600_000, "1h")])
def test_a_default_is_told_as_a_duration(milliseconds: int, written: str) -> None:
    """Defaults of durations stand in the form in which they are written (GEP-2257)."""
    assert duration_text(milliseconds) == written
    assert parse_duration(written) == milliseconds
