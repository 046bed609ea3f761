"""What the two sides of a gateway speak. A claim that holds whatever they speak is made for every pairing:

    @every_pairing
    def test_a_path_is_matched(serve: Serve) -> None: ...

In HTTP/2 `Site.ask` asks over it (by ALPN where there is TLS, else with prior knowledge), and Services of echo backends say that they
speak it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest

Version = Literal["HTTP/1.1", "HTTP/2"]


class Pairing(NamedTuple):
    client: Version
    backend: Version


HTTP1 = Pairing("HTTP/1.1", "HTTP/1.1")
OTHERS = (Pairing("HTTP/2", "HTTP/1.1"), Pairing("HTTP/1.1", "HTTP/2"), Pairing("HTTP/2", "HTTP/2"))


def _named(*pairings: Pairing) -> list[object]:
    return [pytest.param(pairing, id=f"{pairing.client} to {pairing.backend}") for pairing in pairings]


every_pairing = pytest.mark.parametrize("pairing", _named(HTTP1, *OTHERS))
any_client = pytest.mark.parametrize("pairing", _named(HTTP1, OTHERS[0]))
"""For what no backend has a part in."""
either_way = pytest.mark.parametrize("pairing", _named(HTTP1, OTHERS[2]))
"""For what takes its time: all in one, or all in the other."""
