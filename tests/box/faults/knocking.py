"""A program that runs in a box and asks the controller for the configuration of a Gateway, as a proxy would.

    python knocking.py ADDRESS FOLDER NAMESPACE/NAME

FOLDER holds a `token`, and `ca.crt` to know the controller by. Prints what it got as JSON: `{"batch": ...}` or `{"refused": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from gateway.ir.batch import Subscribe, encode
from mesh.link import Controller, Link, LinkError

SERVICE = "tidegate-controller.tidegate-system.svc"
Resolve = Callable[..., object]


def found_at(address: str, resolve: Resolve) -> Resolve:
    """The node does not know the names of the cluster."""

    def answer(host: str | bytes, *arguments: object, **options: object) -> object:
        return resolve(address if host == SERVICE else host, *arguments, **options)

    return answer


async def knock(folder: Path, scope: str) -> dict[str, str]:
    """One message after a Subscribe that any replica may answer."""
    link = Link(Controller(f"{SERVICE}:15010", folder / "ca.crt", folder / "token"), "knocking", scope)
    try:
        reader, writer = await link.connect()
    except LinkError as error:
        return {"refused": str(error)}
    try:
        writer.write(encode(Subscribe("knocking", scope, 0, "", anywhere=True)))
        line = await reader.readline()
    finally:
        writer.close()
    message = json.loads(line or b'{"type": "refused", "reason": "the connection was closed"}')
    return {message["type"]: message.get("reason", "")}


def main(address: str, folder: str, scope: str) -> None:
    socket.getaddrinfo = found_at(address, socket.getaddrinfo)  # type: ignore[assignment]
    print(json.dumps(asyncio.run(knock(Path(folder), scope))))


if __name__ == "__main__":
    main(*sys.argv[1:])
