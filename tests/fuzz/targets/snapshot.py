"""A file where a snapshot should be: refused, or a configuration of which a proxy takes what it can; written again it is the same."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any, Final

import msgspec

from controller.sources.contents import refreshed
from controller.translate.options import Options
from controller.translator import Translator
from gateway.offline import Offline
from gateway.snapshot import Snapshot, SnapshotError, decode, encode
from tests.fuzz.edits import edited
from tests.fuzz.targets.http_route import AROUND, ROUTE

SCOPE: Final = "a"


def run(data: bytes) -> None:
    """The first byte says what the rest is. E: edits of the resources of a small site. S: a file but for the checksum, which is added so
    that what is inside is read. R: a file. Any other byte: as S, and then a bit is flipped and bytes are lost, which must be seen."""
    sort, content = data[:1], data[1:]
    if sort == b"E":
        lines = edited(site(), content, kept=("kind",))
        header = {"format": 1, "scope": SCOPE, "program": "", "written": "", "resources": len(lines)}
        content = b"".join(json.dumps(line).encode() + b"\n" for line in (header, [], *lines))
    if sort != b"R":
        content += b"sha256 " + hashlib.sha256(content).hexdigest().encode() + b"\n"
    snapshot = read(content)
    if sort not in (b"E", b"R", b"S") and content:
        at = sum(data) % len(content)
        assert read(content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]) is None
        assert read(content[:at]) is None
        assert read(content + b"\n") is None
    if snapshot is not None:
        assert read(b"".join(encode(snapshot))) == snapshot
        with Offline(snapshot.resources) as proxy:
            assert all(rejection.reason for rejection in proxy.rejections)
            proxy.explain({"method": "GET", "url": "http://127.0.0.1:80/a", "headers": [["Host", "a.example"]]})


@cache
def site() -> list[Any]:
    """Resources of each kind, with most of their fields."""
    translator = Translator(Options(admin=None))
    entries = (*refreshed((), AROUND, "default"), *refreshed((), json.dumps(ROUTE).encode(), "default"))
    translator.apply(found.object for entry in entries for found in entry.objects())
    resources: list[Any] = [json.loads(msgspec.json.encode(resource)) for resource in translator.resources().values()]
    return resources


def read(content: bytes) -> Snapshot | None:
    try:
        return decode(content, SCOPE)
    except SnapshotError as refused:
        assert str(refused)
        return None
