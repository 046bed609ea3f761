"""RequestMirror (HTTPRequestMirrorFilter): which share of the requests a second backend gets. Sending is the proxy's."""

from __future__ import annotations

from gateway.ir.filters import RequestMirror


class Mirror:
    """Key of a Backend, and the share as a fraction; `always` spares the draw."""

    __slots__ = ("always", "backend", "denominator", "numerator")

    def __init__(self, backend: str, numerator: int, denominator: int) -> None:
        """Raises ValueError unless 0 <= numerator <= denominator and denominator > 0."""
        if denominator <= 0 or not 0 <= numerator <= denominator:
            raise ValueError(f"share {numerator}/{denominator} is not between 0 and 1: correct percent or fraction")
        self.backend, self.numerator, self.denominator = backend, numerator, denominator
        self.always = numerator == denominator

    def chosen(self, draw: int) -> bool:
        """Whether this request is mirrored; `draw` is uniform in range(denominator)."""
        return draw < self.numerator


def mirror(rule: RequestMirror) -> Mirror:
    """Raises ValueError."""
    return Mirror(rule.backend, rule.numerator, rule.denominator)
