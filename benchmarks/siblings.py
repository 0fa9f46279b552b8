"""Count what of timm's old documentation holds: 261 entries, against timm's networks and its own table.

Run it from the checkout: `python -m benchmarks.siblings CLONE [--page docs/siblings.md]`, where CLONE is a
clone of huggingface/pytorch-image-models. It reads the pages and the table at fixed commits, builds each
network without its weights, and prints a table of counts; nothing of theirs is kept. With `--page` it fails
where a row of the counts does not stand in that page.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import timm
import torch

from rexnet_hub.agreement import Standing
from rexnet_hub.index import Entry, load_index
from rexnet_hub.standins.legacy_writer import legacy_size_bytes

#: The last commit of timm that has the pages, and their folder.
PAGES = ("aa4b5850c1543fa488abf260f18390eda46cf85d", "hfdocs/source/models")
#: The table that the pages were made from.
TABLE = "a7d0a8b5b226bd2e4953792a2e7e1e0de3f11a49:results/results-imagenet.csv"
HEAD = "| claim | against | equal | as rounded | differs | not checked |\n|---|---|--:|--:|--:|--:|"
COLUMNS = ("equal", "rounded", "differs", "unchecked")

#: What was found for a claim, by its field; None where there is nothing to compare it with.
Found = dict[str, Any]


def main() -> int:
    """Count and print; return 1 if a row is not in the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.siblings", description=__doc__)
    parser.add_argument("clone", type=Path, metavar="CLONE", help="of huggingface/pytorch-image-models")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page that states these counts")
    args = parser.parse_args()
    lines = io.StringIO(_git(args.clone, "show", TABLE).decode())
    table = {row["model"]: _read_row(row) for row in csv.DictReader(lines)}
    counts: dict[tuple[str, str], Counter[str]] = {}
    for entry in _entries(args.clone):
        for against, found in (("timm", _measure(entry.name)), ("timm's table", table[entry.name])):
            for label, outcome in _compare(entry, found):
                counts.setdefault((label, against), Counter())[outcome] += 1
    rows = [f"| {label} | {against} |" for label, against in counts]
    for index, seen in enumerate(counts.values()):
        rows[index] += "".join(f" {seen[name]} |" for name in COLUMNS)
    print(HEAD, *rows, sep="\n")
    stated = args.page.read_text(encoding="utf-8").splitlines() if args.page else rows
    missing = [row for row in rows if row not in stated]
    for row in missing:
        print(f"{args.page} does not state: {row}", file=sys.stderr)
    return int(bool(missing))


def _git(clone: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(clone), *words], check=True, stdout=subprocess.PIPE).stdout


def _entries(clone: Path) -> tuple[Entry, ...]:
    """Read the pages as they were at the commit, whatever is checked out."""
    with tempfile.TemporaryDirectory(prefix="siblings-") as folder:
        with tarfile.open(fileobj=io.BytesIO(_git(clone, "archive", *PAGES))) as archive:
            archive.extractall(folder, filter="data")
        return load_index(Path(folder, PAGES[1])).models


def _read_row(row: dict[str, str]) -> Found:
    """Read a row of timm's table; the pages have its millions cut, not rounded, to a whole number."""
    return {
        "parameters": int(float(row["param_count"]) * 1e6),
        "image_size": int(row["img_size"]),
        "crop_pct": Decimal(row["cropt_pct"]),
        "interpolation": row["interpolation"],
        "top1": Decimal(row["top1"]),
        "top5": Decimal(row["top5"]),
    }


def _measure(name: str) -> Found:
    """Count the network that timm has under a name, and read its settings."""
    fields = ("parameters", "file_size", "image_size", "crop_pct", "interpolation")
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # that a name stands for another now
            network = timm.create_model(name)
    except RuntimeError:  # no such network
        return dict.fromkeys(fields)
    tensors = {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }
    settings: Any = network.pretrained_cfg
    values = (
        sum(parameter.numel() for parameter in network.parameters()),
        legacy_size_bytes(tensors),
        settings["input_size"][-1],
        Decimal(str(settings["crop_pct"])),
        settings["interpolation"],
    )
    return dict(zip(fields, values, strict=True))


def _compare(entry: Entry, found: Found) -> Iterator[tuple[str, str]]:
    """Compare the claims of an entry, and say of each, by its label, which column counts it."""
    words = {Standing.AGREES: "equal", Standing.ROUNDED: "rounded"}
    for field, value in found.items():
        claim = entry.claim(field)
        assert claim is not None, f"{entry.location}: no {field}"
        if value is None:
            yield claim.label, "unchecked"
        elif field == "interpolation":  # no number
            yield claim.label, "equal" if value == claim.value else "differs"
        else:
            yield claim.label, words.get(claim.compare(value).standing, "differs")


if __name__ == "__main__":
    raise SystemExit(main())
