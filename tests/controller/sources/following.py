"""Following a source of files in tests: its changes one at a time, and the ways in which files are changed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from pathlib import Path

from controller.api.metadata import Key
from controller.sources.files import Change, FileSource
from tests.controller.sources.texts import namespace


class Follower:
    """The changes of a source, one at a time."""

    def __init__(self, changes: AsyncIterator[Change]) -> None:
        self._changes = changes

    async def next(self) -> Change:
        """The next change; fails after ten seconds without one."""
        async with asyncio.timeout(10):
            return await anext(self._changes)

    async def told(self) -> tuple[list[str], list[str]]:
        """The names of the objects put and removed by the next change."""
        change = await self.next()
        return sorted(put.name for put in change.puts), sorted(name for _, _, name in change.removes)


@contextlib.asynccontextmanager
async def following(*paths: Path, marker: Path | None = None) -> AsyncGenerator[Follower, None]:
    """A source of these paths, read and then watched from before the first change that is made."""
    marker = marker or paths[0].parent / "marker.yaml"
    source = FileSource([*paths, marker])
    source.read()
    marker.write_text(namespace("marker"))
    changes = source.watch()
    follower = Follower(changes)
    # The first change comes from looking again at the start of the watch; from then on events count.
    assert await follower.told() == (["marker"], [])
    try:
        yield follower
    finally:
        await changes.aclose()


def replace(file: Path, text: str) -> None:
    """Writes a new file and moves it in place, as careful writers do."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(text)
    temporary.rename(file)


def run(test: Callable[[], Coroutine[object, object, None]]) -> None:
    """Runs a test in a loop of its own."""
    asyncio.run(test())


async def until(follower: Follower, put: str) -> Change:
    """The first change that puts this object; the ones before say that paths came."""
    while True:
        change = await follower.next()
        if put in [each.name for each in change.puts]:
            return change


def apply(change: Change, state: dict[Key, object]) -> None:
    """Brings the state up to the change."""
    state.update({put.key: put.model_dump(exclude={"metadata"}) for put in change.puts})
    for key in change.removes:
        del state[key]
