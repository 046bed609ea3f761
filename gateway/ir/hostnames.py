"""Hostnames of listeners and routes: which of them have hosts in common, and which. Lower case, '' for every host."""

from __future__ import annotations


def covers(wildcard: str, hostname: str) -> bool:
    """Whether `*.` and a suffix covers a hostname, itself exact or a narrower wildcard: one or more labels before the suffix."""
    suffix, end = wildcard[1:], hostname.removeprefix("*")
    return wildcard.startswith("*.") and end.endswith(suffix) and end != suffix


def covering(hostname: str) -> tuple[str, ...]:
    """A hostname and all others that cover every host that it covers: wildcards with fewer and fewer labels, '' for all at last."""
    labels = hostname.removeprefix("*.").split(".") if hostname else []
    wildcards = [f"*.{'.'.join(labels[start:])}" for start in range(len(labels))]
    return tuple(dict.fromkeys((hostname, *wildcards[0 if hostname.startswith("*.") else 1 :], "")))


def overlaps(one: str, other: str) -> bool:
    """Whether some host is covered by both hostnames."""
    return _narrower(one, other) is not None


def shared(listener: str, hostnames: tuple[str, ...]) -> tuple[str, ...]:
    """What a listener's hostname and those of a route have in common, each once; nothing where that is no host."""
    return tuple(dict.fromkeys(found for hostname in hostnames if (found := _narrower(listener, hostname)) is not None))


def _narrower(one: str, other: str) -> str | None:
    """The one of two hostnames that the other covers, None if neither does."""
    if not one or one == other or covers(one, other):
        return other
    return one if not other or covers(other, one) else None
