"""What the documentation names exists: the files it links to, the make targets, the commands of `tidegate` and their options."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.house.markdown import Piece, anchors_of, code_of, links_of
from tests.house.tree import ROOT, project_files, text_of

DOCUMENTS = tuple(file for file in project_files() if file.suffix == ".md")
# A changelog tells what was: its links hold, its commands may be gone.
CURRENT = tuple(file for file in DOCUMENTS if file.name != "CHANGELOG.md")
# Named as what is to come. Each leaves this list with the change that brings it.
COMING_COMMANDS: frozenset[str] = frozenset()
COMING_TARGETS: frozenset[str] = frozenset()
# Options of other programs that documents name on their own.
OTHER_OPTIONS = frozenset({"--import-mode", "--rewrite-goldens", "--require-hashes", "--strict"})
OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][A-Za-z0-9-]*")


def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][a-z0-9-]*):", text_of(Path("Makefile")), re.MULTILINE))


@cache
def help_of(*command: str) -> str:
    """What `tidegate COMMAND --help` prints, in plain wide lines."""
    environment = {**os.environ, "COLUMNS": "250", "TERMINAL_WIDTH": "250", "NO_COLOR": "1", "TERM": "dumb"}
    program = "from tidegate.cli import main; main()"
    call = [sys.executable, "-c", program, *command, "--help"]
    answer = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, check=False, text=True, timeout=50)
    assert answer.returncode == 0, f"tidegate {' '.join(command)} --help: {answer.stdout}{answer.stderr}"
    return answer.stdout


@cache
def commands() -> frozenset[str]:
    """The commands of the program: the first word of each line of its help under the heading Commands."""
    _, _, listing = help_of().partition("Commands")
    return frozenset(re.findall(r"^\W*([a-z][a-z-]*)\s{2,}", listing, re.MULTILINE))


@cache
def options_of(*command: str) -> frozenset[str]:
    return frozenset(OPTION.findall(help_of(*command)))


def words_after(program: str, piece: Piece) -> tuple[str, ...] | None:
    """What follows the program's name where the piece calls it, up to a comment, a pipe or a redirection; None where it does not."""
    try:
        words = shlex.split(piece.text, comments=True)
    except ValueError:  # prose or output with a lone quote
        words = piece.text.split()
    if not words or words[0].removeprefix(".venv/bin/") != program:
        return None
    stops = [index for index, word in enumerate(words) if word in {"|", "&&", "&", ";", ">", "2>&1"}]
    return tuple(words[1 : min(stops, default=len(words))])


@pytest.mark.parametrize("file", DOCUMENTS, ids=str)
def test_every_relative_link_resolves(file: Path) -> None:
    """A link to a file of the repository finds the file, and one to a heading finds the heading."""
    broken = []
    for target, line in links_of(file):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, fragment = target.partition("#")
        goal = (ROOT / file.parent / path).resolve() if path else ROOT / file
        if not goal.is_relative_to(ROOT) or not goal.exists():
            broken.append(f"{file}:{line} {target}: no such file")
        elif fragment and goal.suffix == ".md" and fragment not in anchors_of(goal.relative_to(ROOT)):
            broken.append(f"{file}:{line} {target}: no such heading")
    assert not broken


@pytest.mark.parametrize("file", CURRENT, ids=str)
def test_every_make_target_named_exists(file: Path) -> None:
    """Where a document says `make TARGET`, the Makefile has the target."""
    targets = make_targets() | COMING_TARGETS
    missing = [
        f"{file}:{piece.line} make {word}"
        for piece in code_of(file)
        for word in words_after("make", piece) or ()
        if re.fullmatch(r"[a-z][a-z0-9-]*", word) and word not in targets
    ]
    assert not missing


@pytest.mark.parametrize("file", CURRENT, ids=str)
def test_every_command_and_option_named_exists(file: Path) -> None:
    """Where a document calls `tidegate`, the command exists and takes the options shown."""
    wrong = []
    for piece in code_of(file):
        words = words_after("tidegate", piece)
        if not words or words[0] in COMING_COMMANDS or not re.fullmatch(r"--?[a-z-]+|[a-z][a-z-]*", words[0]):
            continue
        command = () if words[0].startswith("-") else words[:1]
        if command and words[0] not in commands():
            wrong.append(f"{file}:{piece.line} tidegate {words[0]}: no such command")
            continue
        named = {word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--?[A-Za-z]", word)}
        wrong += [f"{file}:{piece.line} tidegate {words[0]} {option}: no such option" for option in named - options_of(*command)]
    assert not wrong


@pytest.mark.parametrize("file", CURRENT, ids=str)
def test_every_option_named_alone_exists(file: Path) -> None:
    """An option that a document names on its own, as `--workers N`, belongs to a command of `tidegate`."""
    alone = [piece for piece in code_of(file) if re.match(r"--[a-z]", piece.text)]
    if not alone:
        return
    known = OTHER_OPTIONS.union(*(options_of(command) for command in commands()))
    assert not [f"{file}:{line} {text}" for text, line in alone if OPTION.findall(text)[0] not in known]


def test_what_is_said_to_come_has_not_come() -> None:
    """A target or command that exists is no longer listed here as coming, so that its options are checked."""
    assert not COMING_TARGETS & make_targets()
    assert not COMING_COMMANDS & commands()


def test_make_help_names_every_target() -> None:
    """`make help` has a line for every target that a person calls, and the phony list names them all."""
    makefile = text_of(Path("Makefile"))
    described = set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)).split())
    assert described == phony - {"test-peers", "bench-peers", "box-peers"}
    assert make_targets() == phony
