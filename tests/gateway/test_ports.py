"""Which listeners may be published: those whose port is open; and which ports stay open: those that published listeners use."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from gateway.descriptors import Place, place_of
from gateway.ir.backend import Backend
from gateway.ir.batch import AnyResource
from gateway.ir.listener import Listener
from gateway.ir.value import Source
from gateway.net.sockets import BindError
from gateway.ports import Admitted, Ports

SOURCE = Source("Gateway", "default", "g")
BACKEND = Backend(key="default/s:80", source=SOURCE)


def listener(name: str, port: int, address: str = "::1", protocol: Literal["HTTP", "UDP"] = "HTTP") -> Listener:
    key = f"default/g/{name}"
    return Listener(key=key, source=SOURCE, gateway="default/g", name=name, address=address, port=port, bind_port=port, location_port=port,
                    protocol=protocol)  # fmt: skip


class Host:
    """A machine with ports, some of which are taken by others. An address that covers another excludes it, as the kernel has it."""

    def __init__(self, *taken: int) -> None:
        self.taken = set(taken)
        self.places: list[Place] = []
        self.ports = Ports(self.open, self.close)

    @property
    def open_places(self) -> list[int]:
        return [place.port for place in self.places]

    def open(self, place: Place) -> BindError | None:
        assert place not in self.places, "bound twice"
        alike = [other for other in self.places if other[1:] == place[1:]]
        if place.port in self.taken or any("::" in {other.address, place.address} for other in alike):
            return BindError(place.address, place.port, "in use", "stop the other program")
        self.places.append(place)
        return None

    def close(self, place: Place) -> None:
        self.places.remove(place)

    def admit(self, *resources: AnyResource, remove: tuple[str, ...] = ()) -> set[str]:
        admitted = self.ports.admit(resources, [("Listener", f"default/g/{name}") for name in remove])
        return {resource.key.removeprefix("default/g/") for resource in admitted.set}


def test_a_change_without_listeners_passes_untouched() -> None:
    """The usual change costs nothing here, however many listeners there are."""
    host = Host()
    resources = (BACKEND,)
    assert host.ports.admit(resources, [("Backend", "x")]) == Admitted(resources, (("Backend", "x"),), listeners=False)


def test_a_listener_is_published_once_its_port_is_bound() -> None:
    """Each port is bound once, whatever the number of listeners on it."""
    host = Host()
    assert host.admit(listener("a", 80), listener("b", 80), listener("c", 443), BACKEND) == {"a", "b", "c", BACKEND.key}
    assert host.open_places == [80, 443]
    assert host.ports.failures == {}


def test_a_port_in_use_withholds_its_listeners_and_nothing_else() -> None:
    """Issue 3, bad input: a port in use gives a message; the rest of the change is served."""
    host = Host(80)
    assert host.admit(listener("a", 80), listener("b", 80), listener("c", 443), BACKEND) == {"c", BACKEND.key}
    assert {key: failure.reason for key, failure in host.ports.failures.items()} == {"default/g/a": "in use", "default/g/b": "in use"}


def test_a_port_that_becomes_free_is_taken() -> None:
    """Tried again with every change of listeners and whenever the owner asks."""
    host = Host(80, 81)
    host.admit(listener("a", 80), listener("b", 81))
    assert host.ports.retry() == ()
    host.taken.discard(80)
    assert host.ports.retry() == (listener("a", 80),)
    assert host.ports.retry() == ()
    host.taken.clear()
    assert host.admit(listener("c", 443)) == {"b", "c"}
    assert host.ports.failures == {}


def test_what_is_live_stays_live_when_its_new_port_cannot_be_had() -> None:
    """Design 4: a rejected Listener keeps its previous version if one is live."""
    host = Host(81)
    host.admit(listener("a", 80))
    assert host.admit(listener("a", 81)) == set()
    host.ports.release()
    assert host.open_places == [80]
    host.taken.clear()
    assert host.ports.retry() == (listener("a", 81),)
    host.ports.release()
    assert host.open_places == [81]


def test_a_port_is_closed_only_when_told_that_the_workers_have_let_go() -> None:
    """Closing before the acknowledgement would reset what has queued."""
    host = Host()
    host.admit(listener("a", 80), listener("b", 81))
    host.admit(remove=("a",))
    assert host.open_places == [80, 81]
    host.ports.release()
    assert host.open_places == [81]


def test_a_port_that_comes_back_before_it_was_closed_is_not_bound_anew() -> None:
    """An edit that removes a listener and one that restores it leave the socket as it is."""
    host = Host()
    host.admit(listener("a", 80))
    host.admit(remove=("a",))
    assert host.admit(listener("a", 80)) == {"a"}
    host.ports.release()
    assert host.open_places == [80]


def test_a_withheld_listener_that_is_removed_is_forgotten() -> None:
    """No message and no port for what the user has taken back."""
    host = Host(80)
    host.admit(listener("a", 80))
    host.admit(remove=("a",))
    host.taken.clear()
    assert host.ports.retry() == ()
    assert host.ports.failures == {}
    assert host.open_places == []


def test_a_listener_that_stands_in_its_own_way_makes_way() -> None:
    """From one address to all of them on one port: both cannot be bound at once, so the old one is withdrawn first."""
    host = Host()
    host.admit(listener("a", 80), listener("b", 80))
    assert host.ports.admit([listener("a", 80, "::")], ()).remove == ()
    admitted = host.ports.admit([listener("b", 80, "::")], ())
    assert admitted == Admitted((), (("Listener", "default/g/a"), ("Listener", "default/g/b")), listeners=True)
    assert host.ports.retry() == ()
    assert host.ports.release()
    assert host.ports.retry() == (listener("a", 80, "::"), listener("b", 80, "::"))
    assert host.places == [Place("::", 80)]
    assert not host.ports.release()


def test_listeners_of_tcp_and_udp_may_have_the_same_number() -> None:
    """A DNS server has both; neither is in the other's way, also when one moves."""
    host = Host()
    assert host.admit(listener("a", 53), listener("b", 53, protocol="UDP")) == {"a", "b"}
    assert host.places == [Place("::1", 53), Place("::1", 53, "udp")]
    assert host.ports.admit([listener("b", 53, "::", protocol="UDP")], ()).remove == (("Listener", "default/g/b"),)
    assert host.ports.release()
    assert host.ports.retry() == (listener("b", 53, "::", protocol="UDP"),)


NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.sampled_from([80, 81, 82])
ADDRESSES = st.sampled_from(["::", "::1"])
STEPS = st.tuples(st.sampled_from(["set", "set", "set", "remove", "take", "free", "retry", "release"]), NAMES, NUMBERS, ADDRESSES)


@given(st.lists(STEPS, max_size=40))
def test_after_any_history_what_is_open_is_what_is_published(steps: list[tuple[str, str, int, str]]) -> None:
    """Every published listener's port is open; after a release no other is; every listener is published as wanted or has a failure."""
    host = Host()
    wanted: dict[str, Place] = {}
    published: dict[str, Place] = {}

    def note(put: tuple[AnyResource, ...], removed: tuple[tuple[str, str], ...] = ()) -> None:
        for _, key in removed:
            published.pop(key.removeprefix("default/g/"), None)
        published.update((one.name, place_of(one)) for one in put if isinstance(one, Listener))

    for what, name, port, address in steps:
        match what:
            case "set":
                wanted[name] = Place(address, port)
                admitted = host.ports.admit([listener(name, port, address)], ())
                note(admitted.set, admitted.remove)
            case "remove":
                wanted.pop(name, None)
                admitted = host.ports.admit((), [("Listener", f"default/g/{name}")])
                note(admitted.set, admitted.remove)
            case "take" if port not in host.open_places:
                host.taken.add(port)
            case "free":
                host.taken.discard(port)
            case "retry":
                note(host.ports.retry())
            case "release":
                host.ports.release()
        assert set(published.values()) <= set(host.places)
        assert {key.removeprefix("default/g/") for key in host.ports.listeners} == published.keys()
        late = {name for name, place in wanted.items() if published.get(name) != place}
        assert {key.removeprefix("default/g/") for key in host.ports.failures} == late
    host.ports.release()
    assert sorted(set(published.values())) == sorted(host.places)
