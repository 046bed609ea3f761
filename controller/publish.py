"""The server end of the configuration stream (design.md section 4): what was published reaches every subscriber, acknowledged.

A change goes out at once to whoever has acknowledged the one before; for the others it coalesces with the next (ledger.py).
So a subscriber that does not read holds at most one batch in memory. Subscribers are counted from the moment they are served,
before they have said anything: what has not been applied by all of them is not acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import msgspec

from controller.ledger import Ledger
from gateway.ir.batch import Ack, Answer, AnyResource, Ask, Batch, Rejection, Report, Subscribe, decode, encode
from gateway.ir.value import Identity

LINE_LIMIT: Final = 64 << 20
"""Bytes of one line, which a subscriber takes at most."""

_UNANSWERED_LIMIT: Final = 32
"""Questions that a subscriber may leave unanswered before it is asked no more."""

BeforeBatch = Callable[[], Awaitable[None]]
"""Awaited before each batch: what the batch needs and the stream does not carry has reached the subscriber."""


class Presence(Protocol):
    """How far a subscriber is waited for. Whoever changes it calls `Publisher.reconsider`."""

    @property
    def silent(self) -> bool:
        """Whether it does not answer now, so that nobody waits for it."""

    @property
    def late(self) -> bool:
        """Whether it takes the place of another, so that nobody waits for its first acknowledgement."""


class _Present:
    """Of a subscriber about whom nobody knows better."""

    silent = False
    late = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a subscriber stands: its name ('' until it has said it), the revision it acknowledged last, whether it does not answer, and
    when its certificate ends (seconds since 1970; 0 where there is none)."""

    name: str
    revision: int
    silent: bool
    ends_at: float = 0.0


class Publisher:
    """Owner of the current resources and of who has them.

    `problem` is told what a user or a log should know, `moved` that a subscriber acknowledged something or went away.
    """

    def __init__(self, problem: Callable[[str], None], moved: Callable[[], None] = lambda: None) -> None:
        self._problem = problem
        self._moved = moved
        self._ledger = Ledger()
        self._subscribers: list[_Subscriber] = []
        self._progress = asyncio.Event()
        self._asked = 0

    @property
    def revision(self) -> int:
        """Of the last change; 0 before the first."""
        return self._ledger.revision

    @property
    def applied(self) -> int:
        """The last revision that every subscriber that counts has in place; 0 without any."""
        return min((subscriber.acknowledged for subscriber in self._subscribers if subscriber.counts), default=0)

    @property
    def resources(self) -> Mapping[Identity, AnyResource]:
        """What every subscriber has, or will have."""
        return self._ledger.resources

    @property
    def subscribers(self) -> tuple[Standing, ...]:
        """Everyone being served."""
        return tuple(Standing(each.name, each.acknowledged, each.presence.silent, each.ends_at) for each in self._subscribers)

    def publish(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> int:
        """One change, in one step; returns its revision. The first one counts even when empty: there is nothing, and that is known."""
        revision = self._ledger.change(set, remove)
        for subscriber in self._subscribers:
            subscriber.due.set()
        return revision

    def rejections(self) -> dict[Identity, tuple[str, ...]]:
        """Why subscribers could not build a resource; each reason once. A whole Batch stands under ("Batch", its revision)."""
        reasons: dict[Identity, dict[str, None]] = {}
        for subscriber in self._subscribers:
            for rejection in subscriber.rejected:
                reasons.setdefault((rejection.kind, rejection.key), {})[rejection.reason] = None
        return {identity: tuple(texts) for identity, texts in reasons.items()}

    async def acknowledged(self, revision: int) -> None:
        """Returns once there is a subscriber, and every one that counts has put this revision or a later one in place."""
        while not self._subscribers or self.applied < revision:
            await self._progress.wait()

    def reconsider(self) -> None:
        """Somebody's presence has changed."""
        self._settle()

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before_batch: BeforeBatch | None = None,
        presence: Presence | None = None,
        ends_at: float = 0.0,
    ) -> None:
        """Serves one subscriber until it goes away; whatever it does harms only itself. Closes the writer. `ends_at`: see Standing."""
        subscriber = _Subscriber(reader, writer, presence or _Present(), ends_at)
        self._subscribers.append(subscriber)
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send_batches(subscriber, before_batch))
                try:
                    await self._read(subscriber)
                finally:
                    sending.cancel()
        except* OSError:
            pass  # the connection broke, over TLS also by what cannot be decrypted
        except* _Refused as group:
            self._problem(f"{subscriber.name or 'a subscriber'} was cut off: {group.exceptions[0]}")
        finally:
            self._subscribers.remove(subscriber)
            subscriber.leave()
            self._settle()
            writer.close()

    async def ask(self, what: str, argument: bytes = b"null", timeout: float = 5.0, *, first: bool = False) -> dict[str, msgspec.Raw]:
        """Puts a question to every subscriber; the answers by name, without those that gave none in time or went away.

        With `first` the first answer is enough. A silent subscriber is asked too, but not waited for.
        """
        self._asked += 1
        line = encode(Ask(self._asked, what, msgspec.Raw(argument)))
        asked = [subscriber for subscriber in self._subscribers if len(subscriber.answers) < _UNANSWERED_LIMIT]
        futures = [subscriber.ask(self._asked, line) for subscriber in asked]
        awaited = [future for subscriber, future in zip(asked, futures, strict=True) if not subscriber.presence.silent]
        if awaited:
            await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED if first else asyncio.ALL_COMPLETED)
        answered = zip(asked, futures, strict=True)
        return {subscriber.name: future.result() for subscriber, future in answered if future.done() and not future.cancelled()}

    def close(self) -> None:
        """There is nothing more to publish: every subscriber's stream ends after what is on its way."""
        for subscriber in self._subscribers:
            subscriber.writer.close()

    async def _send_batches(self, subscriber: _Subscriber, before_batch: BeforeBatch | None) -> None:
        while True:
            await subscriber.due.wait()
            subscriber.due.clear()
            if not subscriber.ready or self.revision in {0, subscriber.sent}:
                continue
            if before_batch is not None:
                await before_batch()
            if subscriber.digest and subscriber.digest == self._ledger.digest():
                subscriber.sent = self.revision  # from another connection, maybe to another controller: it has everything already
            subscriber.digest = ""
            lines = self._ledger.lines(subscriber.sent)
            longest = max(map(len, lines))
            if longest > LINE_LIMIT:
                self._problem(
                    f"a resource of revision {self.revision} is {longest >> 20} MiB, more than the {LINE_LIMIT >> 20} MiB that a proxy "
                    f"takes at once: {subscriber.name} goes on with what it has; divide the object among several"
                )
                continue
            subscriber.sent = self.revision
            subscriber.in_flight = True
            for line in lines:
                subscriber.writer.write(line)
                await subscriber.writer.drain()

    async def _read(self, subscriber: _Subscriber) -> None:
        while True:
            try:
                line = await subscriber.reader.readline()
            except ValueError as error:
                raise _Refused("it sent a message that is too long") from error
            if not line.endswith(b"\n"):
                return
            try:
                message = decode(line)
            except msgspec.MsgspecError as error:
                raise _Refused(f"it sent a message that cannot be read: {error}") from error
            match message:
                case Subscribe():
                    subscriber.subscribe(message)
                case Ack():
                    subscriber.acknowledge(message)
                    self._settle()
                case Report():
                    subscriber.rejected = message.rejected
                    self._moved()
                case Answer():
                    subscriber.answer(message)
                case Batch() | Ask():
                    raise _Refused(f"it sent {type(message).__name__}, which only a server sends")
                case _:
                    assert_never(message)

    def _settle(self) -> None:
        """Somebody stands elsewhere than before: tells those who wait, and forgets what nobody needs any more."""
        bases = [subscriber.sent for subscriber in self._subscribers if subscriber.sent is not None]
        self._ledger.settle(min(bases, default=self.revision))
        self._progress.set()
        self._progress.clear()
        self._moved()


