"""Watching files: what editors, copies and other writers do to them. Real files, real inotify.

`Follower.next` gives the next change, so what must not be told is shown by the change after it.
"""

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from controller.api.http_route import HTTPRoute
from controller.sources import files
from controller.sources.files import FileSource
from tests.controller.sources.following import Follower, following, replace, run
from tests.controller.sources.texts import BROKEN, documents, route


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    """Rename-and-replace is one change of the one object, with the next generation."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text(route("a"))

    async def scenario() -> None:
        async with following(folder) as follower:
            for generation in range(2, 6):
                replace(folder / "a.yaml", route("a", f"/{generation}"))
                change = await follower.next()
                assert [(put.name, put.metadata.generation) for put in change.puts] == [("a", generation)]
                assert (change.removes, change.problems) == ((), ())

    run(scenario)


def test_a_file_that_is_written_in_place(tmp_path: Path) -> None:
    """A file is taken when its writer closes it: never empty, never half, whatever else changes meanwhile."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text(documents(route("a"), route("b")))

    async def scenario() -> None:
        async with following(folder) as follower:
            with (folder / "a.yaml").open("w") as writer:
                replace(folder / "z.yaml", route("z1"))
                assert await follower.told() == (["z1"], [])
                writer.write(route("a", "/half"))
                writer.flush()
                replace(folder / "z.yaml", route("z2"))
                assert await follower.told() == (["z2"], ["z1"])
                writer.write("---\n" + route("b", "/whole"))
            assert await follower.told() == (["a", "b"], [])

    run(scenario)


def test_a_new_file_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """A file that is created and not yet closed does not count."""

    async def scenario() -> None:
        async with following(tmp_path / "config") as follower:
            with (tmp_path / "config" / "a.yaml").open("w") as writer:
                writer.write(route("half"))
                writer.flush()
                replace(tmp_path / "config" / "z.yaml", route("z"))
                assert await follower.told() == (["z"], [])
                writer.write("---\n" + route("whole"))
            assert await follower.told() == (["half", "whole"], [])

    (tmp_path / "config").mkdir()
    run(scenario)


@pytest.mark.slow
def test_a_file_that_is_written_in_place_all_the_time(tmp_path: Path) -> None:
    """However the reading meets a writer that truncates and writes in parts, only whole versions are told."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()

    def write(version: int) -> None:
        with file.open("w") as writer:
            writer.write(route("a", f"/{version}"))
            writer.flush()
            writer.write("---\n" + route("b", f"/{version}"))

    def write_many() -> None:
        for version in range(1, 400):
            write(version)

    async def scenario() -> None:
        async with following(file.parent) as follower:
            writing = asyncio.get_running_loop().run_in_executor(None, write_many)
            last = ""
            while last != "/399":
                change = await follower.next()
                assert (change.removes, change.problems) == ((), ())
                assert [put.name for put in change.puts] == ["a", "b"]
                (last,) = {put.spec.rules[0].matches[0].path.value for put in change.puts if isinstance(put, HTTPRoute)}
            await writing

    write(0)
    run(scenario)


@pytest.mark.slow
def test_a_file_that_is_emptied(tmp_path: Path) -> None:
    """An empty file may be one that a writer has just truncated: it counts when it rests."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()
    file.write_text(route("a"))

    async def scenario() -> None:
        async with following(file.parent) as follower:
            file.write_text("")
            replace(file.parent / "z.yaml", route("z"))
            assert await follower.told() == (["z"], [])
            assert await follower.told() == ([], ["a"])

    run(scenario)


@pytest.mark.slow
def test_a_file_that_nobody_closes_is_read_when_it_rests(tmp_path: Path) -> None:
    """A writer that keeps its file open, such as an appending one, is not waited for without end."""

    async def scenario() -> None:
        async with following(tmp_path / "config") as follower:
            with (tmp_path / "config" / "a.yaml").open("w") as writer:
                writer.write(route("a"))
                writer.flush()
                assert await follower.told() == (["a"], [])

    (tmp_path / "config").mkdir()
    run(scenario)


