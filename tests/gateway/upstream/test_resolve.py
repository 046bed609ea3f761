"""Answers of DNS over time: when they are asked for again, what is kept, and how much of it. What DNS itself may do is in tests/faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event
from typing import Any, cast

import pytest

from gateway.upstream import resolve
from gateway.upstream.resolve import FAILED, FRESH, MOST_NAMES, MOST_QUESTIONS, OLD, Resolver
from tests.running import run


class Clock:
    """The running loop, at a time that the test sets."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Names:
    """A LookUp: answers from a table, OSError for what is not in it; keeps what it was asked."""

    def __init__(self, **answers: tuple[str, ...]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        if name not in self.answers:
            raise OSError(f"{name} is not known")
        return self.answers[name]


def resolver(names: Callable[[str], tuple[str, ...]]) -> tuple[Resolver, Clock]:
    clock = Clock()
    return Resolver(cast(asyncio.AbstractEventLoop, clock), names), clock


async def answered(resolver: Resolver) -> None:
    """Returns when nothing is asked any more."""
    while resolver._asking:
        await asyncio.gather(*resolver._asking.values(), return_exceptions=True)


def test_addresses_are_not_asked_for() -> None:
    """They are their own answer, in both families."""

    async def test() -> None:
        names = Names()
        found, _ = resolver(names)
        assert [await found.address(address) for address in ("192.0.2.1", "2001:db8::1")] == ["192.0.2.1", "2001:db8::1"]
        assert names.asked == []

    run(test)


def test_addresses_take_turns() -> None:
    """Of several answers each in its turn, asked for once."""

    async def test() -> None:
        names = Names(a=("192.0.2.1", "192.0.2.2"))
        found, _ = resolver(names)
        assert [await found.address("a") for _ in range(3)] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
        assert names.asked == ["a"]

    run(test)


def test_an_answer_that_is_not_fresh_serves_while_the_next_is_asked_for() -> None:
    """Nobody waits for DNS who has an answer; what comes holds for those after."""

    async def test() -> None:
        names = Names(a=("192.0.2.1",))
        found, clock = resolver(names)
        await found.address("a")
        names.answers["a"] = ("192.0.2.9",)
        clock.now += FRESH + 0.1
        assert await found.address("a") == "192.0.2.1"
        await answered(found)
        assert await found.address("a") == "192.0.2.9"
        assert names.asked == ["a", "a"]

    run(test)


def test_an_old_answer_is_asked_for_before_it_is_used() -> None:
    """After a pause the address may be another's: the new answer is waited for. When DNS fails, the last good one serves."""

    async def test() -> None:
        names = Names(a=("192.0.2.1",))
        found, clock = resolver(names)
        await found.address("a")
        names.answers["a"] = ("192.0.2.9",)
        clock.now += OLD + 0.1
        assert await found.address("a") == "192.0.2.9"
        del names.answers["a"]
        clock.now += OLD + 0.1
        assert await found.address("a") == "192.0.2.9"
        assert names.asked == ["a"] * 3

    run(test)


def test_a_silent_server_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old answer is better than none."""
    monkeypatch.setattr(resolve, "PATIENCE", 0.01)
    silent = Event()

    async def test() -> None:
        names = Names(a=("192.0.2.1",))

        def look_up(name: str) -> tuple[str, ...]:
            if names.asked:
                silent.wait()
            return names(name)

        found, clock = resolver(look_up)
        await found.address("a")
        clock.now += OLD + 0.1
        assert await found.address("a") == "192.0.2.1"
        silent.set()
        await answered(found)

    run(test)


def test_a_failure_is_remembered_for_a_moment() -> None:
    """However many requests want a name that is not there, DNS is asked once a second; afterwards it is asked again."""

    async def test() -> None:
        names = Names()
        found, clock = resolver(names)
        for _ in range(5):
            with pytest.raises(OSError, match="a is not known"):
                await found.address("a")
        assert names.asked == ["a"]
        names.answers["a"] = ("192.0.2.1",)
        clock.now += FAILED + 0.1
        assert await found.address("a") == "192.0.2.1"

    run(test)


def test_many_who_want_one_name_ask_once() -> None:
    """Those that wait share the answer, and the failure."""

    async def test() -> None:
        names = Names(a=("192.0.2.1",))
        found, _ = resolver(names)
        assert await asyncio.gather(*[found.address("a") for _ in range(50)]) == ["192.0.2.1"] * 50
        failures = await asyncio.gather(*[found.address("b") for _ in range(50)], return_exceptions=True)
        assert {str(failure) for failure in failures} == {"b is not known"}
        assert names.asked == ["a", "b"]

    run(test)


def test_what_is_kept_is_bounded() -> None:
    """Names and failures: the first that was kept makes way."""

    async def test() -> None:
        names = Names(**{f"n{number}": ("192.0.2.1",) for number in range(MOST_NAMES + 5)})
        found, _ = resolver(names)
        await asyncio.gather(*[found.address(name) for name in names.answers])
        await asyncio.gather(*[found.address(f"missing-{number}") for number in range(MOST_NAMES + 5)], return_exceptions=True)
        assert len(found._answers) == len(found._failures) == MOST_NAMES

    run(test)


def test_questions_at_one_time_are_bounded() -> None:
    """Threads are not made without end; the questions beyond wait for one that ends."""

    async def test() -> None:
        asked: SimpleQueue[str] = SimpleQueue()
        answer = Event()

        def look_up(name: str) -> tuple[str, ...]:
            asked.put(name)
            answer.wait()
            return ("192.0.2.1",)

        found, _ = resolver(look_up)
        waiting = asyncio.gather(*[found.address(f"n{number}") for number in range(MOST_QUESTIONS + 10)])
        while asked.qsize() < MOST_QUESTIONS:  # noqa: ASYNC110  # threads tell nobody that they have begun
            await asyncio.sleep(0.001)
        assert found._questions.locked()
        answer.set()
        assert len(await waiting) == asked.qsize() == MOST_QUESTIONS + 10

    run(test)


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", "\N{SNOWMAN}" * 70 + ".test"])
def test_a_name_that_dns_cannot_have_is_a_failure(name: str) -> None:
    """RFC 1035 2.3.4: not an error of another kind, which nobody would take for a connection that does not come about."""
    with pytest.raises(OSError, match="no name that DNS can have"):
        resolve.system_addresses(name)


def test_the_other_addresses_stand_behind_the_next_one() -> None:
    """Resolver.addresses: for one who gets nowhere by the first; an address is its own only answer."""

    async def asked() -> None:
        found, _ = resolver(lambda name: ("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        assert await found.addresses("a.test") == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
        assert await found.addresses("a.test") == ("10.0.0.2", "10.0.0.3", "10.0.0.1")
        assert await found.addresses("10.0.0.9") == ("10.0.0.9",)

    asyncio.run(asked())


def test_who_looks_at_the_last_answer_has_an_old_one_asked_for_again() -> None:
    """Resolver.current: waits for nothing, and says nothing of a name that was never asked for."""
    answers = ["10.0.0.1"]

    async def asked() -> None:
        found, clock = resolver(lambda name: (answers[-1],))
        assert found.current("a.test") == ()
        assert found.current("10.0.0.9") == ("10.0.0.9",)
        await found.address("a.test")
        answers.append("10.0.0.2")
        assert found.current("a.test") == ("10.0.0.1",)
        assert not found._asking
        clock.now += FRESH + 1
        assert found.current("a.test") == ("10.0.0.1",)
        await answered(found)
        assert found.current("a.test") == ("10.0.0.2",)

    asyncio.run(asked())
