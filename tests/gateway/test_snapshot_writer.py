"""How often snapshots are written: so seldom that who is served does not notice, and often enough to start from."""

from __future__ import annotations

import pytest

from gateway.snapshot_writer import rest


@pytest.mark.parametrize(
    ("took", "seconds"),
    [
        pytest.param(0.0, 1.0, id="what takes nothing is written once a second"),
        pytest.param(0.004, 1.0, id="so is a configuration of some hundred routes"),
        pytest.param(0.03, 6.0, id="writing is a two-hundredth of the time at most"),
        pytest.param(2.0, 30.0, id="no snapshot of constant changes is older than half a minute"),
    ],
)
def test_the_rest_follows_what_a_writing_takes(took: float, seconds: float) -> None:
    """Seconds of CPU time that one took, and seconds until the next may begin."""
    assert rest(took) == pytest.approx(seconds)
