"""The client end of the stream, over a real Unix socket, against a server that speaks by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from gateway import subscribe
from gateway.ir.backend import Backend
from gateway.ir.batch import Ack, Answer, AnyMessage, Ask, Batch, Rejection, Subscribe, decode, encode, encode_in_parts
from gateway.ir.value import Source
from gateway.subscribe import StreamError, Subscription
from tests.running import run

SOURCE = Source("Service", "default", "s")


def backend(key: str) -> Backend:
    return Backend(key=key, source=SOURCE)


class Server:
    """The far end, and the client under test with a gate in its apply."""

    def __init__(self) -> None:
        self.applied: list[Batch] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.subscription: Subscription
        self.client: asyncio.StreamReader
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.applied.append(batch)
        return (Rejection("HttpRule", "r", "no"),) if batch.revision == 13 else ()

    async def reply(self, ask: Ask) -> msgspec.Raw:
        if ask.what == "wait":
            await self.gate.wait()
        if ask.what == "fail":
            raise ValueError("no such question")
        if ask.what == "finish":
            self.subscription.finish()
        return ask.argument

    def send(self, *messages: AnyMessage) -> None:
        self.writer.write(b"".join(map(encode, messages)))

    async def receive(self) -> AnyMessage:
        return decode(await self.reader.readuntil(b"\n"))


@asynccontextmanager
async def stream(limit: int = 1 << 20) -> AsyncIterator[Server]:
    """Ends the stream and expects the client to end too."""
    ours, theirs = socket.socketpair()
    server = Server()
    server.reader, server.writer = await asyncio.open_unix_connection(sock=ours)
    server.client, writer = await asyncio.open_unix_connection(sock=theirs, limit=limit)
    server.subscription = Subscription(server.client, writer, server.apply, server.reply)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.subscription.run(Subscribe("worker-0")))
        assert await server.receive() == Subscribe("worker-0")
        try:
            yield server
        finally:
            server.writer.close()


def test_a_batch_is_acknowledged_after_the_swap() -> None:
    """Design 4: ack{revision, rejected[]} after the swap, not when the batch arrives."""

    async def test() -> None:
        async with stream() as server:
            server.gate.clear()
            server.send(Batch(13, (backend("a"),)), Ask(1, "echo"))
            assert await server.receive() == Answer(1)
            assert server.applied == []
            server.gate.set()
            assert await server.receive() == Ack(13, (Rejection("HttpRule", "r", "no"),))
            assert server.applied == [Batch(13, (backend("a"),))]

    run(test)


def test_batches_are_applied_in_order_one_at_a_time() -> None:
    """The runtime never sees a second batch before it has returned from the first."""

    async def test() -> None:
        async with stream() as server:
            server.send(Batch(1), Batch(2), Batch(3))
            assert [await server.receive() for _ in range(3)] == [Ack(1), Ack(2), Ack(3)]
            assert [batch.revision for batch in server.applied] == [1, 2, 3]

    run(test)


def test_questions_are_answered_beside_each_other() -> None:
    """A question that takes long (drain) holds up neither batches nor other questions; each answer carries its number."""

    async def test() -> None:
        async with stream() as server:
            server.gate.clear()
            server.send(Ask(1, "wait", msgspec.Raw(b"1")), Ask(2, "echo", msgspec.Raw(b'{"a":[]}')))
            answer = await server.receive()
            assert isinstance(answer, Answer)
            assert (answer.number, bytes(answer.body)) == (2, b'{"a":[]}')
            server.gate.set()
            answer = await server.receive()
            assert isinstance(answer, Answer)
            assert (answer.number, bytes(answer.body)) == (1, b"1")

    run(test)


def test_a_question_that_fails_is_answered_with_the_failure() -> None:
    """The asker learns why; the stream goes on."""

    async def test() -> None:
        async with stream() as server:
            server.send(Ask(1, "fail"), Batch(1))
            answer = await server.receive()
            assert isinstance(answer, Answer)
            assert msgspec.json.decode(answer.body) == {"error": "ValueError: no such question"}
            assert await server.receive() == Ack(1)

    run(test)


def test_a_crash_of_apply_is_a_rejection_and_never_the_end() -> None:
    """Issue 3: nothing ends the process; the acknowledgement says that the whole batch was not built, and why."""

    async def test() -> None:
        async with stream() as server:
            server.failure = KeyError("surprise")
            server.send(Batch(1))
            assert await server.receive() == Ack(1, (Rejection("Batch", "1", "KeyError: 'surprise'"),))
            server.failure = None
            server.send(Batch(2))
            assert await server.receive() == Ack(2)

    run(test)


def test_a_resource_that_cannot_be_decoded_is_rejected_alone_until_it_is_replaced() -> None:
    """Bad input harms only itself: a newer controller's kind or field takes nothing else with it."""

    async def test() -> None:
        async with stream() as server:
            good = msgspec.json.encode(backend("good")).decode()
            server.writer.write(f'{{"type":"batch","revision":1,"set":[{{"kind":"Future","key":"f"}},{good},7]}}\n'.encode())
            ack = await server.receive()
            assert isinstance(ack, Ack)
            assert [(rejection.kind, rejection.key) for rejection in ack.rejected] == [("Future", "f"), ("", "")]
            assert "this proxy cannot read it" in ack.rejected[0].reason
            assert server.applied == [Batch(1, (backend("good"),))]
            server.send(Batch(2, remove=(("Future", "f"),)))
            ack = await server.receive()
            assert isinstance(ack, Ack)
            assert len(ack.rejected) == 1
            server.send(Batch(3, snapshot=True))
            assert await server.receive() == Ack(3)

    run(test)


