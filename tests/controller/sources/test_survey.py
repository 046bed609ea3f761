"""Which files the given paths stand for."""

import os
from pathlib import Path

import pytest

from controller.sources.survey import NoObserver, counts, survey


def found(*paths: Path) -> list[str]:
    """The names of the files found, below the first path."""
    files = survey([str(path) for path in paths], NoObserver()).files
    return sorted(os.path.relpath(file, paths[0]) for file in files)


def problems(*paths: Path) -> list[str]:
    """The problems found."""
    return [str(problem) for problem in survey([str(path) for path in paths], NoObserver()).problems]


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.yaml", True),
        ("a.yml", True),
        ("a.json", True),
        ("a.YAML", False),
        ("a.yaml~", False),
        (".a.yaml", False),
        (".#a.yaml", False),
        ("#a.yaml#", False),
        ("~a.yaml", False),
        (".a.yaml.swp", False),
        ("a.yaml.tmp", False),
        ("a.yaml.bak", False),
        ("a.yaml___jb_tmp___", False),
        ("4913", False),
        ("README.md", False),
    ],
)
def test_names_that_count_in_a_folder(name: str, taken: bool) -> None:
    """YAML and JSON files count; hidden ones, and what editors leave while they save, do not."""
    assert counts(name) is taken


def test_folders_are_taken_with_all_below(tmp_path: Path) -> None:
    """Folders at any depth count, hidden ones do not."""
    for name in ("b.yaml", "a.yaml", "x/y/c.json", ".git/d.yaml", "x/.hidden/e.yaml", "f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert found(tmp_path) == ["a.yaml", "b.yaml", "x/y/c.json"]


def test_a_given_file_counts_whatever_its_name(tmp_path: Path) -> None:
    """Only in folders does the name matter."""
    (tmp_path / ".gateway.conf").write_text("")
    assert found(tmp_path, tmp_path / ".gateway.conf") == [".gateway.conf"]


def test_a_file_reached_twice_counts_once(tmp_path: Path) -> None:
    """The same folder or file, given twice or also within another, is read once, under the first name."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.yaml").write_text("")
    assert found(tmp_path, tmp_path / "x", tmp_path / "x" / "a.yaml", tmp_path / "x" / ".." / "x") == ["x/a.yaml"]


def test_links_are_followed(tmp_path: Path) -> None:
    """Links to files and folders count under their own names, a folder that leads back to itself ends."""
    (tmp_path / "config").mkdir()
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "a.yaml").write_text("")
    (tmp_path / "config" / "b.yaml").symlink_to("../real/deep/a.yaml")
    (tmp_path / "config" / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "deep" / "back").symlink_to(tmp_path / "real")
    assert found(tmp_path / "config") == ["b.yaml", "folder/deep/a.yaml"]


def test_what_leads_nowhere_is_a_problem(tmp_path: Path) -> None:
    """Missing paths and dangling or circular links are named with a remedy; links that would not count are not."""
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "other").symlink_to("nowhere")
    assert problems(tmp_path, tmp_path / "missing" / "folder") == [
        f"{tmp_path}/gone.yaml: the symbolic link leads nowhere. Correct or remove the link; it is read as soon as its target is there.",
        f"{tmp_path}/loop.yaml: the symbolic link leads nowhere. Correct or remove the link; it is read as soon as its target is there.",
        f"{tmp_path}/missing/folder: the file or folder does not exist or may not be entered."
        " Create it, or correct the path; it is read as soon as it is there.",
    ]


def test_relative_paths_keep_their_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as the user named them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("")
    assert list(survey(["."], NoObserver()).files) == ["./a.yaml"]
    assert list(survey(["a.yaml"], NoObserver()).files) == ["a.yaml"]
