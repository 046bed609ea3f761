"""`tidegate run --snapshot`: starts without its files, hands over to them without a flash, and refuses what is damaged."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.publish import Publisher
from controller.sources.files import FileSource
from controller.translate.options import Options
from controller.translator import Translation, Translator
from gateway.ir.backend import Backend
from gateway.ir.batch import Ack, Batch, Subscribe, decode, encode
from gateway.ir.value import Source
from gateway.snapshot import GENERATIONS, SnapshotFolder
from tests.running import run
from tidegate.options import RunOptions
from tidegate.snapshots import NO_GATEWAY, Snapshots, scope_of

OPTIONS = Options(("tidegate",), "127.0.0.1", 0, None)
GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: tidegate
  listeners: [{name: http, port: 8080, protocol: HTTP}]
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: NAME}
spec:
  parentRefs: [{name: g}]
  rules: [{matches: [{path: {value: /NAME}}]}]
"""


class Stage:
    """Files, and all that stands between them and the proxies, without the proxies."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.files.mkdir(exist_ok=True)
        self.folder = folder / "snapshots"
        self.told: list[str] = []
        self.publisher = Publisher(self.told.append)
        self.snapshots = Snapshots(self.folder, scope_of(RunOptions((self.files,))), self.publisher, self.told.append)
        self.source = FileSource([self.files])
        self.translator = Translator(OPTIONS)

    def write(self, name: str, text: str) -> None:
        (self.files / f"{name}.yaml").write_text(text.replace("NAME", name))

    async def restore(self) -> int:
        """Returns how many resources the snapshot has."""
        resources = await self.snapshots.restore()
        if resources:
            self.publisher.publish(resources, ())
        return len(resources)

    def read(self) -> Translation | None:
        """What the files say now, published if they serve."""
        change = self.source.read()
        taken = self.snapshots.take_over(self.source, self.translator, self.translator.apply(change.puts, change.removes))
        if taken is not None:
            self.publisher.publish(taken.set, taken.remove)
        return taken

    @asynccontextmanager
    async def proxied(self) -> AsyncIterator[None]:
        """With one proxy that acknowledges whatever it gets, and with snapshots being kept."""
        server = await asyncio.start_unix_server(self.publisher.serve, str(self.files.parent / "stream"))
        reader, writer = await asyncio.open_unix_connection(str(self.files.parent / "stream"))
        writer.write(encode(Subscribe("p")))

        async def acknowledge() -> None:
            while line := await reader.readline():
                message = decode(line)
                assert isinstance(message, Batch)
                if not message.more:
                    writer.write(encode(Ack(message.revision)))

        tasks = [asyncio.create_task(acknowledge()), asyncio.create_task(self.snapshots.keep(self.translator.objects))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            server.close()

    async def kept(self, holds: Callable[[], bool]) -> None:
        """Returns when what is on disk holds."""
        while not holds():  # noqa: ASYNC110  # nobody tells when a file has come
            await asyncio.sleep(0.01)

    def on_disk(self) -> set[str]:
        snapshot = SnapshotFolder(self.folder, scope_of(RunOptions((self.files,)))).load().snapshot
        return set() if snapshot is None else {resource.key for resource in snapshot.resources}


async def with_snapshot(folder: Path) -> Stage:
    """A second start, after a first one that served a Gateway and two routes."""
    first = Stage(folder)
    first.write("gateway", GATEWAY)
    first.write("a", ROUTE)
    first.write("b", ROUTE)
    await first.restore()
    first.read()
    async with first.proxied():
        await first.kept(lambda: "HTTPRoute/default/b/0" in first.on_disk())
    return Stage(folder)


def test_what_is_applied_is_kept(tmp_path: Path) -> None:
    """Issue 4: the last good configuration on disk; a change follows it there."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        await stage.restore()
        stage.read()
        async with stage.proxied():
            stage.write("c", ROUTE)
            stage.read()
            await stage.kept(lambda: "HTTPRoute/default/c/0" in stage.on_disk())

    run(test)


def test_what_no_proxy_has_applied_is_not_kept(tmp_path: Path) -> None:
    """The last good configuration is one that proxies have swapped to."""

    async def test() -> None:
        stage = Stage(tmp_path)
        stage.write("gateway", GATEWAY)
        await stage.restore()
        stage.read()
        keeping = asyncio.create_task(stage.snapshots.keep(stage.translator.objects))
        for _ in range(50):
            await asyncio.sleep(0)
        keeping.cancel()
        assert not (tmp_path / "snapshots" / GENERATIONS[0]).exists()

    run(test)


def test_files_that_say_the_same_change_nothing(tmp_path: Path) -> None:
    """The switch is no flash: what is equal is neither sent again nor taken away."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        assert await stage.restore() > 3
        revision = stage.publisher.revision
        taken = stage.read()
        assert taken is not None
        assert (taken.set, taken.remove) == ((), ())
        assert len(taken.statuses) == 3
        assert stage.publisher.revision == revision
        assert stage.snapshots.serving is None

    run(test)


def test_what_changed_meanwhile_comes_in_one_change(tmp_path: Path) -> None:
    """An object deleted while nobody looked is gone after the first reading, one that came is there, and nothing else moves."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        await stage.restore()
        (stage.files / "a.yaml").unlink()
        stage.write("c", ROUTE)
        taken = stage.read()
        assert taken is not None
        assert [resource.key for resource in taken.set] == ["HTTPRoute/default/c/0"]
        assert taken.remove == (("HttpRule", "HTTPRoute/default/a/0"),)

    run(test)


