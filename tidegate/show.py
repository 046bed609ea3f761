"""What `tidegate run` has to show, and what it asks of a display."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.sources.problems import Place, Problem
from controller.store import Key
from controller.translate.statuses import Ignored, Status
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener
from gateway.ir.value import Identity
from gateway.net.sockets import BindError


@dataclass(frozen=True, slots=True)
class Configuration:
    """Windows on what is current, read-only; they always show the present."""

    statuses: Mapping[Key, Status]
    """Of every object that has one, with Programmed."""
    resources: Mapping[Identity, AnyResource]
    """What the workers have or are about to have."""
    listeners: Mapping[str, Listener]
    """Those whose port is bound, by key."""
    failures: Mapping[str, BindError]
    """Keys of the listeners whose port is not, and why."""
    ignored: Callable[[], tuple[Ignored, ...]]
    """Objects without effect, each with the reason; looks at everything."""
    place: Callable[[Key], Place | None]
    """The file and line of an object."""
    admin: tuple[str, int] | None
    """Address and port of the admin server."""


class Show(Protocol):
    """A display. Everything is called on the loop, in the order in which it happened, and must not block or raise."""

    def message(self, text: str) -> None:
        """Something that happened: a worker died, a drain begins."""

    def problem(self, problem: Problem) -> None:
        """Something in the files cannot be used."""

    def solved(self, problem: Problem) -> None:
        """A problem that was shown is gone."""

    def state(self, configuration: Configuration) -> None:
        """The first configuration is in place: called once, before `changed` and after the first problems."""

    def listening(self, configuration: Configuration) -> None:
        """Listeners were bound, let go, or could not be bound. Called once with `state`, then whenever that changes."""

    def changed(self, statuses: tuple[Status, ...], gone: tuple[Key, ...]) -> None:
        """Statuses that are new or differ, and objects that have none any more."""
