"""The table itself: how much it holds, and that no row is there twice."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from tests.attacks.row import AnyRow, Failed, Relayed
from tests.attacks.table import ATTACKS, LEGAL, ROWS


def bytes_of(row: AnyRow) -> tuple[bytes, bytes]:
    return row.sent, row.answer if isinstance(row, Failed | Relayed) else b""


def test_the_table_is_large_enough() -> None:
    """At least 150 rows that differ in the attack, and 60 legal but odd messages (issue 4, done when 4)."""
    assert sum(map(len, ATTACKS.values())) >= 150
    assert sum(map(len, LEGAL.values())) >= 60


def test_every_row_is_another_one() -> None:
    """No name and no bytes twice, so that the count is one of attacks and not of deliveries; each names what demands its verdict."""
    for counted in (Counter(row.name for row in ROWS), Counter(map(bytes_of, ROWS))):
        assert not [key for key, count in counted.items() if count > 1]
    assert all(row.source for row in ROWS)


def test_an_attack_is_not_legal() -> None:
    """What one half of the table holds is not in the other."""
    legal = {bytes_of(row) for row in chain(*LEGAL.values())}
    assert not [row.name for row in chain(*ATTACKS.values()) if bytes_of(row) in legal]
