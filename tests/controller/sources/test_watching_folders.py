"""Watching folders and links: mounts, moves, what goes and comes back, what is not there yet. Real files, real inotify."""

import shutil
from pathlib import Path

from controller.api.metadata import Key
from controller.sources.files import FileSource
from tests.controller.sources.following import apply, following, replace, run, until
from tests.controller.sources.texts import documents, namespace, route


def test_files_and_folders_that_go(tmp_path: Path) -> None:
    """A deleted file, a file moved out, and a deleted folder remove their objects."""
    folder = tmp_path / "config"
    (folder / "x" / "y").mkdir(parents=True)
    for name in ("a", "b", "x/c", "x/y/d"):
        (folder / f"{name}.yaml").write_text(route(name[-1]))

    async def scenario() -> None:
        async with following(folder) as follower:
            (folder / "a.yaml").unlink()
            assert await follower.told() == ([], ["a"])
            (folder / "b.yaml").rename(tmp_path / "b.yaml")
            assert await follower.told() == ([], ["b"])
            (folder / "x" / "y").rename(tmp_path / "y")
            assert await follower.told() == ([], ["d"])
            shutil.rmtree(folder / "x")
            assert await follower.told() == ([], ["c"])

    run(scenario)


def test_folders_that_come(tmp_path: Path) -> None:
    """Files of a folder that is created, moved in or copied count at once, and later ones in it too."""
    folder = tmp_path / "config"
    folder.mkdir()
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "deep" / "b.yaml").write_text(route("b"))

    async def scenario() -> None:
        async with following(folder) as follower:
            (folder / "x" / "y").mkdir(parents=True)
            (folder / "x" / "y" / "a.yaml").write_text(route("a"))
            assert await follower.told() == (["a"], [])
            replace(folder / "x" / "y" / "a.yaml", route("a", "/2"))
            assert await follower.told() == (["a"], [])
            (tmp_path / "outside").rename(folder / "inside")
            assert await follower.told() == (["b"], [])
            replace(folder / "inside" / "deep" / "c.yaml", route("c"))
            assert await follower.told() == (["c"], [])
            (folder / "inside").rename(folder / "renamed")
            replace(folder / "renamed" / "deep" / "c.yaml", route("c", "/2"))
            assert await follower.told() == (["c"], [])

    run(scenario)


