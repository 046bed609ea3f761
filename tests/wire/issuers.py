"""An issuer that publishes keys over HTTPS, or does what else a script says, and the RequestAuthentications that believe it."""

from __future__ import annotations

import contextlib
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.certificates import Authority


class Issuer:
    """A server of HTTPS on 127.0.0.1. `answers` is, by path, status, body and fields; without one the connection is closed."""

    def __init__(self, folder: Path, authority: Authority, *, tls: bool = True) -> None:
        self.answers: dict[str, tuple[int, bytes, tuple[tuple[str, str], ...]]] = {}
        self.asked: list[str] = []
        self.held = Event()
        """Answers go out once it is set."""
        self.held.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("localhost").write(folder, "issuer"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://localhost:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def publish(self, text: str, path: str = "/keys", status: int = 200, **fields: str) -> None:
        """What is answered from now on."""
        self.answers[path] = (status, text.encode(), tuple(fields.items()))

    def _answering(issuer) -> type[BaseHTTPRequestHandler]:  # `self` is the handler's
        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.held.wait(30)
                if self.path not in issuer.answers:
                    self.close_connection = True
                    return
                status, body, fields = issuer.answers[self.path]
                self.send_response(status)
                for name, value in (*fields, ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # whoever asked may not want it any more
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Answering

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def authentication(*rules: dict[str, Any], name: str = "tokens", **spec: object) -> str:
    """A RequestAuthentication for the Gateways of the default namespace."""
    return json.dumps({"kind": "RequestAuthentication", "metadata": {"name": name}, "spec": {"jwtRules": list(rules), **spec}})
