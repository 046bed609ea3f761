"""What gunicorn runs: says in its answer what it took the request for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Fields = list[tuple[str, str]]


def answer(environ: dict[str, Any], start_response: Callable[[str, Fields], object]) -> Iterable[bytes]:
    """`METHOD BODY-IN-HEX` (PEP 3333)."""
    said = f"{environ['REQUEST_METHOD']} {environ['wsgi.input'].read().hex()}".encode()
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return (said,)
