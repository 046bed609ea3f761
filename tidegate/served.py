"""Where the proxies of a scope stand, for the page `/status`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controller.publish import Publisher


def served(name: str, publisher: Publisher) -> dict[str, Any]:
    """A Gateway or a namespace of the mesh, with its proxies."""
    rejections = sorted(publisher.rejections().items())
    return {
        "name": name,
        "revision": publisher.revision,
        "proxies": [
            {
                "name": standing.name,
                "revision": standing.revision,
                "silent": standing.silent,
                "certificate_ends": _moment(standing.ends_at),
            }
            for standing in publisher.subscribers
        ],
        "rejected": [{"kind": kind, "key": key, "reasons": reasons} for (kind, key), reasons in rejections],
    }


def _moment(seconds: float) -> str:
    """In UTC, '' for none."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}" if seconds else ""
