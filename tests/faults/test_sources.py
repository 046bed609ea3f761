"""Files as they come when something is wrong with them: what is served stays, the problem is told, and the remedy is noticed.

One running `tidegate run` serves all of it; each fault has a file of its own beside one that is good.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.programs import Program
from tests.faults.waiting import until

pytestmark = pytest.mark.slow

WITHOUT_PRIVILEGE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root may read any file; with this it may not, like everybody."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("config")
    wrapper = WITHOUT_PRIVILEGE if os.geteuid() == 0 and shutil.which("setpriv") else ()
    running = Program(folder, "--access-log", "off", wrapper=wrapper)
    yield running
    assert running.end() == 0
    running.close()


@pytest.fixture
def program(running: Program) -> Iterator[Program]:
    """With no files of an earlier test, and no problems."""
    yield running
    for entry in running.folder.iterdir():
        if entry.name != "web.yaml":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    until(lambda: running.metric("tidegate_problems") == 0, "a problem stays without its cause")
    until(lambda: statuses(running, "/x", "/more") == [302, 302], "objects stay without their file")


def route(name: str, status: int) -> str:
    """An HTTPRoute for the path /NAME, answered with this status."""
    return f"""\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: web}}]
  rules:
  - matches: [{{path: {{value: /{name}}}}}]
    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: elsewhere.test, statusCode: {status}}}}}]
