"""YAML files split into documents, documents parsed to plain values that know the line of each of their parts.

Values are those that Kubernetes gives YAML: JSON's types, YAML 1.1 booleans, dates stay text, merge keys and anchors work.
Refused: keys given twice, tags beyond JSON's types, nesting over 64 levels, anchors that multiply a document.
JSON is read by the same parser, being YAML.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from controller.sources.problems import Path

MOST_LEVELS = 64
LARGEST_FILE = 16 * 1024 * 1024
_EXPANSION = 100_000

_MARKER = re.compile(r"^(?:---|\.\.\.)(?=\s|\Z)", re.MULTILINE)
_ONLY_DIRECTIVES = re.compile(r"(?:[ \t]*(?:#.*)?\r?\n|%.*\r?\n)*%.*\r?\n(?:[ \t]*(?:#.*)?\r?\n|%.*\r?\n)*\Z")
_SURROGATES = re.compile(r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)", re.DOTALL)

_STRING, _NULL, _BOOLEAN, _INTEGER, _FLOAT, _COLLECTION = "str", "null", "bool", "int", "float", "collection"
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in (_STRING, _NULL, _BOOLEAN, _INTEGER, _FLOAT)}
_COLLECTION_TAGS = frozenset((_COLLECTION, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE = frozenset(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))
_BOOLEANS = _TRUE | _FALSE
_INTEGERS = re.compile(r"[-+]?(?:0b[01_]{1,64}|0x[0-9a-fA-F_]{1,20}|0o?[0-7_]{0,24}|[1-9][0-9_]{0,24})")
_FLOATS = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MERGE = "<<"


class DocumentError(Exception):
    """A text that cannot be read. `line` counts from 0 in the text that was given."""

    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text of a file from one document marker to the next, and its first line from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One parsed document: its plain value, and its nodes for their lines."""

    value: Any
    node: Node

    def line_of(self, path: Path) -> int:
        """The line, from 0 in the parsed text, of the deepest part of `path` that is there: of a field, that of its name."""
        node, line = self.node, self.node.start_mark.line
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line


def _child(node: Node, step: str | int) -> tuple[int, Node] | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == step:
                return name.start_mark.line, value
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        value = node.value[step]
        return value.start_mark.line, value
    return None


