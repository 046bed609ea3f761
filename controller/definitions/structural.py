"""The structural schema (apiextensions.k8s.io/v1) of a model: what the API server checks before an object reaches us.

Taken from the JSON schema that pydantic gives, in which a field stands as it is written ("10s", not milliseconds). References are
inlined, an optional field is one that may be absent, and a rule of several fields is an expression in CEL that its model carries.
Defaults are not the API server's to fill in, since objects would keep those of the version they were made with: they are told in
the description. Whatever has no place in a structural schema is refused here, not left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.api.base import EXPRESSIONS, Model

Schema = dict[str, Any]

_VALIDATIONS: Final = frozenset(
    {"enum", "format", "maximum", "maxItems", "maxLength", "maxProperties", "minimum", "minItems", "minLength", "pattern", EXPRESSIONS}
)
_LEFT_OUT: Final = frozenset({"title", "ge", "le", "additionalProperties", "patternProperties", "default", "description", "type"})
"""Titles repeat names; bounds of a value that is written as a text do not hold for the text; the others are taken one by one."""
PRESERVED: Final = "x-kubernetes-preserve-unknown-fields"
_SMALLER_UNITS: Final = (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def structural(model: type[Model]) -> Schema:
    """The schema of a model's values. Raises ValueError for what a structural schema cannot say, with its path."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _Writing(schema.pop("$defs", {})).node(schema, model.__name__)


class _Writing:
    """One model, with the definitions that its parts refer to."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, given: Schema, path: str) -> Schema:
        schema = self._resolved(given, path)
        found: Schema = {}
        description = _description(schema)
        if description:
            found["description"] = description
        if {entry.get("type") for entry in schema.get("anyOf", ())} == {"integer", "string"}:
            return found | _int_or_string(schema.pop("anyOf")) | _validations(schema, path)
        if "type" not in schema:
            raise ValueError(f"{path}: a structural schema names one type for each value, here is {sorted(schema)}")
        found["type"] = schema["type"]
        if schema["type"] == "integer":
            found["format"] = "int64"
        if "const" in schema:
            schema["enum"] = [schema.pop("const")]
        found |= self._parts(schema, path)
        return found | _validations(schema, path)

    def _resolved(self, given: Schema, path: str) -> Schema:
        """The schema itself in place of a reference, and what is left of a choice between it and null."""
        schema = dict(given)
        if "anyOf" in schema:
            choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
            if len(choices) == 1:
                del schema["anyOf"]
                return self._resolved({**choices[0], **schema}, path)
            schema["anyOf"] = choices
        if "$ref" in schema:
            reference = schema.pop("$ref").removeprefix("#/$defs/")
            return self._resolved({**self._definitions[reference], **schema}, path)
        return schema

    def _parts(self, schema: Schema, path: str) -> Schema:
        """Fields of an object, values of a mapping, entries of a list."""
        parts: Schema = {}
        if schema.get("additionalProperties") is True:
            parts[PRESERVED] = True
        if "properties" in schema:
            parts["properties"] = {name: self.node(part, f"{path}.{name}") for name, part in schema.pop("properties").items()}
            if required := schema.pop("required", ()):
                parts["required"] = list(required)
        elif schema["type"] == "object":
            # Keys have no schema of their own in an API server; our model says what is wrong with one.
            values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            if not isinstance(values[0], dict):
                raise ValueError(f"{path}: an object without fields, and not a mapping")
            schema.pop("propertyNames", None)
            parts["additionalProperties"] = self.node(values[0], f"{path}[]")
        if "items" in schema:
            parts["items"] = self.node(schema.pop("items"), f"{path}[]")
        return parts


def _validations(schema: Schema, path: str) -> Schema:
    if unknown := schema.keys() - _VALIDATIONS - _LEFT_OUT:
        raise ValueError(f"{path}: nothing is known of {sorted(unknown)}")
    if schema.get("type") == "array" and "maxLength" in schema:
        raise ValueError(f"{path}: the length stands outside the validator of the list, where pydantic takes it for that of a text")
    return {name: value for name, value in schema.items() if name in _VALIDATIONS}


def _int_or_string(choices: list[Schema]) -> Schema:
    """The one choice of types that there is (OpenAPI schemas of Kubernetes, x-kubernetes-int-or-string), and the bounds of both."""
    bounds = {name: value for choice in choices for name, value in choice.items() if name in _VALIDATIONS}
    return {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True, **bounds}


def _description(schema: Schema) -> str:
    description = " ".join(str(schema.get("description", "")).split())
    default = schema.get("default")
    if default is None or isinstance(default, list | dict) or default == "":
        return description
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, int) and schema.get("type") == "string":
        default = duration_text(default)
    return f"{description} Default: {default}.".strip()


def duration_text(milliseconds: int) -> str:
    """A duration as it is written in an object, in the largest unit in which it is whole: 90000 is "90s"."""
    for unit, size in _SMALLER_UNITS:
        if milliseconds % size == 0 and milliseconds:
            return f"{milliseconds // size}{unit}"
    return "0s"
