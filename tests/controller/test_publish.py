"""The server end of the stream, over real Unix sockets, against our own client end and against misbehaving ones."""

from __future__ import annotations

import asyncio
import socket
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import publish
from controller.publish import Publisher, Standing
from gateway.ir import batch
from gateway.ir.backend import Backend
from gateway.ir.batch import PART, Ack, Answer, AnyResource, Ask, Batch, Rejection, Report, Subscribe, encode
from gateway.ir.value import Identity, Source
from gateway.subscribe import LINE_LIMIT, Subscription
from tests.controller.subscribing import served
from tests.peer import Peer
from tests.running import run

SOURCE = Source("Service", "default", "s")


def backend(key: str, version: int = 0) -> Backend:
    return Backend(key=key, source=SOURCE, error=f"version {version}")


def publisher_with(*resources: AnyResource) -> tuple[Publisher, list[str]]:
    problems: list[str] = []
    publisher = Publisher(problems.append)
    if resources:
        publisher.publish(resources, ())
    return publisher, problems


def test_a_new_subscriber_gets_a_snapshot_then_differences() -> None:
    """Design 4: subscribe, snapshot, ack after the swap, then batches."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"), backend("c"))
        async with served(publisher) as peer:
            assert await peer.batch() == Batch(1, (backend("a"), backend("c")), snapshot=True)
            peer.send(Ack(1))
            await publisher.acknowledged(1)
            assert publisher.publish([backend("b")], [("Backend", "a")]) == 2
            assert await peer.batch() == Batch(2, (backend("b"),), (("Backend", "a"),))
            assert publisher.subscribers == (Standing("p", 1, silent=False),)

    run(test)


def test_a_report_says_what_stands_without_a_batch() -> None:
    """Issue 6: a port that has become free is learnt of when it has, not with the next change; the next acknowledgement replaces it."""

    async def test() -> None:
        moved = asyncio.Event()
        publisher = Publisher([].append, moved.set)
        publisher.publish([backend("a")], ())
        async with served(publisher) as peer:
            await peer.batch()
            peer.send(Ack(1, (Rejection("Listener", "l", "in use"),)))
            await publisher.acknowledged(1)
            moved.clear()
            peer.send(Report((Rejection("Listener", "m", "in use"),)))
            await moved.wait()
            assert publisher.rejections() == {("Listener", "m"): ("in use",)}
            assert publisher.applied == 1
            publisher.publish([backend("b")], ())
            await peer.batch()
            peer.send(Ack(2))
            await publisher.acknowledged(2)
            assert publisher.rejections() == {}

    run(test)


def test_nothing_is_sent_before_anything_is_known() -> None:
    """A worker that starts faster than the files are read must not become ready with an empty configuration."""

    async def test() -> None:
        publisher, _ = publisher_with()
        async with served(publisher) as peer:
            answering = asyncio.create_task(publisher.ask("time"))
            question = await peer.ask()
            peer.send(Answer(question.number))
            await answering
            publisher.publish((), ())
            assert await peer.batch() == Batch(1, snapshot=True)

    run(test)


def test_while_a_batch_is_unacknowledged_the_next_changes_coalesce() -> None:
    """Design 4: a batch goes out at once; while it is unacknowledged the next changes become one batch."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"), backend("b"), backend("c"))
        async with served(publisher) as peer:
            await peer.batch()
            for version in range(1, 50):
                publisher.publish([backend("a", version)], ())
            publisher.publish((), [("Backend", "b")])
            peer.send(Ack(1))
            assert await peer.batch() == Batch(51, (backend("a", 49),), (("Backend", "b"),))

    run(test)


def test_acknowledged_waits_for_every_subscriber_even_one_that_has_said_nothing() -> None:
    """Design 2: a batch is acknowledged when all live workers have swapped; a starting worker is live."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        waiting = asyncio.create_task(publisher.acknowledged(1))
        async with served(publisher, "one") as one, served(publisher, "") as silent:
            await one.batch()
            one.send(Ack(1))
            answering = asyncio.create_task(publisher.ask("time", timeout=0.01))
            await answering
            assert not waiting.done()
            silent.writer.close()
            await waiting

    run(test)


def test_no_subscriber_means_not_acknowledged() -> None:
    """Design 4: no proxy yet is Pending, not Programmed."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        waiting = asyncio.create_task(publisher.acknowledged(1))
        async with served(publisher) as peer:
            assert not waiting.done()
            await peer.batch()
            peer.send(Ack(1))
            await waiting

    run(test)