def test_a_large_batch_is_decoded_in_slices() -> None:
    """Design 6.8: no request waits for a batch; a question is answered while the batch is still being decoded."""

    async def test() -> None:
        async with stream(limit=64 << 20) as server:
            batch = Batch(1, tuple(backend(str(number)) for number in range(20_000)))
            server.send(batch, Ask(1, "echo"))
            assert await server.receive() == Answer(1)
            assert await server.receive() == Ack(1)
            assert server.applied == [batch]

    run(test)


def test_a_batch_in_several_lines_is_one_batch() -> None:
    """Design 4: one change is applied in one step, however many lines it takes; questions may stand between them."""

    async def test() -> None:
        async with stream() as server:
            whole = Batch(1, tuple(backend(str(number) * 40_000) for number in range(9)), (("Backend", "gone"),), snapshot=True)
            lines = encode_in_parts(whole)
            assert len(lines) == 3
            for number, line in enumerate(lines):
                server.send(Ask(number, "echo"))
                assert await server.receive() == Answer(number)
                assert server.applied == []
                server.writer.write(line)
            assert await server.receive() == Ack(1)
            assert server.applied == [whole]

    run(test)


def test_a_stream_that_ends_inside_a_batch_has_applied_nothing_of_it() -> None:
    """Half a change is no change."""

    async def test() -> None:
        async with stream() as server:
            server.writer.write(encode_in_parts(Batch(1, tuple(backend(str(number) * 100_000) for number in range(3))))[0])
        assert server.applied == []

    run(test)


def test_lines_of_two_revisions_are_no_batch() -> None:
    """A server that mixes them up is not believed."""

    async def serve() -> None:
        async with stream() as server:
            server.send(Batch(1, more=True), Batch(2))
            await server.reader.read()

    async def test() -> None:
        with pytest.raises(ExceptionGroup) as group:
            await serve()
        assert group.group_contains(StreamError, match="end with one of revision 2")

    run(test)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"nonsense\n", "cannot be read"),
        (b'{"type":"ack","revision":7}\n', "cannot be read"),
        (b"\xff" * 5_000 + b"\n", "longer than"),
    ],
)
def test_what_is_not_our_stream_ends_it_with_a_reason(sent: bytes, said: str) -> None:
    """A message that is no message, or longer than the limit, is an error that says so."""

    async def serve() -> None:
        async with stream(limit=1_000) as server:
            server.writer.write(sent)
            with contextlib.suppress(asyncio.IncompleteReadError):
                await server.receive()

    async def test() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            await serve()
        assert raised.group_contains(StreamError, match=said)

    run(test)


def test_the_limit_is_64_mib() -> None:
    """A message is at most 64 MiB."""
    assert subscribe.LINE_LIMIT == 64 * 1024 * 1024


def test_a_stream_that_ends_inside_a_message_has_ended() -> None:
    """The server died while it wrote: nothing of the torn message is applied."""

    async def test() -> None:
        async with stream() as server:
            server.writer.write(encode(Batch(1)) + encode(Batch(2))[:-5])
            assert await server.receive() == Ack(1)
        assert [batch.revision for batch in server.applied] == [1]

    run(test)


def test_the_end_waits_for_questions_under_way_but_not_for_a_batch() -> None:
    """A drain goes on when the parent dies meanwhile; a swap that nobody waits for does not happen."""

    async def test() -> None:
        async with stream() as server:
            server.send(Batch(1))
            await server.receive()
            server.gate.clear()
            server.send(Ask(1, "wait"), Batch(2), Ask(2, "echo"))
            assert await server.receive() == Answer(2)
            server.writer.write_eof()
            while not server.client.at_eof():  # noqa: ASYNC110  # the reader has no event for it
                await asyncio.sleep(0)
            server.gate.set()
            assert await server.receive() == Answer(1)
            assert await server.reader.read() == b""

    run(test)


def test_finish_answers_first() -> None:
    """The worker's farewell: the answer to the question that ended it still arrives."""

    async def test() -> None:
        async with stream() as server:
            server.send(Ask(1, "finish", msgspec.Raw(b'"bye"')))
            answer = await server.receive()
            assert isinstance(answer, Answer)
            assert bytes(answer.body) == b'"bye"'
            assert await server.reader.read() == b""

    run(test)