@pytest.mark.parametrize("broken", ["missing", "unreadable", "emptied"])
def test_without_its_files_the_snapshot_goes_on_serving(tmp_path: Path, broken: str) -> None:
    """Issue 4: start without the source. What serves says so, and the files take over once they can be read."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        texts = {path.name: path.read_text() for path in stage.files.iterdir()}
        for name in texts:
            (stage.files / name).unlink()
        if broken == "missing":
            stage.files.rmdir()
        elif broken == "unreadable":
            (stage.files / "a.yaml").write_bytes(b"\xff")
        await stage.restore()
        assert stage.read() is None
        assert {"default/g/http", "HTTPRoute/default/a/0"} <= {key for _, key in stage.publisher.resources}
        assert stage.snapshots.sentence.startswith("the snapshot of 2")
        assert any("goes on serving" in told for told in stage.told)
        if broken == "emptied":
            assert NO_GATEWAY in stage.snapshots.sentence
        told = len(stage.told)
        assert stage.read() is None
        assert len(stage.told) == told, "the same is told once"
        stage.files.mkdir(exist_ok=True)
        for name, text in texts.items():
            (stage.files / name).write_text(text)
        assert stage.read() is not None
        assert stage.snapshots.sentence == ""

    run(test)


def test_an_object_that_cannot_be_read_at_the_start_keeps_serving(tmp_path: Path) -> None:
    """As while it runs: a broken document takes nothing away. Whether another is broken does not matter."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        stage.write("a", ROUTE.replace("rules:", "rulez:"))
        await stage.restore()
        assert stage.read() is None
        assert "HTTPRoute default/a is served and may stand in what cannot be read" in stage.snapshots.sentence
        stage.write("a", ROUTE)
        stage.write("other", ROUTE.replace("rules:", "rulez:"))
        assert stage.read() is not None

    run(test)


def test_a_fault_of_translation_at_the_start_takes_nothing_away(tmp_path: Path) -> None:
    """What a unit cannot give for a fault of ours is missing in the translation, and served by the snapshot."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        await stage.restore()
        change = stage.source.read()
        stage.translator.apply(change.puts)
        assert stage.snapshots.take_over(stage.source, stage.translator, Translation(failures=("route a: oops",))) is None
        assert "route a: oops" in stage.snapshots.sentence

    run(test)


def test_a_damaged_snapshot_is_told_and_the_start_goes_on(tmp_path: Path) -> None:
    """Issue 4: refused aloud; both generations bad means to start from the files."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        for name in GENERATIONS:
            (stage.folder / name).write_bytes(b"{}")
        assert await stage.restore() == 0
        assert sum("is refused" in told for told in stage.told) == 2
        taken = stage.read()
        assert taken is not None
        assert len(taken.set) > 3

    run(test)


def test_a_snapshot_of_other_options_is_refused(tmp_path: Path) -> None:
    """Ports and paths decide what is served."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        options = RunOptions((stage.files,), port_offset=8000)
        assert await Snapshots(stage.folder, scope_of(options), stage.publisher, stage.told.append).restore() == ()
        assert "of another configuration" in stage.told[-1]

    run(test)


def test_a_snapshot_that_cannot_be_written_is_told_once_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or read-only disk harms nobody who is served."""
    monkeypatch.setattr("gateway.snapshot_writer._APART", 0.0)
    monkeypatch.setattr("gateway.snapshot_writer._SHARE", 0.0)

    async def test() -> None:
        stage = Stage(tmp_path)
        stage.folder.write_text("a file stands in the way")
        await stage.restore()
        stage.told.clear()
        async with stage.proxied():
            for number in range(3):
                stage.publisher.publish([Backend(key=str(number), source=Source("Service", "default", "s"))], ())
                await stage.kept(lambda number=number: stage.snapshots.failures > number)  # type: ignore[misc]  # bound now
            assert sum("no snapshot can be written" in told for told in stage.told) == 1
            stage.folder.unlink()
            stage.publisher.publish([Backend(key="last", source=Source("Service", "default", "s"))], ())
            await stage.kept(lambda: "last" in stage.on_disk())
        assert "written to" in stage.told[-1]

    run(test)


def test_without_a_folder_nothing_is_restored(tmp_path: Path) -> None:
    """No option, no file."""

    async def test() -> None:
        stage = Stage(tmp_path)
        snapshots = Snapshots(None, "", stage.publisher, stage.told.append)
        assert await snapshots.restore() == ()
        assert snapshots.take_over(stage.source, stage.translator, Translation()) == Translation()

    run(test)


def test_a_snapshot_says_when_it_was_made(tmp_path: Path) -> None:
    """RFC 3339, in UTC."""

    async def test() -> None:
        stage = await with_snapshot(tmp_path)
        await stage.restore()
        assert stage.snapshots.serving is not None
        written = datetime.datetime.fromisoformat(stage.snapshots.serving.snapshot.written)
        assert abs(datetime.datetime.now(datetime.UTC) - written) < datetime.timedelta(hours=1)

    run(test)
