"""Binding listening sockets, with real ports."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from gateway.net.sockets import BindError, bind, bind_again, bind_datagrams, readable


def port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def test_a_bound_socket_listens_and_does_not_block() -> None:
    """What the event loops need of it."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as client:
        assert not listening.getblocking()
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        connection, address = listening.accept()
        connection.close()
        assert address == client.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="how much the kernel takes is a matter of the system")
def test_the_kernel_takes_little_for_a_client_that_does_not_read() -> None:
    """A connection inherits the bound of its listening socket: what was not sent yet is not kept there by the megabyte."""
    taken = []
    for bound in (True, False):
        with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
            connection, _ = listening.accept()
            with connection:
                connection.setblocking(False)
                if not bound:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, -1)
                taken.append(0)
                with suppress(BlockingIOError):
                    while True:
                        taken[-1] += connection.send(bytes(1 << 16))
    assert taken[0] < taken[1] / 2


def test_a_port_in_use_is_told_even_if_its_holder_would_share_it() -> None:
    """SO_REUSEPORT alone would let both listen, and each would get half of the connections."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = port_of(other)
        with pytest.raises(BindError) as refused:
            bind("127.0.0.1", port)
    assert refused.value.port == port
    assert refused.value.address == "127.0.0.1"
    assert "in use" in refused.value.reason
    assert f"ss -lntup 'sport = :{port}'" in refused.value.remedy
    assert str(refused.value).startswith(f"cannot listen on 127.0.0.1:{port}: the port is in use")


def test_all_addresses_and_one_of_them_cannot_share_a_port() -> None:
    """0.0.0.0 covers 127.0.0.1: whichever is second is told."""
    with bind("127.0.0.1", 0) as listening, pytest.raises(BindError, match="in use"):
        bind("0.0.0.0", port_of(listening))


def test_a_port_is_free_again_at_once() -> None:
    """SO_REUSEADDR: closed connections of the last listener do not hold the port."""
    with bind("127.0.0.1", 0) as listening:
        port = port_of(listening)
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = listening.accept()
        connection.close()
        assert client.recv(1) == b""
        client.close()
    bind("127.0.0.1", port).close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::"])
def test_each_worker_gets_a_socket_of_its_own_on_the_port(address: str) -> None:
    """SO_REUSEPORT, one socket a worker; the kernel spreads connections over them."""
    with bind(address, 0) as first, bind_again(first) as second:
        assert second.getsockname() == first.getsockname()
        assert second.fileno() != first.fileno()
        clients = [socket.create_connection(first.getsockname()[:2]) for _ in range(64)]
        accepted = [0, 0]
        for place, listening in enumerate((first, second)):
            while True:
                try:
                    listening.accept()[0].close()
                except BlockingIOError:
                    break
                accepted[place] += 1
        for client in clients:
            client.close()
    assert sum(accepted) == 64
    assert all(accepted)


def test_all_ipv6_addresses_take_ipv4_too() -> None:
    """'::' is all addresses."""
    with bind("::", 0) as listening, socket.create_connection(("127.0.0.1", port_of(listening))):
        connection, address = listening.accept()
        connection.close()
        assert address[0] == "::ffff:127.0.0.1"


def test_both_families_can_be_bound_apart() -> None:
    """Without dual stack '::' leaves IPv4 to 0.0.0.0 on the same port, also for the next worker."""
    with bind("0.0.0.0", 0) as first, bind("::", port_of(first), dual_stack=False) as second, bind_again(second) as third:
        assert third.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with pytest.raises(BindError, match="in use"):
            bind("::", port_of(first))


def test_an_address_of_another_host_names_bind() -> None:
    """TEST-NET-1 (RFC 5737) is nobody's."""
    with pytest.raises(BindError, match=r"not one of this host's; give --bind"):
        bind("192.0.2.1", 8080)


@pytest.mark.parametrize("address", ["localhost", "", "1.2.3", "::1%nowhere", "fe80::1%nowhere"])
def test_what_is_no_address_of_an_interface_names_bind(address: str) -> None:
    """Names are not resolved: which of their addresses would be meant?"""
    with pytest.raises(BindError, match="--bind"):
        bind(address, 8080)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_is_a_number_of_sixteen_bits(port: int) -> None:
    """RFC 9293 3.1."""
    with pytest.raises(BindError, match="from 1 to 65535"):
        bind("127.0.0.1", port)


def test_a_privileged_port_names_the_option_and_the_sysctl() -> None:
    """Bound by a process without privileges, whoever runs this test."""
    script = "\n".join(
        (
            "import os",
            "from gateway.net.sockets import BindError, bind",
            "import encodings.ascii, encodings.idna",  # afterwards the interpreter's files may be out of reach
            "os.getuid() or os.setuid(65534)",
            "try: bind('127.0.0.1', 80)",
            "except BindError as error: print(error)",
        )
    )
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as setting:
        lowest = int(setting.read())
    if lowest <= 80:
        pytest.skip("this system lets everyone bind port 80")
    environment = {**os.environ, "PYTHONPATH": "."}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment).stdout
    assert f"ports below {lowest} need a privilege" in told
    assert "--port-offset" in told
    assert "net.ipv4.ip_unprivileged_port_start to 80 or lower" in told


def test_a_failed_bind_leaves_no_descriptor_open() -> None:
    """Ports are tried again on each change of a Gateway."""
    with bind("127.0.0.1", 0) as listening:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(BindError):
                bind("127.0.0.1", port_of(listening))
            with pytest.raises(BindError):
                bind("192.0.2.1", 8080)
        assert len(os.listdir("/proc/self/fd")) == before


def test_running_out_of_descriptors_names_the_limit() -> None:
    """Not every failure lies with the address."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(BindError, match=r"too many files are open; raise the limit .*ulimit -n"):
            bind("127.0.0.1", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_addresses_read_as_users_write_them() -> None:
    """RFC 3986 3.2.2: an IPv6 address stands in brackets."""
    assert readable("127.0.0.1", 80) == "127.0.0.1:80"
    assert readable("::1", 80) == "[::1]:80"


def test_a_udp_port_is_shared_among_workers_and_with_nobody_else() -> None:
    """One socket a worker, each with SO_REUSEPORT; whoever has the port already is told of, also one that would share it."""
    with bind_datagrams("127.0.0.1", 0) as first, bind_again(first) as second:
        assert second.getsockname() == first.getsockname()
        assert (second.type, second.getblocking()) == (socket.SOCK_DGRAM, False)
        with pytest.raises(BindError, match="in use"):
            bind_datagrams("127.0.0.1", port_of(first))
    with bind("127.0.0.1", 0) as listening, bind_datagrams("127.0.0.1", port_of(listening)) as datagrams:
        assert port_of(datagrams) == port_of(listening)
