"""Measure what users wait for, each beside what they would use instead.

Run it from the checkout: `python -m benchmarks [--only NAME]… [--quick] [--out FILE]`. All tasks of a row
run in turn in the same minutes, so what slows the machine slows all of them; what is reported is the ratio of
CPU seconds, round by round, and the floor that the machine sets. Nothing fails on a time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread each: CPU seconds are then work, not waiting

from benchmarks import converting, evaluating, indexing, loading, rendering, verifying
from benchmarks.report import HEAD, render_row, rows, write_report
from benchmarks.timing import measure

FAMILIES = {
    "index": indexing,
    "load": loading,
    "convert": converting,
    "verify": verifying,
    "render": rendering,
    "evaluate": evaluating,
}


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, help="a family of rows; may be repeated")
    parser.add_argument("--quick", action="store_true", help="only the sizes that the rows are about")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.md"), help="the table; JSON beside it")
    args = parser.parse_args()
    found, left_out = [], []
    print(HEAD, end="", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        os.environ["REXNET_HUB_CACHE"] = f"{folder}/cache"
        for name in args.only or FAMILIES:
            work = Path(folder, name)
            work.mkdir()
            for job in FAMILIES[name].jobs(work, quick=args.quick):
                if isinstance(job, str):
                    left_out.append(job)
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fresh = rows(measure(job))
                print("".join(map(render_row, fresh)), end="", flush=True)
                found += fresh
                write_report(args.out, found, left_out)


if __name__ == "__main__":
    main()
