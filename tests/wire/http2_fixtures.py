"""Fixtures of HTTP/2 and gRPC, which tests/wire/conftest.py takes over: each makes peers that end with their test.

    http2_echo("name", tls=..., settings=...)     a backend of the h2 library, see `http2_backends.Http2Echo`
    nghttpd({"index.html": b"hello"}, pair)       nghttpd with these files
    grpc_echo("name", pair=...)                   a gRPC server, see `grpc_peers.GrpcEcho`
    http2_client(address, tls=...)                a connection of the h2 library, see `http2_clients.Http2Client`
    grpc_client(address, authority=...)           a gRPC channel, see `grpc_peers.GrpcClient`

`http2_clients` has httpx, curl and nghttp besides, `http2_backends.http2_service` the objects of such a backend:

    def test_a_backend_of_h2c_is_asked_over_http2(serve, http2_echo):
        two = http2_echo("two")
        site = serve(http2_service("two", two.port), "- backendRefs: [{name: two, port: 80}]")
        site.join(two)
        assert site.ask("/a").request.target == "/a"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Pair
from tests.wire.grpc_peers import GrpcClient, GrpcEcho
from tests.wire.http2_backends import NGHTTPD, Http2Echo, Nghttpd
from tests.wire.http2_clients import CURL, NGHTTP, Address, Http2Client

with_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed: `make test-peers` installs it")
"""Marks of tests with these commands."""
with_nghttp = pytest.mark.skipif(NGHTTP is None, reason="nghttp is not installed: `make test-peers` installs it")


@pytest.fixture
def http2_echo() -> Iterator[Callable[..., Http2Echo]]:
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(closing(Http2Echo(name, **options)))


@pytest.fixture
def nghttpd(tmp_path: Path) -> Iterator[Callable[..., Nghttpd]]:
    if NGHTTPD is None:
        pytest.skip("nghttpd is not installed: `make test-peers` installs it")
    with ExitStack() as stack:
        made = 0

        def make(files: Mapping[str, bytes], pair: Pair | None = None) -> Nghttpd:
            nonlocal made
            folder = tmp_path / f"nghttpd-{made}" / "files"
            folder.mkdir(parents=True)
            made += 1
            for name, content in files.items():
                (folder / name).write_bytes(content)
            return stack.enter_context(closing(Nghttpd(folder, pair)))

        yield make


@pytest.fixture
def grpc_echo() -> Iterator[Callable[..., GrpcEcho]]:
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(closing(GrpcEcho(name, **options)))


@pytest.fixture
def http2_client() -> Iterator[Callable[..., Http2Client]]:
    with ExitStack() as stack:

        def make(address: Address, **options: Any) -> Http2Client:
            return stack.enter_context(Http2Client(address, **options))

        yield make


@pytest.fixture
def grpc_client() -> Iterator[Callable[..., GrpcClient]]:
    with ExitStack() as stack:

        def make(address: Address, **options: Any) -> GrpcClient:
            return stack.enter_context(GrpcClient(address, **options))

        yield make