def test_a_later_acknowledgement_covers_an_earlier_revision() -> None:
    """Revisions that coalesced are acknowledged with the batch that carried them."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher) as peer:
            await peer.batch()
            second, third = publisher.publish([backend("b")], ()), publisher.publish([backend("c")], ())
            peer.send(Ack(1))
            await peer.batch()
            peer.send(Ack(third))
            await publisher.acknowledged(second)

    run(test)


def test_rejections_are_collected_by_identity_and_replaced_by_the_next_acknowledgement() -> None:
    """Design 4: ack{revision, rejected[]}; each acknowledgement carries all that stand, each reason counts once."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher, "one") as one, served(publisher, "two") as two:
            for peer, reason in ((one, "no"), (two, "no")):
                await peer.batch()
                peer.send(Ack(1, (Rejection("Backend", "a", reason), Rejection("Backend", "b", reason))))
            await publisher.acknowledged(1)
            assert publisher.rejections() == {("Backend", "a"): ("no",), ("Backend", "b"): ("no",)}
            revision = publisher.publish([backend("a", 2)], ())
            for peer in (one, two):
                await peer.batch()
                peer.send(Ack(revision))
            await publisher.acknowledged(revision)
            assert publisher.rejections() == {}

    run(test)


def test_who_could_not_apply_a_batch_gets_a_snapshot_with_the_next_change_and_not_before() -> None:
    """After a failure inside a batch nobody knows what the proxy holds; the same batch at once would fail again."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher) as peer:
            await peer.batch()
            peer.send(Ack(1, (Rejection("Batch", "1", "KeyError"),)))
            await publisher.acknowledged(1)
            assert publisher.rejections() == {("Batch", "1"): ("KeyError",)}
            publisher.publish([backend("b")], ())
            assert await peer.batch() == Batch(2, (backend("a"), backend("b")), snapshot=True)

    run(test)


def test_what_the_stream_does_not_carry_goes_first() -> None:
    """The parent's descriptors reach a worker before the batch that needs them."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        order: list[str] = []
        handed = asyncio.Event()

        async def before() -> None:
            await handed.wait()
            order.append("descriptors")

        async with served(publisher, before_batch=before) as peer:
            receiving = asyncio.create_task(peer.batch())
            await asyncio.sleep(0)
            publisher.publish([backend("b")], ())
            handed.set()
            assert (await receiving).revision == 2
            assert order == ["descriptors"]

    run(test)


def test_a_question_is_answered_by_all_who_are_there_and_by_name() -> None:
    """Statistics are the sum over all workers; one that does not answer in time, or dies, is left out."""

    async def test() -> None:
        publisher, problems = publisher_with(backend("a"))
        async with served(publisher, "one") as one, served(publisher, "two") as two, served(publisher, "dies") as dies, served(publisher):
            for peer in (one, two, dies):
                await peer.batch()
            asking = asyncio.create_task(publisher.ask("explain", b'{"url":"/"}', timeout=0.1))
            for number, peer in enumerate((one, two)):
                question = await peer.ask()
                assert (question.what, bytes(question.argument)) == ("explain", b'{"url":"/"}')
                peer.send(Answer(question.number, msgspec.Raw(b'{"n":%d}' % number)))
            dies.writer.close()
            answers = await asking
            assert {name: msgspec.json.decode(body) for name, body in answers.items()} == {"one": {"n": 0}, "two": {"n": 1}}
        assert problems == []

    run(test)


