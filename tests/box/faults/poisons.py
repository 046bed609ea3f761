"""Objects with one wrong field each, from the schemas that the API server itself holds objects to. Pure.

What comes out is at a limit, empty, odd or of no known value: much of it the API server refuses, and what it takes is ours to survive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_PLAIN = ("a", "A", "/", "/a", "1s", "1", "a.example", "a/b", "127.0.0.1", "GET", "200", "HTTP", "*", "X-A", "a: b")
"""One of these fits most patterns."""
_ODD = (
    "",
    " ",
    "*",
    "-",
    "..",
    "../../etc/passwd",
    "a\nb: c",
    "\u202e\U0001f9ea",
    "%00",
    "$(POD_NAME)",
    "(((",
    "[a-z]{1000}",
    "0s",
    "-1s",
    "999999h",
    "1e9",
)
_MOST_ITEMS = 64
_MOST_LETTERS = 2048


def poisons(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Values for a schema, each as plain as can be but for one field; the path of that field, and the value."""
    match schema.get("type"):
        case "object" if "properties" in schema:
            yield from _objects(schema)
        case "object":
            inner = schema.get("additionalProperties", {"type": "string"})
            plain_item = plain(inner if isinstance(inner, dict) else {})
            yield "{}", {}
            yield "{odd}", {"a/b": plain_item, "A" * 63: plain_item}
            yield "{many}", {f"key-{number}": plain_item for number in range(_MOST_ITEMS)}
        case "array":
            items = schema["items"]
            yield "[]", []
            yield "[same]", [plain(items)] * 2
            yield "[many]", [plain(items) | {"name": f"n{number}"} if _is_named(items) else plain(items) for number in range(_most(schema))]
            yield from ((f"[]{path}", [value]) for path, value in poisons(items))
        case kind:
            yield from ((f"={value!r:.40}", value) for value in _scalars(schema, kind))


def plain(schema: Schema) -> Any:
    """A value that the schema allows, with what it requires and nothing else."""
    if "default" in schema:
        return schema["default"]
    match schema.get("type"):
        case "object":
            return {name: plain(schema["properties"][name]) for name in schema.get("required", ()) if name in schema.get("properties", {})}
        case "array":
            return [plain(schema["items"])] * schema.get("minItems", 0)
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return True
        case "string":
            return _plain_text(schema)
    return 1


def _objects(schema: Schema) -> Iterator[tuple[str, Any]]:
    properties = schema["properties"]
    base = plain(schema)
    yield "{}", {}
    for name, inner in properties.items():
        around = dict(base)
        for chosen in properties.get("type", {}).get("enum", ()):  # a union: its discriminator has to name the member
            if chosen.lower() == name.lower():
                around["type"] = chosen
        for path, value in poisons(inner):
            yield f".{name}{path}", around | {name: value}


def _scalars(schema: Schema, kind: str | None) -> list[Any]:
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return [0, -1, 2**31 - 1, "100%", "101%", "a"]
    match kind:
        case "boolean":
            return [True, False]
        case "integer" | "number":
            limits = [schema[limit] for limit in ("minimum", "maximum") if limit in schema]
            return [*limits, 0, -1, 1, 2**31 - 1, 2**53]
    longest = schema.get("maxLength", _MOST_LETTERS)
    stretched = [_plain_text(schema) * longest, "a" * longest, ("a" * 63 + ".") * 4]
    return [*_ODD, *(text[:longest] for text in stretched)]


def _plain_text(schema: Schema) -> str:
    if "enum" in schema:
        return str(schema["enum"][0])
    for text in _PLAIN:
        if len(text) >= schema.get("minLength", 0) and re.search(schema.get("pattern", ""), text):
            return text
    return "a" * schema.get("minLength", 1)


def _is_named(schema: Schema) -> bool:
    return schema.get("type") == "object" and "name" in schema.get("properties", {})


def _most(schema: Schema) -> int:
    return min(int(schema.get("maxItems", _MOST_ITEMS)), _MOST_ITEMS)
