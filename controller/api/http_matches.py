"""Matches of an HTTPRoute rule: path, header fields, query parameters, method (apis/v1/httproute_types.go).

Regular expressions are read as they are: whether RE2 takes them is for the translation to say.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Model, refusal, text
from controller.api.names import HeaderName, HeaderValue

HTTPMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
HTTPMethodWithWildcard = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"]

_PATH_CHARACTERS = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_NOT_CONTAINED = ("//", "/./", "/../", "%2f", "%2F", "#")
_NOT_AT_END = ("/..", "/.")


class HTTPPathMatch(Model):
    """A path: exact, a prefix of whole segments, or a regular expression."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: Annotated[str, text(longest=1024)] = "/"

    @model_validator(mode="after")
    def _value_fits_type(self) -> Self:
        if self.type != "RegularExpression" and (fault := _path_fault(self.value)):
            message = f"a path of type {self.type} {fault}: {self.value!r}"
            raise refusal("value", message, "Write the path in its normal form, or use RegularExpression.")
        return self


def _path_fault(path: str) -> str | None:
    if not path.startswith("/"):
        return "must start with '/'"
    for part in _NOT_CONTAINED:
        if part in path:
            return f"must not contain {part!r}"
    for end in _NOT_AT_END:
        if path.endswith(end):
            return f"must not end with {end!r}"
    if _PATH_CHARACTERS.fullmatch(path) is None:
        return "may hold only characters of a URI path and percent-encoded bytes"
    return None


class HTTPHeaderMatch(Model):
    """A header field and its value; of several entries with one name only the first counts."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: HeaderValue


class HTTPQueryParamMatch(Model):
    """A query parameter and its value; of several entries with one name only the first counts."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    name: HeaderName
    value: Annotated[str, text(shortest=1, longest=1024)]


def check_names(entries: Sequence[Any]) -> Any:
    """No two entries with the same name to the letter (listType=map, listMapKey=name)."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if entry.name in seen:
            message = f"the name {entry.name!r} is already that of entry {seen[entry.name]}"
            raise refusal(f"[{index}].name", message, "Keep one entry a name.")
        seen[entry.name] = index
    return entries


class HTTPRouteMatch(Model):
    """Predicates of which all must hold."""

    path: HTTPPathMatch = HTTPPathMatch()
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Field(max_length=16), AfterValidator(check_names)] = ()
    query_params: Annotated[tuple[HTTPQueryParamMatch, ...], Field(max_length=16), AfterValidator(check_names)] = ()
    method: HTTPMethod | None = None
