"""The attack table for HTTP/1.1: all rows, by what they are about."""

from __future__ import annotations

from itertools import chain
from typing import Final

from tests.attacks.row import AnyRow, Failed, Refused, Relayed, Served
from tests.attacks.rows import chunks, fields, framing, legal_requests, legal_responses, paths, request_lines, responses, targets, upgrades

ATTACKS: Final[dict[str, tuple[AnyRow, ...]]] = {
    "framing": framing.ATTACKS,
    "chunks": chunks.ATTACKS,
    "request lines": request_lines.ATTACKS,
    "targets": targets.ATTACKS,
    "paths": paths.ATTACKS,
    "fields": fields.ATTACKS,
    "upgrades": upgrades.ATTACKS,
    "responses": responses.ATTACKS,
}
LEGAL: Final[dict[str, tuple[AnyRow, ...]]] = {"legal requests": legal_requests.LEGAL, "legal responses": legal_responses.LEGAL}

ROWS: Final[tuple[AnyRow, ...]] = tuple(chain(*ATTACKS.values(), *LEGAL.values()))
REFUSED: Final = tuple(row for row in ROWS if isinstance(row, Refused))
SERVED: Final = tuple(row for row in ROWS if isinstance(row, Served))
FAILED: Final = tuple(row for row in ROWS if isinstance(row, Failed))
RELAYED: Final = tuple(row for row in ROWS if isinstance(row, Relayed))
