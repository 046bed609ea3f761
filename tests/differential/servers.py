"""Real servers and proxies that read what our gateway forwards. Each answers `METHOD BODY-IN-HEX` to what it takes for a request.

They listen on Unix sockets where they can, so no port is ever taken twice. A proxy stands in front of uvicorn, and so tells what it
passed on. What was started is ended in a `finally`: one server left open holds the loop for ever when that is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

ROOT: Final = Path(__file__).parents[2]
LIMIT: Final = 30.0
"""Seconds for a peer to take its first connection; reached only when it never does."""
APACHE_MODULES: Final = Path("/usr/lib/apache2/modules")
_SILENT: Final = logging.getLogger("tests.differential.servers")
_SILENT.setLevel(logging.CRITICAL + 1)
Message = MutableMapping[str, Any]
Address = Path | tuple[str, int]
"""Of a Unix socket, or host and port."""
Serving = AbstractAsyncContextManager[Address]


class NotInstalled(Exception):
    """Names the program or package."""


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)


async def _application(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = f"{scope['method']} {body.hex()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(said)).encode())]})
    await send({"type": "http.response.body", "body": said})


@asynccontextmanager
async def _uvicorn(folder: Path) -> AsyncIterator[Path]:
    path = folder / "uvicorn.sock"
    config = uvicorn.Config(
        _application, uds=str(path), http="h11", ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )  # fmt: skip
    server = uvicorn.Server(config)
    running = asyncio.get_running_loop().create_task(server.serve())
    try:
        await _connectable(path)
        yield path
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def _aiohttp(folder: Path) -> AsyncIterator[Path]:
    try:
        from aiohttp import web
    except ImportError:
        raise NotInstalled("aiohttp") from None

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"{request.method} {(await request.read()).hex()}")

    path = folder / "aiohttp.sock"
    runner = web.ServerRunner(web.Server(answer, logger=_SILENT))
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield path
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _gunicorn(folder: Path) -> AsyncIterator[Path]:
    path = folder / "gunicorn.sock"
    options = ("--bind", f"unix:{path}", "--worker-class", "gthread", "--threads", "4", "--log-level", "critical", "--chdir", str(ROOT))
    async with _program(folder, "gunicorn", *options, "tests.differential.wsgi:answer"):
        await _connectable(path)
        yield path


@asynccontextmanager
async def _node(folder: Path) -> AsyncIterator[Path]:
    path = folder / "node.sock"
    async with _program(folder, "node", str(Path(__file__).with_name("echo.js")), str(path)):
        await _connectable(path)
        yield path


@asynccontextmanager
async def _apache(folder: Path) -> AsyncIterator[Address]:
    """Listens on no Unix socket, so a bound socket that does not listen keeps its port for it."""
    if not (APACHE_MODULES / "mod_proxy_http.so").exists():
        raise NotInstalled("apache2 with its modules in /usr/lib/apache2")
    with closing(socket.socket()) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        address: tuple[str, int] = kept.getsockname()
        async with _uvicorn(folder) as backend:
            file = _configure(folder, "apache.conf", _APACHE, PORT=str(address[1]), BACKEND=str(backend), MODULES=str(APACHE_MODULES))
            async with _program(folder, "apache2", "-D", "FOREGROUND", "-f", str(file)):
                await _connectable(address)
                yield address


def _proxy(name: str, file: str, configuration: str, *arguments: str) -> Callable[[Path], Serving]:
    """A proxy in front of uvicorn."""

    @asynccontextmanager
    async def serving(folder: Path) -> AsyncIterator[Path]:
        path = folder / f"{name}.sock"
        async with _uvicorn(folder) as backend:
            written = _configure(folder, file, configuration, SOCKET=str(path), BACKEND=str(backend))
            async with _program(folder, name, *arguments, str(written)):
                await _connectable(path)
                yield path

    return serving


def _configure(folder: Path, file: str, configuration: str, **values: str) -> Path:
    for word, value in {"FOLDER": str(folder), **values}.items():
        configuration = configuration.replace(word, value)
    path = folder / file
    path.write_text(configuration, encoding="utf-8")
    return path


@asynccontextmanager
async def _program(folder: Path, name: str, *arguments: str) -> AsyncIterator[None]:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise NotInstalled(name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.messages").open("wb") as messages:
        process = subprocess.Popen(  # noqa: ASYNC220
            (found, *arguments), cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=messages, stderr=messages
        )
    try:
        yield
    except TimeoutError:
        said = (folder / f"{name}.messages").read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"{name} takes no connection, and says: {said[-1000:]}") from None
    finally:
        process.terminate()
        process.communicate()


async def _connectable(address: Address) -> None:
    """Returns once the server takes connections: no server tells us so itself."""
    async with asyncio.timeout(LIMIT):
        while True:
            with suppress(OSError):
                _, writer = await connect(address)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)


_NGINX: Final = """
daemon off; master_process off; pid FOLDER/nginx.pid; error_log FOLDER/nginx.error;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path FOLDER/temporary; proxy_temp_path FOLDER/temporary; fastcgi_temp_path FOLDER/temporary;
    uwsgi_temp_path FOLDER/temporary; scgi_temp_path FOLDER/temporary;
    server {
        listen unix:SOCKET;
        location / { proxy_pass http://unix:BACKEND; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
"""
_HAPROXY: Final = """
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend web
    bind unix@SOCKET
    default_backend uvicorn
backend uvicorn
    server one unix@BACKEND
"""
_ENVOY: Final = """
static_resources:
  listeners:
  - address: {pipe: {path: SOCKET}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: ""}, route: {cluster: uvicorn}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: uvicorn
    load_assignment: {cluster_name: uvicorn, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: BACKEND}}}}]}]}
"""
_APACHE: Final = """
ServerRoot FOLDER
DefaultRuntimeDir FOLDER
PidFile FOLDER/apache.pid
ErrorLog FOLDER/apache.error
ServerName a.example
User nobody
Group nogroup
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule proxy_module MODULES/mod_proxy.so
LoadModule proxy_http_module MODULES/mod_proxy_http.so
Listen 127.0.0.1:PORT
AllowEncodedSlashes NoDecode
ProxyPass / unix:BACKEND|http://a.example/ nocanon
"""

SERVERS: Final[dict[str, Callable[[Path], Serving]]] = {
    "uvicorn": _uvicorn,
    "gunicorn": _gunicorn,
    "aiohttp": _aiohttp,
    "node": _node,
    "apache": _apache,
    "nginx": _proxy("nginx", "nginx.conf", _NGINX, "-e", "nginx.error", "-c"),
    "haproxy": _proxy("haproxy", "haproxy.cfg", _HAPROXY, "-db", "-f"),
    "envoy": _proxy("envoy", "envoy.yaml", _ENVOY, "--concurrency", "1", "--disable-hot-restart", "--log-level", "critical", "-c"),
}
"""By name: an asynchronous context manager that takes a folder and gives the address. Each raises NotInstalled."""
