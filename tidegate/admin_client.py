"""Asks the admin server of a running Tidegate."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Final
from urllib.parse import urlsplit

_TIMEOUT: Final = 10.0
_LARGEST: Final = 256 << 20


class AdminError(Exception):
    """No answer, or none of Tidegate; says what to do."""


def ask(admin: str, path: str, refusals: frozenset[int] = frozenset()) -> bytes:
    """The body of GET `path` at the admin server's URL (or ADDRESS:PORT); that of an error too if its status is among `refusals`.

    Raises AdminError.
    """
    base = (admin if "://" in admin else f"http://{admin}").rstrip("/")
    if urlsplit(base).scheme not in {"http", "https"} or not urlsplit(base).hostname:
        raise AdminError(f"--admin {admin!r} is not a URL; write for example http://127.0.0.1:15000")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no way to our loopback address
    try:
        with opener.open(f"{base}{path}", timeout=_TIMEOUT) as answer:
            return bytes(answer.read(_LARGEST))
    except urllib.error.HTTPError as error:
        body = bytes(error.read(_LARGEST))
        if error.code in refusals:
            return body
        text = body.decode("utf-8", "replace").strip()[:200]
        raise AdminError(f"{base} answers {error.code} to {path.partition('?')[0]}: {text}; is that the admin port of Tidegate?") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        remedy = "start `tidegate run`, or name the admin port of the one that runs with --admin"
        raise AdminError(f"nothing answers at {base}: {reason}; {remedy}") from None
