"""Label selectors (meta/v1 LabelSelector): all labels and all expressions must hold; an empty selector selects everything."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from controller.api.base import Model, Text, refusal
from controller.api.names import LabelKey, LabelValue


class LabelSelectorRequirement(Model):
    """One expression over the labels of an object."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        if self.operator in ("In", "NotIn") and not self.values:
            raise refusal("values", f"operator {self.operator} needs at least one value", "Add values, or use Exists or DoesNotExist.")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise refusal("values", f"operator {self.operator} takes no values", "Remove values, or use In or NotIn.")
        return self

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels fulfil the expression; NotIn also selects objects without the label."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Model):
    """Labels and expressions, all of which must hold."""

    match_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(name) == value for name, value in self.match_labels.items()) and all(
            expression.selects(labels) for expression in self.match_expressions
        )
