"""A publisher for each Gateway, whose proxies answer: scopes come and go, and silence is not waited for."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from controller import heartbeats
from controller.crowd import Crowd, Seldom
from controller.heartbeats import LOST, SILENCE, Heartbeat
from controller.publish import Publisher
from controller.publishers import Publishers
from gateway.ir.backend import EndpointSet
from gateway.ir.batch import Ack, Answer, Ask, decode
from tests.controller.streaming import SOURCE, controller, gateway
from tests.controller.subscribing import served
from tests.running import run


def test_a_scope_is_there_from_its_gateway_on() -> None:
    """Even one without listeners: its proxies get a first batch and are ready."""
    publishers = Publishers(lambda problem: None)
    assert publishers.publish((gateway("a/one"), EndpointSet("unused", SOURCE)), ()) == {"a/one": 1}
    publisher = publishers.publisher("a/one")
    assert publisher is not None
    assert set(publisher.resources) == {("Gateway", "a/one")}
    assert publishers.publisher("a/two") is None


def test_revisions_are_those_of_each_scope() -> None:
    """A change of one Gateway leaves the others where they are."""
    publishers = Publishers(lambda problem: None)
    publishers.publish((gateway("a/one"), gateway("a/two")), ())
    assert publishers.publish((gateway("a/one", "c"),), ()) == {"a/one": 2}
    assert publishers.publish((EndpointSet("unused", SOURCE),), ()) == {}
    assert publishers.publish((), [("Gateway", "a/one")]) == {}
    assert list(publishers) == ["a/two"]


def test_a_scope_that_is_gone_is_remembered_until_it_comes_back_or_many_others_went() -> None:
    """One that never was is not gone; and memory does not grow with every Gateway that ever was."""
    publishers = Publishers(lambda problem: None)
    publishers.publish((gateway("a/one"), gateway("a/two")), ())
    assert not publishers.is_gone("a/one")
    publishers.publish((), [("Gateway", "a/one"), ("Gateway", "a/two")])
    assert publishers.is_gone("a/one")
    assert not publishers.is_gone("a/three")
    publishers.publish((gateway("a/one"),), ())
    assert not publishers.is_gone("a/one")
    many = [gateway(f"a/{number}") for number in range(1_000)]
    publishers.publish(many, ())
    publishers.publish((), [found.identity for found in many])
    assert publishers.is_gone("a/999")
    assert not publishers.is_gone("a/two")


def test_who_asks_for_a_scope_too_early_waits_for_it() -> None:
    """And gets None when the time is over."""

    async def test() -> None:
        publishers = Publishers(lambda problem: None)
        assert await publishers.opened("a/one", 0) is None
        waiting = asyncio.create_task(publishers.opened("a/one", 30))
        await asyncio.sleep(0)
        publishers.publish((gateway("a/two"),), ())
        await asyncio.sleep(0)
        assert not waiting.done()
        publishers.publish((gateway("a/one"),), ())
        assert await waiting is publishers.publisher("a/one")

    run(test)


def test_progress_names_the_gateway() -> None:
    """Whoever writes a status knows whose proxies have moved."""
    moved: list[str] = []
    publishers = Publishers(lambda problem: None, moved.append)
    publishers.publish((gateway("shop/web"),), ())
    publisher = publishers.publisher("shop/web")
    assert publisher is not None
    publisher.reconsider()
    assert moved == ["shop/web"]


def test_who_has_told_something_early_waits_for_the_proxies_of_its_scopes() -> None:
    """Until they have it in place, or the time is over; where there are none, not at all."""

    async def test() -> None:
        publishers = Publishers(lambda problem: None)
        revisions = publishers.publish((gateway("a/one"), gateway("a/two")), ())
        await publishers.acknowledged({**revisions, "a/gone": 7}, 30)
        publisher = publishers.publisher("a/one")
        assert publisher is not None
        async with served(publisher, "proxy") as proxy:
            await publishers.acknowledged(revisions, 0.0)
            waiting = asyncio.create_task(publishers.acknowledged(revisions, 30))
            await proxy.batch()
            assert not waiting.done()
            proxy.send(Ack(1))
            await waiting

    run(test)


def test_silence_is_told_and_a_word_ends_it() -> None:
    """5 s without a word: not waited for; any word: waited for again; a minute: given up."""
    moved: list[None] = []
    aborted: list[None] = []
    publisher = Publisher(lambda problem: None, lambda: moved.append(None))
    heartbeat = Heartbeat(publisher, lambda: aborted.append(None), 100.0)
    heartbeat.judge(100 + SILENCE)
    assert (heartbeat.silent, len(moved)) == (False, 0)
    heartbeat.judge(100.1 + SILENCE)
    heartbeat.judge(101 + SILENCE)
    assert (heartbeat.silent, len(moved)) == (True, 1)
    heartbeat.heard(110.0)
    assert (heartbeat.silent, len(moved)) == (False, 2)
    heartbeat.judge(110 + LOST)
    assert not aborted
    heartbeat.judge(110.1 + LOST)
    assert len(aborted) == 1


def test_whoever_joins_others_is_not_waited_for_at_first() -> None:
    """A Pod more does not make unready what the others have in place."""
    publisher = Publisher(lambda problem: None)
    assert not Heartbeat(publisher, lambda: None, 0.0).late
    with patch.object(Publisher, "applied", 3):
        assert Heartbeat(publisher, lambda: None, 0.0).late


def test_every_subscriber_is_asked_for_the_time() -> None:
    """Once each INTERVAL; the answers count, and so does whatever else it says."""

    async def test() -> None:
        with patch.object(heartbeats, "INTERVAL", 0.01):
            async with controller() as running:
                running.publish(gateway("shop/web"))
                peer = await running.dial(running.issue(("shop", "web-tidegate")))
                await peer.subscribed("shop/web")
                for _ in range(3):
                    question = decode(await peer.reader.readuntil(b"\n"))
                    assert isinstance(question, Ask)
                    assert question.what == "time"
                    peer.send(Answer(question.number))
                await peer.close()

    run(test)


def test_a_crowd_counts_by_address_and_in_all() -> None:
    """And forgets who has left."""
    crowd = Crowd(3, 2)
    with crowd.one_from("a"), crowd.one_from("a"):
        assert crowd.is_full("a")
        assert not crowd.is_full("b")
        with crowd.one_from("b"):
            assert crowd.is_full("c")
    assert not crowd.is_full("a")
    assert not crowd._by_address


def test_problems_are_told_seldom_and_counted() -> None:
    """A log cannot be filled by strangers."""
    told: list[str] = []
    now = [0.0]
    seldom = Seldom(told.append, lambda: now[0])
    for text in "abc":
        seldom(text)
    now[0] = 1.0
    seldom("d")
    now[0] = 2.0
    seldom("e")
    assert told == ["a", "d (and 2 others before it)", "e"]
