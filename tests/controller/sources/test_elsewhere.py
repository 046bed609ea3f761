"""Watching files where inotify is not to be had."""

import asyncio
import errno
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.sources.elsewhere import PollingWatch, SystemWatch
from tests.controller.sources.texts import route


def test_polling_looks_at_everything_again(tmp_path: Path) -> None:
    """Each turn asks for everything; the reason is a problem of each survey."""
    (tmp_path / "a.yaml").write_text(route("a"))

    async def scenario() -> None:
        watch = PollingWatch([str(tmp_path)], OSError(errno.EMFILE, "too many"), interval=0.001)
        assert (await watch.changed()).everything
        found = watch.survey()
        assert list(found.files) == [str(tmp_path / "a.yaml")]
        assert [problem.message for problem in found.problems] == ["changes are noticed only every 0.001 s: too many"]
        assert not watch.is_unsettled(str(tmp_path / "a.yaml"))
        watch.close()

    asyncio.run(scenario())


def test_other_systems_are_watched_by_watchfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """watchfiles gets the nearest folders that exist; each of its changes asks for everything."""
    (tmp_path / "a.yaml").write_text(route("a"))
    watched: list[tuple[str, ...]] = []

    async def awatch(*folders: str, **_: object) -> AsyncIterator[set[object]]:
        watched.append(tuple(sorted(folders)))
        yield set()
        yield set()

    monkeypatch.setitem(sys.modules, "watchfiles", SimpleNamespace(awatch=awatch))

    async def scenario() -> None:
        watch = SystemWatch([str(tmp_path / "a.yaml"), str(tmp_path / "missing" / "folder")])
        assert list(watch.survey().files) == [str(tmp_path / "a.yaml")]
        for _ in range(2):
            signal = await watch.changed()
            assert (signal.everything, signal.files) == (True, ())
        assert watched == [(str(tmp_path),)]
        assert not watch.is_unsettled(str(tmp_path / "a.yaml"))
        watch.close()

    asyncio.run(scenario())
