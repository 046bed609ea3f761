"""HTTP/1.1 of the demo backends, on h11: requests of any method, with bodies of any size, one after another."""

from __future__ import annotations

import asyncio
from http.client import responses
from typing import Final

import h11

from tidegate.demo.answers import BODILESS, Asked, DemoBackend, answer, as_body, read

HEAD_LIMIT: Final = 64 * 1024


class Http1Conversation(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, backend: DemoBackend) -> None:
        self._backend = backend
        self._codec = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._asked: Asked | None = None
        self._received = 0
        self._later: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._later is not None:
            self._later.cancel()

    @property
    def rests(self) -> bool:
        """Whether it has answered, and nothing more has come."""
        return self._asked is not None and self._codec.our_state is h11.IDLE

    def data_received(self, data: bytes) -> None:
        self._codec.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        self._codec.receive_data(b"")
        self._read()
        return True

    def _read(self) -> None:
        try:
            self._take_events()
        except h11.RemoteProtocolError as error:
            if self._codec.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self._answer(error.error_status_hint, as_body({"error": str(error)}))
            self.transport.close()

    def _take_events(self) -> None:
        while True:
            event = self._codec.next_event()
            if event is h11.NEED_DATA:
                if self._codec.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                return
            if event is h11.PAUSED:
                return
            match event:
                case h11.Request():
                    self._asked, self._received = read(event.method, event.target, None, event.headers), 0
                case h11.Data():
                    self._received += len(event.data)
                case h11.EndOfMessage():
                    self._received_all()
                case h11.ConnectionClosed():
                    self.transport.close()
                    return

    def _received_all(self) -> None:
        assert self._asked is not None
        delay = self._asked.delay
        if delay:
            self._later = asyncio.get_running_loop().call_later(delay, self._reply)
        else:
            self._reply()

    def _reply(self) -> None:
        assert self._asked is not None
        self._answer(*answer(self._backend, self._asked, self._received))
        if self._codec.our_state is h11.MUST_CLOSE:
            self.transport.close()
        elif self._codec.our_state is h11.DONE and self._codec.their_state is h11.DONE:
            self._codec.start_next_cycle()
            self._read()

    def _answer(self, status: int, body: bytes) -> None:
        fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
        reason = responses.get(status, "")
        self._send(h11.Response(status_code=status, reason=reason, headers=[] if status in BODILESS else fields))
        if status not in BODILESS and (self._asked is None or self._asked.method != "HEAD"):
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        data = self._codec.send(event)
        if data:
            self.transport.write(data)
