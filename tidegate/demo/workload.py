"""A small program for Pods of examples: `python3 -m tidegate.demo.workload ADDRESS:PORT [URL]`.

It answers every request with what it received, in JSON; with a URL it asks that first, and tells what came back. It is called as HOSTNAME
says, or as its Pod, POD_NAME.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

_PASSED_ON: Final = ("x-request-id", "traceparent", "tracestate", "x-try")
"""Fields of a request that those belong to which follow from it."""
_DEADLINE: Final = 10.0


def ask(url: str, fields: dict[str, str]) -> dict[str, Any]:
    """What came back from a URL of http, or why nothing did."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_DEADLINE)
    try:
        connection.request("GET", place.path or "/", headers=fields)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return {"url": url, "status": answer.status, "answer": _read(body)}
    except OSError as error:
        return {"url": url, "error": str(error)}
    finally:
        connection.close()


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


class Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    url = ""
    """What is asked first, '' for nothing."""

    def _answer(self) -> None:
        received = self.rfile.read(int(self.headers.get("content-length") or 0))
        fields = {name.lower(): value for name, value in self.headers.items()}
        told: dict[str, Any] = {
            "workload": os.environ.get("POD_NAME") or os.environ.get("HOSTNAME", ""),
            "method": self.command,
            "path": self.path,
            "headers": fields,
            "body_length": len(received),
        }
        if self.url:
            told["asked"] = ask(self.url, {name: fields[name] for name in _PASSED_ON if name in fields})
        body = json.dumps(told, indent=2).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def log_message(self, format: str, *args: object) -> None:
        """One line a request."""
        print(f"{self.command} {self.path} of {self.headers.get('host', '')}", flush=True)


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serves until SIGTERM."""
    address, _, port = sys.argv[1].rpartition(":")
    Answering.url = sys.argv[2] if len(sys.argv) > 2 else ""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((address, int(port)), Answering) as server:
        print(f"listening on {address}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
