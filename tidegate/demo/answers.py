"""What demo backends answer to requests: JSON that tells what they received.

`/status/NNN` is answered with that status, `?delay=200ms` after that time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl

LONGEST_DELAY: Final = 60.0
BODILESS: Final = frozenset({204, 304})
_STATUS: Final = re.compile(r"/status/([2-5][0-9]{2})").fullmatch
_DELAY: Final = re.compile(r"([0-9]{1,6})(ms|s)").fullmatch


@dataclass(frozen=True, slots=True)
class DemoBackend:
    """Where it listens, and as whom it answers."""

    address: str
    port: int
    name: str
    transport: Literal["tcp", "udp"] = "tcp"

    @property
    def endpoint(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def greeting(self) -> bytes:
        """What stands before bytes that are sent back."""
        return f"{self.name} at {self.endpoint}: ".encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """The head of a request; `fields` has every name once, values of one name joined."""

    method: str
    target: str
    host: str
    fields: dict[str, str]

    @property
    def delay(self) -> float:
        """Seconds that the answer waits."""
        asked = _DELAY(dict(parse_qsl(self.target.partition("?")[2])).get("delay", ""))
        return 0.0 if asked is None else min(int(asked[1]) / (1000 if asked[2] == "ms" else 1), LONGEST_DELAY)


def read(method: bytes, target: bytes, host: bytes | None, fields: Iterable[tuple[bytes, bytes]]) -> Asked:
    """A head from what stands on the wire; without `host` it is the field of that name."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    written = joined.get("host", "") if host is None else host.decode("latin-1")
    return Asked(method.decode("latin-1"), target.decode("latin-1"), written, joined)


def answer(backend: DemoBackend, asked: Asked, received: int) -> tuple[int, bytes]:
    """Status and body; `received` is the length of the request's body."""
    path, _, query = asked.target.partition("?")
    status = _STATUS(path)
    told = {
        "backend": backend.name,
        "endpoint": backend.endpoint,
        "method": asked.method,
        "path": path,
        "query": query,
        "host": asked.host,
        "headers": asked.fields,
        "body_length": received,
    }
    return int(status[1]) if status is not None else 200, as_body(told)


def as_body(content: dict[str, object]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"