def test_many_files_at_once_are_one_change(tmp_path: Path) -> None:
    """What is queued when the first event is taken belongs to one change."""
    folder = tmp_path / "config"
    folder.mkdir()

    async def scenario() -> None:
        async with following(folder) as follower:
            for index in range(200):
                replace(folder / f"{index}.yaml", route(f"r{index}"))
            puts, removes = await follower.told()
            assert (len(puts), removes) == (200, [])
            for index in range(100, 200):
                (folder / f"{index}.yaml").write_text(route(f"r{index}", "/2"))
            puts, removes = await follower.told()
            assert (len(puts), removes) == (100, [])

    run(scenario)


def test_files_that_go_rest_before_they_are_gone(tmp_path: Path) -> None:
    """Deleted files are gone together, a little after; what else changes does not wait for them."""
    folder = tmp_path / "config"
    folder.mkdir()
    for index in range(100):
        (folder / f"{index}.yaml").write_text(route(f"r{index}"))

    async def scenario() -> None:
        async with following(folder) as follower:
            for index in range(100):
                (folder / f"{index}.yaml").unlink()
            replace(folder / "z.yaml", route("z"))
            puts, removes = await follower.told()
            assert puts == ["z"]
            while len(removes) < 100:
                puts, more = await follower.told()
                assert puts == []
                removes += more

    run(scenario)


@pytest.mark.slow
def test_what_editors_do(tmp_path: Path) -> None:
    """Saves of vim, emacs, sed and IDEs are one change each; their backup and swap files are none."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()
    file.write_text(route("a"))

    def vim(text: str) -> None:
        (file.parent / ".a.yaml.swp").write_text("swap")
        (file.parent / "4913").write_text("")
        (file.parent / "4913").unlink()
        file.rename(file.with_name("a.yaml~"))
        file.write_text(text)
        (file.parent / ".a.yaml.swp").unlink()

    def emacs(text: str) -> None:
        (file.parent / ".#a.yaml").symlink_to("user@host.1:1")
        (file.parent / "#a.yaml#").write_text(route("autosave"))
        shutil.copy(file, file.with_name("a.yaml~"))
        file.write_text(text)
        (file.parent / "#a.yaml#").unlink()
        (file.parent / ".#a.yaml").unlink()

    def sed(text: str) -> None:
        (file.parent / "sedAbCdEf").write_text(text)
        (file.parent / "sedAbCdEf").rename(file)

    def ide(text: str) -> None:
        (file.parent / "a.yaml___jb_tmp___").write_text(text)
        file.rename(file.with_name("a.yaml___jb_old___"))
        (file.parent / "a.yaml___jb_tmp___").rename(file)
        (file.parent / "a.yaml___jb_old___").unlink()

    def hard_link(text: str) -> None:
        (file.parent / "new.tmp").write_text(text)
        file.unlink()
        os.link(file.parent / "new.tmp", file)
        (file.parent / "new.tmp").unlink()

    async def scenario() -> None:
        async with following(file.parent) as follower:
            for index, save in enumerate((vim, emacs, sed, ide, hard_link), 2):
                save(route("a", f"/{save.__name__}"))
                change = await follower.next()
                assert [(put.name, put.metadata.generation) for put in change.puts] == [("a", index)], save.__name__
                assert (change.removes, change.problems) == ((), ()), save.__name__

    run(scenario)


def test_what_does_not_change_is_not_told(tmp_path: Path) -> None:
    """The same text again, other documents' comments, times and other files are no change."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()
    file.write_text(documents(route("a"), route("b")))

    async def scenario() -> None:
        async with following(file.parent) as follower:
            replace(file, documents(route("a"), route("b")))
            os.utime(file)
            file.chmod(0o600)
            file.write_text("# comment\n" + documents(route("a"), route("b")))
            (file.parent / "notes.txt").write_text("x")
            (file.parent / ".hidden.yaml").write_text(route("hidden"))
            replace(file.parent / "z.yaml", route("z"))
            assert await follower.told() == (["z"], [])

    run(scenario)


