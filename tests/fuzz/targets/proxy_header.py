"""PROXY headers: in any pieces the same header, a refusal, or too few bytes; what it says is written and read again as the same."""

from __future__ import annotations

from ipaddress import ip_address

from gateway.net.proxy_protocol import LONGEST, Header, MalformedHeader, read_header, write_header


def run(data: bytes) -> None:
    """`data` is what a load balancer sends first."""
    whole = read(data)
    for length in {0, 1, 12, 13, 16, len(data) // 2, len(data) - 1} & set(range(len(data))):
        before = read(data[:length])
        assert before is None or before == whole, f"{length} bytes say {before}, all of them {whole}"
    if isinstance(whole, Header):
        check(whole, data)


def read(data: bytes) -> Header | str | None:
    """What it says; a refusal as a word; None where more is needed, and then it is not too long yet."""
    try:
        header = read_header(data)
    except MalformedHeader as refused:
        assert str(refused)
        return "refused"
    assert header is not None or len(data) < LONGEST
    return header


def check(header: Header, data: bytes) -> None:
    assert 0 < header.length <= min(len(data), LONGEST)
    assert read(data[: header.length]) == header
    ends = header.ends
    if ends is None:
        return
    for address in (ends.address, ends.destination):
        assert str(ip_address(address.decode("ascii"))).encode() == address
    for version in ("v1", "v2"):
        again = read_header(write_header(version, ends))
        assert again is not None
        assert again.ends == ends
