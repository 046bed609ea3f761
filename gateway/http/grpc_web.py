"""gRPC-Web (PROTOCOL-WEB of gRPC): calls in the form that browsers can make, and what they are as gRPC.

Messages are framed alike in both. What differs is the content type, the trailers, which are the last frame of the body, and the text
form, in which the body is base64 with padding wherever its sender paused.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Final

from gateway.http.fields import split_list
from gateway.http.head import Fields, RequestHead, ResponseHead

_CALL: Final = b"application/grpc"
_WEB: Final = b"application/grpc-web"
_TEXT: Final = b"application/grpc-web-text"
TRAILERS: Final = 0x80
"""Flag of the frame that holds the trailers."""


def is_web(content_type: bytes) -> bool:
    """Of a call, as RequestHead.grpc has it."""
    return content_type.startswith(_WEB)


def is_text(content_type: bytes) -> bool:
    return content_type.startswith(_TEXT)


def answers_in_text(head: RequestHead) -> bool:
    """What the client accepts; by default what it sends itself."""
    accepted = [kind.partition(b";")[0].rstrip() for kind in split_list(head.get(b"accept") or b"")]
    offered = [kind for kind in accepted if is_web(kind)]
    return is_text(offered[0] if offered else head.grpc)


def call_head(head: RequestHead) -> RequestHead:
    """The head of the same call as gRPC. Nobody compresses its messages: browsers could not read them."""
    call = head.copy()
    kind = head.grpc
    call.grpc = _CALL + kind[len(_TEXT if is_text(kind) else _WEB) :]
    dropped = (b"content-type", b"grpc-accept-encoding", b"x-grpc-web")
    call.fields = [pair for pair in head.fields if pair[0].lower() not in dropped]
    call.fields += [(b"content-type", call.grpc), (b"grpc-accept-encoding", b"identity")]
    call.trailers = True
    if is_text(kind) and call.length:
        call.length = None
    call.changed()
    return call


def is_answer(head: ResponseHead) -> bool:
    """Whether it is the answer to a call; anything else goes to the client as it is."""
    return head.status == 200 and (head.get(b"content-type") or b"").lower().startswith(_CALL)


def edit_answer(head: ResponseHead, text: bool) -> None:
    """Makes the head of an answer that of gRPC-Web."""
    kind = (head.get(b"content-type") or b"")[len(_CALL) :]
    fields = [pair for pair in head.fields if pair[0].lower() != b"content-type"]
    head.fields = [*fields, (b"content-type", (_TEXT if text else _WEB) + kind)]
    head.length = None


def trailer_frame(trailers: Fields) -> bytes:
    """The last frame of an answer."""
    lines = b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in trailers])
    return bytes((TRAILERS,)) + len(lines).to_bytes(4, "big") + lines


class TextDecoder:
    """Reads the text form, in pieces of any size."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Raises ValueError for what is no base64."""
        data = self._rest + data
        whole = len(data) & ~3
        self._rest = data[whole:]
        pieces = []
        at = 0
        while at < whole:
            padding = data.find(b"=", at, whole)
            end = whole if padding < 0 else (padding & ~3) + 4
            try:
                pieces.append(a2b_base64(data[at:end], strict_mode=True))
            except Base64Error as error:
                raise ValueError(f"the body is no base64: {error}") from None
            at = end
        return b"".join(pieces)

    def end(self) -> None:
        """Raises ValueError if something is missing."""
        if self._rest:
            raise ValueError("the body ends inside four characters of base64")


class TextEncoder:
    """Writes the text form; what does not fill four characters is held back until `pause`."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % 3
        self._rest = data[whole:]
        return b2a_base64(data[:whole], newline=False) if whole else b""

    def pause(self) -> bytes:
        """What was held back, with padding: the client need not wait for it."""
        rest, self._rest = self._rest, b""
        return b2a_base64(rest, newline=False) if rest else b""
