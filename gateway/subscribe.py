"""The client end of the configuration stream (design.md section 4): subscribe, apply each batch, acknowledge after the swap.

Batches are applied in order and one at a time. A large one is decoded in slices, so that no request waits for it, and a
resource that cannot be decoded is rejected alone. Questions (Ask) are answered beside the batches, each in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from typing import Final, assert_never

import msgspec

from gateway.ir.batch import Ack, Answer, AnyMessage, AnyResource, Ask, Batch, Message, Rejection, Report, Subscribe, encode, share_names
from gateway.ir.identification import Elsewhere, Refused
from gateway.ir.value import Identity

LINE_LIMIT: Final = 64 << 20
"""Bytes of one message; the StreamReader given to a Subscription must be made with it."""

_SLICE: Final = 128
"""Resources decoded before others have their turn on the loop: a fraction of a millisecond."""

Apply = Callable[[Batch], Awaitable[tuple[Rejection, ...]]]
"""Puts a batch in place and returns every rejection that stands after it."""

Reply = Callable[[Ask], Awaitable[msgspec.Raw]]
"""Answers a question in JSON."""


class _Envelope(Message, frozen=True, tag="batch"):
    """A Batch whose resources are not decoded yet."""

    revision: int
    set: tuple[msgspec.Raw, ...] = ()
    remove: tuple[Identity, ...] = ()
    snapshot: bool = False
    more: bool = False


class _Name(msgspec.Struct, frozen=True):
    """As much of an unreadable resource as is needed to reject it."""

    kind: str = ""
    key: str = ""


_message_decoder = msgspec.json.Decoder(_Envelope | Ask | Refused | Elsewhere)
_resource_decoder = msgspec.json.Decoder(AnyResource)


def _named(raw: msgspec.Raw) -> Identity:
    try:
        name = msgspec.json.decode(raw, type=_Name)
    except msgspec.MsgspecError:
        return ("", "")
    return (name.kind, name.key)


class StreamError(Exception):
    """The other end does not speak our stream; the message says what was wrong. The subscription is over."""


class Moved(Exception):
    """The other end does not serve us, and says who does."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is to be followed")
        self.address = address


class Subscription:
    """One connection to a server of the stream. One that has said nothing for `patience` seconds is given up; None waits for ever."""

    __slots__ = ("_apply", "_batches", "_following", "_patience", "_reader", "_reply", "_unreadable", "_writer")

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, apply: Apply, reply: Reply, patience: float | None = None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._apply = apply
        self._reply = reply
        self._patience = patience
        self._batches: asyncio.Queue[_Envelope] = asyncio.Queue(maxsize=1)
        self._unreadable: dict[Identity, Rejection] = {}
        self._following: asyncio.Task[None] | None = None

    async def run(self, subscribe: Subscribe) -> None:
        """Follows the stream to its end, or until `finish`; questions under way are still answered. Closes the writer.

        Raises StreamError and Moved.
        """
        try:
            self._send(subscribe)
            async with asyncio.TaskGroup() as tasks:
                self._following = tasks.create_task(self._follow(tasks))
        except* (StreamError, Moved) as group:
            raise group.exceptions[0] from None
        finally:
            self._writer.close()

    def finish(self) -> None:
        """Reads and applies nothing more, and lets `run` return once the questions under way are answered."""
        if self._following is not None:
            self._following.cancel()

    @property
    def unreadable(self) -> Set[Identity]:
        """What the server has in a version that cannot be read here, so that no batch holds it."""
        return self._unreadable.keys()

    def report(self, rejected: tuple[Rejection, ...]) -> None:
        """Tells, without a batch to acknowledge, every rejection that stands now."""
        self._send(Report((*rejected, *self._unreadable.values())))

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        applying = tasks.create_task(self._apply_in_order())
        try:
            while (message := await self._receive()) is not None:
                match message:
                    case _Envelope():
                        await self._batches.put(message)
                    case Ask():
                        tasks.create_task(self._answer(message))
                    case Refused():
                        raise StreamError(f"the server of the configuration stream refuses us: {message.reason}")
                    case Elsewhere():
                        raise Moved(message.address)
                    case _:
                        assert_never(message)
        finally:
            applying.cancel()

    async def _receive(self) -> _Envelope | Ask | Refused | Elsewhere | None:
        """The next message, None at the end of the stream, also when it ends inside a message: then the server died."""
        try:
            async with asyncio.timeout(self._patience):
                line = await self._reader.readline()
        except TimeoutError as error:
            raise StreamError(f"the server of the configuration stream has said nothing for {self._patience:g} s") from error
        except OSError:  # over TLS also what cannot be decrypted, and a certificate of ours that is not taken
            return None
        except ValueError as error:
            raise StreamError(f"a message of the configuration stream is longer than {LINE_LIMIT >> 20} MiB") from error
        if not line.endswith(b"\n"):
            return None
        try:
            message: _Envelope | Ask | Refused | Elsewhere = _message_decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise StreamError(f"a message of the configuration stream cannot be read: {error}; are both ends of one version?") from error
        return message

    async def _apply_in_order(self) -> None:
        while True:
            batch = await self._next()
            try:
                rejected = await self._apply(batch)
            except Exception as error:  # whatever a resource does to the runtime, the proxy goes on with what it has
                rejected = (Rejection("Batch", str(batch.revision), f"{type(error).__name__}: {error}"),)
            self._send(Ack(batch.revision, (*rejected, *self._unreadable.values())))
            del batch  # until the next one comes, which may be long

    async def _next(self) -> Batch:
        """A batch of one line or several."""
        resources: list[AnyResource] = []
        remove: tuple[Identity, ...] = ()
        first = await self._batches.get()
        if first.snapshot:
            self._unreadable.clear()
        envelope = first
        while True:
            if envelope.revision != first.revision:
                raise StreamError(f"the lines of revision {first.revision} end with one of revision {envelope.revision}")
            remove += envelope.remove
            await self._decode(envelope, resources)
            if not envelope.more:
                return Batch(first.revision, tuple(resources), remove, first.snapshot)
            envelope = await self._batches.get()

    async def _decode(self, envelope: _Envelope, resources: list[AnyResource]) -> None:
        """Appends the resources of a line."""
        for identity in envelope.remove:
            self._unreadable.pop(identity, None)
        for number, raw in enumerate(envelope.set, start=1):
            try:
                resource: AnyResource = _resource_decoder.decode(raw)
            except msgspec.MsgspecError as error:
                kind, key = _named(raw)
                self._unreadable[kind, key] = Rejection(kind, key, f"this proxy cannot read it: {error}")
            else:
                share_names(resource)
                self._unreadable.pop(resource.identity, None)
                resources.append(resource)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    async def _answer(self, ask: Ask) -> None:
        try:
            body = await self._reply(ask)
        except Exception as error:  # the asker gets the failure; the stream goes on
            body = msgspec.Raw(msgspec.json.encode({"error": f"{type(error).__name__}: {error}"}))
        self._send(Answer(ask.number, body))

    def _send(self, message: AnyMessage) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))
