"""Time reading and listing the index, beside the public library and beside Python's own start.

Run it from the checkout, with nothing else running: `python benchmarks/index_speed.py [--models 10000]`.
Runs are interleaved, each figure is the median of the CPU seconds of fresh processes, and what is
reported first is ratios, since a machine's own speed is not the subject.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOOR = "import argparse, json"
# The least command that lists: parse a command line, load, print what a list shows.
LIST = """
import argparse, json, sys
sys.path.insert(0, {root!r})
parser = argparse.ArgumentParser()
parser.add_argument("path")
args = parser.parse_args([{path!r}])
from rexnet_hub import load_index
for entry in load_index(args.path, cached={cached}).models:
    top1 = entry.metric("top1")
    print(entry.name, entry.value("parameters"), entry.value("file_size"), top1 and top1.text)
"""
LIBRARY = "import modelindex; print(len(modelindex.load({path!r}).models.data))"
PARSER = "import yaml; loader = yaml.CSafeLoader(open({path!r}).read())\nwhile loader.get_event(): pass"


def spend(program: str, cache: str) -> float:
    """Run a program in a fresh process and give its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "REXNET_HUB_CACHE": cache}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def time_all(programs: dict[str, str], runs: int, cache: str) -> dict[str, float]:
    """Time programs in turn, so that what slows the machine slows all of them."""
    spent: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            spent[name].append(spend(program, cache))
    return {name: statistics.median(times) for name, times in spent.items()}


def repeat_seed(count: int) -> str:
    """Write an index of so many models, each like one of the zoo's own."""
    text = (ROOT / "model_index/rexnet.yml").read_text()
    head, _, models = text.partition("Models:\n")
    blocks = [f"- Name: {block}" for block in models.split("- Name: ")[1:]]
    lines = (blocks[n % len(blocks)].replace("\n", f"_{n}\n", 1) for n in range(count))
    return f"{head}Models:\n{''.join(lines)}"


def main() -> None:
    """Print the ratios, then the seconds that they are of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=int, default=10_000, help="size of the large index (default: 10000)")
    parser.add_argument("--runs", type=int, default=11, help="runs of each program (default: 11)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = str(ROOT / "model_index/rexnet.yml"), str(Path(folder, "large.yml"))
        Path(large).write_text(repeat_seed(args.models))
        list_small = LIST.format(root=str(ROOT), path=small, cached=True)
        list_large = LIST.format(root=str(ROOT), path=large, cached=True)
        first = {"large, first list": list_large}
        times = time_all(first, 1, folder)
        warm = {
            "argparse and json": FLOOR,
            "small, list": list_small,
            "small, list without a copy": LIST.format(root=str(ROOT), path=small, cached=False),
            "small, model-index": LIBRARY.format(path=small),
            "large, list": list_large,
        }
        spend(list_small, folder)
        times |= time_all(warm, args.runs, folder)
        few = {
            "large, parser's events alone": PARSER.format(path=large),
            "large, list without a copy": LIST.format(root=str(ROOT), path=large, cached=False),
        }
        times |= time_all(few, 3, folder)
        times |= time_all({"large, model-index": LIBRARY.format(path=large)}, 1, folder)
    floor = times["argparse and json"]
    print(f"small, list / argparse and json:          {times['small, list'] / floor:.2f}")
    print(f"large, list / small, list:                {times['large, list'] / times['small, list']:.2f}")
    events = times["large, parser's events alone"]
    print(f"large, reading / parser's events:         {times['large, list without a copy'] / events:.2f}")
    library = times["large, model-index"] / times["large, list without a copy"]
    print(f"large, model-index / reading:             {library:.2f}")
    for name, seconds in times.items():
        print(f"{name:32} {seconds:8.3f} s")


if __name__ == "__main__":
    main()
