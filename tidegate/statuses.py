"""Statuses as users see them: what translation says, joined with what the workers have acknowledged.

A status is final once the revision that came with it is live everywhere. One that did not change is not touched, so that an
edit of one route costs one status, whatever the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from controller.status import BindFailure, Live, programmed
from controller.store import Key
from controller.translate.statuses import Status
from controller.translator import Translation
from gateway.ir.value import Identity

Failures = Mapping[str, BindFailure]
Rejections = Mapping[Identity, tuple[str, ...]]


class FinalStatuses:
    """Owner of the final statuses."""

    __slots__ = ("_failures", "_final", "_gone", "_rejections", "_translated", "_waiting")

    def __init__(self) -> None:
        self._translated: dict[Key, Status] = {}
        self._waiting: dict[Key, int] = {}
        self._final: dict[Key, Status] = {}
        self._gone: list[Key] = []
        self._failures: Failures = {}
        self._rejections: Rejections = {}

    @property
    def final(self) -> Mapping[Key, Status]:
        """By object, read-only."""
        return MappingProxyType(self._final)

    @property
    def waiting(self) -> int:
        """The last revision that a status waits for, 0 if none does."""
        return max(self._waiting.values(), default=0)

    def note(self, translation: Translation, revision: int) -> None:
        """The statuses of a change that was published as this revision."""
        for key in translation.gone:
            self._translated.pop(key, None)
            self._waiting.pop(key, None)
            if self._final.pop(key, None) is not None:
                self._gone.append(key)
        for status in translation.statuses:
            self._translated[status.object] = status
            self._waiting[status.object] = revision

    def update(self, applied: int, failures: Failures, rejections: Rejections) -> tuple[tuple[Status, ...], tuple[Key, ...]]:
        """Judges what is waiting by the revision that is live; everything, if ports or rejections differ from the last time.

        Returns the final statuses that differ, and the objects that have none any more.
        """
        candidates: Iterable[Key] = self._waiting
        if failures != self._failures or rejections != self._rejections:
            self._failures, self._rejections = failures, rejections
            candidates = self._translated
        changed: list[Status] = []
        for key in candidates:
            live = Live(self._waiting.get(key, 0), applied, failures, rejections)
            status = programmed(self._translated[key], live)
            if status != self._final.get(key):
                self._final[key] = status
                changed.append(status)
        self._waiting = {key: revision for key, revision in self._waiting.items() if revision > applied}
        gone, self._gone = tuple(self._gone), []
        return tuple(changed), tuple(key for key in gone if key not in self._final)
