"""What one file holds, document by document, and what is kept of it while parts of it cannot be read.

Pure: the entries before and the new text give the entries after. Documents whose text is the same are not read again.
An object whose document can no longer be read keeps its last readable version, in the entry of the broken document.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from controller.sources.documents import DocumentError, decode, split
from controller.sources.problems import Problem
from controller.sources.reading import NOTHING_KNOWN, Fault, Found, Reading, read

_KEPT = "Until then its last readable version stays in use."


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of a file: digest of its text, its first line from 1, what it says, and objects kept from before."""

    digest: bytes
    line: int
    reading: Reading
    kept: tuple[Found, ...] = ()

    def objects(self) -> Iterator[Found]:
        """The objects of the document, read and kept, with their lines in the file from 1."""
        for found in (*self.reading.found, *self.kept):
            yield Found(found.object, self.line + found.line)

    def problems(self, file: str) -> Iterator[Problem]:
        """What keeps parts of the document from being used."""
        for fault in self.reading.faults:
            remedy = fault.remedy
            if any(fault.subject.may_be(found.object.key) for found in self.kept):
                remedy = f"{remedy} {_KEPT}"
            yield Problem(file, self.line + fault.line, fault.title, fault.field, fault.message, remedy)


def refreshed(before: Sequence[Entry], content: bytes, namespace: str) -> tuple[Entry, ...]:
    """The entries of a file with this content, given those it had."""
    try:
        chunks = list(split(decode(content)))
    except DocumentError as error:
        return unreadable(before, error.line + 1, error.message, error.remedy)
    known = {entry.digest: entry for entry in before}
    after = []
    for chunk in chunks:
        digest = blake2b(chunk.text.encode(), digest_size=16).digest()
        same = known.get(digest)
        after.append(replace(same, line=chunk.line) if same else Entry(digest, chunk.line, read(chunk.text, namespace)))
    return _with_kept(before, after)


def unreadable(before: Sequence[Entry], line: int, message: str, remedy: str) -> tuple[Entry, ...]:
    """The one entry of a file that cannot be read at all: everything it held is kept."""
    kept = tuple(found for entry in before for found in entry.objects())
    fault = Fault(line, NOTHING_KNOWN, "", "", message, remedy)
    return (Entry(b"", 0, Reading(faults=(fault,)), kept),)


def _with_kept(before: Sequence[Entry], after: list[Entry]) -> tuple[Entry, ...]:
    if not any(entry.reading.faults for entry in after):
        return tuple(after)
    readable = {found.object.key for entry in after for found in entry.reading.found}
    after = [replace(entry, kept=tuple(found for found in entry.kept if found.object.key not in readable)) for entry in after]
    held = readable | {found.object.key for entry in after for found in entry.kept}
    first, last, last_before = _changed_part(before, after)
    missing = [
        found for entry in before[first:last_before] for found in (*entry.reading.found, *entry.kept) if found.object.key not in held
    ]
    for index in range(first, last):
        faults = after[index].reading.faults
        kept = [found for found in missing if any(fault.subject.may_be(found.object.key) for fault in faults)]
        missing = [found for found in missing if found not in kept]
        placed = tuple(Found(found.object, faults[0].line) for found in kept)
        after[index] = replace(after[index], kept=(*after[index].kept, *placed))
    return tuple(after)


def _changed_part(before: Sequence[Entry], after: Sequence[Entry]) -> tuple[int, int, int]:
    """Where the texts begin to differ, and where they end to, in `after` and in `before`."""
    first, shorter = 0, min(len(before), len(after))
    while first < shorter and before[first].digest == after[first].digest:
        first += 1
    last = 0
    while last < shorter - first and before[-1 - last].digest == after[-1 - last].digest:
        last += 1
    return first, len(after) - last, len(before) - last
