"""gRPC with the library of its own project: a server and a client for all four kinds of calls, on messages that are plain bytes.

The service `echo.Echo` has the methods `Unary`, `ServerStream`, `ClientStream` and `Bidi`; `Other` is unary too, so that routes can tell
methods apart. Every call is kept. The initial metadata say who answered (`echo: NAME/NUMBER`), the trailing too (`x-trailing: NAME`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Condition, Event
from typing import Any, Self

import grpc

from tests.certificates import Authority, Pair
from tests.wire.backends import LIMIT

Address = tuple[str, int]
Metadata = tuple[tuple[str, str], ...]

SERVICE = "echo.Echo"
STATUS, DETAILS = "x-status", "x-details"
"""Request metadata that has a call end with this status (its number) and message, after whatever it answers."""
HOLD = "x-hold"
"""Request metadata that has a call last until the client or the proxy gives it up, whatever their value."""
MOST_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the server got it; of one that was abandoned, the messages that had come by then."""

    backend: str
    method: str
    metadata: Metadata
    messages: tuple[bytes, ...]
    peer: str
    port: int
    deadline: float | None
    """Seconds that were left when it came."""

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.metadata if other == name]

    def value(self, name: str) -> str | None:
        """The only value of a piece of metadata; None if it is absent."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None


class GrpcEcho:
    """One server.

    Unary        the message back
    ServerStream as many messages as the request says in digits: `0`, `1` ...
    ClientStream all messages joined, once there are no more
    Bidi         each message back as it comes
    """

    def __init__(self, name: str, *, pair: Pair | None = None) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.abandoned = 0
        """How many calls that were held have been given up by the client or the proxy."""
        self._begun = 0
        self._changed = Condition()
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE)
        self._server = grpc.server(self._threads)
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(partial(self._unary, "Unary")),
            "Other": grpc.unary_unary_rpc_method_handler(partial(self._unary, "Other")),
            "ServerStream": grpc.unary_stream_rpc_method_handler(partial(self._server_stream, "ServerStream")),
            "ClientStream": grpc.stream_unary_rpc_method_handler(partial(self._client_stream, "ClientStream")),
            "Bidi": grpc.stream_stream_rpc_method_handler(partial(self._bidi, "Bidi")),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        if pair is None:
            self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        else:
            keys = ((pair.private_key.encode(), pair.chain.encode()),)
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(keys))
        self._server.start()

    def wait_for(self, count: int) -> list[Call]:
        """The calls, once so many have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, LIMIT), f"{self.name} got only {len(self.calls)} calls"
            return list(self.calls)

    def wait_for_begun(self, count: int) -> None:
        """Until so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._begun >= count, LIMIT), f"{self.name}: only {self._begun} calls have come"

    def wait_for_abandoned(self, count: int = 1) -> None:
        """Until so many held calls have been given up."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.abandoned >= count, LIMIT), f"{self.name}: the calls still wait"

    def close(self) -> None:
        self._server.stop(None).wait(LIMIT)
        self._threads.shutdown()

    # in its threads

    def _unary(self, method: str, message: bytes, context: Any) -> bytes:
        self._begin(context)
        self._keep(context, method, [message])
        self._finish(context)
        return message

    def _server_stream(self, method: str, message: bytes, context: Any) -> Iterator[bytes]:
        self._begin(context)
        self._keep(context, method, [message])
        for number in range(int(message)):
            yield b"%d" % number
        self._finish(context)

    def _client_stream(self, method: str, messages: Iterator[bytes], context: Any) -> bytes:
        self._begin(context)
        got: list[bytes] = []
        try:
            got.extend(messages)
        finally:
            self._keep(context, method, got)
        self._finish(context)
        return b"".join(got)

    def _bidi(self, method: str, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._begin(context)
        got: list[bytes] = []
        try:
            for message in messages:
                got.append(message)
                yield message
        finally:
            self._keep(context, method, got)
        self._finish(context)

    def _begin(self, context: Any) -> None:
        with self._changed:
            context.send_initial_metadata((("echo", f"{self.name}/{self._begun}"),))
            self._begun += 1
            self._changed.notify_all()
        if HOLD in dict(context.invocation_metadata()):
            context.add_callback(self._abandon)

    def _abandon(self) -> None:
        with self._changed:
            self.abandoned += 1
            self._changed.notify_all()

    def _keep(self, context: Any, method: str, messages: list[bytes]) -> None:
        metadata = _plain(context.invocation_metadata())
        call = Call(self.name, method, metadata, tuple(messages), context.peer(), self.port, context.time_remaining())
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def _finish(self, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        if HOLD in metadata:
            given_up = Event()
            if context.add_callback(given_up.set):
                given_up.wait()
        context.set_trailing_metadata((("x-trailing", self.name),))
        if status := metadata.get(STATUS):
            [code] = [code for code in grpc.StatusCode if code.value[0] == int(status)]
            context.abort(code, metadata.get(DETAILS, ""))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended for the client. `status` is the number of the gRPC status."""

    status: int
    details: str
    messages: tuple[bytes, ...]
    initial: Metadata
    trailing: Metadata

    @property
    def backend(self) -> str:
        """Which server answered; '' for none."""
        return dict(self.initial).get("echo", "").partition("/")[0]


class GrpcClient:
    """A channel with one connection; a context manager. `authority` is what it asks for, and over TLS the name it expects."""

    def __init__(self, address: Address, *, authority: str = "example.com", trusts: Authority | None = None) -> None:
        options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        target = f"{address[0]}:{address[1]}"
        if trusts is None:
            self.channel = grpc.insecure_channel(target, options)
        else:
            options.append(("grpc.ssl_target_name_override", authority))
            self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(trusts.certificate.encode()), options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def unary(self, message: bytes, metadata: Metadata = (), *, method: str = "Unary", timeout: float = LIMIT) -> Outcome:
        """`method` is one of this service, or a whole path."""
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        return _one(self.channel.unary_unary(path).future(message, timeout=timeout, metadata=metadata))

    def server_stream(self, message: bytes, metadata: Metadata = (), *, timeout: float = LIMIT) -> Outcome:
        return _many(self.channel.unary_stream(f"/{SERVICE}/ServerStream")(message, timeout=timeout, metadata=metadata))

    def client_stream(self, messages: Iterable[bytes], metadata: Metadata = (), *, timeout: float = LIMIT) -> Outcome:
        return _one(self.channel.stream_unary(f"/{SERVICE}/ClientStream").future(iter(messages), timeout=timeout, metadata=metadata))

    def bidi(self, messages: Iterable[bytes], metadata: Metadata = (), *, timeout: float = LIMIT) -> Outcome:
        """All messages, and all that comes back."""
        return _many(self.begin_bidi(messages, metadata, timeout=timeout))

    def begin_bidi(self, messages: Iterable[bytes], metadata: Metadata = (), *, timeout: float = LIMIT) -> Any:
        """The call itself: an iterator of what comes back, with `cancel`; the messages may wait for what has come."""
        return self.channel.stream_stream(f"/{SERVICE}/Bidi")(iter(messages), timeout=timeout, metadata=metadata)


def _one(call: Any) -> Outcome:
    error = call.exception()
    return _outcome(call, () if error is not None else (call.result(),))


def _many(call: Any) -> Outcome:
    got: list[bytes] = []
    try:
        got.extend(call)
    except grpc.RpcError:
        pass  # its status says it
    return _outcome(call, tuple(got))


def _outcome(call: Any, messages: tuple[bytes, ...]) -> Outcome:
    return Outcome(call.code().value[0], call.details(), messages, _plain(call.initial_metadata()), _plain(call.trailing_metadata()))


def _plain(metadata: Iterable[tuple[str, Any]] | None) -> Metadata:
    return tuple((name, value if isinstance(value, str) else value.decode("latin-1")) for name, value in metadata or ())
