"""From an object applied in a cluster to served: in a box of its own, with Tidegate installed by the chart.

A: the count of 1,000 attached routes; B: 3,000 routes one by one; C: one route edited under traffic; D: 5,000 routes that churn, and B
in the midst of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cluster.goals import rows
from cluster.installation import drive, installed, plain
from measuring.script import GOOD, WRONG, plain_options, positive_integer, positive_number, run_script, writable_file, write_json
from measuring.summary import conditions, print_table

SHORT = {"attached": 50, "routes": 50, "edits": 20, "beside": 20, "many": 200, "churn": 3.0}
"""What `--short` does."""
SHOWN = 10
"""Wrong answers that are printed."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="ABCD", metavar="TESTS", help="some of the tests, as in AC (ABCD)")
    parser.add_argument("--short", action="store_true", help="few of everything: whether all is right, in a minute; no goal for a figure")
    parser.add_argument("--attached", type=positive_integer, default=1_000, metavar="N", help="A: routes (1000)")
    parser.add_argument("--routes", type=positive_integer, default=3_000, metavar="N", help="B, and B in D: routes one by one (3000)")
    parser.add_argument("--edits", type=positive_integer, default=1_000, metavar="N", help="C: edits (1000)")
    parser.add_argument("--every", type=positive_number, default=0.2, metavar="S", help="C: seconds between two edits (0.2)")
    parser.add_argument("--beside", type=positive_integer, default=500, metavar="N", help="C: other routes in place (500)")
    parser.add_argument("--many", type=positive_integer, default=5_000, metavar="N", help="D: routes (5000)")
    parser.add_argument("--churn", type=positive_number, default=30.0, metavar="S", help="D: seconds of churn alone (30)")
    parser.add_argument("--replicas", type=positive_integer, default=1, metavar="N", help="of the controller (1)")
    parser.add_argument("--box", type=Path, metavar="FOLDER", help="a box that is up, with Tidegate in it, in place of a new one")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="also write what was found there")
    options = parser.parse_args()
    if not set(options.only) <= set("ABCD"):
        parser.error(f"argument --only: {options.only!r} holds more than the letters A, B, C and D")
    if options.short:
        vars(options).update(SHORT)
    return options


def main() -> int:
    options = arguments()
    around = conditions()
    with installed(options.replicas, options.box) as box:
        found = drive(box, _plan(options))
    print(f"{around}\n")
    headings = ("figure", "measured") if options.short else ("figure", "measured", "at most", "")
    print_table(headings, [row.cells()[: len(headings)] for row in rows(found)])
    for text in found.wrong[:SHOWN]:
        print(f"WRONG: {text}")
    if options.json:
        write_json(options.json, {"conditions": around, "options": plain_options(options), "found": plain(found)})
    return WRONG if found.wrong else GOOD


def _plan(options: argparse.Namespace) -> dict[str, Any]:
    """See cluster.driver.Plan; the driver adds where the result goes."""
    names = ("attached", "routes", "edits", "every", "beside", "many", "churn")
    return {"tests": options.only} | {name: getattr(options, name) for name in names}


if __name__ == "__main__":
    sys.exit(run_script(main))
