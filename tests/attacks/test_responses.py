"""Every response row of the table: the backend's bytes come whole, byte by byte, and with a second answer behind them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.attacks.backend import Delivery, Link, Plan
from tests.attacks.client import Answer, Client
from tests.attacks.row import Failed, Relayed, get
from tests.attacks.stage import Stage
from tests.attacks.table import FAILED, RELAYED

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
NEXT = get(target=b"/next")


def name(row: Failed | Relayed) -> str:
    return row.name


def deliveries(row: Failed | Relayed) -> Sequence[Delivery]:
    """What comes behind an answer that is right, or cut, would be another row."""
    only_alone = isinstance(row, Relayed) or row.ends or row.surplus
    return ("whole", "byte by byte") if only_alone else ("whole", "byte by byte", "with more behind")


def plan(row: Failed | Relayed, delivery: Delivery) -> Plan:
    return Plan(row.answer + POISON if delivery == "with more behind" else row.answer, delivery, row.ends)


def links_to(stage: Stage, sent: bytes) -> list[Link]:
    """The connections on which the backend got this request."""
    line = b" ".join(sent.split(b" ")[:2]) + b" HTTP/1.1\r\n"
    return [link for link in stage.backend.links if line in link.received]


async def ask(stage: Stage, client: Client, row: Failed | Relayed, delivery: Delivery) -> Answer:
    stage.backend.plan = plan(row, delivery)
    await client.send([row.sent])
    return await client.answer(row.sent.partition(b" ")[0])


async def ask_next(stage: Stage, client: Client) -> tuple[Answer, Link]:
    """A second request on the same connection, and the backend's connection that it took."""
    stage.backend.plan = Plan()
    await client.send([NEXT])
    answer = await client.answer()
    [link] = links_to(stage, NEXT)
    return answer, link


@pytest.mark.parametrize("row", FAILED, ids=name)
def test_a_malformed_answer_is_not_passed_on(stage: Stage, row: Failed) -> None:
    """502, or a visible cut where the answer had begun; nothing of what is behind it reaches a client, neither now nor as the answer to
    the next request; the backend's connection is closed, and the reason logged (RFC 9112 6.3, 8, 9.2; design 7)."""
    for delivery in deliveries(row):
        stage.begin()
        exchanges = stage.run(fail(stage, row, delivery))
        lines = stage.logged(1 + exchanges)
        passed_on = row.surplus and delivery == "byte by byte"
        assert passed_on or lines[0]["reason"], delivery


async def fail(stage: Stage, row: Failed, delivery: Delivery) -> int:
    """How many exchanges followed that of the row."""
    with await stage.connect_client() as client:
        answer = await ask(stage, client, row, delivery)
        if row.surplus and delivery == "byte by byte":
            assert answer.complete, f"{delivery}: {answer}"
            assert answer.status == int(row.answer.split(b" ", 2)[1]), delivery
        elif row.late and not answer.complete:
            assert client.ended, delivery
        else:
            assert (answer.status, answer.complete) == (row.status, True), f"{delivery}: {answer}"
        assert b"poison" not in answer.body + client.received, delivery
        assert b"hacked" not in answer.body + client.received, delivery
        failed = links_to(stage, row.sent)
        assert failed, f"{delivery}: the backend was not asked"
        await stage.backend.wait_until(lambda: all(link.ended for link in failed), f"{delivery}: the backend's connection is closed")
        if client.ended or answer.closes:
            await stage.canary()
            return 1
        following, link = await ask_next(stage, client)
        assert (following.status, following.body, link in failed) == (200, b"ok", False), f"{delivery}: {following}"
    return 1


@pytest.mark.parametrize("row", RELAYED, ids=name)
def test_an_odd_answer_keeps_its_meaning(stage: Stage, row: Relayed) -> None:
    """Status, fields, body and interim answers of the row; the backend's connection serves again if it may (RFC 9112 4, 6.3, 9.3)."""
    for delivery in deliveries(row):
        stage.begin()
        stage.run(relay(stage, row, delivery))
        stage.logged(2)


async def relay(stage: Stage, row: Relayed, delivery: Delivery) -> None:
    with await stage.connect_client() as client:
        answer = await ask(stage, client, row, delivery)
        assert (answer.status, answer.body, answer.complete) == (row.status, row.body, True), f"{delivery}: {answer}"
        assert answer.informational == row.informational, delivery
        for field in dict.fromkeys(field for field, _ in row.fields):
            assert answer.values(field) == [value for other, value in row.fields if other == field], f"{delivery}: {field!r}"
        assert not {field for field, _ in answer.fields} & set(row.absent), delivery
        [asked] = links_to(stage, row.sent)
        following, link = await ask_next(stage, client)
        assert (following.status, following.body) == (200, b"ok"), f"{delivery}: {following}"
        assert (link is asked) == row.kept, f"{delivery}: the backend's connection served again: {link is asked}"
        if not row.kept:
            await stage.backend.wait_until(lambda: asked.ended, f"{delivery}: the backend's connection is closed")
