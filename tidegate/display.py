"""What `tidegate run` shows: lines that scroll, coloured on a terminal, plain elsewhere.

First what is listened on, each Gateway, ListenerSet and route with its state and URLs; then only what changes. A burst of
changes is cut short, since `tidegate status` shows everything at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from io import TextIOBase
from typing import IO, Final, TypeVar, cast

from rich.console import Console

from controller.sources.problems import Problem
from controller.status import faults, notes, summary
from controller.store import Key
from controller.translate.objects import called
from controller.translate.statuses import (
    GatewayClassStatus,
    GatewayStatus,
    ListenerSetStatus,
    MeshStatus,
    PolicyStatus,
    RouteStatus,
    SelectingStatus,
    Status,
)
from gateway.ir.listener import Listener
from gateway.ir.rule import AnyRule
from gateway.net.sockets import readable
from tidegate.addresses import listener_url, route_urls
from tidegate.hints import without_endpoints
from tidegate.report import Report
from tidegate.show import Configuration

MOST_LINES: Final = 20
"""Objects shown of one change."""
MOST_URLS: Final = 4

Item = TypeVar("Item")

_RANK: Final = (GatewayClassStatus, MeshStatus, GatewayStatus, ListenerSetStatus, RouteStatus, PolicyStatus, SelectingStatus)


class Display:
    """A Show that writes to `stream`. Owner of what was shown last."""

    def __init__(self, stream: IO[str]) -> None:
        self._report = Report(Console(file=cast(IO[str], _Tolerant(stream)), highlight=False, soft_wrap=True))
        self._configuration: Configuration | None = None
        self._listening: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def message(self, text: str) -> None:
        """Something that happened."""
        self._report.line("", text)

    def problem(self, problem: Problem) -> None:
        """Something in the files that cannot be used."""
        self._report.line("problem", str(problem))

    def solved(self, problem: Problem) -> None:
        """A problem that is gone."""
        self._report.line("solved", str(replace(problem, remedy="")).removesuffix(". "))

    def state(self, configuration: Configuration) -> None:
        """Everything, once."""
        self._configuration = configuration
        if configuration.admin is not None:
            self._report.line("", f"admin at http://{readable(*configuration.admin)}")
        for key, reason in _cut(configuration.ignored(), self._more):
            self._report.line("ignored", f"{called(*key)}: {reason}")
        self.listening(configuration)
        self._statuses(tuple(configuration.statuses.values()))
        if not any(isinstance(status, GatewayStatus) for status in configuration.statuses.values()):
            self._report.line("problem", "there is no Gateway to serve; add one, or see above why those there are were left out")

    def listening(self, configuration: Configuration) -> None:
        """What was bound, let go or could not be bound since the last time."""
        bound = {key: _bound(listener) for key, listener in configuration.listeners.items()}
        failed = {key: str(failure) for key, failure in configuration.failures.items()}
        for key in sorted(self._listening.keys() - bound.keys() - failed.keys()):
            self._report.line("", f"no longer {self._listening[key]}")
        for key in sorted(bound):
            if self._listening.get(key) != bound[key]:
                self._report.line("", bound[key])
        for key in sorted(failed):
            if self._failed.get(key) != failed[key]:
                self._report.line("problem", f"listener {key}: {failed[key]}")
        self._listening, self._failed = bound, failed

    def changed(self, statuses: tuple[Status, ...], gone: tuple[Key, ...]) -> None:
        """Objects that are new or judged anew, and those that went."""
        self._statuses(statuses)
        for key in _cut(gone, self._more):
            self._report.line("gone", called(*key))

    def _statuses(self, statuses: Sequence[Status]) -> None:
        shown = [status for status in statuses if not _silent(status)]
        shown.sort(key=lambda status: (_RANK.index(type(status)), status.object))
        for status in _cut(shown, self._more):
            self._status(status)

    def _status(self, status: Status) -> None:
        wrong, noted = faults(status), notes(status)
        if wrong or noted:
            self._report.line("fault" if wrong else "note", f"{called(*status.object)}{self._where(status.object)}")
            for text in (*wrong, *noted):
                self._report.under(f"  {text}")
        else:
            self._report.line("ok", summary(status))
        if isinstance(status, RouteStatus):
            for url in self._urls(status):
                self._report.under(f"  {url}")
            self._hints(status)

    def _hints(self, status: RouteStatus) -> None:
        """Services of the route that have no endpoint."""
        assert self._configuration is not None
        resources = self._configuration.resources
        rules = [rule for identity in status.resources if isinstance(rule := resources.get(identity), AnyRule)]
        for source, hint in without_endpoints(rules, resources):
            self._report.line("note", f"{source}{self._where((source.kind, source.namespace, source.name))}")
            self._report.under(f"  {hint}")

    def _where(self, key: Key) -> str:
        assert self._configuration is not None
        place = self._configuration.place(key)
        return "" if place is None else f" ({place})"

    def _urls(self, status: RouteStatus) -> tuple[str, ...]:
        configuration = self._configuration
        assert configuration is not None
        urls = route_urls(status.resources, configuration.resources, configuration.listeners)
        return urls if len(urls) <= MOST_URLS else (*urls[: MOST_URLS - 1], f"and {len(urls) - MOST_URLS + 1} more")

    def _more(self, number: int) -> None:
        self._report.line("", f"and {number} more, see `tidegate status`")


class _Tolerant(TextIOBase):
    """A stream whose reader may go away: what cannot be written is dropped, and serving goes on."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _silent(status: Status) -> bool:
    """A class that is well is no news."""
    return isinstance(status, GatewayClassStatus) and not faults(status)


def _bound(listener: Listener) -> str:
    where = readable(listener.address, listener.bind_port)
    moved = "" if listener.bind_port == listener.port else f" for port {listener.port}"
    return f"listening on {where}{moved}: {listener_url(listener)}, listener {listener.name} of Gateway {listener.gateway}"


def _cut(items: Iterable[Item], more: Callable[[int], None]) -> Iterator[Item]:
    """The first of many; then how many there are besides."""
    number = 0
    for number, item in enumerate(items, 1):
        if number <= MOST_LINES:
            yield item
    if number > MOST_LINES:
        more(number - MOST_LINES)
