"""What a session or early data could carry from one name or listener to another (CVE-2022-21654, CVE-2025-23419, reference 2.7)."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.attacks.backend import LIMIT
from tests.attacks.client import read_answer
from tests.attacks.row import get, hosted
from tests.attacks.stage import Stage
from tests.attacks.test_tls import alert_of
from tests.attacks.tls_row import ANY_NAME, ASKING, DEMANDING

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
Kept = tuple[int, bool, ssl.SSLSession | None]
"""Status, whether a session was resumed, and the session to go on with."""


def client(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def visit(stage: Stage, context: ssl.SSLContext, name: str, port: int = 443, session: ssl.SSLSession | None = None) -> Kept:
    """One request for the name; the answer comes behind the tickets of TLS 1.3."""
    with (
        socket.create_connection(stage.site.address(port), timeout=LIMIT) as connection,
        context.wrap_socket(connection, server_hostname=name, session=session) as secured,
    ):
        secured.sendall(hosted(name.encode()))
        received = b""
        while not (answer := read_answer(received, b"GET", ended=False)).complete:
            data = secured.recv(65_536)
            assert data, received
            received += data
        return answer.status, bool(secured.session_reused), secured.session


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("first", "second", "port"),
    [("a.example", "deep.wild.example", 443), ("x.wild.example", "deep.wild.example", 443), ("any.example", "a.example", ANY_NAME)],
)
def test_a_session_goes_on_under_no_other_name(tls_stage: Stage, version: ssl.TLSVersion, first: str, second: str, port: int) -> None:
    """It stands for the listener and the name of its first handshake: elsewhere the handshake is a whole one (RFC 6066 3)."""
    context = client(version)
    status, resumed, session = visit(tls_stage, context, first, port)
    assert (status, resumed) == (200, False)
    status, resumed, session = visit(tls_stage, context, first, port, session)
    assert (status, resumed) == (200, True)
    assert visit(tls_stage, context, second, 443, session)[:2] == (200, False)
    tls_stage.logged(3)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("port", [443, ANY_NAME, ASKING])
def test_a_session_of_an_open_listener_is_no_certificate(tls_stage: Stage, version: ssl.TLSVersion, port: int) -> None:
    """Where certificates are demanded nothing is resumed, and who shows none does not come in."""
    context = client(version)
    status, _, session = visit(tls_stage, context, "a.example", port)
    assert status == 200
    with pytest.raises(ssl.SSLError) as refused:
        visit(tls_stage, context, "a.example", DEMANDING, session)
    assert alert_of(refused.value) in ("certificate required", "handshake failure")
    tls_stage.run(tls_stage.canary())
    assert len(tls_stage.backend.requests) == 2
    tls_stage.logged(2)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_no_session_allows_early_data(tls_stage: Stage, tmp_path: Path) -> None:
    """Requests that anybody could send again are never taken: max_early_data_size is 0 (RFC 8446 8)."""
    host, port = tls_stage.site.address(443)
    kept = tmp_path / "session"
    place = ("-connect", f"{host}:{port}", "-servername", "a.example")
    command = ("openssl", "s_client", *place, "-sess_out", str(kept), "-ign_eof", "-tls1_3")
    subprocess.run(command, input=get(b"Connection: close"), capture_output=True, check=False, timeout=LIMIT)
    told = subprocess.run(("openssl", "sess_id", "-in", str(kept), "-noout", "-text"), capture_output=True, check=True, text=True)
    assert "Max Early Data: 0\n" in told.stdout
    tls_stage.logged(1)
