"""The attack table for HTTP/2: all rows, by what they are about."""

from __future__ import annotations

from itertools import chain
from typing import Final

from tests.attacks.http2_row import Http2Attack, Http2Row, Http2Served
from tests.attacks.rows import http2_compression, http2_fields, http2_frames, http2_legal

ATTACKS: Final[dict[str, tuple[Http2Row, ...]]] = {
    "frames": http2_frames.ATTACKS,
    "compression": http2_compression.ATTACKS,
    "fields": http2_fields.ATTACKS,
}
LEGAL: Final[dict[str, tuple[Http2Row, ...]]] = {"legal frames and fields": http2_legal.LEGAL}

ROWS: Final[tuple[Http2Row, ...]] = tuple(chain(*ATTACKS.values(), *LEGAL.values()))
REFUSED: Final = tuple(row for row in ROWS if isinstance(row, Http2Attack))
SERVED: Final = tuple(row for row in ROWS if isinstance(row, Http2Served))