def test_a_mounted_config_map(tmp_path: Path) -> None:
    """A ConfigMap volume swaps the link `..data`: all its files change in one change, again and again."""
    folder = tmp_path / "config"
    folder.mkdir()

    def version(number: int, **texts: str) -> None:
        data = folder / f"..2026_{number}"
        data.mkdir()
        for name, text in texts.items():
            (data / f"{name}.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(data.name)
        (folder / "..data_tmp").rename(folder / "..data")
        for old in folder.glob("..2026_*"):
            if old != data:
                shutil.rmtree(old)

    version(1, a=route("a"), b=route("b"))
    for name in ("a", "b"):
        (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")

    async def scenario() -> None:
        async with following(folder) as follower:
            for number in range(2, 5):
                version(number, a=route("a", f"/{number}"), b=route("b", f"/{number}"))
                change = await follower.next()
                assert [(put.name, put.metadata.generation) for put in change.puts] == [("a", number), ("b", number)]
                assert (change.removes, change.problems) == ((), ())
            version(9, a=route("a", "/4"))
            change = await follower.next()
            assert (change.puts, change.removes) == ((), (("HTTPRoute", "default", "b"),))
            assert [problem.message for problem in change.problems] == ["the symbolic link leads nowhere"]

    run(scenario)


def test_links_to_files_elsewhere(tmp_path: Path) -> None:
    """The target of a link is watched where it stands, through every link on the way; a new link and a new target count."""
    folder, real = tmp_path / "config", tmp_path / "real" / "v1"
    folder.mkdir()
    real.mkdir(parents=True)
    (real / "a.yaml").write_text(route("a"))
    (tmp_path / "current").symlink_to("real/v1")
    (folder / "a.yaml").symlink_to(tmp_path / "current" / "a.yaml")

    async def scenario() -> None:
        async with following(folder) as follower:
            replace(real / "a.yaml", route("a", "/2"))
            assert await follower.told() == (["a"], [])
            (real / "a.yaml").write_text(route("a", "/3"))
            assert await follower.told() == (["a"], [])
            shutil.copytree(real, tmp_path / "real" / "v2")
            (tmp_path / "real" / "v2" / "a.yaml").write_text(route("a", "/4"))
            (tmp_path / "next").symlink_to("real/v2")
            (tmp_path / "next").rename(tmp_path / "current")
            assert await follower.told() == (["a"], [])
            (folder / "b.yaml").symlink_to(real / "a.yaml")
            change = await follower.next()
            assert [problem.file for problem in change.problems] == [str(folder / "b.yaml")]
            (folder / "a.yaml").unlink()
            assert await follower.told() == (["a"], [])
            (folder / "more").symlink_to(tmp_path / "real")
            change = await follower.next()
            assert len(change.problems) == 2

    run(scenario)


def test_a_watched_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    """The objects of a given folder go with it, or with a folder above it, and come back with it."""
    folder = tmp_path / "above" / "config"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(route("a"))

    async def scenario() -> None:
        async with following(folder, marker=tmp_path / "marker.yaml") as follower:
            (tmp_path / "above").rename(tmp_path / "away")
            change = await follower.next()
            assert change.removes == (("HTTPRoute", "default", "a"),)
            assert [problem.file for problem in change.problems] == [str(folder)]
            (tmp_path / "away").rename(tmp_path / "above")
            assert (await until(follower, put="a")).problems == ()
            shutil.rmtree(tmp_path / "above")
            # That the path is gone is told at once, its file rests.
            while not (change := await follower.next()).removes:
                assert change.puts == ()
            assert change.removes == (("HTTPRoute", "default", "a"),)
            assert [problem.file for problem in change.problems] == [str(folder)]
            folder.mkdir(parents=True)
            (folder / "b.yaml").write_text(route("b"))
            await until(follower, put="b")
            replace(folder / "b.yaml", route("b", "/2"))
            await until(follower, put="b")

    run(scenario)


def test_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    """A missing file or folder is a problem with a remedy, and is read when it comes, however deep it is missing."""
    deep, file = tmp_path / "x" / "y" / "config", tmp_path / "late.yaml"

    async def scenario() -> None:
        async with following(tmp_path / "config", deep, file) as follower:
            replace(file, route("late"))
            change = await until(follower, put="late")
            assert [problem.file for problem in change.problems] == [str(deep)]
            deep.mkdir(parents=True)
            (deep / "a.yaml").write_text(route("a"))
            assert (await until(follower, put="a")).problems == ()
            with file.open("w") as writer:
                writer.write(route("late", "/2"))
            assert await follower.told() == (["late"], [])
            file.unlink()
            change = await follower.next()
            assert change.removes == (("HTTPRoute", "default", "late"),)
            assert [problem.file for problem in change.problems] == [str(file)]
            with file.open("w") as writer:
                writer.write(route("late", "/3"))
            assert (await until(follower, put="late")).problems == ()

    (tmp_path / "config").mkdir()
    run(scenario)


def test_changes_lead_to_what_is_there(tmp_path: Path) -> None:
    """However the files were changed, the objects told add up to those that a fresh reading finds."""
    folder = tmp_path / "config"
    folder.mkdir()

    async def scenario() -> None:
        async with following(folder) as follower:
            state: dict[Key, object] = {}
            for step in range(60):
                file = folder / f"d{step % 3}" / f"{step % 7}.yaml"
                file.parent.mkdir(exist_ok=True)
                match step % 5:
                    case 0 | 1:
                        replace(file, route(f"r{step % 11}", f"/{step}"))
                    case 2:
                        file.write_text(documents(route(f"r{step}"), route(f"s{step % 4}", f"/{step}")))
                    case 3 if step % 2:
                        shutil.rmtree(file.parent)
                    case _:
                        file.unlink(missing_ok=True)
                replace(folder / "step.yaml", namespace("step", f"n{step}"))
                while True:
                    change = await follower.next()
                    apply(change, state)
                    if any(put.metadata.labels == {"a": f"n{step}"} for put in change.puts):
                        break
            expected: dict[Key, object] = {}
            apply(FileSource([folder]).read(), expected)
            while state != expected:
                # Files that went rest a little; without a further change the follower gives up.
                apply(await follower.next(), state)

    run(scenario)
