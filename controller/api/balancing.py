"""How an endpoint is chosen (BackendPolicy.balancing)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Integer, Model, expressions, refusal
from controller.api.names import HeaderName

LARGEST_TABLE = 65_537
"""The largest table of RingHash and Maglev; a prime, and what Envoy's Maglev takes unless told otherwise."""
_HASHES = "(has(self.type) && self.type in ['RingHash', 'Maglev'])"
_NAMED = frozenset({"Header", "Cookie", "QueryParameter"})


class HashOn(Model):
    """A part of a request."""

    model_config = expressions(
        ("(self.type in ['Header', 'Cookie', 'QueryParameter']) == has(self.name)", "name is that of a header, cookie or query parameter"),
    )

    type: Literal["ClientAddress", "Header", "Cookie", "QueryParameter", "Authority", "Path"] = Field(
        description="ClientAddress: behind trusted proxies the one they name; Authority: host and port; Path: without the query."
    )
    name: HeaderName | None = Field(default=None, description="Of the header, cookie or query parameter.")

    @model_validator(mode="after")
    def _name_fits_type(self) -> Self:
        if self.type in _NAMED and self.name is None:
            raise refusal("name", f"type {self.type} needs a name", "Add name.")
        if self.type not in _NAMED and self.name is not None:
            raise refusal("name", f"type {self.type} has no name", "Remove name, or set type Header, Cookie or QueryParameter.")
        return self


def _distinct(entries: tuple[HashOn, ...]) -> tuple[HashOn, ...]:
    for index, entry in enumerate(entries):
        if entry in entries[:index]:
            raise refusal(f"[{index}]", "is there already, and counts only once", "Remove one of the two.")
    return entries


class Balancing(Model):
    """How an endpoint is chosen among those that are ready and healthy."""

    model_config = expressions(
        (f"!has(self.hashOn) || self.hashOn.size() == 0 || {_HASHES}", "hashOn needs type RingHash or Maglev"),
        (f"!has(self.tableSize) || {_HASHES}", "tableSize needs type RingHash or Maglev"),
    )

    type: Literal["RoundRobin", "LeastRequest", "RingHash", "Maglev"] = Field(
        default="RoundRobin",
        description=(
            "RoundRobin: each in turn, by weight. LeastRequest: of two drawn by weight the one with fewer active requests. RingHash and"
            " Maglev: requests with the same hash go to the same endpoint."
        ),
    )
    hash_on: Annotated[tuple[HashOn, ...], AfterValidator(_distinct)] = Field(
        default=(), max_length=8, description="What the hash is taken of: the first that a request has. The client's address when absent."
    )
    table_size: Annotated[Integer, Field(ge=64, le=LARGEST_TABLE)] | None = Field(
        default=None,
        description="Points of the ring, or entries of the Maglev table, which must be a prime. By number of endpoints when absent.",
    )

    @model_validator(mode="after")
    def _fields_fit_type(self) -> Self:
        hashing = self.type in ("RingHash", "Maglev")
        if self.hash_on and not hashing:
            raise refusal("hashOn", f"type {self.type} takes no hash", "Remove hashOn, or set type RingHash or Maglev.")
        if self.table_size is not None and not hashing:
            raise refusal("tableSize", f"type {self.type} has no table", "Remove tableSize, or set type RingHash or Maglev.")
        if self.type == "Maglev" and self.table_size is not None and not _is_prime(self.table_size):
            prime = next(number for number in range(self.table_size, LARGEST_TABLE + 1) if _is_prime(number))
            raise refusal("tableSize", f"the size of a Maglev table must be a prime, {self.table_size} is none", f"Write {prime}.")
        return self


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
