"""Measure what users wait for, each beside what they would use instead.

Run it from the checkout: `python -m benchmarks [--only NAME]… [--quick] [--runs N] [--more] [--out FILE]`;
with `--out docs/speed.md` the result is a page of the docs. All tasks of a row run in turn in the same
minutes, so what slows the machine slows all of them; reported is the ratio of CPU seconds, round by round,
and the floor that the machine sets. Nothing fails on a time.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread each: CPU seconds are then work, not waiting

from benchmarks.report import (
    HEAD,
    describe_machine,
    merge_rows,
    read_rows,
    render_machine,
    render_row,
    rows,
    write_report,
)
from benchmarks.timing import Job, measure

#: Each family of rows and its module, which imports the peers.
FAMILIES = {
    "index": "indexing",
    "load": "loading",
    "convert": "converting",
    "verify": "verifying",
    "render": "rendering",
    "evaluate": "evaluating",
}
#: After so long a row of a quick run begins no other round.
QUICK_S = 5


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, help="a family of rows; may be repeated")
    parser.add_argument(
        "--quick", action="store_true", help="in five quiet minutes: sizes with a goal, fewer rounds"
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="so often, growth only once")
    parser.add_argument("--more", action="store_true", help="add to the runs that the table has already")
    out = "the table, JSON beside it (default: %(default)s)"
    parser.add_argument("--out", type=Path, default=Path("benchmarks.md"), help=out)
    args = parser.parse_args()
    print(render_machine(describe_machine()))
    table: list[dict[str, Any]] = read_rows(args.out) if args.more else []
    left_out: dict[str, None] = {}
    for number in range(args.runs):
        print(f"run {number + 1} of {args.runs}\n\n{HEAD}", end="", flush=True)
        # How cost grows is measured once: it takes longer than all the rest.
        for job in _jobs(args.only or list(FAMILIES), quick=args.quick or number > 0):
            if isinstance(job, str):
                left_out[job] = None
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fresh = rows(measure(job, at_most_s=QUICK_S if args.quick else math.inf))
            except (RuntimeError, OSError) as error:  # a peer that is not there stops no other row
                left_out[f"{job.title}, {job.size}: {str(error).splitlines()[0]}"] = None
                continue
            print("".join(map(render_row, fresh)), end="", flush=True)
            table = merge_rows(table, fresh)
            write_report(args.out, table, list(left_out))
    write_report(args.out, table, list(left_out))
    print("".join(f"Not measured: {what}\n" for what in left_out), end="")


def _jobs(names: Sequence[str], *, quick: bool) -> Iterator[Job | str]:
    """Yield the rows of some families, each with a folder of its own; or why a family has none."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            os.environ["REXNET_HUB_CACHE"] = f"{folder}/cache"
            work = Path(folder, name)
            work.mkdir()
            try:
                yield from import_module(f"benchmarks.{FAMILIES[name]}").jobs(work, quick=quick)
            except (ImportError, RuntimeError, OSError) as error:
                yield f"{name}: {str(error).splitlines()[0]}"


if __name__ == "__main__":
    main()
