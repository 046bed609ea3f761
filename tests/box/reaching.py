"""Waiting until an address of a box leads anywhere."""

from __future__ import annotations

from tests.box.cluster import Box
from tests.faults.waiting import until


def await_reached(box: Box, url: str) -> None:
    """Returns when somebody answers there, whatever it says: kube-proxy may need a second after an address is given."""
    until(lambda: box.run("curl", "--silent", url, check=False).returncode == 0, f"kube-proxy does not lead to {url}")