def test_the_first_answer_may_be_enough() -> None:
    """All workers have the same tables: an explanation does not wait for one that hangs."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher, "one") as one, served(publisher, "hangs"):
            await one.batch()
            asking = asyncio.create_task(publisher.ask("explain", timeout=1_000, first=True))
            one.send(Answer((await one.ask()).number))
            assert list(await asking) == ["one"]

    run(test)


def test_a_late_answer_is_no_offence() -> None:
    """A worker that was busy for longer than the question's timeout stays a subscriber."""

    async def test() -> None:
        publisher, problems = publisher_with(backend("a"))
        async with served(publisher) as peer:
            await peer.batch()
            assert await publisher.ask("time", timeout=0) == {}
            question = await peer.ask()
            peer.send(Answer(question.number), Ack(1))
            await publisher.acknowledged(1)
        assert problems == []

    run(test)


def test_a_subscriber_that_never_answers_is_not_asked_for_ever() -> None:
    """Questions to a hanging worker do not pile up in memory."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher) as peer:
            await peer.batch()
            for _ in range(100):
                await publisher.ask("time", timeout=0)
            peer.send(Ack(1))
            await publisher.acknowledged(1)
            publisher.publish([backend("b")], ())
            questions = 0
            while isinstance(await peer.receive(), Ask):
                questions += 1
            assert questions == 32

    run(test)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"nonsense\n", "cannot be read"),
        (b'{"type":"ack","revision":7}\n', "acknowledged revision 7"),
        (b'{"type":"answer","number":9}\n', "question 9"),
        (b'{"type":"batch","revision":1}\n', "only a server sends"),
        (b"x" * (64 << 10), "too long"),
    ],
)
def test_who_breaks_the_rules_is_cut_off_alone(sent: bytes, said: str) -> None:
    """Bad input harms only itself: the others go on, and the message names the culprit and the offence."""

    async def test() -> None:
        publisher, problems = publisher_with(backend("a"))
        async with served(publisher, "good") as good:
            ours, theirs = socket.socketpair()
            bad = Peer(*await asyncio.open_unix_connection(sock=theirs))
            bad.send(Subscribe("bad"))
            serving = publisher.serve(*await asyncio.open_unix_connection(sock=ours, limit=1024))
            bad.writer.write(sent)
            await serving
            bad.writer.close()
            await good.batch()
            good.send(Ack(1))
            await publisher.acknowledged(1)
            assert len(problems) == 1
            assert said in problems[0]
            assert problems[0].startswith("bad was cut off")
            assert [standing.name for standing in publisher.subscribers] == ["good"]

    run(test)


def test_a_batch_beyond_the_limit_is_not_sent_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber would cut the stream; instead it keeps what it has and a message says what to do."""

    async def test() -> None:
        publisher, problems = publisher_with(backend("a"))
        async with served(publisher) as peer:
            await peer.batch()
            monkeypatch.setattr(publish, "LINE_LIMIT", 100)
            publisher.publish([backend("a" * 100)], ())
            peer.send(Ack(1))
            await publisher.acknowledged(1)
            await publisher.ask("time", timeout=0)
            assert isinstance(await peer.receive(), Ask)
            assert len(problems) == 1
            assert "goes on with what it has" in problems[0]

    run(test)


def test_a_subscriber_that_does_not_read_costs_one_batch() -> None:
    """However much is published, at most one batch is written to a connection whose other end does not acknowledge."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        ours, theirs = socket.socketpair()
        theirs.sendall(encode(Subscribe("sleeps")))
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(publisher.serve(reader, writer))
            async with served(publisher, "reads") as peer:
                for version in range(200):
                    batch = await peer.batch()
                    peer.send(Ack(batch.revision))
                    publisher.publish([backend("x" * 10_000, version)], ())
            assert writer.transport.get_write_buffer_size() == 0
            received = theirs.recv(1 << 20)
            assert received.count(b"\n") == 1
            theirs.close()
            await serving

    run(test)


KEYS = st.sampled_from(["a", "b", "c", "d"])
Steps = list[tuple[frozenset[str], frozenset[str], int]]
STEPS = st.lists(st.tuples(st.frozensets(KEYS, max_size=2), st.frozensets(KEYS, max_size=2), st.integers(0, 3)), max_size=15)


class Follower:
    """Our own client end with a table for a runtime; each swap takes as many turns of the loop as the test says."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.held: dict[Identity, AnyResource] = {}

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if batch.snapshot:
            self.held.clear()
        for identity in batch.remove:
            self.held.pop(identity, None)
        self.held.update((resource.identity, resource) for resource in batch.set)
        return ()

    async def reply(self, ask: Ask) -> msgspec.Raw:
        return ask.argument

    async def run(self, connection: socket.socket, name: str) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_LIMIT)
        await Subscription(reader, writer, self.apply, self.reply).run(Subscribe(name))


