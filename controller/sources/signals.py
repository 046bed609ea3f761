"""What a watch of files says, and what a source of files asks of a watch."""

from dataclasses import dataclass
from typing import Protocol

from controller.sources.survey import Survey


@dataclass(frozen=True, slots=True)
class Signal:
    """What to look at again: these files, or with `everything` the given paths from the beginning."""

    everything: bool
    files: tuple[str, ...]


class Watch(Protocol):
    """Tells when files change."""

    def survey(self) -> Survey:
        """What the paths stand for now; every change from here on is signalled."""

    async def changed(self) -> Signal:
        """Waits for a change."""

    def is_unsettled(self, file: str) -> bool:
        """Whether the file is being written or just went, or was changed since it was signalled, as of now; it is signalled again."""

    def signal_later(self, file: str) -> None:
        """Signals the file once it has rested, or when its writer closes it."""

    def close(self) -> None:
        """Ends the watch."""
