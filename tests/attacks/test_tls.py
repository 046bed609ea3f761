"""Every row about TLS, through real sockets: what is no ClientHello, who may not come in, and what may not be asked there."""

from __future__ import annotations

import os
import re
import socket
import ssl
from pathlib import Path

import pytest

from tests.attacks.backend import LIMIT, Delivery, pieces_of
from tests.attacks.certificates import clients
from tests.attacks.client import read_answer
from tests.attacks.row import get
from tests.attacks.rows.greetings import GREETINGS
from tests.attacks.rows.visits import ATTACKS, LEGAL
from tests.attacks.stage import Stage, served_requests
from tests.attacks.tls_row import SHOWN, Greeting, Visit, number

DELIVERIES: tuple[Delivery, ...] = ("whole", "byte by byte", "with more behind")
Outcome = tuple[str, int]
"""Alert and status; ('', 0) for the end of the connection without either."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Files with the certificate and key of each client."""
    folder = tmp_path_factory.mktemp("clients")
    return {sort: pair.write(folder, str(number)) for number, (sort, pair) in enumerate(clients().items())}


def name(row: Greeting | Visit) -> str:
    return row.name


def test_every_row_is_another_one() -> None:
    """No name and no bytes twice; each names what demands its verdict."""
    greetings = {(row.sent, row.ends) for row in GREETINGS}
    visits = {(row.server_name, row.sent, row.port, row.shows, row.version, row.alpn, row.plain) for row in (*ATTACKS, *LEGAL)}
    assert (len(greetings), len(visits)) == (len(GREETINGS), len(ATTACKS) + len(LEGAL))
    rows: tuple[Greeting | Visit, ...] = (*GREETINGS, *ATTACKS, *LEGAL)
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.source for row in rows)


@pytest.mark.parametrize("row", GREETINGS, ids=name)
def test_what_is_no_good_hello_ends_the_connection(tls_stage: Stage, row: Greeting) -> None:
    """With the alert of the row, or an answer in the client's own protocol, or in silence; nothing is forwarded, and the gateway serves
    others as before (RFC 8446 6.2)."""
    for delivery in DELIVERIES[: 2 if row.ends else 3]:
        tls_stage.begin()
        received = tls_stage.run(greet(tls_stage, row, delivery))
        if row.alert:
            assert (received[:1], received[3:]) == (b"\x15", bytes((0, 2, 2, number(row.alert)))), f"{delivery}: {received!r}"
        else:
            assert received.startswith(row.answer), delivery
            assert bool(received) == bool(row.answer), f"{delivery}: {received!r}"
        assert not served_requests(tls_stage.backend), delivery
        tls_stage.logged(1)


async def greet(stage: Stage, row: Greeting, delivery: Delivery) -> bytes:
    with await stage.connect_client(443) as client:
        await client.send(pieces_of(row.sent + get() if delivery == "with more behind" else row.sent, delivery))
        if row.ends:
            client.end()
        received = await client.read()
    await stage.canary()
    return received


@pytest.mark.parametrize("row", [*ATTACKS, *LEGAL], ids=name)
def test_a_visit_ends_as_its_row_says(tls_stage: Stage, row: Visit, shown: dict[str, tuple[Path, Path]]) -> None:
    """The alert or the status of the row. A backend sees nothing of what is not served, and is told of a certificate only where that was
    verified (reference 2.7)."""
    tls_stage.begin()
    outcome = visit(tls_stage, row, shown)
    assert outcome == (row.alert, row.status)
    tls_stage.run(tls_stage.canary())
    lines = tls_stage.logged(1 + bool(row.status))
    requests = served_requests(tls_stage.backend)
    if row.status == 200:
        [request] = requests
        told = request.values(b"x-forwarded-client-cert")
        assert len(told) == row.identity, told
        assert not any(b"forged" in value or b"spiffe" in value for value in told)
        assert lines[0]["peer"] is not None if row.identity else lines[0]["peer"] is None
    else:
        assert not requests
        assert not row.status or lines[0]["reason"]


def context(row: Visit, shown: dict[str, tuple[Path, Path]]) -> ssl.SSLContext:
    """Of a client that takes any certificate: what it thinks of ours is not the matter."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("DEFAULT:@SECLEVEL=0")  # what is weak is for the gateway to refuse
    if row.version:
        made.minimum_version = made.maximum_version = SHOWN[row.version]
    if row.alpn:
        made.set_alpn_protocols(list(row.alpn))
    if row.shows:
        made.load_cert_chain(*shown[row.shows])
    return made


def visit(stage: Stage, row: Visit, shown: dict[str, tuple[Path, Path]]) -> Outcome:
    with socket.create_connection(stage.site.address(row.port), timeout=LIMIT) as connection:
        try:
            with context(row, shown).wrap_socket(connection, server_hostname=row.server_name) as secured:
                return ask(secured, row)
        except ssl.SSLError as error:
            return alert_of(error), 0
        except ConnectionResetError:
            return "", 0


def ask(secured: ssl.SSLSocket, row: Visit) -> Outcome:
    secured.sendall(row.sent)
    if row.plain:
        os.write(secured.fileno(), row.plain)
    received = b""
    while data := secured.recv(65_536):
        received += data
        answer = read_answer(received, b"GET", ended=False)
        if answer.complete:
            return "", answer.status
    assert not received, received
    return "", 0


def alert_of(error: ssl.SSLError) -> str:
    """The alert that came; '' for an error of another kind, such as an end without a close_notify."""
    found = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z0-9_]+)", error.reason or "")
    return found[1].lower().replace("_", " ") if found else ""
