"""Incremental evaluation by recorded reads.

A unit is a pure function of a key and a View, which records what it reads: objects, index values, other nodes' results,
tallies. When objects change, the nodes that read them, however far away, become suspects; a suspect runs again only if
something it read came out different, so a value equal to before wakes nobody. Units run in stages: what came out of one as
it was before makes no suspects in the next, so that what thousands read costs nothing while it stays as it is. Sums over
many (attached routes of a listener) are tallies, read in the last stage. What no object's node reads any more is forgotten.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from controller.failures import Failed, Node, cycle, described
from controller.readers import Readers
from controller.store import Entry, Key, Object, Read, Store, Tallies, Tally

Diff = dict[Node, tuple[Any, Any]]   # of every node whose value differs: before and after, None for absent; in no order
DEPTH = 50                           # results that need one another in one stretch of the stack: recursion is bounded
Resource = TypeVar("Resource")
Status = TypeVar("Status")


@dataclass(frozen=True)
class Output(Generic[Resource, Status]):
    """What a unit of translation usually gives: resources for the proxies, statuses for the objects."""
    resources: tuple[Resource, ...] = ()
    statuses: tuple[Status, ...] = ()


class Stage(IntEnum):
    """When a unit runs: it may read results of its own stage and of those before. Tallies are read in the last, over the others."""
    FIRST = 0
    MAIN = 1
    LAST = 2


@dataclass(frozen=True, slots=True)
class Unit:
    """A pure function of a key and what the View shows. Its value is immutable and has `==`; None means that there is none.
    A node is kept for each object of the kinds in `roots`, and for any other key while `View.result` asks for it."""
    name: str
    run: Callable[[Any, View], Any]
    roots: tuple[str, ...] = ()
    stage: Stage = Stage.MAIN


@dataclass(slots=True)
class View:
    """What one run of a unit may see, and the record of what it looked at, also where there was nothing."""
    _graph: Graph
    _unit: Unit
    reads: dict[Read, None] = field(default_factory=dict)

    def get(self, kind: str, namespace: str, name: str) -> Any | None:
        """The object, None if there is none."""
        self.reads["object", (kind, namespace, name)] = None
        return self._graph._store.get(kind, namespace, name)

    def select(self, index: str, value: Hashable) -> tuple[Any, ...]:
        """The objects under an index value, ordered by key, or what is listed under a value."""
        self.reads["index", (index, value)] = None
        return self._graph._store.select(index, value)

    def result(self, unit: str, key: Hashable) -> Any:
        """The value of another node, right as of now. If that failed, this run ends and its node fails for the same reason."""
        self._graph._permit(self._unit, "unit", unit)
        self.reads["result", (unit, key)] = None
        value = self._graph._settle((unit, key))
        if isinstance(value, Failed):
            raise _ReadFailed(value)
        return value

    def tally(self, name: str, value: Hashable) -> int:
        """How many roots count for the value."""
        self._graph._permit(self._unit, "tally", name)
        self.reads["tally", (name, value)] = None
        return self._graph._tallies.get(name, value)

    def tallied(self, name: str, value: Hashable) -> bool:
        """Whether any root counts for the value: one more or less that leaves this as it is wakes nobody."""
        self._graph._permit(self._unit, "tally", name)
        self.reads["tallied", (name, value)] = None
        return self._graph._tallies.get(name, value) > 0


class _ReadFailed(BaseException):
    """Ends a run that read a failed node. No Exception, so that no unit goes on without the result: where nodes need
    one another, what it gave would depend on the order of evaluation."""


class _TooDeep(BaseException):
    """Unwinds the stack down to the first run, with the node that has no room in it."""


@dataclass(slots=True)
class _Memo:
    value: Any
    reads: tuple[Read, ...]      # in the order in which they were made
    counted: tuple[Entry, ...]    # what it counts for where it is a root


class Graph:
    """Keeps the value of every node right as objects change; from now on the store is changed only through `apply`.
    Raises ValueError for units and tallies that do not fit together."""

    def __init__(self, store: Store, units: Iterable[Unit], tallies: Iterable[Tally] = ()) -> None:
        self._store = store
        self._units: dict[str, Unit] = {}
        self._tallies = Tallies(tallies)
        self._stages = {("tally", tally.name): Stage.LAST for tally in self._tallies}    # by sort and name of what can be read
        for unit in units:
            if self._units.setdefault(unit.name, unit) is not unit:
                raise ValueError(f"two units are named {unit.name!r}: rename one")
            self._stages["unit", unit.name] = unit.stage
        for tally in self._tallies:
            if self._stages.get(("unit", tally.unit), Stage.LAST) is Stage.LAST or not self._units[tally.unit].roots:
                raise ValueError(f"tally {tally.name!r} counts over {tally.unit!r}, which is not an earlier unit with roots: name one")
        self._memos: dict[Node, _Memo] = {}
        self._readers: dict[Stage, Readers[Node]] = {stage: Readers() for stage in Stage}    # each of its own stage
        # What one change is about, empty between changes. If something ends `apply` early, the next change goes on from here.
        self._suspects: set[Node] = set()      # their values may be out of date
        self._changed: set[Read] = set()
        self._before: dict[Node, Any] = {}     # first values of what became different
        self._touched: set[Node] = set()       # roots whose objects changed, and what lost a reader
        self._path: list[Node] = []            # each needs the next one's result
        self._path_limit = DEPTH

    def apply(self, puts: Iterable[Object] = (), removes: Iterable[Key] = ()) -> Diff:
        """Takes one change, first what is removed, then what is put, and brings every node up to date. What a unit raises
        becomes its node's value. Raises what an index function raises; what was taken before that joins the next change."""
        self.begin(puts, removes)
        return self.finish()

    def begin(self, puts: Iterable[Object] = (), removes: Iterable[Key] = ()) -> Diff:
        """As `apply`, but only to the end of the first stage: what differs so far. `finish` has to come next."""
        for key in removes:
            self._take(key, self._store.remove(key))
        for obj in puts:
            self._take(obj.key, self._store.put(obj))
        self._settle_stage(Stage.FIRST)
        return self._difference()

    def finish(self) -> Diff:
        """The other stages; what differs in all of them."""
        self._settle_stage(Stage.MAIN)
        self._changed |= self._tallies.count(self._counted())
        self._settle_stage(Stage.LAST)
        self._forget_unread()
        changes = self._difference()
        self._before, self._changed = {}, set()
        return changes

    def _difference(self) -> Diff:
        return {node: (before, after) for node, before in self._before.items() if before != (after := self.value(*node))}

    def value(self, unit: str, key: Hashable) -> Any | None:
        """The present value of a node, None if it has none. Evaluates nothing."""
        return memo.value if (memo := self._memos.get((unit, key))) else None

    def values(self) -> dict[Node, Any]:
        """Every node that has a value."""
        return {node: memo.value for node, memo in self._memos.items() if memo.value is not None}

    def sizes(self) -> dict[str, int]:
        """How much is held, by sort; all are zero when there are no objects, and "change" is zero between changes."""
        reads = sum(map(len, self._readers.values()))
        change = sum(map(len, (self._suspects, self._changed, self._before, self._touched, self._path)))
        return self._store.sizes() | self._tallies.sizes() | {"nodes": len(self._memos), "reads": reads, "change": change}

    def _permit(self, reader: Unit, sort: str, name: str) -> None:
        stage = self._stages.get((sort, name))
        if stage is None:
            raise LookupError(f"there is no {sort} {name!r}: give it to the Graph, or read one of {[each for _, each in self._stages]}")
        if stage > reader.stage:
            told = f"unit {reader.name!r} is of stage {reader.stage.name} and may not read the {sort} {name!r} of {stage.name}"
            raise LookupError(f"{told}: give it that stage")

    def _take(self, key: Key, changed: set[Read]) -> None:
        self._touched.update((unit.name, key) for unit in self._units.values() if key[0] in unit.roots)
        self._changed |= changed

    def _suspect(self, stage: Stage) -> None:
        """Marks every node of a stage that reads, by way of others of it, however many, something that changed."""
        todo = list(self._changed)
        while todo:
            for node in self._readers[stage].of(todo.pop()):
                if node not in self._suspects:
                    self._suspects.add(node)
                    todo.append(("result", node))

    def _is_root(self, node: Node) -> bool:
        return node[1] in self._store and node[1][0] in self._units[node[0]].roots

    def _settle_stage(self, stage: Stage) -> None:
        """Settles the roots that the change may concern, and with them all that they need; then what only later stages read."""
        self._suspect(stage)
        concerned = (node for node in self._suspects | self._touched if self._units[node[0]].stage is stage)
        self._settle_all([node for node in concerned if self._is_root(node)])
        left = (node for node in self._suspects if self._units[node[0]].stage is stage)
        self._settle_all([node for node in left if any(True for _ in self._readers_of(node))])

    def _settle_all(self, nodes: list[Node]) -> None:
        """Where the stack gets too deep it is unwound: what stood too deep comes first, then what was unwound begins again."""
        todo: list[tuple[Node, tuple[Node, ...]]] = [(node, ()) for node in nodes]
        while todo:
            node, way = todo[-1]
            self._path, self._path_limit = list(way), len(way) + DEPTH
            try:
                self._settle(node)
                todo.pop()
            except _TooDeep as deep:
                todo.append((deep.args[0], tuple(self._path)))

    def _settle(self, node: Node) -> Any:
        """The value of a node, right as of now."""
        memo = self._memos.get(node)
        if memo is not None and node not in self._suspects:
            return memo.value
        if node in self._path:
            raise _ReadFailed(cycle(self._path[self._path.index(node):]))
        if len(self._path) == self._path_limit:
            raise _TooDeep(node)
        self._path.append(node)
        if memo is None or self._is_outdated(memo):
            self._run(node, memo)
        self._path.pop()
        self._suspects.discard(node)
        return self._memos[node].value

    def _is_outdated(self, memo: _Memo) -> bool:
        """Whether something that was read is different now. In the order of the reads: while all are the same, a new run
        would make the next one too. So nothing is settled that is not needed, and a read of a node on the path is a cycle."""
        for read in memo.reads:
            if read[0] == "result" and read[1] in self._suspects:
                if read[1] in self._path:
                    return True
                self._settle(read[1])
            if read in self._changed:
                return True
        return False

    def _run(self, node: Node, old: _Memo | None) -> None:
        view = View(self, self._units[node[0]])
        reads_before, value_before = (old.reads, old.value) if old else ((), None)
        counted: tuple[Entry, ...] = ()
        try:
            value = view._unit.run(node[1], view)
            counted = self._tallies.counted(node[0], value)
        except _ReadFailed as failure:
            value = failure.args[0]
        except Exception as error:
            value = Failed(node, described(error, __file__))
        if value == value_before:
            value = value_before
        else:
            self._before.setdefault(node, value_before)
            self._changed.add(("result", node))
        reads = tuple(view.reads)
        if reads != reads_before:
            for read in reads_before:
                if read not in view.reads:
                    self._unlink(read, node)
            for read in reads:
                self._readers[view._unit.stage].add(read, node)
        self._memos[node] = _Memo(value, reads, counted)

    def _unlink(self, read: Read, node: Node) -> None:
        self._readers[self._units[node[0]].stage].remove(read, node)
        if read[0] == "result":
            self._touched.add(read[1])

    def _counted(self) -> dict[Node, tuple[Entry, ...]]:
        """What the roots that changed count for now."""
        memos = {node: self._memos.get(node) for node in self._before.keys() | self._touched}
        return {node: memo.counted if memo and self._is_root(node) else () for node, memo in memos.items()}

    def _forget_unread(self) -> None:
        """Forgets what no root needs any more; generation by generation, so that what many readers lose is looked at once."""
        while self._touched:
            generation, self._touched = self._touched, set()
            for unread in (unread for node in generation if node in self._memos for unread in self._unread_from(node)):
                memo = self._memos.pop(unread)
                self._suspects.discard(unread)
                self._before.setdefault(unread, memo.value)
                for read in memo.reads:
                    self._unlink(read, unread)

    def _unread_from(self, node: Node) -> set[Node]:
        """The node and all that read it, however far away; nothing if a root is among them. Depth first: a root is rarely far."""
        found: set[Node] = set()
        todo: list[Iterator[Node]] = [iter([node])]
        while todo:
            current = next(todo[-1], None)
            if current is None:
                todo.pop()
            elif self._is_root(current):
                return set()
            elif current not in found:
                found.add(current)
                todo.append(self._readers_of(current))
        return found

    def _readers_of(self, node: Node) -> Iterator[Node]:
        """Of all stages; of thousands the first is often enough."""
        return (reader for stage in Stage for reader in self._readers[stage].of(("result", node)))
