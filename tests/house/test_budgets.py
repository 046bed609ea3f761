"""Budgets and house rules that no linter knows: sizes, names, READMEs, and what no file may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOT, SOURCES, project_files, python_files, syntax_of, text_of, top_folders, words_of

MODULE_LINES = 600
FUNCTION_LINES = 60
PARAMETERS = 6
README_LINES = range(30, 61)
BANNED_WORDS = frozenset({"manager", "managers", "helper", "helpers", "util", "utils", "utility", "utilities"})
BANNED_ALONE = frozenset({("handler",), ("handlers",)})
# In parts, so that this file does not hold what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("deb", "debian", "org"),
    )
)
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(file: Path) -> Iterator[tuple[Function, bool]]:
    """Each function of a file, with whether it is a method that takes self or cls."""
    tree = syntax_of(file)
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    members = (node for owner in classes for node in owner.body if isinstance(node, Function))
    methods = {id(node) for node in members if "staticmethod" not in map(ast.unparse, node.decorator_list)}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node, id(node) in methods


def parameters_of(function: Function, is_method: bool) -> int:
    """How many parameters a caller may give."""
    arguments = function.args
    named = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    return named + (arguments.vararg is not None) + (arguments.kwarg is not None) - is_method


def is_command(function: Function) -> bool:
    """Whether the function is a command of the command line: its parameters are the command's options."""
    calls = (mark.func if isinstance(mark, ast.Call) else mark for mark in function.decorator_list)
    return any(isinstance(call, ast.Attribute) and call.attr in {"command", "callback"} for call in calls)


def names_of(file: Path) -> Iterator[tuple[str, int]]:
    """The names that a Python file gives away: its folders, its own, and those of its classes and functions, with the line."""
    for part in (*file.parts[:-1], file.stem):
        yield part, 1
    for node in ast.walk(syntax_of(file)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno


def test_no_module_is_over_600_lines() -> None:
    """A Python module has at most 600 lines; at 400 it is time to think about the next cut."""
    lengths = {str(file): text_of(file).count("\n") for file in python_files()}
    assert not {file: lines for file, lines in lengths.items() if lines > MODULE_LINES}, "cut these modules by question"


def test_no_function_is_over_60_lines() -> None:
    """A function has at most 60 lines, its signature and docstring among them."""
    long = [
        f"{file}:{function.lineno} {function.name} has {lines} lines"
        for file in python_files(*SOURCES)
        for function, _ in functions_of(file)
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES
    ]
    assert not long, "name the steps inside and make them functions"


def test_no_function_takes_more_than_6_parameters() -> None:
    """A function takes at most 6 parameters without self or cls; a command's parameters are its options, as many as it has."""
    many = [
        f"{file}:{function.lineno} {function.name} takes {count}"
        for file in python_files(*SOURCES)
        for function, is_method in functions_of(file)
        if (count := parameters_of(function, is_method)) > PARAMETERS and not is_command(function)
    ]
    assert not many, "put those that belong together into a frozen value"


def test_an_init_module_only_describes_and_reexports() -> None:
    """An `__init__.py` holds a docstring, imports and `__all__`, and begins with the docstring."""
    wrong = []
    for file in python_files(*SOURCES):
        if file.name != "__init__.py":
            continue
        if ast.get_docstring(syntax_of(file)) is None:
            wrong.append(f"{file}: no docstring")
        for node in syntax_of(file).body[1:]:
            is_list = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
            if not isinstance(node, ast.Import | ast.ImportFrom) and not is_list:
                wrong.append(f"{file}:{node.lineno} {type(node).__name__}")
    assert not wrong, "move this into a module with a name"


def test_every_module_says_its_job() -> None:
    """Every Python module begins with a docstring."""
    silent = [str(file) for file in python_files() if ast.get_docstring(syntax_of(file)) is None]
    assert not silent, "say in three to eight lines what the module is for"


def test_every_test_states_its_claim() -> None:
    """Every test has a docstring, which is the claim that the test proves."""
    silent = [
        f"{file}:{function.lineno} {function.name}"
        for file in python_files("tests")
        for function, _ in functions_of(file)
        if function.name.startswith("test_") and file.name.startswith("test_") and ast.get_docstring(function) is None
    ]
    assert not silent, "write the claim, with the line of the specification"


def test_no_name_uses_a_banned_word() -> None:
    """No file, folder, class or function is called a manager, a helper, a util, or a handler of nothing."""
    wrong = [
        f"{file}:{line} {name}"
        for file in python_files()
        for name, line in names_of(file)
        if BANNED_WORDS.intersection(words_of(name)) or words_of(name) in BANNED_ALONE
    ]
    assert not wrong, "name it by what it does, in the words of the Gateway API or of the RFCs"


def test_every_top_folder_has_a_readme_of_30_to_60_lines() -> None:
    """Each visible folder at the root has a README.md: its job, the data flow in it, what it must not import."""
    wrong = []
    for folder in top_folders():
        readme = ROOT / folder / "README.md"
        lines = readme.read_text(encoding="utf-8").count("\n") if readme.is_file() else 0
        if lines not in README_LINES:
            wrong.append(f"{folder}/README.md: {lines} lines")
    assert not wrong, "a README has 30 to 60 lines"


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """Packages come from wherever the machine is set up to get them: no file names a registry's host."""
    named = [f"{file}: {host}" for file in project_files() for host in REGISTRY_HOSTS if host in text_of(file)]
    assert not named, "name the package, not the place it comes from"


def test_nothing_is_left_for_later_in_the_code() -> None:
    """No file holds a note of unfinished work: what is not done is an issue, or a line under what does not work yet."""
    notes = [
        f"{file}:{number}"
        for file in project_files()
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if UNFINISHED.search(line)
    ]
    assert not notes, "finish it, or open an issue"
