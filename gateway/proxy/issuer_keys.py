"""Keys of issuers that are fetched: at once, anew every twenty minutes, and when a token names a key that is not among them.

Keys that were good stay until others have come, however long that takes. Nothing waits for them but the requests whose tokens need
them, and these no longer than the policy says.

    begin ─> fetching ─> good: again after REFRESH ─┬─> fetching ...
                    └──> bad: again after 1, 2, 4 ... 60 s ┘
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from gateway.ir.policy import TokenRule
from gateway.policies.request_authentication import Keys, KeysAtHand, without_keys

if TYPE_CHECKING:
    from gateway.policies.token_keys import KeySet
    from gateway.proxy.core import Core
    from gateway.proxy.key_folder import KeyFolder

REFRESH: Final = 1200.0
"""Seconds after which good keys are fetched anew, as istiod does it."""
AGAIN: Final = 10.0
"""Seconds from the end of a fetch until a token with an unknown key may cause another: whoever invents keys causes no more than that."""
_PATIENCE: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds between attempts that fail; the last of them from then on."""
_MOST_URLS: Final = 1000
_OTHER: Final = "_other"
"""What is counted together of URLs beyond so many."""
_KINDS_OF_URL: Final = {False: "", True: "discovery "}


class IssuerKeys:
    """One per worker. A URL is fetched as long as a policy that is live names it."""

    __slots__ = ("_core", "_held", "changed", "failures", "folder")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._held: WeakValueDictionary[tuple[str, bool, int], FetchedKeys] = WeakValueDictionary()
        self.changed: Callable[[], None] = _nobody_asks
        """Called when an issuer whose keys are not there fails in another way, or has them; `Runtime.watch` puts it in place."""
        self.failures: dict[str, int] = {}
        """How many attempts have failed, by URL."""
        self.folder: KeyFolder | None = None
        """Where they are kept for the next start; `Runtime` puts it in place."""

    def of(self, rule: TokenRule) -> Keys:
        """Those of a rule; nothing is fetched yet. Where the rule has none, it says itself why."""
        if not rule.url:
            return KeysAtHand(rule.keys)
        place = (rule.url, rule.discovery, rule.timeout)
        keys = self._held.get(place)
        if keys is None:
            keys = self._held[place] = FetchedKeys(self._core, self, place)
        return keys

    def fault_of(self, rule: TokenRule) -> str:
        """Why there are no keys for a rule with a URL, '' where there are, or where it is not known yet."""
        keys = self._held.get((rule.url, rule.discovery, rule.timeout))
        return keys.fault if keys is not None and keys.is_empty else ""

    def failed(self, url: str) -> None:
        """One attempt more."""
        url = url if url in self.failures or len(self.failures) < _MOST_URLS else _OTHER
        self.failures[url] = self.failures.get(url, 0) + 1

    def begin(self) -> None:
        """Fetches what has never been fetched, and what is due. To be called after a change, and now and then."""
        now = monotonic()
        for keys in list(self._held.values()):
            if keys.due <= now:
                keys.fetch()


def _nobody_asks() -> None:
    pass


class FetchedKeys:
    """Those of one URL. `due` is when they are to be fetched next."""

    __slots__ = (
        "__weakref__", "_core", "_ended", "_failures", "_fetching", "_owner", "_place", "_set", "_text", "_waiting", "due", "fault",
    )  # fmt: skip

    def __init__(self, core: Core, owner: IssuerKeys, place: tuple[str, bool, int]) -> None:
        self._core, self._owner, self._place = core, owner, place
        self._set: KeySet | None = None
        self._text = b""
        self.fault = ""
        self._fetching: asyncio.Task[None] | None = None
        self._failures = 0
        self._waiting: list[Callable[[], None]] = []
        self.due = 0.0
        self._ended = -AGAIN

    @property
    def is_empty(self) -> bool:
        """Whether there have never been keys."""
        return self._set is None

    def held(self) -> KeySet | None:
        if self._set is None and self._fetching is None and self.fault and monotonic() < self.due:
            raise without_keys(self.fault)
        return self._set

    def may_change(self) -> bool:
        return self._fetching is not None or monotonic() >= self._ended + AGAIN

    def wait(self, ready: Callable[[], None]) -> None:
        self._waiting.append(ready)
        self.fetch()

    def fetch(self) -> None:
        """Unless that is under way."""
        if self._fetching is None:
            self._fetching = self._core.start(self._fetch())

    async def _fetch(self) -> None:
        """What goes wrong here is said to those who wait, and on standard error."""
        try:
            if not self._failures and self._set is None:
                await self._restore()
            lacking = self.is_empty and self.fault
            await self._renew()
            self._failures, self.fault = 0, ""
            self.due = monotonic() + REFRESH
            if lacking:
                self._owner.changed()
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # whatever it is, those who wait must be told
            self._fail(str(fault) or type(fault).__name__)
        finally:
            self._ended, self._fetching = monotonic(), None
            waiting, self._waiting = self._waiting, []
            for ready in waiting:
                self._core.loop.call_soon(ready)

    def _fail(self, fault: str) -> None:
        self.due = monotonic() + _PATIENCE[min(self._failures, len(_PATIENCE) - 1)]
        self._failures += 1
        self._owner.failed(self._place[0])
        if fault != self.fault:
            kept = "those that there were go on" if self._set is not None else "tokens of the issuer are refused"
            print(f"keys of an issuer: {fault}; {kept}", file=sys.stderr, flush=True)
        before, self.fault = self.fault, fault
        if self.is_empty and fault != before:
            self._owner.changed()

    async def _renew(self) -> None:
        """Raises FetchFailed, and ValueError for what is no JWK Set of use."""
        from gateway.policies.token_keys import KeySet  # noqa: PLC0415  # see there
        from gateway.proxy.key_fetch import fetch_keys  # noqa: PLC0415  # only who fetches keys needs it

        url, discovery, timeout = self._place
        text = await fetch_keys(url, discovery=discovery, timeout=timeout / 1000)
        if text == self._text:
            return
        try:
            self._set = KeySet(text)
        except ValueError as fault:
            raise ValueError(f"{url}: {fault}") from None
        self._text = text
        folder = self._owner.folder
        if folder is not None:
            try:
                await asyncio.to_thread(folder.store, self._name, text)
            except OSError as fault:
                print(f"keys of an issuer: {url} cannot be kept: {fault.strerror}", file=sys.stderr, flush=True)

    @property
    def _name(self) -> str:
        return _KINDS_OF_URL[self._place[1]] + self._place[0]

    async def _restore(self) -> None:
        """The keys that were kept, until others have come."""
        from gateway.policies.token_keys import KeySet  # noqa: PLC0415  # see there

        folder = self._owner.folder
        if folder is None:
            return
        try:
            text = await asyncio.to_thread(folder.load, self._name)
            if text is not None:
                self._set, self._text = KeySet(text), text
        except ValueError as fault:
            print(f"keys of an issuer: {fault}", file=sys.stderr, flush=True)