def decode(content: bytes) -> str:
    """The text of a file. Raises DocumentError when it is too large, or not UTF-8."""
    if len(content) > LARGEST_FILE:
        raise DocumentError(0, f"the file is larger than {LARGEST_FILE >> 20} MiB", "Split it into several files.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start)
        raise DocumentError(line, "the text is not UTF-8", "Save the file in UTF-8.") from None


def split(text: str) -> Iterator[Chunk]:
    """The documents of a file, each with the marker line that begins it (YAML 1.2, 9.2). Blank ones are left out."""
    begin, line = 0, 1
    for marker in _MARKER.finditer(text):
        end = marker.start() if text[marker.start()] == "-" else marker.end()
        part = text[begin:end]
        if "%" in part and _ONLY_DIRECTIVES.match(part):
            continue
        if part.strip():
            yield Chunk(part, line)
        line += part.count("\n")
        begin = end
    if text[begin:].strip():
        yield Chunk(text[begin:], line)


def parse(text: str) -> list[Document]:
    """The documents in a text, without the empty ones. Raises DocumentError."""
    documents = []
    loader = _Loader(_joined_surrogates(text) if "\\u" in text else text)
    try:
        while loader.check_node() and (node := loader.get_node()) is not None:
            value = _Builder(len(text)).build(node, 0)
            if value is not None:
                documents.append(Document(value, node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        message = f"the YAML cannot be parsed: {said}"
        raise DocumentError(mark.line if mark else 0, message, "Correct the YAML at or just before this line.") from None
    except yaml.reader.ReaderError as error:
        # libyaml counts bytes, and names the character by its number.
        line = text.encode()[: error.position].count(b"\n")
        message = f"the character U+{int(error.character):04X} is not allowed in YAML"
        raise DocumentError(line, message, "Remove it, or write it as an escape in double quotes.") from None
    finally:
        loader.dispose()
    return documents


def reads_as_text(value: str) -> bool:
    """Whether a text that is written without quotes is read as this text, and not as a number, boolean or null."""
    return value != "" and _plain_type(value) == _STRING


def _joined_surrogates(text: str) -> str:
    # JSON writes characters beyond U+FFFF as two escapes, which YAML does not know.
    def joined(escape: re.Match[str]) -> str:
        if len(escape[1]) == 1:
            return escape[0]
        high, low = int(escape[1][1:5], 16), int(escape[1][7:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    return _SURROGATES.sub(joined, text)


class _Loader(CParser):
    """libyaml's parser with a resolver that knows JSON's types only and stops at deep nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> str:
        if kind is not ScalarNode or value is None:
            return _COLLECTION
        return _plain_type(value) if implicit[0] else _STRING

    def descend_resolver(self, parent: Node | None, index: Any) -> None:
        self._level += 1
        if self._level > MOST_LEVELS:
            raise DocumentError(
                parent.start_mark.line if parent is not None else 0,
                f"the document is nested over more than {MOST_LEVELS} levels",
                "Write it with less nesting: no kind that is read here needs so much.",
            )

    def ascend_resolver(self) -> None:
        self._level -= 1


def _plain_type(value: str) -> str:
    if value in _NULLS:
        return _NULL
    if value[0] in "+-.0123456789":
        if _INTEGERS.fullmatch(value):
            return _INTEGER
        return _FLOAT if _FLOATS.fullmatch(value) else _STRING
    return _BOOLEAN if value in _BOOLEANS else _STRING


class _Builder:
    """Builds the plain value of a node; counts, since anchors can make a small document a huge value."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length + _EXPANSION

    def build(self, node: Node, level: int) -> Any:
        self._left -= 1
        if self._left < 0 or level > MOST_LEVELS:
            raise DocumentError(
                node.start_mark.line, "the anchors (&) and aliases (*) multiply the document", "Write the values out, or use fewer aliases."
            )
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if node.tag not in _COLLECTION_TAGS:
            raise _unknown_tag(node)
        if isinstance(node, SequenceNode):
            return [self.build(item, level + 1) for item in node.value]
        return self._mapping(node, level)

    def _mapping(self, node: Node, level: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[Node] = []
        for name, value in node.value:
            if not isinstance(name, ScalarNode):
                raise DocumentError(name.start_mark.line, "a list or map is used as a key", "Write a plain name before the colon.")
            field = name.value
            if field == _MERGE and not name.style:
                merged.append(value)
                continue
            if field in values:
                message = f"the key {field!r} is given twice"
                raise DocumentError(name.start_mark.line, message, "Remove one of the two, or merge their values.")
            values[field] = self.build(value, level + 1)
        for value in merged:
            values = self._merge(value, level) | values
        return values

    def _merge(self, node: Node, level: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for source in reversed(node.value) if isinstance(node, SequenceNode) else (node,):
            if not isinstance(source, MappingNode):
                raise DocumentError(source.start_mark.line, "a merge key (<<) needs a map", "Give it an alias of a map, or a list of such.")
            values |= self.build(source, level + 1)
        return values


def _scalar(node: ScalarNode) -> Any:
    text: str = node.value
    kind = node.tag
    if kind == _STRING:
        return text
    kind = _TAGS.get(kind, kind)
    try:
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool" if text in _BOOLEANS:
                return text in _TRUE
            case "int":
                return _integer(text)
            case "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass
    raise _unknown_tag(node)


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = digits[0] if digits[0] in "+-" else ""
    digits = digits.removeprefix(sign)
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return int(f"{sign}0o{digits}", 0)
    return int(sign + digits, 0)


def _unknown_tag(node: Node) -> DocumentError:
    remedy = "Remove the tag: only the types of JSON are read here."
    return DocumentError(node.start_mark.line, f"the tag {node.tag!r} does not fit the value or is not known", remedy)