"""


def statuses(program: Program, *paths: str) -> list[int]:
    return [program.ask(path) for path in paths]


def serves(program: Program, status: int) -> None:
    """Waits until /x is answered with it."""
    until(lambda: program.ask("/x") == status, f"/x is not answered {status}")


def _answers(program: Program, path: str, status: int) -> bool:
    return program.ask(path) == status


def tells(program: Program, part: str) -> None:
    """Waits for a problem that says so."""
    until(lambda: part in program.page("/status").text, f"nothing tells {part!r}")


def bomb() -> str:
    lines = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 30)]
    return "a0: &a0 [lol, lol]\n" + "\n".join(lines)


UNUSABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "half a document": (lambda: route("x", 303).encode()[:150], "YAML"),
    "invalid UTF-8": (lambda: route("x", 303).encode() + b"# \xff\xfe\n", "not UTF-8"),
    "UTF-16": (lambda: route("x", 303).encode("utf-16"), "UTF-8"),
    "a bomb of aliases": (lambda: bomb().encode(), "multiply the document"),
    "a key twice": (lambda: route("x", 303).encode() + b"kind: HTTPRoute\n", "given twice"),
    "very deep": (lambda: b"a: " + b"[" * 5000, "levels"),
    "50 MB": (lambda: route("x", 303).encode() + b"#" * 50_000_000, "larger than 16 MiB"),
    "no text at all": (lambda: bytes(range(256)) * 100, "UTF-8"),
    "zeros": (lambda: b"\0" * 4096, "not allowed in YAML"),
}


@pytest.mark.parametrize(("content", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used(program: Program, content: Callable[[], bytes], told: str) -> None:
    """What the file held before is served on, other files are followed, the problem is told, and the remedy taken."""
    program.write("x.yaml", route("x", 301))
    serves(program, 301)
    (program.folder / ".x.new").write_bytes(content())
    (program.folder / ".x.new").rename(program.folder / "x.yaml")
    tells(program, told)
    program.write("more.yaml", route("more", 308))
    until(lambda: program.ask("/more") == 308, "another file is not followed")
    assert statuses(program, "/x", "/") == [301, 302]
    program.write("x.yaml", route("x", 307))
    serves(program, 307)
    until(lambda: program.metric("tidegate_problems") == 0, "the problem stays")


def test_a_file_that_is_written_in_pieces(program: Program) -> None:
    """Without a rename and slowly: the old version is served until the writer has closed it."""
    program.write("x.yaml", route("x", 301))
    serves(program, 301)
    text = route("x", 307)
    with (program.folder / "x.yaml").open("w") as writer:
        for start in range(0, len(text), 20):
            writer.write(text[start : start + 20])
            writer.flush()
            status = (301, 302)[start // 20 % 2]
            program.write("more.yaml", route("more", status))
            until(partial(_answers, program, "/more", status), "another file is not followed")
            assert program.ask("/x") == 301
            assert program.metric("tidegate_problems") == 0
    serves(program, 307)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_dangling_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere.yaml")


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def test_a_file_that_may_not_be_read(program: Program) -> None:
    """Its last readable version is served; it is read once it may be."""
    program.write("x.yaml", route("x", 301))
    serves(program, 301)
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root reads every file: the program setpriv of util-linux is needed to take that away")
    program.write("x.yaml", route("x", 307))
    serves(program, 307)
    (program.folder / "x.yaml").chmod(0)
    tells(program, "cannot be read")
    assert statuses(program, "/x", "/") == [307, 302]
    (program.folder / "x.yaml").chmod(0o644)
    until(lambda: program.metric("tidegate_problems") == 0, "the problem stays")
    assert program.ask("/x") == 307


@pytest.mark.parametrize("replace", [a_folder, a_dangling_link, a_pipe])
def test_a_file_that_is_something_else_now(program: Program, replace: Callable[[Path], None]) -> None:
    """A folder, a link to nowhere or a pipe in its place does no harm beyond that file, and blocks nobody; a file again is taken."""
    program.write("x.yaml", route("x", 301))
    serves(program, 301)
    replace(program.folder / "x.yaml")
    program.write("more.yaml", route("more", 308))
    until(lambda: program.ask("/more") == 308, "another file is not followed")
    assert program.ask("/") == 302
    place = program.folder / "x.yaml"
    place.rmdir() if place.is_dir() else place.unlink()
    program.write("x.yaml", route("x", 307))
    serves(program, 307)
    until(lambda: program.metric("tidegate_problems") == 0, "a problem stays")


def test_a_volume_that_is_swapped_as_kubernetes_does(program: Program) -> None:
    """A ConfigMap volume: links into `..data`, a link that is swapped for one to the next version. A version that is broken harms nothing,
    the one after it is taken."""
    volume = program.folder / "mounted"

    def version(number: int, text: str) -> None:
        folder = volume / f"..version-{number}"
        folder.mkdir()
        (folder / "x.yaml").write_text(text)
        (volume / "..data.new").symlink_to(folder.name)
        (volume / "..data.new").rename(volume / "..data")

    volume.mkdir()
    version(1, route("x", 301))
    (volume / "x.yaml").symlink_to("..data/x.yaml")
    serves(program, 301)
    version(2, "kind: [")
    tells(program, "YAML")
    assert program.ask("/x") == 301
    shutil.rmtree(volume / "..version-1")
    version(3, route("x", 307))
    serves(program, 307)
    until(lambda: program.metric("tidegate_problems") == 0, "the problem stays")


def test_a_folder_that_goes_and_comes_back(program: Program) -> None:
    """Its objects go with it, and no others; with it they come back, and its files are followed again."""
    folder = program.folder / "below"
    for status in (301, 307):
        folder.mkdir()
        (folder / "x.yaml").write_text(route("x", status))
        serves(program, status)
        shutil.rmtree(folder)
        serves(program, 302)


def test_a_hundred_edits_at_once(program: Program) -> None:
    """By rename and in place, as fast as they can be written, broken ones among them: the last one is what is served."""
    for number in range(100):
        text = route("x", (301, 307)[number % 2]) if number % 3 else "kind: ["
        if number % 5:
            program.write("x.yaml", text)
        else:
            (program.folder / "x.yaml").write_text(text)
    program.write("x.yaml", route("x", 308))
    serves(program, 308)
    until(lambda: program.metric("tidegate_problems") == 0, "the problem stays")


def test_leavings_of_editors_are_no_files(program: Program) -> None:
    """Swap, backup and lock files hold versions that are not meant to be served, and are no problem either."""
    for name in (".x.yaml.swp", "x.yaml~", "#x.yaml#", ".#x.yaml", "x.yaml.orig", "4913"):
        (program.folder / name).write_text(route("x", 303) + "kind: [")
    program.write("more.yaml", route("more", 308))
    until(lambda: program.ask("/more") == 308, "another file is not followed")
    assert (program.ask("/x"), program.metric("tidegate_problems")) == (302, 0)


def test_more_events_than_the_kernel_keeps(program: Program) -> None:
    """Faults, inotify overflow: whatever was lost, all is read again."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    program.write("x.yaml", route("x", 301))
    program.write("more.yaml", route("more", 301))
    serves(program, 301)
    for _ in range(most):  # two names in turn, since equal events that follow each other are one
        os.utime(program.folder / "x.yaml")
        os.utime(program.folder / "more.yaml")
    program.write("x.yaml", route("x", 308))
    (program.folder / "more.yaml").unlink()
    serves(program, 308)
    until(lambda: program.ask("/more") == 302, "nothing tells that the file is gone")
