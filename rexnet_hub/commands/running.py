"""Commands that run a network: predict, demo."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from rexnet_hub.commands import Command, add_json
from rexnet_hub.errors import UsageError


def declare_predict(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `predict`."""
    parser.add_argument("model", metavar="MODEL", help="a model, a Hub repo or a repo folder")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="guesses a picture (default: 5)")
    add_json(parser)


def run_predict(args: argparse.Namespace) -> int:
    """Classify pictures: the likeliest classes of each, with their probabilities."""
    from rexnet_hub.auto import classify

    if args.top < 1:
        raise UsageError("--top must be at least 1")
    every = classify(args.model, args.images, top=args.top)
    if args.json:
        rows = [
            {"file": str(f), "guesses": [vars(g) for g in gs]}
            for f, gs in zip(args.images, every, strict=True)
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for file, guesses in zip(args.images, every, strict=True):
        print(file)
        for guess in guesses:
            print(f"  {guess.probability:7.2%}  {guess.class_index:>4}  {guess.label}")
    return 0


def declare_demo(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `demo`."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="a new folder (default: demo)"
    )


def run_demo(args: argparse.Namespace) -> int:
    """Go the whole way for every model with stand-in weights, offline.

    Make a released file, fetch it, check it, convert it, stage a repo, verify it, publish it to a folder,
    load it back and classify a picture; then print every claim and what became of it. Nothing is written
    outside --out. The weights are random: no accuracy is measured.
    """
    from rexnet_hub.commands.files import findings_table
    from rexnet_hub.demo import run

    os.environ["REXNET_HUB_CACHE"] = str(args.out.resolve() / "cache")
    found = run(args.out)
    print(findings_table(found))
    return 1 if any(finding.verdict == "false" for finding in found) else 0


COMMANDS = (
    Command(name="predict", run=run_predict, declare=declare_predict),
    Command(name="demo", run=run_demo, declare=declare_demo),
)
