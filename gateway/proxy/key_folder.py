"""Fetched keys of issuers on disk, so that a data plane which starts while an issuer is away has those that it had.

Whoever could write such a file could sign tokens, so one that another user may have written is refused. All processes of a data plane
share the folder; a file is replaced as a whole.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from gateway.snapshot import SnapshotError, own_content

MOST_FILES: Final = 256
"""The oldest go."""
_ENDING: Final = ".jwks"


class KeyFolder:
    """Owner of nothing but the path."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, url: str) -> bytes | None:
        """The set that was fetched there last, None where none is kept. Raises ValueError for one that must not be used."""
        file = self._file(url)
        try:
            content = own_content(file)
        except OSError:
            return None
        except SnapshotError as fault:
            raise ValueError(f"the kept keys {file} are not used: {fault}") from None
        written, _, text = content.partition(b"\n")
        return text if written == url.encode() else None

    def store(self, url: str, text: bytes) -> None:
        """Blocks. Raises OSError."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._path, delete=False) as file:  # of mode 0600
            try:
                file.write(url.encode() + b"\n" + text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._file(url))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(file.name)
                raise
        self._forget_oldest()

    def _file(self, url: str) -> Path:
        return self._path / (sha256(url.encode()).hexdigest() + _ENDING)

    def _forget_oldest(self) -> None:
        with contextlib.suppress(OSError):  # another process does the same
            files = sorted(self._path.glob(f"*{_ENDING}"), key=lambda file: file.stat().st_mtime)
            for file in files[:-MOST_FILES]:
                file.unlink()
