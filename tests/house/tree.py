"""What the house tests look at: the files of the working tree that git holds or would take, and their names and text."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("gateway", "controller", "mesh", "tidegate", "conformance", "benchmarks")
"""The folders whose functions are under budget; tests are under the module budget alone."""


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is committed or not ignored, relative to the root, in order. Needs git, as any change here does."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    names = sorted(set(filter(None, listing.stdout.split("\0"))))
    return tuple(Path(name) for name in names if (ROOT / name).is_file())


@cache
def text_of(file: Path) -> str:
    """The file's text; bytes that are not UTF-8 are replaced, since some fixtures are broken on purpose."""
    return (ROOT / file).read_text(encoding="utf-8", errors="replace")


def python_files(*folders: str) -> tuple[Path, ...]:
    """The Python files of the project, or those under some of its top folders."""
    return tuple(file for file in project_files() if file.suffix == ".py" and (not folders or file.parts[0] in folders))


@cache
def syntax_of(file: Path) -> ast.Module:
    """The file parsed. A file that does not parse fails every test that asks, with its name."""
    return ast.parse(text_of(file), filename=str(file))


def top_folders() -> tuple[str, ...]:
    """The visible folders at the root."""
    return tuple(sorted({file.parts[0] for file in project_files() if len(file.parts) > 1 and not file.parts[0].startswith(".")}))


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in any case style: HTTPRouteTable and http_route_table are http, route, table."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name))
