"""What an active health check asks an endpoint, and whether the answer is that of a healthy one (BackendPolicy.healthCheck)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.http.grpc import message_frame, read_message, read_status
from gateway.http.head import Fields, RequestHead, ResponseHead
from gateway.http.protobuf import last_number, read_fields, text_field
from gateway.ir.backend import GrpcCheck, HealthCheck, HttpCheck

ANSWER_LIMIT: Final = 16 * 1024
"""Bytes of an answer to a call that are looked at."""
_COMMON: Final = [(b"user-agent", b"tidegate-health-check"), (b"accept", b"*/*"), (b"connection", b"close")]
_SERVING: Final = 1
"""HealthCheckResponse.ServingStatus."""


class Unwell(Exception):
    """The check found something wrong; the text says what."""


class CheckQuestion:
    """A request, and BackendEvents that wait for what `judge` needs of its answer: the head alone where `whole` is False."""

    __slots__ = ("_answer", "_heard", "_judge", "_pieces", "_size", "_whole", "body", "head")

    def __init__(self, head: RequestHead, body: bytes, judge: Callable[[ResponseHead, bytes, Fields], None], whole: bool) -> None:
        self.head, self.body = head, body
        self._judge, self._whole = judge, whole
        self._heard: asyncio.Future[None] | None = None
        self._answer: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    def listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done when the endpoint has answered well; has an Unwell otherwise."""
        self._heard = loop.create_future()
        return self._heard

    def _conclude(self, trailers: Fields) -> None:
        heard, answer = self._heard, self._answer
        assert answer is not None
        if heard is None or heard.done():
            return
        try:
            self._judge(answer, b"".join(self._pieces), trailers)
        except (Unwell, ValueError) as fault:
            heard.set_exception(Unwell(str(fault)))
        else:
            heard.set_result(None)

    # what the stream reports

    def response_whole(self, head: ResponseHead, body: bytes) -> None:
        self._answer, self._pieces = head, [body]
        self._conclude([])

    def response_interim(self, head: ResponseHead) -> None:
        """It is not the answer."""

    def response_head(self, head: ResponseHead) -> None:
        self._answer = head
        if not self._whole:
            self._conclude([])

    def response_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._whole and self._size <= ANSWER_LIMIT:
            self._pieces.append(data)

    def flush_response(self) -> None:
        pass

    def response_half_closed(self) -> None:
        pass

    def response_end(self, trailers: Fields) -> None:
        self._conclude(trailers)

    def response_failed(self, failure: str, reason: str) -> None:
        if self._heard is not None and not self._heard.done():
            self._heard.set_exception(Unwell(reason))

    def hold_request(self) -> None:
        """The question is small, and on its way."""

    def release_request(self) -> None:
        pass


def question_of(options: HealthCheck, host: bytes) -> CheckQuestion | None:
    """None where a connection is enough. `host` is that of the endpoint, if the check names none."""
    if options.http is not None:
        return _over_http(options.http, host)
    return _over_grpc(options.grpc, host) if options.grpc is not None else None


def _over_http(check: HttpCheck, host: bytes) -> CheckQuestion:
    host = check.host.encode() or host
    head = RequestHead(b"GET", check.path.encode(), None, host, host)
    head.fields = list(_COMMON)

    def judge(answer: ResponseHead, body: bytes, trailers: Fields) -> None:
        if answer.status not in check.statuses:
            raise Unwell(f"answered {answer.status}")

    return CheckQuestion(head, b"", judge, whole=False)


def _over_grpc(check: GrpcCheck, host: bytes) -> CheckQuestion:
    head = RequestHead(b"POST", b"/grpc.health.v1.Health/Check", None, host, host)
    head.fields = [(b"content-type", b"application/grpc"), _COMMON[0]]
    head.trailers, head.length = True, None
    return CheckQuestion(head, message_frame(text_field(1, check.service.encode())), _judge_call, whole=True)


def _judge_call(answer: ResponseHead, body: bytes, trailers: Fields) -> None:
    """Raises Unwell, and ValueError for what is no answer."""
    if answer.status != 200:
        raise Unwell(f"answered {answer.status}")
    status = read_status(trailers) or read_status(answer.fields)
    if status != "0":
        raise Unwell(f"ended the call with {f'gRPC status {status}' if status else 'no gRPC status'}")
    serving = last_number(read_fields(read_message(body)), 1)
    if serving != _SERVING:
        raise Unwell(f"is not serving: status {serving} of grpc.health.v1")