@settings(max_examples=40, deadline=None)
@given(STEPS, st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from((1, 150, PART)))
def test_both_ends_together_leave_each_subscriber_with_what_is_current(steps: Steps, turns: list[int], part: int) -> None:
    """Any changes, in one line or many, fast and slow subscribers: once the last is acknowledged every one of them holds the same."""

    async def test() -> None:
        publisher, problems = publisher_with()
        followers = [Follower(number) for number in turns]
        connections: list[asyncio.StreamWriter] = []
        async with asyncio.TaskGroup() as tasks:
            for number, follower in enumerate(followers):
                ours, theirs = socket.socketpair()
                reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT)
                connections.append(writer)
                tasks.create_task(publisher.serve(reader, writer))
                tasks.create_task(follower.run(theirs, f"worker-{number}"))
            revision = publisher.publish((), ())
            for version, (put, removed, pause) in enumerate(steps):
                revision = publisher.publish([backend(key, version) for key in put], [("Backend", key) for key in removed])
                for _ in range(pause):
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            await publisher.acknowledged(revision)
            for follower in followers:
                assert follower.held == dict(publisher.resources)
            for connection in connections:
                connection.close()
        assert problems == []

    with patch.object(batch, "PART", part):
        run(test)


class Attendance:
    """A presence that a test sets."""

    def __init__(self, *, silent: bool = False, late: bool = False) -> None:
        self.silent, self.late = silent, late


async def stands(publisher: Publisher, number: int, revision: int) -> None:
    """Waits for the acknowledgement of one among several."""
    while publisher.subscribers[number].revision < revision:  # noqa: ASYNC110  # only those of all are told
        await asyncio.sleep(0)


def test_a_silent_subscriber_holds_nobody_up_until_it_speaks_again() -> None:
    """Design 2: a batch is acknowledged when all live ones have swapped; whoever waits is told at once that one fell silent."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        attendance = Attendance()
        async with served(publisher, "quick") as quick, served(publisher, "slow", presence=attendance) as slow:
            await quick.batch()
            await slow.batch()
            quick.send(Ack(1))
            waiting = asyncio.create_task(publisher.acknowledged(1))
            await stands(publisher, 0, 1)
            assert not waiting.done()
            attendance.silent = True
            publisher.reconsider()
            await waiting
            attendance.silent = False
            assert publisher.applied == 0
            slow.send(Ack(1))
            await publisher.acknowledged(1)

    run(test)


def test_a_silent_subscriber_is_asked_but_not_waited_for() -> None:
    """A page of the admin server comes at once, and one that drains later has been told to."""

    async def test() -> None:
        publisher, _ = publisher_with()
        async with served(publisher, "quick") as quick, served(publisher, "slow", presence=Attendance(silent=True)) as slow:
            answering = asyncio.create_task(publisher.ask("time", timeout=3_600))
            question = await quick.ask()
            quick.send(Answer(question.number))
            assert set(await answering) == {"quick"}
            assert await slow.ask() == question

    run(test)


def test_a_late_subscriber_counts_from_its_first_acknowledgement() -> None:
    """It takes the place of one that served, and no traffic before it has everything."""

    async def test() -> None:
        publisher, _ = publisher_with(backend("a"))
        async with served(publisher, "first") as first, served(publisher, "late", presence=Attendance(late=True)) as late:
            await first.batch()
            await late.batch()
            first.send(Ack(1))
            await publisher.acknowledged(1)
            late.send(Ack(1))
            await stands(publisher, 1, 1)
            publisher.publish([backend("b")], ())
            await first.batch()
            first.send(Ack(2))
            await stands(publisher, 0, 2)
            assert publisher.applied == 1

    run(test)
