"""The programs that set rules, nft(8) and those of iptables(8): found, run, and their complaints told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from mesh.capture.errors import CaptureError

_SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where they are, even if PATH is that of a user."""
_MOST_SECONDS: Final = 60
_LOCK: Final = Path("/run")
_OTHER_LOCK: Final = "/dev/shm/tidegate-xtables.lock"  # noqa: S108  # writable also where the container's root is not


def find(name: str) -> str | None:
    """The path of a program."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_FOLDERS}")


def run(path: str, *arguments: str, text: str = "") -> str:
    """What the program prints when it reads this text. Raises CaptureError with its complaint if it fails."""
    command = " ".join([Path(path).name, *arguments])
    try:
        done = subprocess.run(
            [path, *arguments], input=text, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise CaptureError(f"{command} did not end within {_MOST_SECONDS} s") from None
    except OSError as error:
        raise CaptureError(f"{command} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[:3])
        raise CaptureError(f"{command} failed with status {done.returncode}: {said or 'it says nothing'}")
    return done.stdout


def _environment() -> dict[str, str]:
    lock = {} if os.access(_LOCK, os.W_OK) else {"XTABLES_LOCKFILE": _OTHER_LOCK}
    return {**os.environ, "LC_ALL": "C", **lock}