def test_a_file_that_is_taken_away_and_put_back(tmp_path: Path) -> None:
    """An editor that moves the old file away, or deletes it, and then writes the new one never lets its object go."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()
    file.write_text(route("a"))

    async def scenario() -> None:
        async with following(file.parent, file, marker=tmp_path / "marker.yaml") as follower:
            for version in (2, 3):
                if version == 2:
                    file.rename(file.with_name("a.yaml~"))
                else:
                    file.unlink()
                replace(file.parent / "z.yaml", route(f"z{version}"))
                assert f"z{version}" in (await follower.told())[0]
                file.write_text(route("a", f"/{version}"))
                change = await follower.next()
                assert [(put.name, put.metadata.generation) for put in change.puts] == [("a", version)]
                assert (change.removes, change.problems) == ((), ())

    run(scenario)


def test_problems_come_and_go(tmp_path: Path) -> None:
    """A problem alone is a change; the objects of the file stay until it can be read again."""
    file = tmp_path / "config" / "a.yaml"
    file.parent.mkdir()
    file.write_text(route("a"))

    async def scenario() -> None:
        async with following(file.parent) as follower:
            replace(file, BROKEN)
            change = await follower.next()
            assert (change.puts, change.removes, len(change.problems)) == ((), (), 1)
            replace(file, route("a"))
            change = await follower.next()
            assert (change.puts, change.removes, change.problems) == ((), (), ())

    run(scenario)


def test_of_two_files_with_one_object_the_second_comes_in(tmp_path: Path) -> None:
    """Deleting the file that stands is a change to the other's object, not a removal."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text(route("r", "/a"))
    (folder / "b.yaml").write_text(route("r", "/b"))

    async def scenario() -> None:
        async with following(folder) as follower:
            (folder / "a.yaml").unlink()
            change = await follower.next()
            assert [(put.name, put.metadata.generation) for put in change.puts] == [("r", 2)]
            assert (change.removes, change.problems) == ((), ())

    run(scenario)


@pytest.mark.slow
def test_events_that_were_lost(tmp_path: Path) -> None:
    """When the kernel drops events everything is looked at again."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(route(name))
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def scenario() -> None:
        async with following(folder) as follower:
            for _ in range(most // 2 + 8):
                # Two names in turn, since equal events that follow each other are one.
                os.utime(folder / "a.yaml")
                os.utime(folder / "b.yaml")
            replace(folder / "lost.yaml", route("lost"))
            (folder / "b.yaml").unlink()
            assert await follower.told() == (["lost"], ["b"]), "nothing tells that b went, so it does not rest"
            replace(folder / "a.yaml", route("a", "/2"))
            assert await follower.told() == (["a"], [])

    run(scenario)


def test_changes_between_reading_and_watching_are_not_lost(tmp_path: Path) -> None:
    """What changed after the first reading is told when the watch begins."""
    (tmp_path / "a.yaml").write_text(route("a"))

    async def scenario() -> None:
        source = FileSource([tmp_path])
        source.read()
        (tmp_path / "a.yaml").write_text(route("a", "/2"))
        changes = source.watch()
        assert await Follower(changes).told() == (["a"], [])
        await changes.aclose()

    run(scenario)


def test_without_inotify_files_are_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine allows no more inotify instances, that is a problem with its remedy, and files are polled."""

    def refuse(paths: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(files, "InotifyWatch", refuse)

    async def scenario() -> None:
        source = FileSource([tmp_path])
        source.read()
        changes = source.watch()
        (problem,) = (await Follower(changes).next()).problems
        assert problem.message == "changes are noticed only every 2 s: Too many open files"
        await changes.aclose()

    run(scenario)
