"""Writes the images of a box for this checkout: those of box/images.json, and Tidegate itself.

    python conformance/images.py FILE

The interpreter that runs this script, its packages and the sources are bound read-only under /opt/tidegate: the paths of their own keep
them readable where a folder on the way is closed to other users, and a virtual environment would link to an interpreter that is not there.
As in the image that users get, `tidegate` is in the PATH, for `kubectl exec`. The tag `compiled` stands for the modules of `make compiled`;
every other tag for the sources.
"""

from __future__ import annotations

import compileall
import json
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "controller", "mesh", "tidegate")
NAME = "tidegate/tidegate"
PLACE = "/opt/tidegate"
USER = 65532
"""Not root, as in the image that users get."""


def tidegate(sources: Path) -> dict[str, Any]:
    """The entry of an image that runs the packages of a folder with this interpreter. Its commands are those of `tidegate`."""
    base = Path(sys.base_prefix).resolve()
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    if not interpreter.is_relative_to(base):
        raise SystemExit(f"{interpreter} is not in {base}: name another interpreter with make PYTHON=...")
    libraries = [Path(entry) for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    files = {f"{PLACE}/python": base}
    files |= {f"{PLACE}/packages/{number}": folder.resolve() for number, folder in enumerate(libraries)}
    files |= {f"{PLACE}/source/{package}": sources / package for package in PACKAGES}
    files["/usr/local/bin/tidegate"] = ROOT / "conformance/tidegate"
    check_readable(files)
    program = f"{PLACE}/python/{interpreter.relative_to(base)}"
    return {
        "entrypoint": [program, "-m", "tidegate"],
        "files": {target: str(source) for target, source in files.items()},
        "env": {
            "PYTHONPATH": ":".join([f"{PLACE}/source", *(f"{PLACE}/packages/{number}" for number in range(len(libraries)))]),
            "PYTHONSAFEPATH": "1",
            "TIDEGATE_INTERPRETER": program,
            **library_path(base),
        },
        "uid": USER,
    }


def library_path(base: Path) -> dict[str, str]:
    """Where the interpreter's own shared library is, if it has one outside the system's folders."""
    folder = Path(sysconfig.get_config_var("LIBDIR") or base / "lib").resolve()
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or base == Path("/usr") or not folder.is_relative_to(base):
        return {}
    return {"LD_LIBRARY_PATH": f"{PLACE}/python/{folder.relative_to(base)}"}


def check_readable(files: Mapping[str, Path]) -> None:
    """Raises SystemExit for a folder that a user other than its owner cannot read."""
    for source in files.values():
        if source.exists() and source.stat().st_mode & 0o005 != 0o005:
            raise SystemExit(f"{source} is closed to other users, and Pods run as one: chmod -R o+rX {source}")


def images() -> dict[str, Any]:
    """All entries, ready to be written."""
    entries: dict[str, Any] = json.loads((ROOT / "conformance/box/images.json").read_text(encoding="utf-8"))
    entries[NAME] = tidegate(ROOT)
    compiled = ROOT / "build/compiled"
    if compiled.is_dir():
        entries[f"{NAME}:compiled"] = tidegate(compiled)
    return entries


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    for package in PACKAGES:  # a Pod could not keep what it compiles
        compileall.compile_dir(ROOT / package, quiet=2)
    Path(arguments[0]).write_text(json.dumps(images(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