class _Refused(Exception):
    """A subscriber broke the rules of the stream."""


class _Subscriber:
    """One connection. `sent` is the revision it will stand at once it has applied all that was sent, None for nothing."""

    __slots__ = (
        "acknowledged", "answers", "digest", "due", "ends_at", "in_flight", "name", "presence", "reader", "rejected", "sent", "subscribed",
        "writer",
    )  # fmt: skip

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, presence: Presence, ends_at: float) -> None:
        self.reader = reader
        self.writer = writer
        self.presence = presence
        self.ends_at = ends_at
        self.name = ""
        self.subscribed = False
        self.sent: int | None = None
        self.digest = ""
        self.acknowledged = 0
        self.in_flight = False
        self.rejected: tuple[Rejection, ...] = ()
        self.due = asyncio.Event()
        self.answers: dict[int, asyncio.Future[msgspec.Raw]] = {}

    @property
    def counts(self) -> bool:
        """Whether others wait for it."""
        return not self.presence.silent and (self.acknowledged > 0 or not self.presence.late)

    @property
    def ready(self) -> bool:
        """Whether a batch may go out."""
        return self.subscribed and not self.in_flight

    def subscribe(self, message: Subscribe) -> None:
        self.name = message.proxy
        self.subscribed = True
        self.sent = None
        self.digest = message.digest
        self.due.set()

    def acknowledge(self, message: Ack) -> None:
        if not self.in_flight or message.revision != self.sent:
            raise _Refused(f"it acknowledged revision {message.revision}, which was not the one it was sent")
        self.in_flight = False
        self.acknowledged = message.revision
        self.rejected = message.rejected
        if any(rejection.kind == "Batch" for rejection in message.rejected):
            self.sent = None  # nobody knows what it has now: with the next change it starts from a snapshot
        else:
            self.due.set()

    def ask(self, number: int, line: bytes) -> asyncio.Future[msgspec.Raw]:
        future = self.answers[number] = asyncio.get_running_loop().create_future()
        if not self.writer.is_closing():
            self.writer.write(line)
        return future

    def answer(self, message: Answer) -> None:
        future = self.answers.pop(message.number, None)
        if future is None:
            raise _Refused(f"it answered question {message.number}, which it was not asked")
        if not future.done():
            future.set_result(message.body)

    def leave(self) -> None:
        for future in self.answers.values():
            future.cancel()
        self.answers.clear()
