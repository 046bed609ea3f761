"""What all models share: frozen values with camelCase aliases, absent for null, and refusals that name a field.

The API server prunes a null before it applies defaults (structural schemas, "Nullable"), so a null field is absent.
Values are not coerced: a port written as a string is refused as the API server refuses it.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Strict, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

Text = Annotated[str, Strict()]
Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]


class Model(BaseModel):
    """A frozen value read by the names of the API's fields; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, ser_json_bytes="base64")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {field: value for field, value in data.items() if value is not None}
        return data


class TolerantModel(Model):
    """A value of which we read some fields; the others are ignored."""

    model_config = ConfigDict(extra="ignore")


EXPRESSIONS = "x-kubernetes-validations"
"""The field of a schema in which the API server finds expressions in CEL."""


def expressions(*rules: tuple[str, str]) -> ConfigDict:
    """What a model's validator demands, said a second time for the API server: expressions in CEL over `self`, with their messages.

    For rules that are as short in CEL; of the others the object's condition tells.
    """
    return ConfigDict(json_schema_extra={EXPRESSIONS: [{"rule": rule, "message": message} for rule, message in rules]})


def refusal(field: str, message: str, remedy: str) -> PydanticCustomError:
    """The error to raise for a broken rule of the model that a validator belongs to.

    `field` is the path below that model, in the form `filters[1].type`, or "" for the model itself. Both texts are whole
    sentences without the closing full stop of the message; the reader of an object shows place, field, message and remedy.
    """
    return PydanticCustomError("rule", "{message}", {"field": field, "message": message, "remedy": remedy})


def text(pattern: str = "", shortest: int = 0, longest: int | None = None) -> Any:
    """Constraints of a string field: a pattern (unanchored, as in OpenAPI) and its least and greatest length."""
    return StringConstraints(strict=True, pattern=pattern or None, min_length=shortest or None, max_length=longest)
