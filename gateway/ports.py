"""Which listeners may be published to the workers: those whose port is bound.

A listener whose port cannot be bound is withheld, with the reason; what is live under its key stays live. It is tried again
with every change and whenever the owner asks. A port that no published listener uses any more is closed when the workers
have acknowledged that. Only what stands in its own way, as a listener that moves from 127.0.0.1 to 0.0.0.0 on one port,
is withdrawn first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.descriptors import Place, place_of
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener
from gateway.ir.value import Identity
from gateway.net.sockets import BindError


@dataclass(frozen=True, slots=True)
class Admitted:
    """A change as it may be published, and whether it touches listeners."""

    set: tuple[AnyResource, ...]
    remove: tuple[Identity, ...]
    listeners: bool


class Ports:
    """Owner of the answer to "which port is open for whom". `open` binds a place or says why not; `close` undoes it."""

    __slots__ = ("_close", "_failures", "_open", "_opened", "_published", "_users", "_withheld")

    def __init__(self, open: Callable[[Place], BindError | None], close: Callable[[Place], None]) -> None:
        self._open = open
        self._close = close
        self._opened: set[Place] = set()
        self._published: dict[str, Listener] = {}
        self._users: Counter[Place] = Counter()
        self._withheld: dict[str, Listener] = {}
        self._failures: dict[str, BindError] = {}

    @property
    def listeners(self) -> Mapping[str, Listener]:
        """What has been admitted, by key: the version that is live or about to be."""
        return MappingProxyType(self._published)

    @property
    def failures(self) -> Mapping[str, BindError]:
        """Keys of the listeners withheld, and why."""
        return MappingProxyType(self._failures)

    def admit(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> Admitted:
        """What of a change may be published, with withheld listeners whose port is free by now. The cost is that of the change."""
        resources, removals = tuple(set), tuple(remove)
        gone = [key for kind, key in removals if kind == Listener.__name__]
        listeners = [resource for resource in resources if isinstance(resource, Listener)]
        if not gone and not listeners:
            return Admitted(resources, removals, listeners=False)
        for key in gone:
            self._forget(key)
        for listener in listeners:
            self._withheld[listener.key] = listener
        others = (resource for resource in resources if not isinstance(resource, Listener))
        return Admitted((*others, *self.retry()), (*removals, *self._make_way()), listeners=True)

    def retry(self) -> tuple[Listener, ...]:
        """The withheld listeners whose port could be bound now: to be published."""
        tried: dict[Place, BindError | None] = {}
        admitted: list[Listener] = []
        for key, listener in list(self._withheld.items()):
            place = place_of(listener)
            if place not in self._opened and place not in tried:
                tried[place] = self._open(place)
                if tried[place] is None:
                    self._opened.add(place)
            failure = tried.get(place)
            if failure is not None:
                self._failures[key] = failure
                continue
            self._forget(key)
            self._published[key] = listener
            self._users[place] += 1
            admitted.append(listener)
        return tuple(admitted)

    def release(self) -> bool:
        """Closes what no published listener uses; whether that was anything, so that `retry` may succeed now.

        To be called once the workers acknowledged the last change of listeners.
        """
        unused = [place for place in self._opened if not self._users[place]]
        for place in unused:
            self._opened.discard(place)
            del self._users[place]
            self._close(place)
        return bool(unused)

    def _make_way(self) -> list[Identity]:
        """Listeners to be withdrawn because they are to move, and their old place and a new one cannot both be bound."""
        withdrawn: list[Identity] = []
        for key in self._failures:
            wanted = place_of(self._withheld[key])
            for place in [place for place in self._opened if place[1:] == wanted[1:] and place != wanted]:
                users = [user for user, listener in self._published.items() if place_of(listener) == place]
                if all(user in self._withheld for user in users):
                    for user in users:
                        del self._published[user]
                        self._users[place] -= 1
                        withdrawn.append((Listener.__name__, user))
        return withdrawn

    def _forget(self, key: str) -> None:
        self._withheld.pop(key, None)
        self._failures.pop(key, None)
        published = self._published.pop(key, None)
        if published is not None:
            self._users[place_of(published)] -= 1
