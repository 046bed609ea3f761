"""Clients and servers that people use: curl in front, nginx behind; bodies of any size (issue 3, Done when 2)."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.backends import LIMIT, Echo, Planned, closed_port
from tests.wire.conftest import Serve
from tests.wire.serving import Site, service

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CURL = shutil.which("curl")

pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed: make test-peers installs it")


def curl(site: Site, *arguments: str, data: bytes = b"") -> tuple[int, dict[str, list[str]], bytes]:
    """Status, fields and body that curl gets for example.com on the site."""
    host, port = site.address()
    command = [str(CURL), "--silent", "--show-error", "--max-time", str(LIMIT), "--resolve", f"example.com:{port}:{host}"]
    command += ["--write-out", "%{stderr}%{http_code} %{header_json}"]
    command += [argument.replace("@site", f"http://example.com:{port}") for argument in arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=True)
    status, _, fields = result.stderr.decode().partition(" ")
    return int(status), json.loads(fields), result.stdout


def test_curl_gets_a_page(serve: Serve, blue: Echo) -> None:
    """A plain request of curl, as `explain` says for the same URL."""
    site = serve(TO_BLUE)
    blue.plan(Planned(body=b"hello"))
    status, fields, body = curl(site, "@site/a?b=c")
    assert (status, body, fields["echo"]) == (200, b"hello", ["blue/0"])
    [portion] = site.explain("/a?b=c")["portions"]
    assert (portion["backend"], portion["forwarded"]["target"]) == ("default/blue:80", blue.requests[0].target)


def test_curl_follows_a_redirect(serve: Serve) -> None:
    """The Location leads curl to where the other rule serves."""
    site = serve("""
- matches: [{path: {value: /old}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
- backendRefs: [{name: blue, port: 80}]
""")
    port = site.address()[1]
    status, fields, _ = curl(site, "--location", "--connect-to", f"example.com:80:127.0.0.1:{port}", "@site/old/x")
    assert (status, fields["echo"]) == (200, ["blue/0"])


def test_curl_uploads_with_expect(serve: Serve, blue: Echo) -> None:
    """Expect: 100-continue is answered when the body is wanted (RFC 9110 10.1.1)."""
    data = bytes(range(256)) * 8_000
    assert curl(serve(TO_BLUE), "--data-binary", "@-", "--header", "Expect: 100-continue", "@site/", data=data)[0] == 200
    assert hashlib.sha256(blue.wait_for(1)[0].body).digest() == hashlib.sha256(data).digest()


def test_curl_uploads_in_chunks(serve: Serve, blue: Echo) -> None:
    """A body without a known length passes in chunks (RFC 9112 7.1)."""
    data = bytes(range(256)) * 8_000
    assert curl(serve(TO_BLUE), "--upload-file", "-", "@site/", data=data)[0] == 200
    assert blue.wait_for(1)[0].body == data
    assert blue.requests[0].value("transfer-encoding") == "chunked"


def test_curl_as_an_old_client(serve: Serve, blue: Echo) -> None:
    """HTTP/1.0 gets no chunks: a body of unknown length ends with the connection (RFC 9112 6.3)."""
    blue.plan(Planned(body=b"x" * 100_000, pieces=10))
    status, fields, body = curl(serve(TO_BLUE), "--http1.0", "@site/")
    assert (status, len(body)) == (200, 100_000)
    assert "transfer-encoding" not in fields


def test_a_response_in_chunks(serve: Serve, blue: Echo) -> None:
    """A response without a known length passes in chunks to HTTP/1.1 (RFC 9112 7.1)."""
    blue.plan(Planned(body=bytes(range(256)) * 1_000, pieces=20))
    answer = serve(TO_BLUE).ask()
    assert (answer.body, answer.headers["transfer-encoding"]) == (bytes(range(256)) * 1_000, "chunked")


def test_head_has_no_body(serve: Serve, blue: Echo) -> None:
    """HEAD gets the length of the body and not the body (RFC 9110 9.3.2)."""
    blue.plan(Planned(body=b"12345"))
    status, fields, body = curl(serve(TO_BLUE), "--head", "@site/")
    assert (status, fields["content-length"]) == (200, ["5"])
    assert b"12345" not in body


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts nginx with the given contents of `server`, its root in the folder `www`; gives its port."""
    if NGINX is None:
        pytest.skip("nginx is not installed: make test-peers installs it")
    running: list[subprocess.Popen[Any]] = []

    def start(server: str) -> int:
        port = closed_port()
        folder = tmp_path / "nginx"
        (folder / "www").mkdir(parents=True)
        configuration = folder / "nginx.conf"
        places = "".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration.write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log stderr error; events {{}}\n"
            f"http {{ access_log off; {places} server {{ listen 127.0.0.1:{port}; root {folder}/www; {server} }} }}\n"
        )
        process = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(configuration)], stderr=subprocess.PIPE)
        running.append(process)
        return port

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT)


def test_nginx_serves_a_large_file(serve: Serve, nginx: Callable[[str], int], tmp_path: Path) -> None:
    """20 MB pass whole, a range of them too, and a request that need not be answered again gets 304 (RFC 9110 14, 13.1)."""
    retry = "- retry: {attempts: 50, backoff: 20ms}\n  backendRefs: [{name: files, port: 80}]\n"  # it may still be starting
    port = nginx("")
    data = bytes(range(256)) * 80_000
    (tmp_path / "nginx" / "www" / "large").write_bytes(data)
    site = serve(retry, service("files", port))
    status, fields, body = curl(site, "@site/large")
    assert (status, hashlib.sha256(body).digest()) == (200, hashlib.sha256(data).digest())
    assert curl(site, "--range", "1000-1999", "@site/large")[::2] == (206, data[1000:2000])
    assert curl(site, "--header", f"If-None-Match: {fields['etag'][0]}", "@site/large")[::2] == (304, b"")
    answer = site.ask("/missing")
    assert (answer.status, answer.headers["server"].startswith("nginx")) == (404, True)


def test_nginx_takes_a_large_upload(serve: Serve, nginx: Callable[[str], int], tmp_path: Path) -> None:
    """A server that refuses a body before reading it all gives the client its answer (RFC 9112 9.6)."""
    retry = "- retry: {attempts: 50, backoff: 20ms}\n  backendRefs: [{name: files, port: 80}]\n"
    site = serve(retry, service("files", nginx("client_max_body_size 1k;")))
    assert curl(site, "@site/")[0] in (403, 404)
    assert curl(site, "--data-binary", "@-", "--header", "Expect:", "@site/", data=b"x" * 5_000_000)[0] == 413
