"""Says what came of the upstream suite: tests passed and failed, and of a report each profile.

    python conformance/verdict.py LOG [REPORT]

The exit status is 1 unless every test passed and every profile of the report succeeded with every feature and without a skipped test.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_RESULT = re.compile(r"^    --- (PASS|FAIL|SKIP): TestConformance/(\w+) \(([0-9.]+)s\)$", re.MULTILINE)
_SHOWN = 40
"""Lines at the end of a log in which no test ended at all."""


def tests(log: str) -> dict[str, str]:
    """PASS, FAIL or SKIP by the name of the test; those that the features rule out are skipped."""
    return {name: result for result, name, _ in _RESULT.findall(log)}


def faults(report: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a ConformanceReport from saying that everything is served."""
    for profile in report["profiles"]:
        for part in ("core", "extended"):
            found = profile.get(part)
            if found is None:
                continue
            place = f"{profile['name']} {part}"
            if found["result"] != "success":
                yield f"{place}: {found['result']}"
            for field in ("failedTests", "skippedTests", "unsupportedFeatures"):
                if found.get(field):
                    yield f"{place}: {field} {', '.join(found[field])}"


def summary(report: Mapping[str, Any]) -> Iterator[str]:
    """A line a profile."""
    for profile in report["profiles"]:
        core, extended = profile["core"]["statistics"], profile.get("extended", {})
        features = len(extended.get("supportedFeatures") or ())
        counted = f"core {core['Passed']} passed, {core['Failed']} failed, {core['Skipped']} skipped"
        if extended:
            numbers = extended["statistics"]
            counted += f"; extended {numbers['Passed']} passed, {numbers['Failed']} failed, {numbers['Skipped']} skipped"
            counted += f", {features} features"
        yield f"{profile['name']}: {counted}"


def features(report: Mapping[str, Any]) -> set[str]:
    """The extended features of all profiles."""
    return {name for profile in report["profiles"] for name in profile.get("extended", {}).get("supportedFeatures") or ()}


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    log = Path(arguments[0]).read_text(encoding="utf-8")
    found = tests(log)
    counted = Counter(found.values())
    print(f"{counted['PASS']} tests passed, {counted['FAIL']} failed, {counted['SKIP']} not asked for by the features claimed")
    failed = [name for name, result in found.items() if result == "FAIL"]
    for name in failed:
        print(f"failed: {name}")
    if not counted["PASS"] and not failed:
        print("\n".join(log.splitlines()[-_SHOWN:]))
    problems: list[str] = []
    for path in arguments[1:]:
        report = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        print("\n".join(summary(report)))
        print(f"{len(features(report))} extended features")
        problems += faults(report)
    for problem in problems:
        print(f"not a success: {problem}")
    return int(bool(failed or problems or not counted["PASS"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
