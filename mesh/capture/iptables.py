"""The rules as chains of our own in the table nat of iptables, for kernels or images without nftables.

Each family is replaced in one run of -restore, which commits once. The text is written as -save prints it, so that what the kernel holds
can be compared with what was asked for. There are two kinds of these programs, of rules that do not see each other: -nft and -legacy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from mesh.capture.errors import CaptureError
from mesh.capture.program import find, run
from mesh.capture.rules import Chain, ChainName, Family, Jump, Redirect, Return, Rule, RuleSet, Verdict

_PREFIX: Final = "TIDEGATE_"
_KINDS: Final = ("-nft", "-legacy")
_PROGRAMS: Final[dict[Family, str]] = {4: "iptables", 6: "ip6tables"}


def restore_text(chains: Sequence[Chain], family: Family, present: str) -> str:
    """What -restore reads to replace our chains of a family (4 or 6); `present` is what -save printed before."""
    lines = [f":{_name(chain.name)} - [0:0]" for chain in chains]  # makes it, or empties it
    lines += [rule for chain in chains for rule in chain_text(chain, family)]
    seen = present.splitlines()
    lines += [f"-I {hook.removeprefix('-A ')}" for hook in _hooks(chains) if hook not in seen]
    return _table(lines)


def chain_text(chain: Chain, family: Family) -> list[str]:
    """The rules of a chain that are for a family, a line each, as -save prints them."""
    return [
        " ".join(["-A", _name(chain.name), *_matches(rule), _verdict(rule)]) for rule in chain.rules if rule.family in (None, family)
    ]


def removal_text(present: str) -> str:
    """What -restore reads to take away all that is ours in what -save printed."""
    lines = present.splitlines()
    ours = [line.split()[0].removeprefix(":") for line in lines if line.startswith(f":{_PREFIX}")]
    hooks = [line.replace("-A ", "-D ", 1) for line in lines if _leads_to_us(line)]
    return _table([*hooks, *(f"-F {chain}" for chain in ours), *(f"-X {chain}" for chain in ours)])


def difference(chains: Sequence[Chain], family: Family, present: str) -> str | None:
    """In what -save printed differs from these rules, for people; None if it does not."""
    asked = [line for chain in chains for line in chain_text(chain, family)]
    found = [line for line in present.splitlines() if line.startswith(f"-A {_PREFIX}")]
    hooks = [line for line in present.splitlines() if _leads_to_us(line)]
    missing, more = set(asked) - set(found), set(found) - set(asked)
    if missing or more:
        return f"missing are {sorted(missing)}, and {sorted(more)} are there"
    if any(_of(chain, found) != chain_text(chain, family) for chain in chains):
        return "the rules are in another order"
    return None if sorted(hooks) == sorted(_hooks(chains)) else f"what leads to them is {hooks}"


class Iptables:
    """The kernel's table nat through the programs of one kind: '-nft', '-legacy', or '' where a machine has names for one alone."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.name: Final = f"iptables{kind}"

    def complaint(self, rules: RuleSet) -> str | None:
        """Why these rules cannot be set so; the kernel is asked without a change."""
        try:
            for family in rules.families:
                self._restore(family, restore_text(rules.chains, family, self._save(family)), "--test")
        except CaptureError as error:
            return str(error)
        return None

    def is_set(self) -> bool:
        """Whether anything of ours is there. A kernel that cannot be asked has nothing."""
        return bool(self._families_set())

    def set(self, rules: RuleSet) -> None:
        """Puts these rules in the place of those that are there, and reads them back. Raises CaptureError."""
        for family in rules.families:
            self._restore(family, restore_text(rules.chains, family, self._save(family)))
            found = difference(rules.chains, family, self._save(family))
            if found:
                raise CaptureError(
                    f"the chains {_PREFIX}* of {self.name} for IPv{family} were set, but read otherwise: {found}; see that nothing else "
                    "changes them"
                )

    def remove(self) -> None:
        """Takes our chains away, and what leads to them. Raises CaptureError."""
        for family in self._families_set():
            self._restore(family, removal_text(self._save(family)))

    def _families_set(self) -> list[Family]:
        found: list[Family] = []
        for family in _PROGRAMS:
            try:
                if f":{_PREFIX}" in self._save(family):
                    found.append(family)
            except CaptureError:
                continue
        return found

    def _save(self, family: Family) -> str:
        """Only what is there: with a name, the table would be made by looking at it."""
        return run(self._program(family, "save"))

    def _restore(self, family: Family, text: str, *arguments: str) -> None:
        run(self._program(family, "restore"), "--noflush", *arguments, text=text)

    def _program(self, family: Family, action: str) -> str:
        name = f"{_PROGRAMS[family]}{self._kind}-{action}"
        path = find(name)
        if path is None:
            raise CaptureError(f"the program {name} is not there")
        return path


def iptables_here() -> tuple[Iptables, ...]:
    """One for each kind that this machine has, the one to be preferred first; empty without any."""
    kinds = [kind for kind in _KINDS if find(f"iptables{kind}-restore")]
    return tuple(Iptables(kind) for kind in kinds or ([""] if find("iptables-restore") else []))


def _name(chain: ChainName) -> str:
    return f"{_PREFIX}{chain.upper()}"


def _hooks(chains: Sequence[Chain]) -> list[str]:
    return [f"-A {chain.seeing} -p tcp -j {_name(chain.name)}" for chain in chains if chain.seeing]


def _leads_to_us(line: str) -> bool:
    words = line.split()
    return words[:1] == ["-A"] and not words[1].startswith(_PREFIX) and words[-1].startswith(_PREFIX)


def _of(chain: Chain, lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.split()[1] == _name(chain.name)]


def _table(lines: Sequence[str]) -> str:
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def _matches(rule: Rule) -> Iterator[str]:
    for network, option in ((rule.source, "-s"), (rule.destination, "-d")):
        if network and network.prefixlen:
            yield f"{option} {network}"
    if rule.interface_out:
        yield f"-o {rule.interface_out}"
    if rule.port is not None:
        yield f"-p tcp -m tcp --dport {rule.port}"
    elif isinstance(rule.verdict, Redirect):
        yield "-p tcp"
    if rule.user is not None:
        yield f"-m owner --uid-owner {rule.user}"
    if rule.group is not None:
        yield f"-m owner --gid-owner {rule.group}"


def _verdict(rule: Rule) -> str:
    verdict: Verdict = rule.verdict
    match verdict:
        case Redirect(port):
            return f"-j REDIRECT --to-ports {port}"
        case Jump(chain):
            return f"-j {_name(chain)}"
        case Return():
            return "-j RETURN"
        case _:
            assert_never(verdict)
