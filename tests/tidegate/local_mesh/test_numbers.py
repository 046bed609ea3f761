"""Numbers of workloads and Services, and the networks that they stand in; plain values."""

from __future__ import annotations

import sys

import pytest

from controller.store import Key
from mesh.loopback import LAST
from tidegate.local_mesh.numbers import MeshBlock, Numbers, complaints


def key(name: str) -> Key:
    return ("Pod", "shop", name)


def test_a_block_has_a_network_for_each_workload() -> None:
    """The third number of an address is the workload's."""
    block = MeshBlock.parse("127.1.0.0/16")
    assert (str(block), str(block.workload(3))) == ("127.1.0.0/16", "127.1.3.0/24")
    assert [block.number_of_pod(address) for address in ("127.1.3.1", "127.1.3.2", "127.2.3.1", "")] == [3, 0, 0, 0]
    assert [block.number_of_service(address) for address in ("127.1.0.16", "127.1.0.15", "127.1.1.16", "10.0.0.1")] == [16, 0, 0, 0]


@pytest.mark.parametrize("text", ["127.1.0.0/24", "10.1.0.0/16", "127.0.0.0/16", "127.1.2.3/16", "loopback"])
def test_a_block_that_is_none_is_refused_with_an_example(text: str) -> None:
    """Sixteen bits of loopback, and not those in which 127.0.0.1 is."""
    with pytest.raises(ValueError, match=r"write for example 127\.1\.0\.0/16"):
        MeshBlock.parse(text)


def test_numbers_are_given_out_from_the_lowest_and_stay() -> None:
    """A number that was given back is the next to be given out."""
    numbers = Numbers(1)
    assert [numbers.take(key(name)) for name in ("a", "b", "c", "b")] == [1, 2, 3, 2]
    numbers.give_back(key("b"))
    assert (numbers.take(key("d")), numbers.take(key("b"))) == (2, 4)
    assert numbers.holder(2) == key("d")


def test_a_number_that_is_wanted_is_had_where_it_is_free() -> None:
    """Whoever has a number keeps it, and who wants it keeps or gets another."""
    numbers = Numbers(1)
    assert (numbers.take(key("a"), 7), numbers.take(key("b"), 7), numbers.take(key("b"), 9), numbers.take(key("b"), 7)) == (7, 1, 9, 9)
    assert (numbers.holder(7), numbers.holder(1)) == (key("a"), None)


def test_there_is_an_end_of_numbers() -> None:
    """0 says that all are taken."""
    numbers = Numbers(LAST)
    assert (numbers.take(key("a")), numbers.take(key("b"))) == (LAST, 0)


def test_what_a_mesh_cannot_be_run_with_is_told_by_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the remedy; elsewhere than on Linux first of all."""
    assert list(complaints("127.1.0.0/16", snapshot=False, demo_backends=False)) == []
    monkeypatch.setattr(sys, "platform", "darwin")
    told = list(complaints("10.0.0.0/8", snapshot=True, demo_backends=True))
    assert [each.partition(":")[0] for each in told] == ["--mesh", "--mesh-block", "--snapshot", "--demo-backends"]
    assert told[0] == "--mesh: only Linux has all addresses of 127.0.0.0/8; run it in a container or a virtual machine of Linux"
