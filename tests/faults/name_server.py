"""A DNS server (RFC 1035) that does to each name what a test wants, on port 53 of a secluded test's loopback address."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from threading import Thread
from typing import Final, assert_never

_A, _CNAME, _AAAA = 1, 5, 28
_NO_ERROR, _SERVER_FAILURE, _NO_SUCH_NAME = 0, 2, 3
_LARGEST_DATAGRAM: Final = 512
_LARGEST_STREAM: Final = 65_535


@dataclass(frozen=True, slots=True)
class Has:
    """The name has these addresses, or is another name for `alias`."""

    addresses: tuple[str, ...] = ()
    alias: str = ""
    seconds: int = 0
    """Time to live."""


@dataclass(frozen=True, slots=True)
class Fails:
    """The server answers with this code, with bytes that are no answer, or not at all."""

    how: str
    """missing, failing, garbage or silent."""


Behaviour = Has | Fails


class NameServer:
    """Owner of its table; a name that is not in it does not exist. `asked` keeps the names of all questions for A records."""

    def __init__(self, names: Mapping[str, Behaviour]) -> None:
        self.names = dict(names)
        self.asked: list[str] = []
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 53))
        self._streams = socket.create_server(("127.0.0.1", 53))
        self._threads = [Thread(target=work, daemon=True) for work in (self._serve_datagrams, self._serve_streams)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for listening in (self._datagrams, self._streams):
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for listening in (self._datagrams, self._streams):
            listening.close()

    def _serve_datagrams(self) -> None:
        with suppress(OSError):
            while question := self._datagrams.recvfrom(4096):
                if not question[0]:
                    return
                answer = self._answer(question[0], _LARGEST_DATAGRAM)
                if answer:
                    self._datagrams.sendto(answer, question[1])

    def _serve_streams(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._streams.accept()
                with connection, connection.makefile("rb") as questions:
                    while size := questions.read(2):
                        question = questions.read(struct.unpack(">H", size)[0])
                        answer = self._answer(question, _LARGEST_STREAM)
                        if answer:
                            connection.sendall(struct.pack(">H", len(answer)) + answer)

    def _answer(self, question: bytes, most: int) -> bytes:
        """At most so many bytes, otherwise one that says that there is more; b'' for silence."""
        name, end = _name_at(question, 12)
        kind = struct.unpack(">H", question[end : end + 2])[0]
        if kind == _A:
            self.asked.append(name)
        behaviour = self.names.get(name, Fails("missing"))
        asked = question[12 : end + 4]
        match behaviour:
            case Fails("silent"):
                return b""
            case Fails("garbage"):
                return question[:2] + b"\xff" * 40
            case Fails(how):
                return _message(question[:2], asked, [], _NO_SUCH_NAME if how == "missing" else _SERVER_FAILURE)
            case Has():
                answer = _message(question[:2], asked, self._records(name, kind), _NO_ERROR)
                truncated = answer[:2] + bytes([answer[2] | 2]) + answer[3:6] + bytes(6) + asked
                return answer if len(answer) <= most else truncated
            case other:
                assert_never(other)

    def _records(self, name: str, kind: int) -> list[bytes]:
        """All that is known of the name, through its aliases as far as they do not lead back."""
        records, seen = [], set()
        while name not in seen and isinstance(found := self.names.get(name), Has):
            seen.add(name)
            if found.alias:
                records.append(_record(name, _CNAME, found.seconds, _encoded(found.alias)))
            for address in found.addresses:
                packed = IPv6Address(address).packed if ":" in address else IPv4Address(address).packed
                if kind == (_AAAA if ":" in address else _A):
                    records.append(_record(name, kind, found.seconds, packed))
            name = found.alias
        return records


def _message(number: bytes, question: bytes, records: list[bytes], code: int) -> bytes:
    return number + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0) + question + b"".join(records)


def _record(name: str, kind: int, seconds: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack(">HHIH", kind, 1, seconds, len(data)) + data


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _name_at(message: bytes, place: int) -> tuple[str, int]:
    labels = []
    while size := message[place]:
        labels.append(message[place + 1 : place + 1 + size].decode().lower())
        place += 1 + size
    return ".".join(labels), place + 1
