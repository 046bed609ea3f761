"""Session persistence of a rule or a Service: what is wrong with it, and what it says to proxies (SessionPersistence, GEP-1619)."""

from __future__ import annotations

import hashlib
import re

from controller.api.session_persistence import SessionPersistence
from gateway.ir.rule import Persistence

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def persistence_fault(persistence: SessionPersistence) -> str | None:
    """What no CRD finds out, from `sessionPersistence` on."""
    if persistence.session_name is not None and _TOKEN.fullmatch(persistence.session_name) is None:
        name = repr(persistence.session_name)
        return f"sessionPersistence.sessionName: {name} is no name of a cookie or header field; use letters, digits and '-'"
    if _is_permanent(persistence) and not persistence.absolute_timeout:
        return "sessionPersistence.absoluteTimeout: lifetimeType Permanent needs more than zero"
    return None


def translate_persistence(persistence: SessionPersistence, key: str) -> Persistence:
    """A name is made from the key of the rule or Backend where none is given, since sessions of different ones are never the same."""
    name = persistence.session_name or f"tidegate-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    milliseconds = persistence.absolute_timeout
    return Persistence(
        persistence.type,
        name.lower() if persistence.type == "Header" else name,
        -(-milliseconds // 1000) if milliseconds else None,
        _is_permanent(persistence),
    )


def _is_permanent(persistence: SessionPersistence) -> bool:
    return persistence.cookie_config is not None and persistence.cookie_config.lifetime_type == "Permanent"
