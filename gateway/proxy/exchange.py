"""An exchange: one request and its response, from head to trailers, between a client stream and a backend stream.

It relays and accounts; which rule serves it is `admission`, which endpoint it asks, and when again, is `attempts`. It keeps the
listener, rule and endpoint it began with, whatever is swapped meanwhile. References to both streams are dropped at its end, so
that no cycle is left to the garbage collector.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from gateway.http.grpc import read_status
from gateway.http.head import Fields, LocalReply, RequestHead, ResponseHead
from gateway.http.local_reply import written
from gateway.http.websocket import accepts
from gateway.net.deadlines import NEVER
from gateway.policies.retry import REPLAY_LIMIT
from gateway.proxy import attempts, calls, guarded
from gateway.proxy.peers import Traffic

if TYPE_CHECKING:
    from gateway.filters.passage import Passage
    from gateway.proxy.calls import Messages
    from gateway.proxy.mirror import Mirror
    from gateway.proxy.port import LiveListener
    from gateway.proxy.request_limits import BodyLimit
    from gateway.proxy.rule import Account, Rule, Share
    from gateway.proxy.stream import BackendStream, ClientStream
    from gateway.proxy.web_stream import WebStream
    from gateway.tracing.tracer import Span
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.lease import Lease


class Exchange:
    """Implements BackendEvents, and the events of a client stream."""

    __slots__ = (
        "account",
        "asked",
        "attempt",
        "backend",
        "backend_began",
        "backend_milliseconds",
        "began",
        "body",
        "body_size",
        "client",
        "client_address",
        "client_fragment",
        "continued",
        "core",
        "deadline",
        "ended",
        "endpoint",
        "flag",
        "fresh",
        "grpc_status",
        "head",
        "last_stream",
        "lease",
        "listener",
        "matched_path",
        "messages",
        "mirrors",
        "origin",
        "passage",
        "pinned",
        "port",
        "reason",
        "received",
        "replayable",
        "request_deadline",
        "request_ended",
        "request_id",
        "responded",
        "route",
        "rule",
        "sent",
        "share",
        "slot",
        "span",
        "status",
        "trailers",
        "tried",
    )

    def __init__(self, client: ClientStream, head: RequestHead) -> None:
        self.client: ClientStream | None = client
        self.head = head
        self.core, self.port = client.core, client.port
        self.began = monotonic()
        self.client_address, self.client_fragment, self.origin = client.address, client.fragment, client.origin
        self.listener: LiveListener | None = client.listener
        self.rule: Rule | None = None
        self.share: Share | None = None
        self.account: Account | None = None
        self.endpoint: Endpoint | None = None
        self.backend: BackendStream | None = None
        self.last_stream: Speaking | WebStream | None = None
        self.lease: Lease | None = None
        self.attempt = 0
        self.tried: tuple[Endpoint, ...] = ()
        self.pinned: Endpoint | None = None
        self.fresh = False
        """Whether the next attempt must not take a pooled connection."""
        self.passage: Passage | None = None
        self.matched_path = head.path
        self.route = b""
        """The path of the match that serves it."""
        self.asked: tuple[bytes, bytes] | None = None
        """Target and authority as the client asked for them, kept where filters may change those of the head: for the log."""
        self.mirrors: tuple[Mirror | BodyLimit, ...] = ()
        # the request's body
        self.request_ended = head.length == 0
        self.replayable = True
        self.body: list[bytes] = []
        self.body_size = self.received = self.sent = 0
        self.trailers: Fields = []
        self.continued = not head.expects
        # the response
        self.responded = False
        self.status = 0
        self.grpc_status: str | None = None
        """Of a call, '' while or where there is none; None when it is no call."""
        self.messages: Messages | None = None
        """How many passed in a call, there and back; None where they are not counted."""
        self.flag = self.reason = ""
        self.backend_began = self.backend_milliseconds = 0.0
        self.request_id = b""
        self.span: Span | None = None
        """Its part in a trace; None where the listener is not traced."""
        # deadlines
        self.deadline = self.request_deadline = NEVER
        self.slot = 0

    # events of the client's side

    def request_data(self, data: bytes) -> None:
        self.received += len(data)
        if self.messages is not None:
            self.messages.request.add(data)
        for mirror in self.mirrors:
            mirror.send_data(data)
        backend = self.backend
        if self.replayable or backend is None:
            self.body.append(data)
            self.body_size += len(data)
            if self.body_size > REPLAY_LIMIT:
                self._outgrow(backend)
        if backend is not None:
            backend.send_data(data)

    def _outgrow(self, backend: BackendStream | None) -> None:
        """Too much to keep: without a backend yet the client has to wait, otherwise there will be no other attempt."""
        if backend is None:
            if self.client is not None:
                self.client.pause()
        else:
            self.replayable = False
            self.body.clear()

    def request_end(self, trailers: Fields) -> None:
        self.request_ended = True
        trailers = self.trailers = trailers if self.head.trailers else []
        for mirror in self.mirrors:
            mirror.send_end(trailers)
        if self.backend is not None:
            self.backend.send_end(trailers)

    def flush_request(self) -> None:
        if self.backend is not None:
            self.backend.flush()

    def request_broken(self, reason: str, status: int = 400) -> None:
        """The client's body is malformed or too long: it must not look complete to the backend."""
        if self.responded:
            self.core.count_refusal(reason)
            self._cut("DPE", reason)
        else:
            self.reply(LocalReply(status, reason, flag="DPE"))

    def client_gone(self) -> None:
        self.client = None
        self.flag = self.flag or "DC"
        self.reason = self.reason or "client closed the connection"
        self._leave_backend()
        self.finish()

    def hold_response(self) -> None:
        if self.backend is not None:
            self.backend.pause()

    def release_response(self) -> None:
        if self.backend is not None:
            self.backend.resume()

    # events of the backend's side

    def hold_request(self) -> None:
        if self.client is not None:
            self.client.pause()

    def release_request(self) -> None:
        if self.client is not None:
            self.client.resume()

    def response_interim(self, head: ResponseHead) -> None:
        if self.client is not None and not self.responded:
            self.client.send_interim(head)

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        rule, client = self.rule, self.client
        assert rule is not None
        assert client is not None
        self.backend = None
        now = monotonic()
        self.backend_milliseconds = (now - self.backend_began) * 1000
        status = head.status
        if status >= 400 and attempts.turned_away(self, rule, head):
            return
        if self.lease is not None:
            guarded.answered(self, self.lease, head)
        if self.grpc_status is not None:
            calls.headed(self, head)
            calls.ended(self, [])
            if self.messages is not None:
                self.messages.response.add(body)
        self.status = status
        self.responded = True
        self.sent = len(body)
        if self.passage is not None:
            self._edit_response(rule, head)
        if not self.request_ended and not self.continued:
            client.close_after()
        self.finish(now)
        client.send_whole(head, body)

    def response_head(self, head: ResponseHead) -> None:
        rule, client = self.rule, self.client
        assert rule is not None
        assert client is not None
        self.backend_milliseconds = (monotonic() - self.backend_began) * 1000
        status = head.status
        if status >= 400 and attempts.turned_away(self, rule, head):
            return
        if self.lease is not None:
            guarded.answered(self, self.lease, head)
        if status == 101 and not accepts(self.head, head):
            attempts.failed(self, "malformed", "backend accepted the WebSocket with a wrong Sec-WebSocket-Accept")
            return
        if status == 101:
            self.core.deadlines.set(self, NEVER)  # a tunnel lasts as long as its two ends want
            self.request_deadline = NEVER
        if self.grpc_status is not None:
            calls.headed(self, head)
        self.status = status
        self.responded = True
        self.replayable = False
        self.body.clear()
        if self.passage is not None:
            self._edit_response(rule, head)
        if not self.request_ended and not self.continued:
            client.close_after()
        client.send_head(head)
        if status == 101:
            client.open_tunnel()
        if not client.writable:
            self.hold_response()

    def _edit_response(self, rule: Rule, head: ResponseHead) -> None:
        share = self.share
        if share is not None and share.filters is not None:
            for response_filter in share.filters.response:
                response_filter(head)
        if self.passage is not None:
            for response_filter in self.passage.edits:
                response_filter(head)
        for response_filter in rule.filters.response:
            response_filter(head)
        if rule.sessions is not None:
            guarded.pin(self, rule.sessions, head)
        elif self.lease is not None and self.lease.backend.sessions is not None:
            guarded.pin(self, self.lease.backend.sessions, head)

    def response_data(self, data: bytes) -> None:
        client = self.client
        if client is not None:
            self.sent += len(data)
            if self.messages is not None:
                self.messages.response.add(data)
            client.send_data(data)

    def flush_response(self) -> None:
        if self.client is not None:
            self.client.flush()

    def response_half_closed(self) -> None:
        if self.client is not None:
            self.client.send_half_close()

    def response_end(self, trailers: Fields) -> None:
        self.backend = None
        client = self.client
        if self.grpc_status is not None:
            calls.ended(self, trailers)
        self.finish()
        if client is not None:
            client.send_end(trailers if self.head.trailers else ())

    def response_failed(self, failure: str, reason: str) -> None:
        self.backend = None
        if self.responded:
            guarded.answered_badly(self, reason)
            self._cut("UC", reason)
        else:
            attempts.failed(self, failure, reason)

    # ends

    def reply(self, reply: LocalReply) -> None:
        """Answers by ourselves; whatever the backend was doing is cancelled."""
        self._leave_backend()
        client, head = self.client, self.head
        if client is None:
            self.finish()
            return
        self.reason, self.flag = reply.reason, reply.flag
        if reply.flag == "DPE":
            self.core.count_refusal(reply.reason)
        told = self.listener is not None and self.listener.options.reason_header
        response, body = written(reply, head.grpc, told)
        self.status = response.status
        if head.grpc:
            self.grpc_status = read_status(response.fields)
            if head.version == b"2":
                response.length = None  # what ends with its head needs none, and a client would take it for one of the trailers
        if self.passage is not None:
            for edit in self.passage.edits:
                edit(response)
        self.responded = True
        if not head.keep_alive or not self.continued:
            client.close_after()  # after an unanswered expectation nobody knows whether the body will come
        self.sent = len(body)
        self.finish()
        client.send_whole(response, body)

    def cut_off(self, reason: str, flag: str = "SI") -> None:
        """One of the two sides does not keep up."""
        self._cut(flag, reason)

    def _cut(self, flag: str, reason: str) -> None:
        """The response has begun and cannot be completed."""
        self._leave_backend()
        self.flag, self.reason = flag, reason
        client = self.client
        trailers = calls.cut(self, flag, reason) if self.grpc_status is not None else []
        self.finish()
        if trailers and client is not None:
            client.send_end(trailers if self.head.trailers else ())
        elif client is not None:
            client.abort()

    def _leave_backend(self) -> None:
        self.leave_attempt()
        for mirror in self.mirrors:
            mirror.abandon()

    def expire(self, now: float) -> None:
        """A deadline of the rule's timeouts has passed."""
        if self.client is None:
            return
        if now >= self.request_deadline:
            if self.responded:
                self._cut("UT", "request timeout inside the response")
            else:
                guarded.timed_out(self)
                self.reply(LocalReply(504, "request timeout", flag="UT"))
        elif self.responded:
            self._cut("UT", "backend request timeout inside the response")
        else:
            guarded.timed_out(self)
            self.leave_attempt()
            attempts.failed(self, "timeout", "backend request timeout")

    def leave_attempt(self) -> None:
        """Gives up the attempt that runs. A connection that is still being made goes to the pool when it is there."""
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.cancel()
        held, self.lease = self.lease, None
        if held is not None:
            held.release()

    def replayable_size(self) -> bool:
        """Whether the body so far may be kept for another attempt."""
        return self.body_size <= REPLAY_LIMIT

    def finish(self, now: float = 0.0) -> None:
        """Counts and logs, once; breaks the cycle with the client's stream. `now` saves a look at the clock."""
        self.client = None
        if self.account is not None:
            return
        if self.lease is not None:
            self.lease.release()
        if self.body:
            self.body.clear()  # it waits for its line in the log, and there may be many
        core = self.core
        if self.slot:
            core.deadlines.forget(self)
        self.ended = ended = now or monotonic()
        milliseconds = (ended - self.began) * 1000
        listener, rule = self.listener, self.rule
        if listener is None:
            account = self.account = self.port.account
            core.log.append(self)
        else:
            share = self.share
            known = share.accounts.get(listener.key) if share is not None else None
            account = self.account = known or (listener.account if rule is None else rule.account(listener.resource, share))
            if core.peers is not None:
                account = self.account = core.peers.account(account, Traffic(listener.resource, self.endpoint, self.origin))
            if listener.options.access_log:
                core.log.append(self)
        span = self.span
        if span is not None:
            span.tracer.ended(self, span)
        key = (self.status, self.flag, self.head.version, self.grpc_status)
        account.counters.record(key, milliseconds, self.received, self.sent)
        if self.messages is not None:
            account.counters.record_messages(key, self.messages.request.count, self.messages.response.count)
